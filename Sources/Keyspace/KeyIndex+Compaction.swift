// Owns: how the index forgets what compaction made dead, and the checks that tests run over the whole.
// Must never: search for dead versions. The work is proportional to what is dropped.
internal import Bytes

extension KeyIndex {
    /// Marks everything below `revision` as compacted: readers don't ask below it from now on. Removes nothing yet.
    package mutating func compact(to revision: Revision) {
        invariant(revision >= compactRevision && revision <= tip.revision, "compact to \(revision) from \(compactRevision)")
        compactRevision = revision
    }

    /// Drops up to `limit` dead versions, oldest first, and appends their positions to `dropped`: these are the rows that may
    /// be deleted from the changelog. Fewer than `limit` means that nothing more can go for now.
    ///
    /// As in etcd: at compact revision R each key keeps its newest version at or before R, unless that is a tombstone older
    /// than R. One at R itself stays for those who watch from R on, until a later compaction.
    /// - Parameter oldest: the lowest revision that a running read is pinned to, if there is one.
    package mutating func collect(limit: Int, keepingReadersAt oldest: Revision?, into dropped: inout [Position]) {
        let bound = min(compactRevision, oldest ?? .max)
        var left = limit
        while left > 0, let row = keptTombstones.first, row.position.revision < compactRevision, row.position.revision <= bound {
            if drop(what: row, &left, &dropped) { keptTombstones.removeFirst() }
        }
        while left > 0, let row = superseded.first, row.position.revision <= bound {
            guard drop(what: row, &left, &dropped) else { continue }
            superseded.removeFirst()
            if row.position.revision == compactRevision, row.record.version(at: row.position)?.pointee.isTombstone == true {
                keptTombstones.append(row)
            }
        }
    }

    /// Drops what `row` made dead. False where the limit came first.
    private mutating func drop(what row: SupersedingRow, _ left: inout Int, _ dropped: inout [Position]) -> Bool {
        let record = row.record
        while let older = record.older {
            let oldest = older.version(0)
            guard oldest.pointee.position < row.position || isDeadTombstone(oldest, of: row) else { return true }
            if left == 0 { return false }
            left -= 1
            note(oldest.pointee, &dropped)
            historyBytes -= older.allocatedBytes
            record.older = older.droppingOldest()
            historyBytes += record.older?.allocatedBytes ?? 0
        }
        guard isDeadTombstone(record.newest, of: row) else { return true }
        if left == 0 { return false }
        left -= 1
        note(record.newest.pointee, &dropped)
        keyBytes -= record.keyCount
        tree.remove(record)
        return true
    }

    private func isDeadTombstone(_ version: UnsafeMutablePointer<KeyVersion>, of row: SupersedingRow) -> Bool {
        version.pointee.position == row.position && version.pointee.isTombstone && row.position.revision < compactRevision
    }

    private mutating func note(_ version: borrowing KeyVersion, _ dropped: inout [Position]) {
        dropped.append(version.position)
        versionCount -= 1
        valueBytes -= version.value?.count ?? 0
    }

    /// Traps where the index breaks its rules. Visits every key: for tests.
    package borrowing func invariants() {
        invariant(committed <= tip, "committed past the tip")
        let committed = self.committed
        tree.invariants { record in
            guard let version = record.version(at: committed) else { return false }
            return !version.pointee.isTombstone
        }
        let tip = self.tip
        var seen = (versions: 0, keyBytes: 0, valueBytes: 0, historyBytes: 0)
        tree.walk(from: ByteString(), to: nil) { record in
            seen.keyBytes += record.keyCount
            seen.versions += 1
            seen.valueBytes += record.newest.pointee.value?.count ?? 0
            var last = record.newest.pointee.position
            invariant(last <= tip, "a version is past the tip")
            guard let older = record.older else { return true }
            invariant(older.count > 0, "an empty history")
            seen.historyBytes += older.allocatedBytes
            seen.versions += older.count
            for index in (0..<older.count).reversed() {
                let version = older.version(index)
                invariant(version.pointee.position < last, "a key's versions are out of order")
                last = version.pointee.position
                seen.valueBytes += version.pointee.value?.count ?? 0
            }
            return true
        }
        invariant(
            seen == (versionCount, keyBytes, valueBytes, historyBytes),
            "the index counts \((versionCount, keyBytes, valueBytes, historyBytes)) and has \(seen)")
        var last = committed
        journal.visit { row in
            invariant(row.position > last && row.position <= tip, "the journal is out of order")
            last = row.position
            return true
        }
        last = Position.start
        keptTombstones.visit { row in
            invariant(row.position > last && row.position.revision <= compactRevision, "the kept tombstones are out of order")
            last = row.position
            return true
        }
        superseded.visit { row in
            invariant(row.position > last && row.position <= committed, "the superseded rows are out of order")
            last = row.position
            return true
        }
    }
}

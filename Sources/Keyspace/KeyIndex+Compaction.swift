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
    /// As in etcd: at compact revision R each key keeps its newest version at or before R, unless that is a tombstone.
    /// - Parameter oldest: the lowest revision that a running read is pinned to, if there is one.
    package mutating func collect(limit: Int, keepingReadersAt oldest: Revision?, into dropped: inout [Position]) {
        let bound = min(compactRevision, oldest ?? .max)
        var left = limit
        while left > 0, let record = superseded.first, record.position.revision <= bound {
            guard let entry = tree.find(record.key) else { violated("a superseding row has lost its key") }
            let isDone = drop(from: entry, through: record, &left, &dropped)
            if isDone { superseded.removeFirst() }
        }
    }

    /// Drops what the row of `record` made dead. False where the limit came first.
    private mutating func drop(
        from entry: UnsafeMutablePointer<KeyEntry>, through record: SupersededRecord, _ left: inout Int, _ dropped: inout [Position]
    ) -> Bool {
        while left > 0, let older = entry.pointee.older {
            let oldest = older.version(0)
            guard oldest.pointee.position < record.position || isTombstone(oldest, of: record) else { return true }
            left -= 1
            note(oldest.pointee, &dropped)
            historyBytes -= older.allocatedBytes
            entry.pointee.older = older.droppingOldest()
            historyBytes += entry.pointee.older?.allocatedBytes ?? 0
        }
        if entry.pointee.older != nil { return false }
        guard isTombstone(KeyEntry.newest(entry), of: record) else { return true }
        if left == 0 { return false }
        left -= 1
        note(entry.pointee.newest, &dropped)
        keyBytes -= record.key.count
        tree.remove(record.key)
        return true
    }

    private func isTombstone(_ version: UnsafeMutablePointer<KeyVersion>, of record: SupersededRecord) -> Bool {
        version.pointee.position == record.position && version.pointee.isTombstone
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
        tree.invariants { entry in
            if entry.newest.position <= committed { return !entry.newest.isTombstone }
            guard let version = entry.older?.newest(at: committed) else { return false }
            return !version.pointee.isTombstone
        }
        let tip = self.tip
        var seen = (versions: 0, keyBytes: 0, valueBytes: 0, historyBytes: 0)
        tree.walk(from: ByteString(), to: nil) { entry in
            seen.keyBytes += entry.pointee.key.count
            seen.versions += 1
            seen.valueBytes += entry.pointee.newest.value?.count ?? 0
            var last = entry.pointee.newest.position
            invariant(last <= tip, "a version is past the tip")
            guard let older = entry.pointee.older else { return true }
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
        journal.forEach { record in
            invariant(record.position > last && record.position <= tip, "the journal is out of order")
            last = record.position
            return true
        }
        last = Position.start
        superseded.forEach { record in
            invariant(record.position > last && record.position <= committed, "the superseded rows are out of order")
            last = record.position
            return true
        }
    }
}

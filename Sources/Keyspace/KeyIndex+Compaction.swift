// Owns: how the index forgets what compaction made dead, and the checks that tests run over the whole.
// Must never: search for dead versions. The work is proportional to what is dropped.
internal import Bytes
package import EtcdAPI

extension KeyIndex {
    /// Marks everything below `revision` as compacted: readers don't ask below it from now on. Removes nothing yet.
    /// - Parameter revision: may lie past the tip, where the log's last rows touch no key. Later ones that do lie past it.
    package mutating func compact(to revision: Revision) {
        invariant(revision >= compactRevision, "compact to \(revision) from \(compactRevision)")
        compactRevision = revision
    }

    /// Drops up to `limit` dead versions, oldest first, and appends their positions to `dropped`: these are the rows that may
    /// be deleted from the changelog. Fewer than `limit` means that nothing more can go for now, unless `isCollectCut`.
    ///
    /// As in etcd: at compact revision R each key keeps its newest version at or before R, unless that is a tombstone older
    /// than R. One at R itself stays for those who watch from R on, until a later compaction; and so do all versions that
    /// `Sweep.firstKept` names.
    /// - Parameter oldest: the lowest revision that a running read is pinned to, if there is one.
    /// - Parameter bound: nothing is dropped that lies beyond it.
    /// - Parameter visitLimit: how many rows are looked at. Most make something dead, but those of the compact revision and the one before
    ///   don't yet, and a revision can have any number.
    /// - Returns: how far everything that is dead has been dropped by now.
    @discardableResult
    package mutating func collect(
        limit: Int, keepingReadersAt oldest: Revision?, within bound: Sweep = .everything, visitLimit: Int = .max,
        into dropped: inout [Position]
    ) -> Sweep {
        let compacted = min(compactRevision, bound.compactRevision)
        let firstKept = Sweep.firstKept(compactedTo: compacted)
        let last = min(compacted, oldest ?? .max)
        var left = limit
        var visits = visitLimit
        isCollectCut = false
        if swept.compactRevision < compacted {
            // A pass that is under way keeps to its compaction, unless that lies beyond the bound by now.
            if let pass = keptPass, pass > compacted { restartKept() }
            let pass = keptPass ?? compacted
            if collectKept(pass, last, &left, &visits, &dropped), left > 0 { swept.compactRevision = pass }
            // The rest is to be put behind what this pass leaves.
            guard !isCollectCut else { return swept }
        }
        while left > 0, let row = superseded.first, row.position.revision <= last, row.position <= bound.position {
            guard visits > 0 else {
                isCollectCut = true
                return swept
            }
            visits -= 1
            guard drop(what: row, before: firstKept, &left, &dropped) else { continue }
            superseded.removeFirst()
            swept.position = max(swept.position, row.position)
            if row.position.revision >= firstKept, hasDead(row) { kept.append(row) }
        }
        if left > 0 { swept.position = max(swept.position, min(Position(last, .max), bound.position)) }
        return swept
    }

    /// Goes through what earlier compactions have left, which is no more than the rows of two revisions; in several passes, where the
    /// bounds come first. False where something has to wait.
    private mutating func collectKept(
        _ compacted: Revision, _ last: Revision, _ left: inout Int, _ visits: inout Int, _ dropped: inout [Position]
    ) -> Bool {
        // Nothing has changed since all that is left turned out to be pinned by readers.
        if let pinned = keptPinned, pinned == (compacted, last) { return false }
        keptPass = compacted
        let firstKept = Sweep.firstKept(compactedTo: compacted)
        while let row = kept.first {
            guard left > 0, visits > 0 else {
                isCollectCut = true
                return false
            }
            visits -= 1
            let isDone = row.position.revision <= last && drop(what: row, before: firstKept, &left, &dropped)
            // What the bound has cut short is looked at again.
            if !isDone, row.position.revision <= last { continue }
            kept.removeFirst()
            if !isDone { keptWaits = true }
            if !isDone || (row.position.revision >= firstKept && hasDead(row)) { keptLater.append(row) }
        }
        swap(&kept, &keptLater)
        keptPass = nil
        defer { keptWaits = false }
        keptPinned = keptWaits ? (compacted, last) : nil
        return !keptWaits
    }

    private mutating func restartKept() {
        while let row = kept.first {
            keptLater.append(row)
            kept.removeFirst()
        }
        swap(&kept, &keptLater)
        keptPass = nil
        keptWaits = false
    }

    /// About how many of the superseded rows lie at or below the compact revision: those that `collect` still has to look at.
    package var compactedCount: Int {
        let compactRevision = self.compactRevision
        guard let first = superseded.first, first.position.revision <= compactRevision else { return 0 }
        return superseded.count(until: { $0.position.revision > compactRevision })
    }

    /// Whether something is left of what `row` made dead.
    private func hasDead(_ row: SupersedingRow) -> Bool {
        if let oldest = row.record.older?.version(0), oldest.pointee.position < row.position { return true }
        return row.record.version(at: row.position)?.pointee.isTombstone == true
    }

    /// Drops what `row` made dead, as far as it is of an earlier revision than `firstKept`. False where the limit came first.
    private mutating func drop(
        what row: SupersedingRow, before firstKept: Revision, _ left: inout Int, _ dropped: inout [Position]
    ) -> Bool {
        func isDead(_ version: UnsafeMutablePointer<KeyVersion>) -> Bool {
            let position = version.pointee.position
            guard position.revision < firstKept else { return false }
            return position < row.position || (position == row.position && version.pointee.isTombstone)
        }
        let record = row.record
        while let older = record.older {
            let oldest = older.version(0)
            guard isDead(oldest) else { return true }
            if left == 0 { return false }
            left -= 1
            note(oldest.pointee, of: record, &dropped)
            historyBytes -= older.allocatedBytes
            record.older = older.droppingOldest()
            historyBytes += record.older?.allocatedBytes ?? 0
        }
        guard record.newest.pointee.isTombstone, isDead(record.newest) else { return true }
        if left == 0 { return false }
        left -= 1
        note(record.newest.pointee, of: record, &dropped)
        keyBytes -= record.keyCount
        tree.remove(record)
        return true
    }

    private mutating func note(_ version: borrowing KeyVersion, of record: KeyRecord, _ dropped: inout [Position]) {
        dropped.append(version.position)
        versionCount -= 1
        valueBytes -= version.residentLength
        rowBytes -= record.keyCount + Int(version.valueLength)
        if clockRuns { forgetLostPlaces() }
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
        var seenRowBytes = 0
        tree.walk(from: ByteString(), to: nil) { record in
            seen.keyBytes += record.keyCount
            seen.versions += 1
            seen.valueBytes += record.newest.pointee.residentLength
            seenRowBytes += record.keyCount * (1 + (record.older?.count ?? 0)) + Int(record.newest.pointee.valueLength)
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
                seen.valueBytes += version.pointee.residentLength
                seenRowBytes += Int(version.pointee.valueLength)
            }
            return true
        }
        invariant(
            seen == (versionCount, keyBytes, valueBytes, historyBytes),
            "the index counts \((versionCount, keyBytes, valueBytes, historyBytes)) and has \(seen)")
        invariant(seenRowBytes == rowBytes, "the index counts \(rowBytes) bytes of rows and has \(seenRowBytes)")
        var last = committed
        journal.visit { row in
            invariant(row.position > last && row.position <= tip, "the journal is out of order")
            last = row.position
            return true
        }
        last = Position.start
        for queue in [keptLater, kept] {
            queue.visit { row in
                invariant(row.position > last && row.position.revision <= compactRevision, "the kept rows are out of order")
                last = row.position
                return true
            }
        }
        superseded.visit { row in
            invariant(row.position > last && row.position <= committed, "the superseded rows are out of order")
            last = row.position
            return true
        }
    }
}

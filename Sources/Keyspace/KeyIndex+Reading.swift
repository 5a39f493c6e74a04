// Owns: how the index is read: one key, counts, scans; at the tip or at a revision.
// Must never: change anything but the mark that a value was read, or allocate for each key that a scan visits.
package import Bytes
package import EtcdAPI

/// A key and one of its versions, lent to the body of a scan. Reading its fields copies nothing by itself.
package struct KeyView: ~Copyable {
    private let record: KeyRecord
    private let found: UnsafePointer<KeyVersion>

    @inline(__always)
    init(_ record: KeyRecord, _ version: UnsafeMutablePointer<KeyVersion>) {
        self.record = record
        found = UnsafePointer(version)
    }

    /// The key, to keep. It shares the index's memory; to look at its bytes only, `keyBytes` is cheaper.
    package var key: ByteString { record.key }

    /// The key's bytes, good inside the scan's body only.
    package var keyBytes: UnsafeRawBufferPointer { record.keyBytes }

    /// Never a tombstone.
    package var version: KeyVersion {
        @inline(__always) _read { yield found.pointee }
    }

    /// The value's bytes, good inside the scan's body only; nil where the value is not in memory.
    package var valueBytes: UnsafeRawBufferPointer? { KeyVersion.unretainedValue(at: found) }
}

/// What the body of a scan answers.
package enum ScanStep: Sendable {
    case goOn
    /// This key was still taken; the scan ends before the next.
    case stop
}

extension KeyIndex {
    /// At or before every row of `revision`.
    private static func bound(_ revision: Revision) -> Position { Position(revision, .max) }

    /// The bound that lets everything through: the tip.
    private static var tipBound: Position { bound(.max) }

    // MARK: One key

    /// The key's version at the tip, speculative rows included; nil where it is not alive.
    package borrowing func latest(_ key: ByteString) -> KeyVersion? {
        guard let record = tree.find(key), !record.newest.pointee.isTombstone else { return nil }
        if clockRuns { record.newest.pointee.wasRead = true }
        return record.newest.pointee
    }

    /// What the next put of the key goes on from, speculative rows included; nil where the key is not alive. Where the value isn't
    /// wanted this is cheaper than `latest`: the value's memory, which has often left the processor's caches, is not touched.
    package borrowing func latestMetadata(_ key: ByteString) -> KeyMetadata? {
        guard let newest = tree.find(key)?.newest, !newest.pointee.isTombstone else { return nil }
        return KeyMetadata(newest.pointee)
    }

    /// The key's version as of `revision`; nil where it was not alive.
    package borrowing func version(of key: ByteString, at revision: Revision) -> KeyVersion? {
        version(of: key, at: Self.bound(revision))
    }

    /// The key's version after the row at `position`; nil where it was not alive.
    package borrowing func version(of key: ByteString, at position: Position) -> KeyVersion? {
        guard let record = tree.find(key), let version = record.version(at: position) else { return nil }
        if clockRuns { version.pointee.wasRead = true }
        return version.pointee.isTombstone ? nil : version.pointee
    }

    // MARK: Counts

    /// How many keys of the range were alive as of `revision`: O(log n) from the committed revision on, a walk before it.
    package borrowing func count(in range: KeyRange, at revision: Revision) -> Int {
        if case .single = range.end { return version(of: range.start, at: revision) == nil ? 0 : 1 }
        if revision >= committed.revision { return committedCount(range) + speculativeChange(range, Self.bound(revision)) }
        var count = 0
        scanAll(range, Self.bound(revision)) { _ in
            count += 1
            return .goOn
        }
        return count
    }

    /// How many keys of the range were alive after the row at `position`, where `countsQuickly(at:)`.
    borrowing func count(in range: KeyRange, at position: Position) -> Int {
        if case .single = range.end { return version(of: range.start, at: position) == nil ? 0 : 1 }
        return committedCount(range) + speculativeChange(range, position)
    }

    /// Whether a count at `position` costs O(log n) and a look at few speculative rows: not before the committed position, where keys
    /// must be walked, nor after a large deletion that is being made durable.
    borrowing func countsQuickly(at position: Position) -> Bool {
        guard position >= committed else { return false }
        guard journal.count > countedRowLimit, let first = journal.first else { return true }
        return first.position > position
    }

    /// How many keys of the range are alive at the tip, speculative rows included.
    package borrowing func countLatest(in range: KeyRange) -> Int {
        if case .single = range.end { return latest(range.start) == nil ? 0 : 1 }
        return committedCount(range) + speculativeChange(range, Self.tipBound)
    }

    private borrowing func committedCount(_ range: KeyRange) -> Int {
        let before = range.start.isEmpty ? 0 : tree.liveCount(before: range.start)
        switch range.end {
        case .unbounded: return tree.liveCount - before
        case .before(let end): return max(0, tree.liveCount(before: end) - before)
        case .single: violated("a single key is counted by looking it up")
        }
    }

    /// The journal is short: what is being made durable right now.
    private borrowing func speculativeChange(_ range: KeyRange, _ bound: Position) -> Int {
        var change = 0
        journal.visit { row in
            guard row.position <= bound else { return false }
            if row.lifeChange != 0 && range.contains(row.record.key) { change += Int(row.lifeChange) }
            return true
        }
        return change
    }

    // MARK: Scans

    /// Visits the keys of the range that were alive as of `revision`, in order, without allocating.
    ///
    /// Ends where `body` says stop, and after `visitLimit` keys looked at, dead ones included, so that a scan can give way.
    /// - Parameter startingAt: the key to go on at, from a scan of the same range that ended early. The index may have changed.
    /// - Returns: the key to go on at, or nil where no key of the range is left to look at.
    package borrowing func scan(
        _ range: KeyRange, at revision: Revision, startingAt: ByteString? = nil, visitLimit: Int = .max,
        _ body: (borrowing KeyView) -> ScanStep
    ) -> ByteString? {
        var visits = visitLimit
        return scan(range, at: Self.bound(revision), startingAt: startingAt, visits: &visits, body)
    }

    /// The same as of the row at `position`.
    /// - Parameter visits: how many keys may be looked at, dead ones included; what is left of it afterwards.
    package borrowing func scan(
        _ range: KeyRange, at position: Position, startingAt: ByteString? = nil, visits: inout Int,
        _ body: (borrowing KeyView) -> ScanStep
    ) -> ByteString? {
        scan(range, position, startingAt, &visits, body)
    }

    /// The same at the tip, speculative rows included.
    package borrowing func scanLatest(
        _ range: KeyRange, startingAt: ByteString? = nil, visitLimit: Int = .max, _ body: (borrowing KeyView) -> ScanStep
    ) -> ByteString? {
        var visits = visitLimit
        return scan(range, at: Self.tipBound, startingAt: startingAt, visits: &visits, body)
    }

    /// The position that lets everything through: the tip's.
    static var tipPosition: Position { tipBound }

    private borrowing func scan(
        _ range: KeyRange, _ bound: Position, _ startingAt: ByteString?, _ visits: inout Int,
        _ body: (borrowing KeyView) -> ScanStep
    ) -> ByteString? {
        let start = if let startingAt, startingAt > range.start { startingAt } else { range.start }
        let end: ByteString?
        switch range.end {
        case .single:
            if start == range.start {
                visits -= 1
                scanSingle(start, bound, body)
            }
            return nil
        case .unbounded: end = nil
        case .before(let bound): end = bound
        }
        let limit = max(visits, 0)
        var left = limit
        var isStopped = false
        var next: ByteString?
        tree.walk(from: start, to: end) { record in
            if left == 0 || isStopped {
                next = record.key
                return false
            }
            left -= 1
            guard let version = record.version(at: bound), !version.pointee.isTombstone else { return true }
            isStopped = body(KeyView(record, version)) == .stop
            return true
        }
        visits = left
        self.visits.add(limit - left)
        return next
    }

    private borrowing func scanSingle(_ key: ByteString, _ bound: Position, _ body: (borrowing KeyView) -> ScanStep) {
        guard let record = tree.find(key), let version = record.version(at: bound), !version.pointee.isTombstone else {
            return
        }
        _ = body(KeyView(record, version))
    }

    private borrowing func scanAll(_ range: KeyRange, _ bound: Position, _ body: (borrowing KeyView) -> ScanStep) {
        var visits = Int.max
        _ = scan(range, bound, nil, &visits, body)
    }
}

/// How many speculative rows a count looks at, at the most.
private let countedRowLimit = 1_024

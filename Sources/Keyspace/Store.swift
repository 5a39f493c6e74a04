// Owns: everything that the log's rows add up to: keys, leases, the compact revision, the digest.
// Must never: read a clock, draw a random number, or look past the rows that it was given.
// Invariants: committed <= tip; everything between the two can be undone, or committed up to any point that was the tip; the digest
// is that of the rows up to its position.
package import Bytes
package import EtcdAPI

/// The state machine that the log is folded into. Rows past `committed` are speculation: readers don't see them, and
/// `rollBack` takes them out again.
package struct Store: ~Copyable {
    package internal(set) var index = KeyIndex()
    package internal(set) var leases = LeaseTable()
    /// Users and roles, and who may do what.
    package var auth = AuthTable(tokenTimeToLiveMs: nil)
    private var deadRows = DeadRows()
    private var compactions = CompactionJournal()
    /// Raised alarms, speculation included.
    package private(set) var alarms = Alarms()
    /// The same as readers see them.
    package private(set) var committedAlarms = Alarms()
    /// What the rows may take in the database before writes are refused, in bytes; 0 for no bound.
    package var quotaBytes: Int64 = 0
    /// Values that writes and reads of single keys asked for.
    package var valueCounts = ValueCounts()
    /// Nothing larger is answered, in bytes.
    package var answerByteLimit = Int.max
    /// How many keys the ranges of a transaction that writes look at while other writes wait; those that need more are answered afterwards.
    package var inlineVisitLimit = 1_000
    /// A write that is on its way at the tip.
    var paused: WriteRun?
    /// What values may take in memory, in bytes.
    package var valueByteLimit: Int {
        get { index.valueByteLimit }
        set { index.valueByteLimit = newValue }
    }
    /// The last row applied, speculation included.
    package private(set) var tip = Position.start
    package private(set) var tipDigest = Digest.start
    package private(set) var committed = Position.start
    package private(set) var committedDigest = Digest.start
    /// What rows are hashed under; nil where the log has no key so far. A row that gives one is never speculation.
    package private(set) var digestKey: DigestKey?
    /// Reads below this revision are refused. -1 before the first compaction, as in etcd.
    package private(set) var compactRevision: Revision = -1
    /// The same, speculation included.
    package private(set) var tipCompactRevision: Revision = -1

    package init() {}

    /// Whether there is no speculation, so that `leases`, which keeps no versions, is what readers may see.
    package var isSettled: Bool { tip == committed }

    /// The revision that readers see.
    package var revision: Revision { committed.revision }

    // MARK: Folding

    /// Applies the row after the tip. Gives its hash under the store's key.
    @discardableResult
    package mutating func apply(_ row: LogRow) -> RowHash {
        fold(row, coldBytes: nil)
        return tipDigest.append(row, &digestKey)
    }

    /// Applies a row whose value was left in the log; what the digest is, `adopt` has to tell.
    package mutating func applyWithoutValue(_ row: LogRow, byteCount: Int) {
        fold(row, coldBytes: byteCount)
        if row.kind == .digestKey { digestKey = DigestKey(row) }
    }

    private mutating func fold(_ row: LogRow, coldBytes: Int?) {
        invariant(paused == nil, "row \(row.position) comes in the middle of a write")
        // The key that a store was made with stands before its start.
        if row.kind == .digestKey, row.position < .start, tip == .start { return }
        invariant(row.position > tip, "row \(row.position) is not after the tip \(tip)")
        switch row.kind {
        case .put, .delete:
            let before = index.apply(row, coldBytes: coldBytes)
            if before != 0, before != row.lease || row.kind == .delete { leases.detach(row.key, from: before, at: row.position) }
            if row.kind == .put, row.lease != 0 { leases.attach(row.key.compacted(), to: row.lease, at: row.position) }
        case .grant:
            leases.grant(row.lease, ttl: row.version, at: row.position)
        case .revoke:
            deadRows.revoked(grant: leases.revoke(row.lease, at: row.position), at: row.position)
        case .compact:
            deadRows.compacted(at: row.position)
            if row.compactRevision > tipCompactRevision, !row.isRaise {
                compactions.append(Compaction(revision: row.compactRevision, previous: tipCompactRevision), at: row.position)
            }
            tipCompactRevision = max(tipCompactRevision, row.compactRevision)
        case .alarm: apply(alarm: row)
        case .user, .role, .authState: for dead in auth.fold(row) { deadRows.superseded(dead, at: row.position) }
        case .digestKey: break
        }
        tip = row.position
    }

    private mutating func apply(alarm row: LogRow) {
        guard let change = row.alarmChange else { return }
        switch change.action {
        case .disarm: deadRows.revoked(grant: alarms.disarm(change.alarm, of: change.member), at: row.position)
        case .raise, .raiseForQuota:
            alarms.raise(change.alarm, of: change.member, isOfQuota: change.action == .raiseForQuota, at: row.position)
        }
    }

    /// Makes everything applied so far visible to readers.
    package mutating func commit() { commit(through: savepoint) }

    /// Makes everything visible to readers that was applied when this was the tip; what came after it is still speculation.
    package mutating func commit(through end: Savepoint) {
        invariant(end.tip >= committed && end.tip <= tip, "commit through \(end.tip) between \(committed) and \(tip)")
        committed = end.tip
        committedDigest = end.digest
        // The head's last rows may touch nothing that the index keeps: then it never heard of their positions.
        index.commit(through: min(index.tip, committed))
        leases.commit(through: committed)
        auth.commit(through: committed)
        deadRows.commit(through: committed)
        compactions.commit(through: committed)
        committedAlarms = end.alarms
        if end.compactRevision > compactRevision {
            compactRevision = end.compactRevision
            index.compact(to: compactRevision)
        }
    }

    /// Takes back everything that isn't committed.
    package mutating func rollBack() {
        paused = nil
        index.rollBack(after: committed)
        leases.rollBack(after: committed)
        auth.rollBack(after: committed)
        deadRows.rollBack(after: committed)
        compactions.rollBack(after: committed)
        alarms = committedAlarms
        tip = committed
        tipDigest = committedDigest
        tipCompactRevision = compactRevision
    }

    /// Whether a write is on its way at the tip.
    package var isPaused: Bool { paused != nil }

    /// Undoes what was done of the write that is on its way.
    package mutating func abandon() {
        guard let before = paused.take()?.before else { return }
        rollBack(to: before)
    }

    /// What the store was at a tip of its: where a request's own changes begin, so that it can be undone alone, or where a batch ends,
    /// so that it can be committed alone.
    package struct Savepoint: Sendable {
        package fileprivate(set) var tip: Position
        package fileprivate(set) var digest: Digest
        fileprivate var compactRevision: Revision
        fileprivate var alarms: Alarms
    }

    /// Where the last whole request ended.
    package var savepoint: Savepoint {
        if let before = paused?.before { return before }
        return Savepoint(tip: tip, digest: tipDigest, compactRevision: tipCompactRevision, alarms: alarms)
    }

    mutating func rollBack(to savepoint: Savepoint) {
        guard tip != savepoint.tip else { return }
        index.rollBack(after: savepoint.tip)
        leases.rollBack(after: savepoint.tip)
        auth.rollBack(after: savepoint.tip)
        deadRows.rollBack(after: savepoint.tip)
        compactions.rollBack(after: savepoint.tip)
        alarms = savepoint.alarms
        tip = savepoint.tip
        tipDigest = savepoint.digest
        tipCompactRevision = savepoint.compactRevision
    }

    /// Takes over what the head says where the rows alone can't tell it: compaction has removed rows, so neither the
    /// digest nor the last position nor the compact revision need follow from those that are left.
    package mutating func adopt(_ head: Head) {
        tip = max(tip, head.position)
        tipDigest = head.digest
        tipCompactRevision = max(tipCompactRevision, head.compactRevision)
        commit()
        // Those were long ago.
        _ = compactions.takeCommitted()
    }

    /// The compactions that were committed since this was asked last, in order.
    package mutating func takeCompactions() -> [Compaction] { compactions.takeCommitted() }

    // MARK: Numbering rows

    /// The position of the next row that advances etcd's revision: the first one of a transaction.
    var nextRevisionPosition: Position { Position(tip.revision + 1, 0) }

    /// The position of the next row that leaves etcd's revision alone.
    var nextSubPosition: Position { Position(tip.revision, tip.sub + 1) }
}

extension Store {
    /// Drops up to `limit` versions that compaction made dead, and appends the positions of their rows to `dead`, along with
    /// those of other rows that nothing needs. Fewer than `limit` means that nothing more can go for now.
    /// - Returns: how far everything that is dead has been dropped by now.
    @discardableResult
    package mutating func collect(
        limit: Int, keepingReadersAt oldest: Revision?, within bound: Sweep = .everything, visitLimit: Int = .max,
        into dead: inout [Position]
    ) -> Sweep {
        guard compactRevision >= 0 else { return index.swept }
        let before = dead.count
        deadRows.collect(
            limit: limit, committed: committed, compactRevision: min(compactRevision, bound.compactRevision), into: &dead)
        return index.collect(
            limit: limit - (dead.count - before), keepingReadersAt: oldest, within: bound, visitLimit: visitLimit, into: &dead)
    }

    var deadRowCount: Int { deadRows.count }

    /// Takes in a value that was fetched from the log.
    package mutating func admit(_ value: ByteString, of missing: MissingValue) { index.admit(value, of: missing) }

    /// Keeps the checksum of a value that was fetched from the log.
    package mutating func noteChecksum(of value: ByteString, of missing: MissingValue) { index.noteChecksum(of: value, of: missing) }

    /// The answer of a Range of a single key without filters, at the committed revision or an older one; nil where the
    /// request needs a scan.
    /// - Parameter values: what was fetched for it.
    package mutating func get(
        _ request: RangeRequest, with values: [Position: ByteString], header: ResponseHeader
    ) throws(ExecutionError) -> ByteString? {
        guard request.rangeEnd.isEmpty, !request.hasRevisionFilters else { return nil }
        if request.revision > revision { throw .refused(.futureRev) }
        let wanted = request.revision <= 0 ? revision : request.revision
        if wanted < compactRevision { throw .refused(.compacted) }
        var lookup = ValueLookup(values)
        let version = index.version(of: request.key, at: wanted)
        var writer = ByteWriter(capacity: 128 + request.key.count + Int(version?.valueLength ?? 0))
        writer.appendHeader(header, revision: revision)
        if let version, !request.countOnly {
            let withLease = !request.keysOnly || request.sortTarget == .value
            writer.appendKeyValue(
                2, key: request.key, createRevision: version.createRevision, modRevision: version.position.revision,
                version: version.version, value: request.keysOnly ? ByteString() : lookup.value(of: version, key: request.key),
                lease: withLease ? version.lease : 0)
            valueCounts += lookup.counts
            if lookup.hasMissing { throw .lacks(lookup.takeMissing()) }
        }
        writer.appendRangeTail(more: false, count: version == nil ? 0 : 1)
        return writer.finish()
    }
}

// Owns: the log's tables as PostgreSQL would keep them: the head row and its lock, the rows, deadlines, the duty, a clock.
// Must never: know who asks, beyond the session that holds the head row's lock.
internal import Bytes
internal import Keyspace
internal import Replica

/// What a database holds. A value, so that a copy is a standby or a backup.
struct LogTables {
    var head = Head(clusterID: 7, position: .start, digest: .start, epoch: 0, compactRevision: -1)
    /// In position order.
    var rows: [LogRow] = []
    /// What rows are hashed under; nil for a log that was made without a key.
    private(set) var key: DigestKey?
    /// The sums of the hashes of the rows that were appended, and of those that were deleted.
    var appendedSum = RowHash.zero
    var deletedSum = RowHash.zero
    /// Which era's rows these are, and how many of its archive had been appended: a standby may never have heard of the newest.
    var era = 0
    var archived = 0
    var deadlines: [LeaseID: Int64] = [:]
    var duty: (holder: Int64, endsAt: Int64)?
    var deleted = SweepState.start

    init(key: DigestKey?) {
        self.key = key
        guard let row = key?.row(at: Position(0, 0), origin: 1) else { return }
        rows = [row]
        head.digest = head.digest.appending(row)
    }

    /// Whether the rows are those that were appended and not deleted, as far as their hashes tell.
    var isWell: Bool {
        guard let key, let keyRow = rows.firstIndex(where: { $0.kind == .digestKey }) else { return self.key == nil }
        let hashed = rows[(keyRow + 1)...]
        return hashed.allSatisfy { key.hash($0) == $0.hash } && hashed.reduce(.zero) { $0 + $1.hash } == appendedSum - deletedSum
    }

    /// Appends rows that come from nobody. Calls `passed` with each position and the digest there; gives the rows with their hashes.
    mutating func fill(_ rows: [LogRow], _ passed: (Position, Digest) -> Void) -> [LogRow] {
        var filled: [LogRow] = []
        for var row in rows {
            row.hash = head.digest.append(row, &key)
            if row.hash.isKnown { appendedSum = appendedSum + row.hash }
            head.position = row.position
            passed(row.position, head.digest)
            filled.append(row)
        }
        self.rows += filled
        archived += filled.count
        return filled
    }

    /// As an operator gives a log its key while it is at work: the row that does.
    mutating func give(_ new: DigestKey) -> LogRow {
        let row = new.row(at: Position(head.position.revision, head.position.sub + 1), origin: 1)
        rows.append(row)
        head.position = row.position
        head.digest = head.digest.appending(row)
        key = new
        return row
    }

    /// Where the first row after `position` is.
    private func index(after position: Position) -> Int {
        rows.indices.partitioningIndex { rows[$0].position > position }
    }

    /// Up to `limit` rows after `position`, of which all but the last have up to `byteLimit` bytes, and the head.
    func tail(after position: Position, limit: Int, byteLimit: Int = .max) -> Tail {
        let start = index(after: position)
        var end = min(rows.count, start + limit)
        if byteLimit < .max {
            var bytes = 0
            end =
                rows[start..<end].firstIndex { row in
                    defer { bytes += row.wireBytes }
                    return bytes >= byteLimit
                } ?? end
        }
        return Tail(head: head, rows: Array(rows[start..<end]), reachesHead: end == rows.count)
    }

    /// - Returns: those of these rows that were there.
    mutating func remove(_ positions: [Position]) -> [LogRow] {
        var removed: [LogRow] = []
        for position in positions {
            let index = index(after: position) - 1
            if index >= 0, rows[index].position == position { removed.append(rows.remove(at: index)) }
        }
        return removed
    }

    /// Whether something that `row` ended is there without it, and so would live again for whoever loads these rows.
    func isRevived(without row: LogRow) -> Bool {
        let earlier = rows[..<index(after: row.position)]
        return switch row.kind {
        case .delete: earlier.contains { $0.kind == .put && $0.key == row.key }
        case .revoke: earlier.contains { $0.kind == .grant && $0.lease == row.lease }
        default: false
        }
    }

    /// The values of those rows that are there.
    func values(at positions: [Position]) -> [Position: ByteString] {
        var values: [Position: ByteString] = [:]
        for position in positions {
            let found = tail(after: Position(position.revision, position.sub - 1), limit: 1).rows.first
            if let found, found.position == position { values[position] = found.value }
        }
        return values
    }
}

/// One history of the log, from a start or a loss on.
final class Era {
    /// When it began, in the order of what clients see.
    let stamp: UInt64
    /// How many rows it began with.
    let firstCount: Int
    /// By earlier era: how many rows the two had in common when it was last looked.
    private var sharedCounts: [Int]
    /// Every row there ever was, deleted ones included.
    var archive: [LogRow]
    /// The digests at the ends of appends.
    var digests: [Position: Digest]
    /// When each append of this era was committed, and how many rows there were then.
    var commits: [(stamp: UInt64, archived: Int)] = []

    init(stamp: UInt64, archive: [LogRow], digests: [Position: Digest], after earlier: [Era] = []) {
        self.stamp = stamp
        firstCount = archive.count
        sharedCounts = earlier.map { $0.sharedCount(with: archive[...]) }
        self.archive = archive
        self.digests = digests
    }
}

extension Era {
    /// How many of `rows`, which begin where the log began, are this era's, too, up to where the two part.
    func sharedCount(with rows: ArraySlice<LogRow>) -> Int { zip(archive, rows).prefix { $0 == $1 }.count }

    /// How many rows it has in common with an earlier era, by that one's number, before they part. A batch that was lost may be appended
    /// again just as it was: then what came of the loss is the same history still.
    func sharedCount(with earlier: Era, _ number: Int) -> Int {
        var count = sharedCounts[number]
        while count < archive.count, count < earlier.archive.count, archive[count] == earlier.archive[count] { count += 1 }
        sharedCounts[number] = count
        return count
    }

    func has(_ top: Top) -> Bool { digests[top.position] == top.digest }
}

/// The end of what a process has served of a history.
struct Top {
    var position: Position
    var digest: Digest
}

/// One connection to the log, from its making to its loss.
typealias SessionID = Int

final class SimulatedLog {
    var tables: LogTables
    private(set) var eras: [Era]
    var era: Era { eras[eras.count - 1] }
    var isAway = false
    /// Changes when the server does: what was sent to the old one is never executed.
    private(set) var server = 1

    /// What the clock shows at the start of the run, and what it was put forward or back by since, in milliseconds.
    private var clockOffsetMs: Int64 = 1_000_000
    /// When it was put forward, and how far back in all.
    private(set) var steppedForwardAt: [TrueTime] = []
    private(set) var setBackMs: Int64 = 0

    /// What must never be done to the log.
    private(set) var mistake: String?

    // The head row's lock
    private(set) var lockHolder: SessionID?
    /// How often it was taken.
    private(set) var lockCount = 0
    /// Taken out under the lock, not committed.
    private var removed: [LeaseID: Int64] = [:]
    private var waiters: [(server: Int, run: () -> Void)] = []

    init(key: DigestKey?) {
        tables = LogTables(key: key)
        eras = [Era(stamp: 0, archive: [], digests: [.start: tables.head.digest])]
    }

    /// What is there before anything begins.
    func fill(_ rows: [LogRow]) {
        var digests: [Position: Digest] = [.start: tables.head.digest]
        let filled = tables.fill(rows) { digests[$0] = $1 }
        eras = [Era(stamp: 0, archive: filled, digests: digests)]
    }

    func nowMs(_ now: TrueTime) -> Int64 { Int64(now / 1_000) + clockOffsetMs }

    /// Another server's clock must not make any difference.
    func stepClock(byMs milliseconds: Int64, isOfAnotherServer: Bool = false, at now: TrueTime) {
        clockOffsetMs += milliseconds
        if milliseconds < 0 { setBackMs -= milliseconds } else if !isOfAnotherServer { steppedForwardAt.append(now) }
    }

    // MARK: The lock

    /// Runs `statement` once the head row is not locked by another session than this one.
    func whenFree(_ session: SessionID, _ statement: @escaping () -> Void) {
        if lockHolder == nil || lockHolder == session { statement() } else { waiters.append((server, statement)) }
    }

    /// Whether a round has to wait for rows that were taken out and may come back.
    func isHeld(_ round: LeaseRound) -> Bool {
        lockHolder != nil && (round.set + round.ensure).contains { removed[$0.lease] != nil }
    }

    func wait(_ statement: @escaping () -> Void) { waiters.append((server, statement)) }

    func forgetWaiters() { waiters = [] }

    func takeLock(_ session: SessionID) {
        lockHolder = session
        lockCount += 1
    }

    /// Ends the transaction that holds the lock.
    func releaseLock(_ session: SessionID, commits: Bool) {
        guard lockHolder == session else { return }
        lockHolder = nil
        if !commits { tables.deadlines.merge(removed) { old, _ in old } }
        removed = [:]
        while lockHolder == nil, !waiters.isEmpty {
            let waiter = waiters.removeFirst()
            if waiter.server == server { waiter.run() }
        }
    }

    // MARK: Statements

    /// The compare-and-swap; in the transaction of the lock, if the session holds it, which it commits.
    func append(_ batch: AppendBatch, _ session: SessionID, stamp: UInt64) -> Bool {
        guard !batch.needsLock || lockHolder == session else { return false }
        defer { releaseLock(session, commits: true) }
        guard batch.expectedDigest == tables.head.digest, batch.expectedEpoch == tables.head.epoch else { return false }
        tables.rows.append(contentsOf: batch.rows)
        for row in batch.rows where row.hash.isKnown { tables.appendedSum = tables.appendedSum + row.hash }
        era.archive.append(contentsOf: batch.rows)
        tables.archived = era.archive.count
        let epoch = tables.head.epoch
        tables.head = batch.newHead
        tables.head.epoch = epoch
        era.digests[batch.newHead.position] = batch.newHead.digest
        era.commits.append((stamp, tables.archived))
        return true
    }

    func expire(_ expiry: LeaseExpiry, at now: TrueTime) -> [LeaseID] {
        removed = [:]
        guard isSteward(expiry.holder, now) else { return [] }
        for lease in expiry.leases {
            if let deadline = tables.deadlines[lease], deadline < nowMs(now) {
                removed[lease] = tables.deadlines.removeValue(forKey: lease)
            }
        }
        return removed.keys.sorted()
    }

    func give(_ key: DigestKey, stamp: UInt64) {
        era.archive.append(tables.give(key))
        tables.archived = era.archive.count
        era.digests[tables.head.position] = tables.head.digest
        era.commits.append((stamp, tables.archived))
    }

    func raiseEpoch() { tables.head.epoch += 1 }

    /// Deletes what `order` names, and says so. nil where the duty is nobody's. PostgreSQL is asked up to three times for this; what it
    /// says in between counts only where nobody has deleted meanwhile.
    func delete(_ order: Deletion, at now: TrueTime) -> LogEvent? {
        let state = tables.deleted
        let new = order.digest?.appending(deleted: order.positions)
        let isKnown = state.digest == order.digest || state.digest == new || state.swept.covers(order.after)
        guard isKnown, tables.head.isCompacted(to: order.compactRevision), isSteward(order.holder, now) else {
            let isAnothers = tables.duty.map { $0.holder != order.holder && $0.endsAt > nowMs(now) } ?? false
            if isAnothers { return .deletionLeft(number: order.number) }
            return isKnown && tables.head.isCompacted(to: order.compactRevision) ? nil : .deletionRefused(number: order.number)
        }
        let removed = tables.remove(order.positions)
        for row in removed where row.hash.isKnown { tables.deletedSum = tables.deletedSum + row.hash }
        if let row = removed.first(where: { tables.isRevived(without: $0) }) {
            mistake = mistake ?? "the row at \(row.position) was deleted before what it ended"
        }
        tables.deleted.swept.advance(to: order.swept)
        tables.deleted.begun = max(state.begun, order.compactRevision)
        if state.digest == order.digest || state.digest != new { tables.deleted.digest = state.digest.appending(deleted: order.positions) }
        return .rowsDeleted(number: order.number, count: removed.count, digest: tables.deleted.digest)
    }

    private func isSteward(_ holder: Int64, _ now: TrueTime) -> Bool {
        tables.duty.map { $0.holder == holder && $0.endsAt > nowMs(now) } ?? false
    }

    /// The answer to `command`; nil for one that has none. `startedAt` is when its transaction began, whose time counts.
    func answer(_ command: LeaseCommand, startedAt: TrueTime, now: TrueTime, sessions: UInt64) -> LeaseAnswer? {
        let nowMs = nowMs(now)
        switch command {
        case .round(let round):
            let start = self.nowMs(startedAt)
            for lease in round.remove { tables.deadlines[lease] = nil }
            for term in round.set {
                let deadline = start + term.milliseconds
                tables.deadlines[term.lease] = max(deadline, min(tables.deadlines[term.lease] ?? 0, deadline + round.graceMs))
            }
            for term in round.ensure {
                tables.deadlines[term.lease] = min(tables.deadlines[term.lease] ?? .max, start + term.milliseconds)
            }
            var left: [LeaseID: Int64] = [:]
            for lease in round.read { left[lease] = tables.deadlines[lease].map { $0 - start } }
            return .roundDone(remainingMs: left, head: tables.head)
        case .keepDuty(let holder, let termMs):
            if isSteward(holder, now) {
                tables.duty = (holder, nowMs + Int64(termMs))
                return .dutyAsked(.held(taken: false, sessions: sessions))
            }
            if let duty = tables.duty, duty.endsAt > nowMs, duty.endsAt <= nowMs + Int64(termMs) + 1_000 {
                return .dutyAsked(.heldByAnother(forMs: Int(duty.endsAt - nowMs), swept: tables.deleted.swept))
            }
            tables.duty = (holder, nowMs + Int64(termMs))
            return .dutyAsked(.held(taken: true, sessions: sessions))
        case .releaseDuty(let holder):
            if tables.duty?.holder == holder { tables.duty = nil }
            return nil
        case .findDue(let holder, let limit):
            guard isSteward(holder, now) else { return .dueFound([], nextMs: nil, sessions: sessions) }
            let first = tables.deadlines.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.prefix(limit)
            let due = first.prefix { $0.value < nowMs }
            return .dueFound(due.map(\.key), nextMs: first.dropFirst(due.count).first.map { $0.value - nowMs }, sessions: sessions)
        }
    }

    // MARK: Loss

    /// Another server takes over, with what `standby` holds. Nothing that was sent to the old one is executed any more.
    func fail(over standby: LogTables, stamp: UInt64) {
        let lost = rowsLost(to: standby)
        server += 1
        lockHolder = nil
        removed = [:]
        waiters = []
        if !lost.isEmpty {
            let origin = eras[standby.era]
            let rows = Array(origin.archive.prefix(standby.archived))
            let last = rows.last?.position ?? .start
            eras.append(Era(stamp: stamp, archive: rows, digests: origin.digests.filter { $0.key <= last }, after: eras))
        }
        tables = standby
        tables.era = eras.count - 1
    }

    /// The rows that are gone where `standby` takes over. Others may come back: it may be of a history that was lost before.
    func rowsLost(to standby: LogTables) -> ArraySlice<LogRow> {
        era.archive.dropFirst(era.sharedCount(with: eras[standby.era].archive.prefix(standby.archived)))
    }
}

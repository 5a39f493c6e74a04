// Owns: a log in memory that answers every command at once, as PostgreSQL would in the end, and loses replies on demand.
// Must never: answer for PostgreSQL out of its own head: what becomes of the tables is `LogModel`'s to say.
internal import Bytes
package import EtcdAPI
package import Keyspace
package import Replica

/// The log that several replicas share. Each has one session that appends, named by the caller.
package final class MemoryLog {
    private let model: LogModel
    /// Every row there ever was: deleted ones stay here.
    package private(set) var archive: [LogRow]
    private var damaged: [LogRow] = []
    /// By session, the last append, if it conflicted.
    private var conflicts: [SessionID: Conflict] = [:]
    /// The log's clock, in milliseconds.
    package var nowMs: Int64 = 1_000_000
    /// What the log says of its connections.
    package var sessions: UInt64 = 1
    /// The rounds that were done, in order.
    package private(set) var rounds: [LeaseRound] = []
    /// The rows that come with a conflict or a recovery.
    package var tailLimit = 10_000

    private struct Conflict {
        var batch: AppendBatch
        /// The position after which its tail began.
        var start: Position
    }

    /// What becomes of the next appends, in order; then they all arrive.
    package enum Fate: Sendable {
        case lostBeforeCommit
        case lostAfterCommit
        /// The head's lock was given back before: where that is needed nothing is appended, and no deadline is out.
        case withoutLock
    }
    package var fates: [Fate] = []
    /// What happens right before the head is locked next.
    package var beforeLock: (() -> Void)?
    /// How many more deletions are done; further ones are never answered.
    package var deletionsLeft = Int.max
    /// While true, nothing about leases is answered but that the log is away.
    package var isAwayForLeases = false
    /// Whether chores are answered.
    package var doesChores = true

    /// `key`: of a log that had one from the start. `keyOrigin`: the process that made it.
    package init(key: DigestKey? = nil, keyOrigin: Int64 = 1) {
        model = LogModel(key: key, keyOrigin: keyOrigin)
        archive = model.tables.rows
    }

    package var head: Head { model.tables.head }
    package var rows: [LogRow] { model.tables.rows }
    package var key: DigestKey? { model.tables.key }
    package var deleted: SweepState { model.tables.deleted }
    package var deadlines: [LeaseID: Int64] { model.tables.leases.deadlines }
    package var duty: (holder: Int64, endsAt: Int64)? { model.tables.leases.duty }

    package func tail(after position: Position, limit: Int = .max) -> Tail { model.tables.tail(after: position, limit: limit) }

    // MARK: Answers

    /// The answer to `command`; nil for a command that has none, or none yet: then a deletion is to be asked for again.
    package func answer(_ command: LogCommand, by session: SessionID = 0) -> LogEvent? {
        switch command {
        case .appending(let command): answer(command, session)
        case .reading(.head): .headRead(head)
        case .reading(.tail(let position, let limit)): .tailRead(tail(after: position, limit: limit))
        case .history(let command): .historyRead(tail(after: command.after, limit: command.limit))
        case .values(let command): .valuesRead(number: command.number, head, model.tables.values(at: command.positions))
        case .chore where !doesChores: nil
        case .chore(.deleteRows(let deletion)): answer(deletion)
        case .chore(.lease(let number, let command)): answer(command).map { .lease(number: number, $0) }
        }
    }

    private func answer(_ command: AppendCommand, _ session: SessionID) -> LogEvent? {
        if case .append = command {} else { conflicts[session] = nil }
        switch command {
        case .append(let batch): return append(batch, session)
        case .lockHead(let expiring, _):
            beforeLock?()
            beforeLock = nil
            model.releaseLock(session, commits: false)
            waitForLock(session)
            let expired = model.lockHead(expiring, by: session, at: nowMs)
            return .headLocked(head, expired: expired, sessions: sessions)
        case .unlockHead(let keepingRemovals):
            model.releaseLock(session, commits: keepingRemovals)
            return nil
        case .recover(let position):
            // On a connection of its own, which waits for the end of the one before.
            model.releaseLock(session, commits: false)
            waitForLock(session)
            model.raiseEpoch()
            return .recovered(tail(after: position, limit: tailLimit))
        }
    }

    private func append(_ batch: AppendBatch, _ session: SessionID) -> LogEvent {
        let fate = fates.isEmpty ? nil : fates.removeFirst()
        if fate == .lostBeforeCommit || fate == .withoutLock { model.releaseLock(session, commits: false) }
        let before = conflicts[session]
        conflicts[session] = nil
        if fate == .lostBeforeCommit { return .appendLost(number: batch.number, reason: "cut") }
        waitForLock(session)
        guard model.append(batch, by: session) else { return conflicted(batch, session, after: before) }
        archive.append(contentsOf: batch.rows)
        if fate == .lostAfterCommit { return .appendLost(number: batch.number, reason: "cut") }
        return .appended(number: batch.number)
    }

    /// A batch that follows one that conflicted gets that one's tail.
    private func conflicted(_ batch: AppendBatch, _ session: SessionID, after before: Conflict?) -> LogEvent {
        let start = before.flatMap { batch.follows($0.batch) ? $0.start : nil } ?? batch.tailStart
        conflicts[session] = Conflict(batch: batch, start: start)
        return .conflicted(number: batch.number, tail: tail(after: start, limit: tailLimit))
    }

    /// A statement that needs the head row waits for another session's transaction. As nothing here takes time, the other has not gone on
    /// by then, and the server ends it.
    private func waitForLock(_ session: SessionID) {
        if !model.isFree(for: session), let holder = model.lockHolder { model.releaseLock(holder, commits: false) }
    }

    private func answer(_ deletion: Deletion) -> LogEvent? {
        guard deletionsLeft > 0 else { return nil }
        deletionsLeft -= 1
        let event = model.delete(deletion, at: nowMs)
        if let mistake = model.mistake { violated(mistake) }
        return event
    }

    private func answer(_ command: LeaseCommand) -> LeaseAnswer? {
        if isAwayForLeases {
            if case .releaseDuty = command { return nil }
            return .failed(reason: "away")
        }
        if case .round(let round) = command { rounds.append(round) }
        return model.answer(command, startedMs: nowMs, nowMs: nowMs, sessions: sessions)
    }

    // MARK: Loading

    /// What a process hears that loads the log: all rows; with `keptValues`, only so many of the newest with their values.
    package func load(keptValues: Int = .max) -> [ReplicaEvent] {
        var events: [ReplicaEvent] = []
        let bare = rows.dropLast(keptValues)
        if !bare.isEmpty {
            events.append(.rowsLoadedWithoutValues(bare.map(\.withoutValue), bare.map(\.value.count)))
        }
        events.append(.rowsLoaded(Array(rows.dropFirst(bare.count))))
        events.append(.loadFinished(head, deleted))
        return events
    }

    // MARK: By other hands

    /// As `pine migrate --key-digest` does.
    package func giveKey(_ new: DigestKey) { archive.append(model.give(new)) }

    /// As after a failover to a standby that lacks the last rows.
    package func lose(last count: Int) { model.tamper { $0.lose(last: count, of: &archive) } }

    /// As after a failover to a standby that lacks deletions.
    package func loseDeletions() { model.tamper { $0.loseDeletions(of: archive) } }

    /// Takes the newest row away, as a careless hand would. `mend` puts it back.
    package func damage() { damaged.append(model.tamper { $0.damage() }) }
    package func mend() { while let row = damaged.popLast() { model.tamper { $0.mend(row) } } }

    /// Takes a deadline away, as a failover to a standby does that has not heard of it.
    package func forget(_ lease: LeaseID) { model.tamper { $0.leases.forget(lease) } }

    /// The time of every lease is over.
    package func endLeases() { model.tamper { $0.leases.endAll(before: nowMs) } }
}

extension LogRow {
    /// As it is loaded where its value stays in the log.
    package var withoutValue: LogRow {
        if kind.needsValue { return self }
        var row = self
        row.value = ByteString()
        return row
    }
}

// Owns: the one model of what PostgreSQL does with the log's statements: its tables, and the transaction that holds the head row's lock.
// Must never: know of time, connections or faults, which are its callers': it is told when each statement is executed, and by which
// session. Nor take a statement that waits in PostgreSQL: whoever calls looks first whether the lock is free.
internal import Bytes
package import EtcdAPI
package import Keyspace
package import Replica

/// One connection to the log, from its making to its loss.
package typealias SessionID = Int

package final class LogModel {
    package private(set) var tables: LogTables
    /// The session whose transaction holds the head row's lock.
    package private(set) var lockHolder: SessionID?
    /// How often it was taken.
    package private(set) var lockCount = 0
    /// Taken out under the lock, not committed.
    private var removed: [LeaseID: Int64] = [:]
    /// What must never be done to a log, and was.
    package private(set) var mistake: String?

    package init(key: DigestKey? = nil, keyOrigin: Int64 = 1) { tables = LogTables(key: key, keyOrigin: keyOrigin) }

    // MARK: The head row's lock

    package func isFree(for session: SessionID) -> Bool { lockHolder == nil || lockHolder == session }

    /// Takes the lock, and the deadlines out that have passed. `nowMs`: when the transaction began, before it waited for the lock.
    package func lockHead(_ expiring: LeaseExpiry?, by session: SessionID, at nowMs: Int64) -> [LeaseID] {
        lockHolder = session
        lockCount += 1
        removed = expiring.map { tables.leases.expire($0, at: nowMs) } ?? [:]
        return removed.keys.sorted()
    }

    /// Ends the transaction that holds the lock, if it is this session's.
    package func releaseLock(_ session: SessionID, commits: Bool) {
        guard lockHolder == session else { return }
        lockHolder = nil
        if !commits { tables.leases.putBack(removed) }
        removed = [:]
    }

    /// Whether a round has to wait for rows that were taken out and may come back.
    package func isHeld(_ round: LeaseRound) -> Bool {
        lockHolder != nil && (round.set + round.ensure).contains { removed[$0.lease] != nil }
    }

    // MARK: Statements

    /// The compare-and-swap; in the transaction of the lock, if the session holds it, which it commits.
    package func append(_ batch: AppendBatch, by session: SessionID) -> Bool {
        guard !batch.needsLock || lockHolder == session else { return false }
        defer { releaseLock(session, commits: true) }
        return tables.append(batch)
    }

    package func raiseEpoch() { tables.raiseEpoch() }

    /// nil where the duty is nobody's: it is tried again later.
    package func delete(_ order: Deletion, at nowMs: Int64) -> LogEvent? {
        switch tables.delete(order, at: nowMs) {
        case .deleted(let rows):
            if let row = rows.first(where: { tables.isRevived(without: $0) }) {
                mistake = mistake ?? "the row at \(row.position) was deleted before what it ended"
            }
            return .rowsDeleted(number: order.number, count: rows.count, digest: tables.deleted.digest)
        case .lost: return .deletionRefused(number: order.number)
        case .othersDuty: return .deletionLeft(number: order.number)
        case .nobodysDuty: return nil
        }
    }

    /// The answer to `command`; nil for one that has none. `startedMs` is when its transaction began, whose time counts.
    package func answer(_ command: LeaseCommand, startedMs: Int64, nowMs: Int64, sessions: UInt64) -> LeaseAnswer? {
        switch command {
        case .round(let round):
            let remainingMs = tables.leases.run(round, at: startedMs)
            return .roundDone(remainingMs: remainingMs, head: tables.head)
        case .keepDuty(let holder, let termMs):
            if tables.leases.renewDuty(holder: holder, termMs: termMs, at: nowMs) {
                return .dutyAsked(.held(taken: false, sessions: sessions))
            }
            let othersMs = tables.leases.takeDuty(holder: holder, termMs: termMs, at: nowMs)
            return .dutyAsked(
                othersMs.map { .heldByAnother(forMs: $0, swept: tables.deleted.swept) } ?? .held(taken: true, sessions: sessions))
        case .releaseDuty(let holder):
            tables.leases.releaseDuty(holder: holder)
            return nil
        case .findDue(let holder, let limit):
            let (due, nextMs) = tables.leases.findDue(holder: holder, limit: limit, at: nowMs)
            return .dueFound(due, nextMs: nextMs, sessions: sessions)
        }
    }

    // MARK: By other hands

    /// What is there before anything begins; see `LogTables.fill`.
    package func fill(_ rows: [LogRow], _ passed: (Position, Digest) -> Void) -> [LogRow] { tables.fill(rows, passed) }

    package func give(_ key: DigestKey) -> LogRow { tables.give(key) }

    /// Another server takes over, with what `standby` holds. No transaction outlives the one before.
    package func fail(over standby: LogTables) {
        tables = standby
        lockHolder = nil
        removed = [:]
    }

    /// Changes what the tables hold, as no statement of Pine's does.
    package func tamper<R>(_ body: (inout LogTables) -> R) -> R { body(&tables) }
}

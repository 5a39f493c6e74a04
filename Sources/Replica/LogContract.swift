// Owns: what the replica asks of the log and what it hears back. Plain values: production answers them from PostgreSQL,
// the simulator from memory.
package import Keyspace

/// What the replica asks of the log, by who answers it: each worker takes commands of its own type alone.
package enum LogCommand: Hashable, Sendable {
    case appending(AppendCommand)
    case reading(ReadCommand)
    case history(HistoryCommand)
    case values(ValueCommand)
    case chore(ChoreCommand)
}

/// One after the other on one connection, each answered before the next is begun, but for appends.
package enum AppendCommand: Hashable, Sendable {
    /// Append with one compare-and-swap, however many rows there are and however large they are, all or none. Answered by exactly one of `appended`, `conflicted`, `appendLost`.
    /// If `lockHead` was answered just before, the append runs in that transaction and commits it. May come while another is under way:
    /// it is applied after that one, and answered after it.
    case append(AppendBatch)
    /// Lock the head row in a transaction (the next append's), and take the deadlines of `expiring` out that have passed. The lock is held
    /// for longer the more rows that is said to make, and for `extraMs` more where what is to be appended took longer to make than the
    /// last one was held. Answered by `headLocked` or `lockFailed`.
    case lockHead(expiring: LeaseExpiry? = nil, extraMs: Int = 0)
    /// Give the lock back: there is nothing to append after all. Deadlines that were taken out stay out only if told. Not
    /// answered.
    case unlockHead(keepingRemovals: Bool = false)
    /// After `appendLost`: raise the epoch on a fresh connection, so that the lost statement has either committed or never
    /// will, and read the tail after the position. Answered by `recovered`; retried with backoff until it works.
    case recover(after: Position)
}

package enum ReadCommand: Hashable, Sendable {
    /// Read the head row. Answered by `headRead` or `headReadFailed`.
    case head
    /// Read up to `limit` rows after the position and the head. Answered by `tailRead` or `tailReadFailed`.
    case tail(after: Position, limit: Int)
}

/// Read up to `limit` rows after the position and the head, for watchers that are far behind: it may take its time and must not hold up
/// the other reads. Answered by `historyRead` or `historyReadFailed`.
package struct HistoryCommand: Hashable, Sendable {
    package var after: Position
    package var limit: Int

    package init(after: Position, limit: Int) {
        self.after = after
        self.limit = limit
    }
}

/// Read values by primary key, for operations that wait for them. Answered by `valuesRead` or `valuesReadFailed`.
package struct ValueCommand: Hashable, Sendable {
    package var number: UInt64
    package var positions: [Position]

    package init(number: UInt64, positions: [Position]) {
        self.number = number
        self.positions = positions
    }
}

package enum ChoreCommand: Hashable, Sendable {
    /// Delete dead rows by primary key and say how far that has come, in one transaction, some time after the one before. Answered by
    /// `rowsDeleted`, `deletionRefused` or `deletionLeft`.
    case deleteRows(Deletion)
    /// Leases' deadlines and the steward's duty. The number comes back with the answer.
    case lease(number: UInt64, LeaseCommand)
}

/// The commands by their own names, for the machines that give them.
extension LogCommand {
    package static func append(_ batch: AppendBatch) -> Self { .appending(.append(batch)) }
    package static func lockHead(expiring: LeaseExpiry? = nil, extraMs: Int = 0) -> Self {
        .appending(.lockHead(expiring: expiring, extraMs: extraMs))
    }
    package static func unlockHead(keepingRemovals: Bool = false) -> Self { .appending(.unlockHead(keepingRemovals: keepingRemovals)) }
    package static func recover(after position: Position) -> Self { .appending(.recover(after: position)) }
    package static var readHead: Self { .reading(.head) }
    package static func readTail(after position: Position, limit: Int) -> Self { .reading(.tail(after: position, limit: limit)) }
    package static func readHistory(after position: Position, limit: Int) -> Self {
        .history(HistoryCommand(after: position, limit: limit))
    }
    package static func readValues(number: UInt64, _ positions: [Position]) -> Self {
        .values(ValueCommand(number: number, positions: positions))
    }
    package static func deleteRows(_ deletion: Deletion) -> Self { .chore(.deleteRows(deletion)) }
    package static func lease(number: UInt64, _ command: LeaseCommand) -> Self { .chore(.lease(number: number, command)) }
}

extension ReadCommand {
    /// The answer where the log could not be asked.
    package func failed(_ reason: String) -> LogEvent {
        switch self {
        case .head: .headReadFailed(reason: reason)
        case .tail: .tailReadFailed(reason: reason)
        }
    }
}

extension HistoryCommand {
    package func failed(_ reason: String) -> LogEvent { .historyReadFailed(reason: reason) }
}

extension ValueCommand {
    package func failed(_ reason: String) -> LogEvent { .valuesReadFailed(number: number, reason: reason) }
}

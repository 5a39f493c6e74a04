// Owns: what the replica asks of the log and what it hears back. Plain values: production answers them from PostgreSQL,
// the simulator from memory.
package import Bytes
package import EtcdAPI
package import Keyspace

/// A batch to append, conditional on the log still ending where the replica believes.
package struct AppendBatch: Hashable, Sendable {
    /// Numbers this process's batches from 1.
    package var number: UInt64
    package var expectedDigest: Digest
    package var expectedEpoch: Int64
    /// The head once the batch is in: last position, digest and compact revision. Its epoch is `expectedEpoch`.
    package var newHead: Head
    package var rows: [LogRow]
    /// Whether it is worth nothing outside the transaction in which `lockHead` was answered: it expires leases whose deadlines
    /// were taken out there. Answered by `conflicted` where the lock has been given back since.
    package var needsLock = false

    package init(
        number: UInt64, expectedDigest: Digest, expectedEpoch: Int64, newHead: Head, rows: [LogRow], needsLock: Bool = false
    ) {
        self.needsLock = needsLock
        self.number = number
        self.expectedDigest = expectedDigest
        self.expectedEpoch = expectedEpoch
        self.newHead = newHead
        self.rows = rows
    }

    /// Of keys and values.
    package var byteCount: Int { rows.reduce(0) { $0 + $1.key.count + $1.value.count } }

    /// A position at or before the head that the batch was made for, so that the tail after it tells what came instead. The
    /// batch begins in the head's revision, or at sub 0 of the next; in the latter case others may have added rows to the head's
    /// revision (a lease's grant takes no revision), and the tail repeats the rows of that revision.
    package var tailStart: Position {
        let first = rows[0].position
        return first.sub > 0 ? Position(first.revision, first.sub - 1) : Position(first.revision - 1, -1)
    }

    /// Whether it can't get into the log unless `other` does, just before it.
    package func follows(_ other: AppendBatch) -> Bool {
        expectedDigest == other.newHead.digest && expectedEpoch == other.expectedEpoch
    }
}

/// Rows that nothing needs any more.
package struct Deletion: Hashable, Sendable {
    /// Numbers this process's deletions from 1.
    package var number: UInt64
    package var positions: [Position]
    /// The compaction that made them dead. Nothing is deleted from a log that does not know of it: another history, where these may be
    /// other rows.
    package var compactRevision: Revision
    /// What is gone once these rows are, which is told to all.
    package var swept: Sweep
    /// What the log says of all deletions before where it has just those of which this process does not remember the rows; nil where this
    /// process has forgotten rows that others have deleted.
    package var digest: Digest?
    /// Within what all lies that this process does not remember. A log of another digest has to say that so much is gone. One that does
    /// not has lost deletions, as a server does that takes over without them: rows may be back of which this process does not know, or
    /// has forgotten, that they are dead. Then nothing is deleted, least of all what made them dead.
    package var after: Sweep
    /// Nothing is deleted unless the steward's duty is this process's.
    package var holder: Int64
    /// Whether it may take as much of the database's time as writers do: somebody waits for it, or rows die faster than they go.
    package var isUrgent: Bool

    package init(
        number: UInt64, positions: [Position], compactRevision: Revision, swept: Sweep, digest: Digest?, after: Sweep,
        holder: Int64, isUrgent: Bool = false
    ) {
        self.number = number
        self.positions = positions
        self.compactRevision = compactRevision
        self.swept = swept
        self.digest = digest
        self.after = after
        self.holder = holder
        self.isUrgent = isUrgent
    }
}

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

/// What the log says to the replica.
package enum LogEvent: Hashable, Sendable {
    /// The batch of this number is durable, in order, with nothing in between.
    case appended(number: UInt64)
    /// Nothing of the batch was inserted: somebody else appended, raised the epoch, or has the head's lock for long. `tail` starts after
    /// the position before the batch's first row and may be cut by a limit. A batch that expects the head of one that has conflicted gets
    /// that one's tail, or no rows at all.
    case conflicted(number: UInt64, tail: Tail)
    /// The connection was lost, or the server failed, before the outcome was known.
    case appendLost(number: UInt64, reason: String)
    /// The head as it stays while the lock is held. `expired`: the leases whose deadlines were taken out. `sessions` as with the
    /// steward's duty.
    case headLocked(Head, expired: [LeaseID] = [], sessions: UInt64 = 0)
    case lockFailed(reason: String)
    case recovered(Tail)
    case headRead(Head)
    case tailRead(Tail)
    /// The read could not be answered; the connection is being made anew. One case each: a late answer to one question
    /// must never pass for the answer to another.
    case headReadFailed(reason: String)
    case tailReadFailed(reason: String)
    case historyRead(Tail)
    case historyReadFailed(reason: String)
    /// The values of those rows that are there, and the head that belongs to them.
    case valuesRead(number: UInt64, Head, [Position: ByteString])
    case valuesReadFailed(number: UInt64, reason: String)
    /// `digest`: of all deletions, with this one.
    case rowsDeleted(number: UInt64, count: Int, digest: Digest)
    /// The log has lost deletions, or the compaction that they are about.
    case deletionRefused(number: UInt64)
    /// Nothing was deleted: the duty is another's, who will.
    case deletionLeft(number: UInt64)
    case lease(number: UInt64, LeaseAnswer)
    /// Somebody says that there are new rows.
    case hinted
}

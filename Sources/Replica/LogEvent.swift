// Owns: what the log says to the replica.
package import Bytes
package import EtcdAPI
package import Keyspace

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

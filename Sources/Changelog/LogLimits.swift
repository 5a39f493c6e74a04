// Owns: the bounds of the log in time, rows and bytes.
internal import Replica

/// The bounds on what the log does, in time and in size.
package struct LogLimits: Sendable {
    /// How long a connection attempt may take for each host; what the connection string or PGCONNECT_TIMEOUT says wins.
    package var connectLimit: Duration = .seconds(5)
    /// How long after an attempt to connect that has not ended the next is begun beside it.
    package var connectInterval: Duration = .seconds(1)
    /// How long nothing may leave and nothing may come while the server has something to answer, before its connection counts as lost.
    /// What is in flight has the time beyond that which it takes at the rate that was measured. Each time that it was too short for
    /// the server it doubles, up to `recoverLimit`, so that a slow one is reached in the end.
    package var patience: Duration = .milliseconds(1_500)
    /// The same of an append, whatever the patience; and how long one is waited for behind others on the same connection.
    package var appendLimit: Duration = .seconds(10)
    /// The same for a read.
    package var readLimit: Duration = .seconds(10)
    /// The same for raising the epoch, which waits for a still-running append.
    package var recoverLimit: Duration = .seconds(30)
    /// How long a statement waits for another process's lock on the head row until the server says so: less than the patience, so that
    /// waiting is not taken for silence.
    package var lockWaitLimit: Duration = .seconds(1)
    /// How long the head row may stay locked for us while we prepare a small append, before the lock is given up. The server gives it
    /// up where it hears nothing of us for twice as long.
    package var lockHoldLimit: Duration = .milliseconds(500)
    /// How much longer it may take so that so many bytes of others' rows can be read meanwhile, at the rate that was measured.
    package var lockHoldReadBytes = 512 << 10
    package var lockHoldReadLimit: Duration = .seconds(4)
    /// How much longer for each row that leases leave behind which expire under the lock.
    package var lockHoldPerRow: Duration = .microseconds(100)
    /// The same for each MiB of their keys.
    package var lockHoldPerMiB: Duration = .milliseconds(50)

    /// How much longer the lock may be held so that an expiry's rows can be made.
    func lockHold(for expiring: LeaseExpiry?) -> Duration {
        guard let expiring else { return .zero }
        return lockHoldPerRow * expiring.rowCount + lockHoldPerMiB * (expiring.byteCount >> 20)
    }

    /// An append with more bytes or rows is cut into pieces of one transaction: PostgreSQL takes 1 GiB in a message, and a statement of
    /// that many rows runs for about 100 ms.
    package var statementByteLimit = 16 << 20
    package var statementRowLimit = 10_000
    /// Bytes of such a piece, and of those of an append under the head's lock; one row may be larger. Small, so that others need not
    /// wait long where the process stalls that holds the lock, and every piece's answer shows that there is progress.
    package var pieceByteLimit = 256 << 10
    /// Statements that take as long are logged.
    package var slowStatement: Duration = .milliseconds(500)
    /// How many bytes of keys and values a chunk of the log may hold; one row more is let in, so that there is progress.
    package var chunkByteLimit = 8 << 20
    /// How many rows a chunk holds at most while the whole log is loaded.
    package var loadRowLimit = 10_000
    /// How often a statement is tried in all when the server undoes it because of concurrent ones (40001, 40P01).
    package var retryLimit = 8
    /// Hints to other processes are at least this far apart.
    package var notifyInterval: Duration = .milliseconds(5)

    package init() {}
}

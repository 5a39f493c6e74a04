// Owns: rows to append, and the head on which that depends.
internal import EtcdAPI
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

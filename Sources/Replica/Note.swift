// Owns: what a replica tells its operator.
package import EtcdAPI
package import Keyspace

/// What happened that an operator may want to read in the log.
package enum Note: Sendable, Hashable {
    case serving(revision: Revision, keys: Int)
    case appendLost(reason: String)
    /// The lost append's outcome is known: it is in the log, or never will be.
    case appendRecovered(committed: Bool)
    /// The log's history isn't the one that this process folded.
    case historyChanged(at: Position)
    /// The log was moved past what clients may have seen and it has lost.
    case revisionRaised(from: Revision, to: Revision)
    /// Rows that this process has not folded were compacted and deleted by others, as far as it is known to have been here.
    case overtaken(at: Position)
    /// Dead rows may be in the log of which this process does not know any more that they are: it is loaded anew.
    case deletionsLost
    case readFailed(reason: String)
    /// This process is the steward now; all leases start anew.
    case becameSteward(leases: Int)
    /// Nobody asked for it: the retention is over.
    case autoCompacted(revision: Revision)
    case autoCompactionFailed(EtcdError)
    /// The steward deletes what compaction made dead; a long one is told about now and then.
    case sweeping(deleted: Int, left: Int)
    case swept(deleted: Int, compactRevision: Revision)
    /// The quota is used up: only deletes and compactions are served.
    case spaceExceeded(bytes: Int64, quota: Int64)
    case spaceFreed(bytes: Int64, quota: Int64)
    /// The rows do not add up to the head's digest: the tables were changed by other hands, or are damaged.
    /// The log is loaded again after `retryMs`, in case that somebody has mended it.
    case logDamaged(at: Position, retryMs: Int)
}

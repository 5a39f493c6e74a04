// Owns: what a replica wants done, in the imperative. Plain values that carry request ids.
package import Bytes
package import Calls
package import EtcdAPI
package import Keyspace

package enum Action: Sendable, Hashable {
    /// The one answer of a unary call: an encoded message.
    case respond(CallID, ByteString)
    case fail(CallID, EtcdError)
    /// A message on a stream. With `reportDrained`, `streamDrained` must follow once it and all before it have left.
    case send(CallID, ByteString, reportDrained: Bool)
    /// The same, of a message in pieces, which others' messages may share.
    case sendParts(CallID, [ByteString], reportDrained: Bool)
    /// The stream ended well.
    case finish(CallID)
    /// The answer to `Request.revision`.
    case reportRevision(CallID, Revision)
    case log(LogCommand)
    /// Sort these keys, where nobody waits for it, and hand them back by `sorted`.
    case sort(SortJob)
    /// Read the whole log anew and hand it in by `rowsLoaded` and `loadFinished`.
    case load
    /// Something that an operator should know.
    case note(Note)
}

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
    /// A request took long; its answer follows.
    case slow(CallID, SlowRequest)
    /// The rows do not add up to the head's digest: the tables were changed by other hands, or are damaged.
    /// The log is loaded again after `retryMs`, in case that somebody has mended it.
    case logDamaged(at: Position, retryMs: Int)
}

/// Counts since the start, for metrics.
package struct ReplicaCounters: Sendable, Hashable {
    package var batchesAppended: UInt64 = 0
    /// Sent while the one before was under way.
    package var batchesPipelined: UInt64 = 0
    package var rowsAppended: UInt64 = 0
    package var racesLost: UInt64 = 0
    package var appendsLost: UInt64 = 0
    package var headReads: UInt64 = 0
    package var readsAnswered: UInt64 = 0
    package var rowsFolded: UInt64 = 0
    package var watchEventsSent: UInt64 = 0
    /// The most rows, keys and watchers that were looked at in one turn, by what is bounded a turn.
    package var turnVisitsMax = 0
    /// What became visible since the start, this process's own and others': puts, the bytes of their keys and values, deletes,
    /// transactions of more than one of them.
    package var putsFolded: UInt64 = 0
    package var putBytesFolded: UInt64 = 0
    package var deletesFolded: UInt64 = 0
    package var txnsFolded: UInt64 = 0
    package var rangesAnswered: UInt64 = 0
    /// Of these, long ones that got the bytes of another's answer.
    package var rangesShared: UInt64 = 0
    /// How often serving began: at the start, and after each time that the log had to be asked or loaded again.
    package var servingPeriods: UInt64 = 0
    /// Writes and reads that the log didn't answer in time, or whose outcome was unknown when it was loaded anew.
    package var writesFailed: UInt64 = 0
    package var readsFailed: UInt64 = 0
    /// Requests that were answered, but took long.
    package var slowWrites: UInt64 = 0
    package var slowReads: UInt64 = 0
    /// Keep-alives that were answered, also those of leases that don't exist.
    package var leasesKeptAlive: UInt64 = 0
    /// Transactions on the leases' deadlines.
    package var leaseRounds: UInt64 = 0
    package var leasesExpired: UInt64 = 0
    package var leasesGranted: UInt64 = 0
    package var leasesRevoked: UInt64 = 0
    /// How often this process became the steward, or gave all leases their full time again after an outage.
    package var leaseExtensions: UInt64 = 0
    package var isSteward = false
    /// Dead rows that this process has deleted from the log.
    package var rowsDeleted: UInt64 = 0
    package var autoCompactions: UInt64 = 0
    /// Operations that had to wait for values that are not in memory, and the values and bytes that were read for them.
    package var valueWaits: UInt64 = 0
    package var valuesRead: UInt64 = 0
    package var valueBytesRead: UInt64 = 0
    /// Whether the log's rows didn't add up when they were last loaded.
    package var isLogDamaged = false

    package init() {}
}

// Owns: what a replica is told at its start: who it is, and the bounds of everything that could grow.
internal import Keyspace

package struct ReplicaConfiguration: Sendable {
    /// Drawn once a process: tells this process's rows from others'.
    package var origin: Int64
    package var memberID: UInt64
    package var batchRowLimit = 1000
    /// Bytes of keys and values; one request may be larger than this.
    package var batchByteLimit = 4 << 20
    /// So many writes, or bytes of them, have to wait before a batch is sent behind one that is under way: a few are cheaper, and hardly
    /// later, where they wait for their turn and for company.
    package var pipelinedWriteLeast = 32
    package var pipelinedByteLeast = 64 << 10
    /// Batches of fewer bytes don't tell how fast the way to the log is, and no batch is made smaller for a slow one.
    package var pacedByteLeast = 64 << 10
    /// After a race that took as long and was lost the log's lock is waited for: about as long as a paced batch takes.
    package var longRaceMs = 500
    /// Requests that wait, reads and writes each, before etcd's "too many requests".
    package var waitingLimit = 50_000
    /// The same for what waiting writes keep in memory, in bytes.
    package var waitingByteLimit = 256 << 20
    /// How long the log may be away before watch streams that require a leader are ended: longer than a database takes to
    /// restart, since it costs every one of their clients a list.
    package var leaderlessLimitMs = 10_000
    /// How long a request waits for the log before etcd's "request timed out".
    package var requestTimeoutMs = 7_000
    /// Requests that take as long are told of, and counted as slow.
    package var slowRequestMs = 300
    /// How many keys a scan looks at before others get their turn, and about how many bytes it encodes.
    package var scanKeyLimit = 1_000
    package var scanByteLimit = 1 << 20
    /// How many keys all reads of a turn look at, and about how many bytes they are answered; further reads wait for the next turn. The
    /// same number of keys for all writes of a turn.
    package var turnKeyLimit = 20_000
    package var turnAnswerByteLimit = 16 << 20
    /// How many keys the ranges of a transaction that writes look at while other writes wait; longer ones are answered once it is committed.
    package var inlineKeyLimit = 1_000
    /// How long a simple token is good after it was used; nil where clients show JSON Web Tokens.
    package var tokenTimeToLiveMs: UInt64? = 300_000
    /// The largest answer, in bytes: what etcd's gRPC sends at the most.
    package var answerByteLimit = Int(Int32.max)
    /// What all answers that are being made may take in memory, in bytes. Beyond that only the oldest goes on.
    package var scanMemoryLimit = 512 << 20
    /// A streamed chunk is about this large, in bytes.
    package var streamChunkBytes = 1_572_864
    /// How many records a snapshot finds in one walk over all keys, at the least; it holds as many keys.
    package var snapshotWindowLength = 262_144
    /// A tail is read in pieces of at most this many rows.
    package var tailRowLimit = 5_000
    /// How many rows of others are folded in a turn, beside the rest of the last one's revision.
    package var foldRowLimit = 1_000
    /// Dead rows that are deleted in one transaction. Each waits for the disk once, and keeps others from the processor meanwhile.
    package var deletedRowLimit = 500
    /// Rows that are looked at for dead ones in a turn.
    package var sweptRowLimit = 5_000
    /// Rows that are kept until it is known whether they are of our history, in bytes. Who is further behind reads them twice.
    package var unverifiedByteLimit = 16 << 20
    /// The log is polled at intervals between these two: the shorter while rows keep coming.
    package var pollIntervalMinMs = 50
    package var pollIntervalMaxMs = 1_000

    /// Watches, all streams together, before a new one is refused.
    package var watcherLimit = 1_000_000
    /// The same for the keys and range ends that they look at, in bytes.
    package var watchRangeByteLimit = 256 << 20
    /// What all watch streams together may have under way to their clients, in bytes: each has its share, between a least and
    /// a most.
    package var watchBufferBytes = 64 << 20
    package var watchStreamBufferMinBytes = 16 << 10
    package var watchStreamBufferMaxBytes = 4 << 20
    /// How many rows lagging watchers are taken through at once, and how many a read of the log takes for them.
    package var historyRowLimit = 1_000
    /// How many rows and watchers of these rows are looked at in a turn: once for those who are up to date, once for those who are behind.
    package var watchVisitLimit = 10_000
    /// Revisions of more rows are measured for each watcher before anything of them is encoded.
    package var watchLongRevisionRows = 1_000
    /// Events of one revision that are gathered for all watchers at once before all but one have to be given it in a later pass: each
    /// takes little, but a revision may have hundreds of thousands, for each watcher.
    package var watchRevisionEventLimit = 1_000_000
    /// The largest message that gRPC's usual implementations carry, in bytes. A revision that is larger for a watcher ends its stream.
    package var messageByteLimit = Int(Int32.max)
    /// Rows kept for watchers that are not far behind, in bytes.
    package var watchHistoryBytes = 64 << 20
    /// How long a watch that wants progress notifications hears nothing.
    package var watchProgressIntervalMs = 600_000
    /// A watch response from this size on is cut for clients that asked for fragments, in bytes: etcd's
    /// `--max-request-bytes` and what it allows for gRPC on top.
    package var fragmentByteLimit = (1_536 << 10) + (512 << 10)

    package var leaseLimits = LeaseLimits()
    /// How many leases, or keys of leases, are listed in a turn.
    package var listedLimit = 10_000

    /// What earlier lives are known to have served: where the log lacks it, its revision is raised before anything is served.
    package var served: [ServedMark] = []
    /// How far past the highest revision that was served and is lost: more than others can have been ahead.
    package var revisionRaise = revisionRaiseMargin

    /// What the steward compacts unasked.
    package var autoCompaction = AutoCompaction.off
    /// What the store's rows may take in the database, in bytes; 0 for no bound.
    package var quotaBackendBytes: Int64 = 0
    /// What values may take in memory, in bytes; others are read when they are wanted.
    package var valueCacheBytes = Int.max
    /// How much is read for operations that lack values at once, in bytes; one operation may need more.
    package var valueReadByteLimit = 16 << 20

    package init(origin: Int64, memberID: UInt64) {
        self.origin = origin
        self.memberID = memberID
    }
}

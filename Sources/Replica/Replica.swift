// Owns: the engine: what is asked, what is in flight, and the store that the log is folded into.
// Must never: do I/O, read a clock, draw a random number, or answer from rows that aren't committed.
//
// Where it stands with the log is drawn at `Phase`.
//
// Invariants: at most two appends, one head read and one tail read are in flight; the store holds speculation only while
// batches are being appended: theirs, in their order; every request is answered exactly once, or cancelled.
internal import Bytes
internal import Calls
internal import DequeModule
package import EtcdAPI
package import Keyspace

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
    /// The largest answer, in bytes: what etcd's gRPC sends at the most.
    package var answerByteLimit = Int(Int32.max)
    /// What all answers that are being made may take in memory, in bytes. Beyond that only the oldest goes on.
    package var scanMemoryLimit = 512 << 20
    /// A streamed chunk is about this large, in bytes.
    package var streamChunkBytes = 1_572_864
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

/// What is done in a turn beside reads and watches: everything that could be any number of rows has a bound, and goes on in the next.
struct TurnWork {
    /// Rows and keys that were looked at.
    var visits = 0
}

package struct Replica: ~Copyable {
    let configuration: ReplicaConfiguration
    package internal(set) var store = Store()
    package internal(set) var counters = ReplicaCounters()
    var phase: Phase
    var clusterID: Int64 = 0
    var epoch: Int64 = 0
    var now = Instant(nanoseconds: 0)

    // Writes
    var writes: WritePipeline

    // Reads
    var headReader = HeadReader<PendingRead>()
    var readyReads = ReadyReads()
    var scans: ScanQueue
    var streams: RangeStreams
    var turnBudget: TurnBudget
    var hashing = Hashing()

    // Following
    var follower: Follower

    /// When the log's first answer failed of those that have failed in a row.
    var logAwaySince: Instant?

    var watches: WatchTable
    /// For values and history that are read beside the fold.
    var trail = Trail()

    // Leases
    var leaseNumbers = LeaseNumbers()
    var leaseRounds: LeaseRounds
    var stewardship: Stewardship
    var leaseListings: LeaseListings

    // Values that are not in memory
    var fetcher: ValueFetcher<LackingWork>

    // Compaction and space
    var sweeper = Sweeper()
    var autoCompactor: AutoCompactor
    var quotaAlarm: QuotaAlarm

    var turnWork = TurnWork()
    var cancelled: Set<CallID> = []
    var actions: [Action] = []

    package init(configuration: ReplicaConfiguration) {
        self.configuration = configuration
        phase = Phase(served: configuration.served)
        follower = Follower(configuration)
        turnBudget = TurnBudget(configuration)
        watches = WatchTable(configuration)
        writes = WritePipeline(configuration)
        fetcher = ValueFetcher(configuration)
        scans = ScanQueue(configuration)
        streams = RangeStreams(configuration)
        autoCompactor = AutoCompactor(configuration.autoCompaction)
        quotaAlarm = QuotaAlarm(member: configuration.memberID)
        leaseRounds = LeaseRounds(configuration.leaseLimits, timeoutMs: configuration.requestTimeoutMs)
        stewardship = Stewardship(configuration)
        leaseListings = LeaseListings(turnLimit: configuration.listedLimit)
        store.quotaBytes = configuration.quotaBackendBytes
        store.valueByteLimit = configuration.valueCacheBytes
        store.answerByteLimit = configuration.answerByteLimit
        store.inlineVisitLimit = configuration.inlineKeyLimit
        actions.append(.load)
    }

    /// What every answer's header says; the revision is filled in with each.
    package var header: ResponseHeader {
        ResponseHeader(
            clusterID: UInt64(bitPattern: clusterID), memberID: configuration.memberID, raftTerm: UInt64(bitPattern: epoch) &+ 2)
    }

    func header(at revision: Revision) -> ResponseHeader {
        var header = header
        header.revision = revision
        return header
    }

    /// Takes in what happened. Nothing is started before `endTurn`, so that a batch takes all that has arrived.
    package mutating func step(_ event: consuming ReplicaEvent, now: Instant) {
        self.now = now
        switch consume event {
        case .requestArrived(let id, let request, let principal): arrive(id, request, by: principal)
        case .requestCancelled(let id): cancelled.insert(id)
        case .streamDrained(let id):
            streams.drained(id)
            watchStreamDrained(id)
        case .watchOpened(let id, let principal): openWatchStream(id, by: principal)
        case .leaderRequired(let id): requireLeader(id)
        case .watchRequested(let id, let request): requestWatch(id, request)
        case .stopping: leaveDuty()
        case .log(let event): heard(event)
        case .sorted(let job): sorted(job)
        case .rowsLoaded(let rows): load(rows)
        case .rowsLoadedWithoutValues(let rows, let byteCounts): loadWithoutValues(rows, byteCounts)
        case .loadRestarted: restartLoading()
        case .loadFinished(let head, let deleted): finishLoading(head, deleted)
        }
    }

    /// Starts what can be started and hands out everything to do, in order. Call again at once while `hasMoreWork`.
    package mutating func endTurn(now: Instant) -> [Action] {
        self.now = now
        dropCancelled()
        expireWaiting()
        endLeaderless()
        leaseRounds.timePassed(now, &actions)
        reloadDamaged()
        forgetEndedWatches()
        leaseListings.turnBegan(&actions)
        if isLoaded {
            continueFolding()
            continueWatches()
            continueScans()
            answerReady()
            continueHashing()
        }
        if phase.isServing {
            startHeadRead()
            tendLeases()
            tendUpkeep()
            startBatch()
            continueStreams()
            catchUp()
            startValueRead()
            notifyProgress()
            collectGarbage()
            poll()
        }
        turnBudget = TurnBudget(configuration)
        counters.turnVisitsMax = max(counters.turnVisitsMax, turnWork.visits + watches.turnEnded() + leaseListings.turnEnded())
        turnWork = TurnWork()
        follower.turnEnded()
        defer { actions.removeAll(keepingCapacity: true) }
        return actions
    }

    /// Whether the fold has reached the head and the log is at hand.
    package var isServing: Bool { phase.isServing }

    /// How many reads and writes wait for the log or for their batch.
    package var requestsUnderWay: Int {
        writes.writeCount + headReader.count + readyReads.count
    }

    /// Whether `endTurn` has left work that needs no event.
    package var hasMoreWork: Bool {
        hasReadsToAnswer || leaseListings.count > 0 || isLoaded && (watches.hasMoreWork || follower.isFolding || hashing.canGoOn)
            || phase.isServing
                && (canGoOnWriting || sweeper.hasMoreWork || streams.hasWork || canCatchUp)
    }

    /// When `endTurn` should be called at the latest where nothing happens.
    package var nextDeadline: Instant {
        // What waits for an answer has no deadline but the requests': asking again would only spin.
        guard phase.isServing else { return now.advanced(byMs: 100) }
        // What is under way may end on another thread, which need not wake this one to have the poll after it sooner than that.
        var deadline = canPoll ? follower.nextPoll : max(follower.nextPoll, now.advanced(byMs: configuration.pollIntervalMinMs))
        if let overdue = writes.deadline { deadline = min(deadline, overdue) }
        if watches.hasLeaderStreams, let logAwaySince {
            deadline = min(deadline, logAwaySince.advanced(byMs: configuration.leaderlessLimitMs))
        }
        if let check = watches.progressDeadline { deadline = min(deadline, check) }
        deadline = min(deadline, leaseDeadline, upkeepDeadline)
        if !fetcher.isEmpty { deadline = min(deadline, now.advanced(byMs: expiryIntervalMs)) }
        if !headReader.isIdle { deadline = min(deadline, now.advanced(byMs: 100)) }
        return deadline
    }

    private mutating func arrive(_ id: CallID, _ request: consuming Request, by principal: Principal) {
        switch consume request {
        case .write(let write):
            enqueue(PendingWrite(id: id, request: write, physical: false, arrivedAt: now, principal: principal))
        case .compact(let revision, let physical):
            enqueue(PendingWrite(id: id, request: .compact(revision: revision), physical: physical, arrivedAt: now, principal: principal))
        case .range(let request):
            arrive(PendingRead(id: id, kind: .range(request), arrivedAt: now, principal: principal), serializable: request.serializable)
        case .rangeStream(let request):
            arrive(
                PendingRead(id: id, kind: .rangeStream(request), arrivedAt: now, principal: principal), serializable: request.serializable)
        case .readTxn(let txn):
            arrive(PendingRead(id: id, kind: .txn(txn), arrivedAt: now, principal: principal), serializable: txn.isSerializable)
        case .revision(let linearizable):
            arrive(PendingRead(id: id, kind: .revision, arrivedAt: now, principal: principal), serializable: !linearizable)
        case .lease(let request):
            arrive(LeaseRounds.Question(id: id, request: request, arrivedAt: now, principal: principal))
        case .alarms(let kind):
            arrive(PendingRead(id: id, kind: .alarms(kind), arrivedAt: now, principal: principal), serializable: false)
        case .hashKV(let revision):
            arrive(PendingRead(id: id, kind: .hashKV(revision), arrivedAt: now, principal: principal), serializable: true)
        }
    }

    /// Forgets cancelled requests that have not been started. One pass a turn, however many were cancelled.
    private mutating func dropCancelled() {
        guard !cancelled.isEmpty else { return }
        let gone = cancelled
        cancelled.removeAll()
        writes.cancelled(gone)
        headReader.dropped(gone)
        readyReads.dropped(gone)
        scans.dropped(gone)
        streams.dropped(gone)
        fetcher.dropped(gone)
        hashing.drop(gone)
        leaseRounds.clientsLeft(gone)
        leaseListings.clientsLeft(gone)
        watchersLeft(gone)
    }

    /// Fails requests that have waited too long. Their order of arrival is their order in the queues.
    private mutating func expireWaiting() {
        expireWaitingWrites()
        expireLacking()
        expireSentWrites()
        expireReads()
    }
}

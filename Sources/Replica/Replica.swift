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
    var snapshots = Snapshots()

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
        store.auth = AuthTable(tokenTimeToLiveMs: configuration.tokenTimeToLiveMs)
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
            snapshots.drained(id, now: now)
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
            continueSnapshots()
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
        hasReadsToAnswer || leaseListings.count > 0
            || isLoaded && (watches.hasMoreWork || follower.isFolding || hashing.canGoOn || snapshots.canGoOn)
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
        case .revision(let linearizable, let need):
            arrive(PendingRead(id: id, kind: .revision(need), arrivedAt: now, principal: principal), serializable: !linearizable)
        case .lease(let request):
            arrive(LeaseRounds.Question(id: id, request: request, arrivedAt: now, principal: principal))
        case .alarms(let kind, let need):
            arrive(PendingRead(id: id, kind: .alarms(kind, needs: need), arrivedAt: now, principal: principal), serializable: false)
        case .hashKV(let revision):
            arrive(PendingRead(id: id, kind: .hashKV(revision), arrivedAt: now, principal: principal), serializable: true)
        case .hash: arrive(PendingRead(id: id, kind: .hash, arrivedAt: now, principal: principal), serializable: true)
        case .auth(let question):
            arrive(PendingRead(id: id, kind: .auth(question), arrivedAt: now, principal: principal), serializable: false)
        case .snapshot(let members):
            arrive(PendingRead(id: id, kind: .snapshot(members), arrivedAt: now, principal: principal), serializable: false)
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
        snapshots.dropped(gone)
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

// Owns: writes, from their arrival to their outcome: which wait, which are under way, and whether the next batch is made at once, behind
// another one, or under the head's lock.
// Must never: touch the store but through `execute`; send a batch while the lock is asked for, or behind one that was made under it.
//
//   arrived ──▶ queue ──▶ draft ──▶ batches under way ──▶ appended
//                 ▲                         │
//                 └── conflicted, or lost ──┘
//
// Invariants (see `invariants()`): those of the parts; while the lock is asked for or held no batch is under way.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

struct WritePipeline: ~Copyable {
    private var queue: WriteQueue
    private var batches: BatchesUnderWay
    private var contention: Contention
    private var lock = HeadLock()
    private let rowLimit: Int
    private let pipelinedWriteLeast: Int
    private let pipelinedByteLeast: Int

    init(_ configuration: ReplicaConfiguration) {
        queue = WriteQueue(configuration)
        batches = BatchesUnderWay(configuration)
        contention = Contention(configuration)
        rowLimit = configuration.batchRowLimit
        pipelinedWriteLeast = configuration.pipelinedWriteLeast
        pipelinedByteLeast = configuration.pipelinedByteLeast
    }

    // MARK: What there is

    /// Writes that wait for their batch or for the log.
    var writeCount: Int { queue.count + batches.writeCount }
    /// What waiting writes keep in memory, in bytes.
    var waitingByteCount: Int { queue.byteCount }
    var areWaiting: Bool { !queue.isEmpty }
    /// Whether batches were sent and are not settled.
    var hasBatches: Bool { !batches.isEmpty }
    /// Whether batches are under way whose answers will come.
    var isAppending: Bool { batches.isAppending }
    var areBatchesLost: Bool { batches.areLost }

    /// When a write's client is to be told that it took too long; nil where no client waits.
    var deadline: Instant? {
        guard let sent = batches.deadline else { return queue.deadline }
        return queue.deadline.map { min($0, sent) } ?? sent
    }

    // MARK: The queue

    /// False where too much waits already: the write is refused.
    mutating func arrived(_ write: consuming PendingWrite) -> Bool { queue.arrived(write) }

    /// A write that was taken for another purpose comes back in front of the others.
    mutating func putBack(_ write: PendingWrite) { queue.putBack(write) }

    mutating func cancelled(_ gone: Set<CallID>) { queue.cancelled(gone) }

    /// Takes a write out of the queue that has waited for too long.
    mutating func takeOverdue(_ now: Instant) -> PendingWrite? { queue.takeOverdue(now) }

    /// Takes a write whose client has waited for too long while it is under way or lost.
    mutating func takeOverdueSent(_ now: Instant) -> PendingWrite? { batches.takeOverdue(now) }

    // MARK: Whether to go on

    /// Whether the write that the store is in the middle of is still the first.
    var isFirstUnfinished: Bool { queue.isFirstUnfinished }

    /// Whether the lock is neither asked for nor held.
    var isLockFree: Bool { lock.isFree }

    /// What is known under the lock; nil while it is not held.
    var hold: HeadLock.Hold? { lock.hold }

    /// Whether the waiting writes are sent behind the batch that is under way, on the condition that it gets into the log: PostgreSQL
    /// goes on with them as soon as that one is durable, and meanwhile they are executed and sent. Not a few of them, since small batches
    /// cost more; not where that condition is in doubt.
    var canFollow: Bool {
        guard let followed = batches.followedWriteCount, contention.allowsPipelining else { return false }
        let isWorthIt = queue.count >= pipelinedWriteLeast || queue.byteCount >= pipelinedByteLeast
        return isWorthIt && queue.count * 2 >= followed
    }

    /// Whether the next batch is made under the head's lock. A busy neighbour gets there first most of the time, and a lost race costs as
    /// much as one that is won: queue up at the row lock instead, and fold meanwhile what others append.
    var wantsLock: Bool { areWaiting && (contention.isContended || queue.firstNeedsLock) }

    // MARK: Batches

    /// Executes as many of the waiting writes as fit into the draft.
    mutating func execute(into draft: inout BatchDraft, _ store: inout Store, header: ResponseHeader, origin: Int64) {
        draft.fill(from: &queue, &store, header: header, origin: origin, rowLimit: rowLimit, byteLimit: batches.byteLimit)
    }

    /// The number of the next append.
    mutating func takeNumber() -> UInt64 { batches.takeNumber() }

    /// Sends what was executed.
    /// - Parameters:
    ///   - newHead: what the log's head will be.
    ///   - end: what the store is by now.
    mutating func send(_ draft: BatchDraft, newHead: Head, end: Store.Savepoint, _ now: Instant, _ actions: inout [Action]) {
        let append = AppendBatch(
            number: batches.takeNumber(), expectedDigest: draft.start, expectedEpoch: newHead.epoch, newHead: newHead, rows: draft.rows,
            needsLock: !draft.expired.isEmpty)
        let batch = Batch(
            startedAt: now, writes: draft.writes, answers: draft.answers, append: append, expired: draft.expired, end: end,
            isLocked: draft.isLocked)
        batches.send(batch, &actions)
    }

    /// A batch is in the log. Nil where nobody waits to hear that.
    mutating func appended(_ number: UInt64, _ now: Instant) -> Batch? {
        guard let done = batches.appended(number, now) else { return nil }
        contention.raceWon()
        return done
    }

    /// Others have appended first: the writes of all batches wait again. The batches that are undone; nil where nobody waits to hear that.
    mutating func conflicted(_ number: UInt64, _ now: Instant) -> [Batch]? {
        guard let undone = batches.conflicted(number), let first = undone.first else { return nil }
        contention.raceLost(startedAt: first.startedAt, isLocked: first.isLocked, now)
        queue.undone(undone)
        return undone
    }

    /// It is not known what became of a batch, and of those behind it: `settled` follows. False where nobody waits to hear that.
    mutating func appendLost(_ number: UInt64) -> Bool { batches.appendLost(number) }

    /// A row was folded, with which the store comes to this point.
    mutating func rowFolded(at tip: Position, _ digest: Digest) { batches.rowFolded(at: tip, digest) }

    /// The log is folded past the point where lost batches would be: the writes of those that are not in the log wait again.
    mutating func settled() -> (found: ArraySlice<Batch>, undone: ArraySlice<Batch>) {
        let settled = batches.settled()
        queue.undone(settled.undone)
        return settled
    }

    // MARK: The lock

    /// Asks for the head's lock, for expired leases or for the waiting writes. `lockGranted` or `lockRefused` follows.
    mutating func askForLock(since committed: Position, expiring: LeaseExpiry?, _ actions: inout [Action]) {
        lock.ask(since: committed, expiring: expiring, extraMs: contention.lockExtraMs, &actions)
    }

    /// How far the log was known to go when the lock was asked for; nil where nobody waits for it any more.
    mutating func lockGranted(_ hold: HeadLock.Hold) -> Position? {
        guard let since = lock.granted(hold) else { return nil }
        contention.lockGranted(othersAppended: hold.head.position > since)
        return since
    }

    /// False where nobody waits for the lock any more.
    mutating func lockRefused() -> Bool { lock.refused() }

    /// All that was to be done under the lock is executed. It is the append's; without one it is given back. Deadlines without a lease, of
    /// which nothing else was left, stay out.
    mutating func lockUsed(_ hold: HeadLock.Hold, _ actions: inout [Action]) {
        if hasBatches { lock.handedOver() } else { lock.giveBack(keepingRemovals: !hold.expired.isEmpty, &actions) }
    }

    /// Others are to go on.
    mutating func giveLockBack(_ actions: inout [Action]) {
        contention.lockGivenBack()
        lock.giveBack(keepingRemovals: false, &actions)
    }

    // MARK: A log that is loaded anew

    /// The log is about to be loaded anew: the outcome of these batches can't be known.
    mutating func takeUnknown() -> [Batch] { batches.loadingBegan() }

    /// The history is lost whose revisions made the replica write something itself.
    mutating func historyLost() { queue.historyLost() }

    /// The log is about to be loaded anew. What waits goes on to wait.
    mutating func loadingBegan(_ actions: inout [Action]) {
        invariant(!hasBatches, "batches are forgotten whose clients wait")
        queue.loadingBegan()
        contention.loadingBegan()
        lock.loadingBegan(&actions)
    }

    /// Traps where the pipeline breaks its rules.
    /// - Parameters:
    ///   - committed: where the log's known rows end.
    ///   - tip: where the store's last whole write ends.
    borrowing func invariants(committed: Position, tip: Position) {
        queue.invariants()
        batches.invariants(committed: committed, tip: tip)
        contention.invariants()
        invariant(lock.isFree || batches.isEmpty, "batches are under way while the head's lock is asked for")
    }
}

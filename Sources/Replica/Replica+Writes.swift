// Owns: the write path: queue, batch, append, and what becomes of batches that lost their race or their connection.
//
// A second batch may be sent while the first is being made durable. It is executed on what the first made of the store, and expects
// the digest that the first would leave, so it can't get into the log unless the first did:
//
//   first, second sent ─┬─ first appended ── committed up to its end; the second is the first now, and another may follow
//                       ├─ first conflicted ── both undone, executed again in their order
//                       └─ first lost ── both undone; the log has none, the first, or both
//
// Invariant: the first batch's rows come after the committed position, each other's after those of the one before it.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// A write that waits for its batch.
struct PendingWrite {
    var id: CallID
    var request: WriteRequest
    /// Of a compaction: answer once the dead rows are deleted.
    var physical: Bool
    var arrivedAt: Instant
    /// About how much memory the request keeps alive, in bytes.
    let byteCount: Int
    /// What was read from the log for it.
    var values: [Position: ByteString] = [:]
    /// How often its execution was begun and took more than a turn.
    var pauseCount = 0

    /// Whether it began anew time and again, since others wrote meanwhile: then it is executed under the head's lock.
    var needsLock: Bool { pauseCount >= pauseLimit }

    init(id: CallID, request: WriteRequest, physical: Bool, arrivedAt: Instant) {
        self.id = id
        self.request = request
        self.physical = physical
        self.arrivedAt = arrivedAt
        byteCount = request.byteCount
    }
}

/// Asking the log what became of batches.
struct Recovery {
    /// What was committed when they were lost.
    let since: Position
    /// The epoch that was raised so that they can't be appended any more.
    var raisedEpoch: Int64?
}

/// The head row's lock, for which a process queues up that would lose its races otherwise.
enum HeadLock: Equatable {
    case none
    /// Asked for when the log was known to go so far.
    case asked(since: Position)
    /// The log ends here until it is given back, and these leases' deadlines are out. What others have appended meanwhile is being
    /// folded.
    case held(Head, expired: [LeaseID])
}

/// Writes that were executed at the tip and are being appended together.
struct Batch {
    var startedAt: Instant
    var writes: [PendingWrite] = []
    /// One for each of `writes`: true only once the rows are in the log, errors included, since what they say may rest on
    /// the rows of their neighbours.
    var answers: [Result<WriteAnswer, EtcdError>] = []
    /// How many of `writes`, from the first on, have been told that it took too long.
    var timedOutCount = 0
    var append: AppendBatch
    /// Leases whose revokes come before the rows of `writes`. Their deadlines are taken out in the same transaction, so they
    /// are never tried again: what has not expired by that is found due again.
    var expired: [LeaseID] = []
    /// What the store is once its rows are in, whatever is executed behind it.
    var end: Store.Savepoint
    /// Whether it was made under the head's lock: then nothing is sent behind it.
    var isLocked: Bool
    /// Whether a lost batch's last row has been met in the log.
    var found = false

    /// Those whose clients still wait.
    var unanswered: ArraySlice<PendingWrite> { writes[timedOutCount...] }
}

extension Replica {
    mutating func enqueue(_ write: consuming PendingWrite) {
        // One is always let in, however large.
        guard writes.count < configuration.waitingLimit,
            writes.isEmpty || waitingWriteBytes + write.byteCount <= configuration.waitingByteLimit
        else {
            respond(write.id, .failure(.tooManyRequests))
            return
        }
        waitingWriteBytes += write.byteCount
        writes.append(write)
    }

    /// Puts a write that was taken out already back in front; there is always room for it.
    mutating func enqueueFirst(_ write: PendingWrite) {
        waitingWriteBytes += write.byteCount
        writes.prepend(write)
    }

    // MARK: Starting

    /// Whether batches are under way whose answers will come.
    var isAppending: Bool { !batches.isEmpty && recovery == nil }

    /// Whether nothing stands in the way of the next batch, but for one that it may follow. Where the log is known to go on, an append
    /// would lose its race.
    private var mayAppend: Bool { headLock == .none && unverified.isEmpty }

    var canStartBatch: Bool { batches.isEmpty && mayAppend }

    mutating func startBatch() {
        // Its client has given up, or others have come before it.
        if store.isPaused, !isRevoking, writes.first?.id != pausedWrite { store.abandon() }
        if case .held(let head, let expired) = headLock { return appendLocked(head, expired) }
        guard mayAppend else { return }
        guard batches.isEmpty else {
            if canFollow { executeBatch() }
            return
        }
        let expiring = takeExpiring()
        // A busy neighbour gets there first most of the time, and a lost race costs as much as one that is won: queue up at the row
        // lock instead, and fold meanwhile what others append.
        if expiring != nil || !writes.isEmpty && (hasNeighbours || writes[0].needsLock) {
            headLock = .asked(since: store.committed)
            actions.append(.log(.lockHead(expiring: expiring, extraMs: lockExtraMs)))
        } else if !writes.isEmpty {
            executeBatch()
        }
    }

    /// Whether the waiting writes are sent behind the batch that is under way, on the condition that it gets into the log: PostgreSQL
    /// goes on with them as soon as that one is durable, and meanwhile they are executed and sent. Not a few of them, since small batches
    /// cost more; not where that condition is in doubt; not while somebody waits for all that was sent to be settled.
    private var canFollow: Bool {
        guard batches.count < batchLimit, let last = batches.last, !last.isLocked else { return false }
        guard racesLostInARow == 0, !hasNeighbours, !isExpiryDue, leases.round?.answer == nil else { return false }
        let isWorthIt = writes.count >= configuration.pipelinedWriteLeast || waitingWriteBytes >= configuration.pipelinedByteLeast
        return isWorthIt && writes.count * 2 >= last.writes.count
    }

    /// Whether the write that the store is in the middle of can go on.
    var canGoOnWriting: Bool {
        guard store.isPaused else { return false }
        if case .held(let head, _) = headLock { return store.committed >= head.position && unverified.isEmpty }
        return mayAppend && (batches.isEmpty || canFollow)
    }

    /// Executes as many waiting writes as fit, and appends their rows. Those of a batch that changes nothing are reads in
    /// the end: they wait until it is known that the log still ends here. Leases that have expired go first, under the head row's lock.
    /// - Returns: false where the first of them takes more than a turn. To go on, call this again with the same leases.
    @discardableResult
    mutating func executeBatch(expired: [LeaseID] = [], isLocked: Bool = false) -> Bool {
        var taken: [PendingWrite] = []
        var answers: [Result<WriteAnswer, EtcdError>] = []
        var rows: [LogRow] = []
        var bytes = 0
        let header = header
        if !expired.isEmpty, !isRevoking { store.abandon() }
        let before = store.savepoint
        var visits = configuration.turnKeyLimit
        guard let revoked = revoke(expired, &rows, visits: &visits) else { return false }
        while rows.count < configuration.batchRowLimit, bytes < batchPace.byteLimit, visits > 0, var write = writes.popFirst() {
            waitingWriteBytes -= write.byteCount
            let rowsBefore = rows.count
            do throws(ExecutionError) {
                let wasPaused = store.isPaused
                guard
                    let answer = try store.execute(
                        write.request, with: write.values, header: header, origin: configuration.origin, rows: &rows,
                        visits: &visits)
                else {
                    // What was executed before it is sent first.
                    if taken.isEmpty, rows.isEmpty { pausedWrite = write.id } else { store.abandon() }
                    if taken.isEmpty && !wasPaused { write.pauseCount += 1 }
                    enqueueFirst(write)
                    break
                }
                answers.append(.success(answer))
                for row in rows[rowsBefore...] { bytes += row.key.count + row.value.count }
            } catch {
                switch error {
                case .lacks(let missing):
                    // It waits for its values; those behind it need not.
                    park(.write(write), lacking: missing, with: write.values, arrivedAt: write.arrivedAt)
                    continue
                case .refused(let error):
                    // Where an alarm refuses it there is nothing more to raise.
                    if error == .noSpace, !store.alarms.contains(.noSpace) { quotaAlarm.refused() }
                    answers.append(.failure(error))
                }
            }
            taken.append(write)
        }
        guard !rows.isEmpty else {
            guard !taken.isEmpty else { return !store.isPaused }
            for (write, answer) in zip(taken, answers) {
                readsWaiting.append(
                    PendingRead(
                        id: write.id, kind: .unchanged(write, answer, at: store.tip, digest: store.tipDigest),
                        arrivedAt: write.arrivedAt))
            }
            startHeadRead()
            return true
        }
        let newHead = Head(
            clusterID: clusterID, position: store.tip, digest: store.tipDigest, epoch: epoch,
            compactRevision: store.tipCompactRevision)
        let append = AppendBatch(
            number: nextBatchNumber, expectedDigest: before.digest, expectedEpoch: epoch, newHead: newHead, rows: rows,
            needsLock: !revoked.isEmpty)
        nextBatchNumber += 1
        if !batches.isEmpty { counters.batchesPipelined += 1 }
        batches.append(
            Batch(
                startedAt: now, writes: taken, answers: answers, append: append, expired: revoked, end: store.savepoint,
                isLocked: isLocked))
        actions.append(.log(.append(append)))
        return true
    }

    // MARK: Outcomes

    /// A write has waited for as long as any may.
    mutating func fail(_ write: PendingWrite) {
        counters.writesFailed += 1
        noteTimeout(write.id, arrivedAt: write.arrivedAt, key: write.request.subject)
        respond(write.id, .failure(.timeout))
    }

    mutating func appended(_ number: UInt64) {
        if raiseAppended(number) { return }
        guard isAppending, let done = batches.first, done.append.number == number else { return }
        batches.removeFirst()
        racesLostInARow = 0
        lockExtraMs = 0
        counters.batchesAppended += 1
        counters.rowsAppended += UInt64(done.append.rows.count)
        batchPace.appended(bytes: done.append.byteCount, since: done.startedAt, now: now)
        store.commit(through: done.end)
        if !trail.isEmpty { trail.note(store.committed, store.committedDigest) }
        committed(done.append.rows, own: true)
        leasesExpired(done.expired)
        answer(done)
        confirmReads()
    }

    /// What was sent behind it conflicts, too, since it expects what this one would have made of the log. Nobody waits for that answer.
    mutating func conflicted(_ number: UInt64, _ tail: Tail) {
        if raiseFailed(number) { return }
        guard isAppending, let first = batches.first, first.append.number == number else { return }
        racesLostInARow += 1
        if racesLostInARow >= 2 || first.isLocked || tookLong(first) { hasNeighbours = true }
        // It was made under the lock, and took so long that the lock was given back before it came.
        if first.isLocked { lockExtraMs = min(max(lockExtraMs * 2, firstLockExtraMs), lockExtraLimitMs) }
        counters.racesLost += 1
        store.rollBack()
        let lost = batches
        batches = []
        requeue(lost)
        for batch in lost { expiryUndone(batch.expired) }
        fold(tail, since: store.committed)
    }

    /// Whether another race would cost a batch's clients too much of the time that they wait: on a slow link a large batch loses to whoever
    /// appends something small while it arrives.
    private func tookLong(_ batch: Batch) -> Bool {
        now >= batch.startedAt.advanced(byMs: configuration.longRaceMs)
    }

    mutating func headLocked(_ head: Head, expired: [LeaseID], sessions: UInt64) {
        guard case .asked(let since) = headLock else { return }
        headLock = .held(head, expired: expired)
        racesLostInARow = 0
        if isOther(head, since: since) { return historyChanged() }
        hasNeighbours = hasNeighbours && head.position > since
        headRevision = max(headRevision, head.position.revision)
        expiryLocked()
        if !expired.isEmpty, mayBeElsewhere(sessions) { return giveLockBack() }
        // Others can't wait for that long.
        if head.position.revision - store.revision > configuration.tailRowLimit {
            giveLockBack()
            startTailRead()
        }
    }

    /// Nobody appends before we do. Once all is folded that others have, the next batch is executed, which can't lose its race. The lock is
    /// kept while that takes further turns.
    private mutating func appendLocked(_ head: Head, _ expired: [LeaseID]) {
        guard store.committed >= head.position, unverified.isEmpty else { return startTailRead() }
        if store.committed == head.position {
            epoch = head.epoch
            // What hints were about is folded.
            isHinted = false
        }
        if !writes.isEmpty || !expired.isEmpty {
            guard executeBatch(expired: expired, isLocked: true) else { return }
        }
        headLock = .none
        // The lock is the next append's; without one it must be given back. Deadlines without a lease, of which nothing else was left,
        // stay out.
        if batches.isEmpty { actions.append(.log(.unlockHead(keepingRemovals: !expired.isEmpty))) }
    }

    /// What others have appended before can't be read soon: they are to go on. The next batch is not sent under the lock, since the
    /// answer to one that conflicts brings the tail along.
    mutating func giveLockBack() {
        guard case .held = headLock else { return }
        if isRevoking { store.abandon() }
        headLock = .none
        hasNeighbours = false
        expiryFailed()
        actions.append(.log(.unlockHead()))
    }

    /// What was sent behind it is lost with it: whether it is in the log is not known either, and what its own answer says, if there
    /// will be one, comes of itself with what the log is asked now.
    mutating func appendLost(_ number: UInt64, reason: String) {
        if raiseFailed(number) { return }
        guard isAppending, let first = batches.first, first.append.number == number else { return }
        counters.appendsLost += 1
        phase = .recovering
        store.rollBack()
        recovery = Recovery(since: store.committed)
        actions.append(.note(.appendLost(reason: reason)))
        actions.append(.log(.recover(after: store.committed)))
    }

    mutating func lockLost(reason: String) {
        guard case .asked = headLock else { return }
        headLock = .none
        expiryFailed()
        actions.append(.note(.readFailed(reason: reason)))
    }

    /// A row was folded: it may be the last of a lost batch.
    mutating func lookForLostBatch() {
        guard recovery != nil else { return }
        for index in batches.indices where batches[index].append.newHead.position == store.tip {
            batches[index].found = batches[index].append.newHead.digest == store.tipDigest
        }
    }

    /// The log is folded past the point where lost batches would be: they are there, or never will be. A batch can't be there without
    /// the one before it.
    mutating func settleLostBatches() {
        guard recovery != nil else { return }
        let lost = batches
        batches = []
        recovery = nil
        phase = .serving
        counters.servingPeriods += 1
        let found = lost.prefix { $0.found }
        for batch in lost { actions.append(.note(.appendRecovered(committed: batch.found))) }
        for batch in found {
            leasesExpired(batch.expired)
            answer(batch)
        }
        requeue(lost[found.count...])
    }

    private mutating func answer(_ batch: Batch) {
        noteSlow(batch)
        for (write, answer) in zip(batch.unanswered, batch.answers[batch.timedOutCount...]) {
            if case .success(.complete(let message)) = answer, write.physical, case .compact(let revision) = write.request {
                waitForSweep(PhysicalWaiter(id: write.id, revision: revision, message: message))
            } else {
                respond(write.id, answer, arrivedAt: write.arrivedAt)
            }
        }
    }

    /// Answers a write that is in the log, or that changes nothing.
    mutating func respond(_ id: CallID, _ answer: Result<WriteAnswer, EtcdError>, arrivedAt: Instant) {
        switch answer {
        case .success(.complete(let message)): respond(id, .success(message))
        case .success(.unfinished(let answer)): startScan(id: id, answer, arrivedAt: arrivedAt)
        case .success(.refused(let error)), .failure(let error): respond(id, .failure(error))
        }
    }

    mutating func respond(_ id: CallID, _ answer: Result<ByteString, EtcdError>) {
        if id.isOwn { return upkeepAnswered(id, answer) }
        switch answer {
        case .success(let message): actions.append(.respond(id, message))
        case .failure(let error): actions.append(.fail(id, error))
        }
    }

    /// Puts batches' writes back in front of the others, in their order.
    private mutating func requeue(_ batches: some BidirectionalCollection<Batch>) {
        for batch in batches.reversed() {
            for write in batch.unanswered.reversed() { enqueueFirst(write) }
        }
    }
}

/// How much longer the head's lock is asked for where a batch took longer to make than it was held, at first and at the most.
private let firstLockExtraMs = 1_000
private let lockExtraLimitMs = 32_000

/// How often a write that takes more than a turn begins anew before it is executed under the head's lock.
private let pauseLimit = 3

/// How many batches may be under way at once. With two, PostgreSQL always has the next one; more would only be smaller.
private let batchLimit = 2

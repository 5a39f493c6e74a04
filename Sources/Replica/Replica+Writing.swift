// Owns: what the write pipeline is told, and what becomes of what it wants; answers to writes.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension Replica {
    mutating func enqueue(_ write: consuming PendingWrite) {
        let id = write.id
        if !writes.arrived(write) { respond(id, .failure(.tooManyRequests)) }
    }

    // MARK: Starting

    /// Whether nothing stands in the way of the next batch, but for one that it may follow. Where the log is known to go on, an append
    /// would lose its race.
    private var mayAppend: Bool { writes.isLockFree && !follower.isBehind }

    var canStartBatch: Bool { !writes.hasBatches && mayAppend }

    /// Not while somebody waits for all that was sent to be settled.
    private var canFollow: Bool { writes.canFollow && !isExpiryDue && !isRoundAnswered && !snapshots.areStarting }

    /// Whether the write that the store is in the middle of can go on.
    var canGoOnWriting: Bool {
        guard store.isPaused else { return false }
        if let hold = writes.hold { return store.committed >= hold.head.position && !follower.isBehind }
        return mayAppend && (!writes.hasBatches || canFollow)
    }

    mutating func startBatch() {
        // Its client has given up, or others have come before it.
        if store.isPaused, !isRevoking, !writes.isFirstUnfinished { store.abandon() }
        if let hold = writes.hold { return appendLocked(hold) }
        guard mayAppend else { return }
        guard !writes.hasBatches else {
            if canFollow { executeBatch() }
            return
        }
        let expiring = takeExpiring()
        if expiring != nil || writes.wantsLock {
            writes.askForLock(since: store.committed, expiring: expiring, &actions)
        } else if writes.areWaiting {
            executeBatch()
        }
    }

    /// Nobody appends before we do. Once all is folded that others have, the next batch is executed, which can't lose its race. The lock is
    /// kept while that takes further turns.
    private mutating func appendLocked(_ hold: HeadLock.Hold) {
        guard store.committed >= hold.head.position, !follower.isBehind else { return startTailRead() }
        if store.committed == hold.head.position {
            epoch = hold.head.epoch
            follower.hintsFolded()
        }
        if writes.areWaiting || !hold.expired.isEmpty {
            guard executeBatch(expired: hold.expired, isLocked: true) else { return }
        }
        writes.lockUsed(hold, &actions)
    }

    /// Executes as many waiting writes as fit, and appends their rows. Leases that have expired go first, under the head row's lock.
    /// - Returns: false where the first of them takes more than a turn. To go on, call this again with the same leases.
    @discardableResult
    private mutating func executeBatch(expired: [LeaseID] = [], isLocked: Bool = false) -> Bool {
        if !expired.isEmpty, !isRevoking { store.abandon() }
        var draft = BatchDraft(behind: store.savepoint, isLocked: isLocked, visits: configuration.turnKeyLimit)
        guard let revoked = revoke(expired, &draft.rows, visits: &draft.visits) else { return false }
        draft.expired = revoked
        writes.execute(into: &draft, &store, header: header, origin: configuration.origin)
        for lacking in draft.lacking { lackValues(lacking) }
        if draft.exceedsQuota { quotaAlarm.refused() }
        guard draft.rows.isEmpty else {
            send(draft)
            return true
        }
        guard !draft.writes.isEmpty else { return !store.isPaused }
        confirm(draft)
        return true
    }

    private mutating func lackValues(_ lacking: BatchDraft.Lacking) {
        park(.write(lacking.write), lacking: lacking.values, with: lacking.write.values, arrivedAt: lacking.write.arrivedAt)
    }

    private mutating func send(_ draft: BatchDraft) {
        if writes.hasBatches { counters.writes.batchesPipelined += 1 }
        let newHead = Head(
            clusterID: clusterID, position: store.tip, digest: store.tipDigest, epoch: epoch, compactRevision: store.tipCompactRevision)
        writes.send(draft, newHead: newHead, end: store.savepoint, now, &actions)
    }

    /// The writes of a batch that changes nothing are reads in the end: they wait until it is known that the log still ends here.
    private mutating func confirm(_ draft: BatchDraft) {
        for (write, answer) in zip(draft.writes, draft.answers) {
            headReader.arrived(
                PendingRead(
                    id: write.id, kind: .unchanged(write, answer, at: store.tip, digest: store.tipDigest), arrivedAt: write.arrivedAt,
                    principal: write.principal))
        }
        startHeadRead()
    }

    // MARK: Outcomes

    mutating func appended(_ number: UInt64) {
        if raiseAppended(number) { return }
        guard let done = writes.appended(number, now) else { return }
        counters.writes.batchesAppended += 1
        commit(done.append.rows, through: done.end, isOwn: true)
        leasesExpired(done.expired)
        answer(done)
        confirmReads()
    }

    mutating func conflicted(_ number: UInt64, _ tail: Tail) {
        if raiseFailed(number) { return }
        guard let undone = writes.conflicted(number, now) else { return }
        counters.writes.racesLost += 1
        store.rollBack()
        for batch in undone { expiryUndone(batch.expired) }
        fold(tail, since: store.committed)
    }

    mutating func appendLost(_ number: UInt64, reason: String) {
        if raiseFailed(number) { return }
        guard writes.appendLost(number) else { return }
        counters.writes.appendsLost += 1
        store.rollBack()
        phase.appendLost(since: store.committed)
        actions.append(.note(.appendLost(reason: reason)))
        actions.append(.log(.recover(after: store.committed)))
    }

    /// A row was folded: it may be the last of a lost batch.
    mutating func lookForLostBatch() { writes.rowFolded(at: store.tip, store.tipDigest) }

    /// The log is folded past the point where lost batches would be: they are there, or never will be.
    mutating func settleLostBatches() {
        let (found, undone) = writes.settled()
        phase.recovered()
        counters.servingPeriods += 1
        for _ in found { actions.append(.note(.appendRecovered(committed: true))) }
        for _ in undone { actions.append(.note(.appendRecovered(committed: false))) }
        for batch in found {
            leasesExpired(batch.expired)
            answer(batch)
        }
    }

    /// The log is loaded anew: whether batches under way are in it can't be told. How many writes were left without an outcome.
    mutating func failSentWrites(_ error: EtcdError) -> Int {
        var count = 0
        for batch in writes.takeUnknown() {
            count += batch.unanswered.count
            for write in batch.unanswered { respond(write.id, .failure(error)) }
        }
        return count
    }

    /// Fails waiting writes that have waited for as long as any may.
    mutating func expireWaitingWrites() {
        while let write = writes.takeOverdue(now) { fail(write) }
    }

    /// Fails writes whose append is under way or lost. Whether they happened is found out without their clients.
    mutating func expireSentWrites() {
        while let write = writes.takeOverdueSent(now) { fail(write) }
    }

    private mutating func fail(_ write: PendingWrite) {
        counters.writes.failed += 1
        noteTimeout(write.id, arrivedAt: write.arrivedAt, key: write.request.subject)
        respond(write.id, .failure(.timeout))
    }

    // MARK: The lock

    mutating func headLocked(_ head: Head, expired: [LeaseID], sessions: UInt64) {
        guard let since = writes.lockGranted(HeadLock.Hold(head: head, expired: expired)) else { return }
        if isOther(head, since: since) { return historyChanged() }
        follower.headHeard(head)
        expiryLocked()
        if !expired.isEmpty, mayBeElsewhere(sessions) { return giveLockBack() }
        // Others can't wait for that long.
        if store.revision.distance(to: head.position.revision) > configuration.tailRowLimit {
            giveLockBack()
            startTailRead()
        }
    }

    mutating func lockLost(reason: String) {
        guard writes.lockRefused() else { return }
        expiryFailed()
        actions.append(.note(.readFailed(reason: reason)))
    }

    /// What others have appended before can't be read soon: they are to go on. The next batch is not sent under the lock, since the
    /// answer to one that conflicts brings the tail along.
    mutating func giveLockBack() {
        guard writes.hold != nil else { return }
        if isRevoking { store.abandon() }
        expiryFailed()
        writes.giveLockBack(&actions)
    }

    // MARK: Answers

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
}

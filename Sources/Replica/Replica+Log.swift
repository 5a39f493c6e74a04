// Owns: folding what the log says: at start-up, after lost races, from other processes; and noticing a changed history.
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// Rows that are known to come next, on their way into memory, a bounded number a turn.
struct Folding {
    var rows: [LogRow]
    var foldedCount = 0
    /// Where they have to lead to.
    var end: UnverifiedRows.Point
    /// What the tail that brought the last of them said.
    var head: Head
    var reachesHead: Bool
    /// Whether a tail came meanwhile that has to be read again.
    var asksAgain = false
}

extension Replica {
    mutating func heard(_ event: consuming LogEvent) {
        noteContact(event)
        switch consume event {
        case .appended(let number): appended(number)
        case .conflicted(let number, let tail): conflicted(number, tail)
        case .appendLost(let number, let reason): appendLost(number, reason: reason)
        // A lock that nobody waits for any more is given back by the log itself.
        case .headLocked(let head, let expired, let sessions):
            if !isStale(\.locks) { headLocked(head, expired: expired, sessions: sessions) }
        case .lockFailed(let reason): if !isStale(\.locks) { lockLost(reason: reason) }
        case .recovered(let tail): recovered(tail)
        case .headRead(let head): headRead(head)
        case .headReadFailed(let reason): headReadFailed(reason: reason)
        case .tailRead(let tail): if !isStale(\.tailReads) { tailRead(tail) }
        case .tailReadFailed: if !isStale(\.tailReads) { tailReadFailed() }
        case .historyRead(let tail): historyRead(tail)
        case .historyReadFailed: historyReadFailed()
        case .valuesRead(let number, let head, let values): fetcher.valuesRead(number, head, values)
        case .valuesReadFailed(let number, _): valuesReadFailed(number)
        case .rowsDeleted(let number, let count, let digest): rowsDeleted(number, count, digest)
        case .deletionRefused(let number): deletionRefused(number)
        case .deletionLeft(let number): deletionLeft(number)
        case .lease(let number, let answer): heardOfLeases(number, answer)
        case .hinted: isHinted = true
        }
        takeAnswers()
    }

    /// Whether an answer is that to a question from before the log was loaded anew. Each is answered once, in order.
    private mutating func isStale(_ kind: WritableKeyPath<StaleAnswers, Int>) -> Bool {
        guard stale[keyPath: kind] > 0 else { return false }
        stale[keyPath: kind] -= 1
        return true
    }

    /// Whether the log can be reached, as far as this event tells.
    private mutating func noteContact(_ event: borrowing LogEvent) {
        switch event {
        case .appendLost, .lockFailed, .headReadFailed, .tailReadFailed, .historyReadFailed:
            if logAwaySince == nil { logAwaySince = now }
        case .appended, .conflicted, .headLocked, .recovered, .headRead, .tailRead, .historyRead: logAwaySince = nil
        default: break
        }
    }

    // MARK: Loading

    mutating func load(_ rows: [LogRow]) {
        guard phase == .loading else { return }
        for row in rows { store.apply(row) }
        store.commit()
        comparePast(rows)
        counters.rowsFolded += UInt64(rows.count)
    }

    /// Rows whose values stay in the log until somebody wants them.
    mutating func loadWithoutValues(_ rows: [LogRow], _ byteCounts: [Int]) {
        guard phase == .loading else { return }
        for (row, byteCount) in zip(rows, byteCounts) { store.applyWithoutValue(row, byteCount: byteCount) }
        store.commit()
        isWhollyRead = false
        comparePast(rows.filter { $0.kind == .digestKey })
        counters.rowsFolded += UInt64(rows.count)
    }

    mutating func restartLoading() {
        guard phase == .loading else { return }
        emptyStore()
        comparePastAnew()
    }

    private mutating func emptyStore() {
        let valueCounts = store.valueCounts
        store = Store()
        store.valueCounts = valueCounts
        isWhollyRead = true
        store.quotaBytes = configuration.quotaBackendBytes
        store.valueByteLimit = configuration.valueCacheBytes
        store.answerByteLimit = configuration.answerByteLimit
        store.inlineVisitLimit = configuration.inlineKeyLimit
    }

    mutating func finishLoading(_ head: Head, _ deleted: SweepState) {
        guard phase == .loading else { return }
        // Before the first compaction nothing has been removed, so the rows must add up to the digest.
        if head.compactRevision < 0, isWhollyRead, store.committed != head.position || store.committedDigest != head.digest {
            counters.isLogDamaged = true
            actions.append(.note(.logDamaged(at: store.committed, retryMs: reloadPauseMs)))
            reset(loading: false)
            reloadAt = now.advanced(byMs: reloadPauseMs)
            reloadPauseMs = min(reloadPauseMs * 2, reloadPauseLimitMs)
            return
        }
        reloadPauseMs = firstReloadPauseMs
        store.adopt(head)
        sweeper.loaded(deleted)
        clusterID = head.clusterID
        epoch = head.epoch
        if let lost = lostRevision(from: head) { raiseRevision(past: lost) } else { startServing() }
    }

    mutating func reloadDamaged() {
        guard let reloadAt, now >= reloadAt else { return }
        self.reloadAt = nil
        actions.append(.load)
    }

    mutating func startServing() {
        phase = .serving
        // From here on the memory itself is the mark: nothing served before lies past it.
        marks = []
        counters.servingPeriods += 1
        counters.isLogDamaged = false
        headRevision = store.revision
        resumeWatchers()
        actions.append(.note(.serving(revision: store.revision, keys: store.index.liveCount)))
    }

    // MARK: Following

    mutating func poll() {
        guard isHinted || now >= nextPoll, canPoll else { return }
        startTailRead()
    }

    /// Whether nothing is under way that tells what a poll would.
    var canPoll: Bool { phase == .serving && batches.isEmpty && headRead == .idle && !tailReadInFlight }

    mutating func startTailRead() {
        guard !tailReadInFlight, folding == nil else { return }
        tailReadInFlight = true
        tailReadSince = max(store.committed, unverified.reach ?? .start)
        isHinted = false
        nextPoll = now.advanced(byMs: pollIntervalMs)
        tailReadAfter = unverified.end ?? store.committed
        actions.append(.log(.readTail(after: tailReadAfter, limit: configuration.tailRowLimit)))
    }

    private mutating func tailRead(_ tail: Tail) {
        guard tailReadInFlight else { return }
        tailReadInFlight = false
        let minimum = configuration.pollIntervalMinMs
        pollIntervalMs = tail.rows.isEmpty ? min(max(pollIntervalMs * 2, minimum), configuration.pollIntervalMaxMs) : minimum
        nextPoll = now.advanced(byMs: pollIntervalMs)
        // Rows before these were passed, and are read again since another answer came first: so are these.
        if tailReadAfter > unverified.end ?? store.committed { return startTailRead() }
        // While an append is in flight its answer tells whether these rows are our own.
        if !isAppending { fold(tail, since: tailReadSince) } else { confirmReads() }
    }

    private mutating func tailReadFailed() {
        guard tailReadInFlight else { return }
        tailReadInFlight = false
        // Nothing else would ask again for those who wait for the rest of a tail; the log paces who asks too often.
        if phase == .recovering { startTailRead() } else { confirmReads() }
        giveLockBack()
    }

    private mutating func recovered(_ tail: Tail) {
        guard phase == .recovering else { return }
        recovery?.raisedEpoch = tail.head.epoch
        fold(tail, since: recovery?.since ?? .start)
    }

    /// Folds rows after the committed position, which must not be under speculation, as far as they are known to come after it.
    /// - Parameter since: how far the log was known to go when the tail was asked for. One that ends before that has lost something.
    mutating func fold(_ tail: Tail, since: Position) {
        guard isLoaded else { return }
        if tail.head.position < since { return historyChanged() }
        guard folding == nil else {
            folding?.asksAgain = true
            return
        }
        if mayHaveGap(tail) { return overtaken() }
        let tip = UnverifiedRows.Point(position: store.committed, digest: store.committedDigest)
        guard let known = unverified.take(tail, after: tip, key: store.digestKey, byteLimit: configuration.unverifiedByteLimit) else {
            return historyChanged()
        }
        // The only speculation there can be is a write that is not executed to its end: it begins anew. Under the lock nobody else appends,
        // so that is lost.
        if !known.rows.isEmpty {
            if isRevoking { giveLockBack() }
            store.abandon()
        }
        // Before anybody is told of rows of another history. Few are folded and looked at before they are committed.
        if known.rows.count > configuration.foldRowLimit {
            var (end, key) = (tip, store.digestKey)
            for row in known.rows {
                end.position = row.position
                _ = end.digest.append(row, &key)
            }
            if end != known.end { return historyChanged() }
        }
        headRevision = max(headRevision, tail.head.position.revision)
        folding = Folding(rows: known.rows, end: known.end, head: tail.head, reachesHead: tail.reachesHead)
        unverified.isFolding = true
        continueFolding()
    }

    /// Folds some of the rows that are known to come next, whole revisions, once a turn.
    mutating func continueFolding() {
        guard let current = folding, isLoaded, current.foldedCount == 0 || !turnWork.hasFolded else { return }
        let rows = current.rows
        var end = min(current.foldedCount + configuration.foldRowLimit, rows.count)
        while end > current.foldedCount, end < rows.count, rows[end].position.revision == rows[end - 1].position.revision { end += 1 }
        let piece = current.foldedCount == 0 && end == rows.count ? rows : Array(rows[current.foldedCount..<end])
        folding?.foldedCount = end
        turnWork.hasFolded = true
        turnWork.visits += piece.count
        for row in piece {
            store.apply(row)
            lookForLostBatch()
            if !trail.isEmpty { trail.note(store.tip, store.tipDigest) }
        }
        // Where nothing was folded, the store may be in the middle of a write, whose rows are no part of what the log said.
        let folded = store.savepoint
        if end == rows.count, folded.tip != current.end.position || folded.digest != current.end.digest { return historyChanged() }
        store.commit()
        counters.rowsFolded += UInt64(piece.count)
        committed(piece, own: false)
        if end == rows.count { endFolding(current.head, reachesHead: current.reachesHead) }
    }

    private mutating func endFolding(_ head: Head, reachesHead: Bool) {
        let asksAgain = folding?.asksAgain ?? false
        folding = nil
        unverified.isFolding = false
        // Another server may know of fewer raises. An older answer's epoch does no harm: the append that expects it fails.
        if head.epoch > epoch || head.position >= store.committed { epoch = head.epoch }
        guard reachesHead, unverified.isEmpty else {
            startTailRead()
            return
        }
        if asksAgain { startTailRead() }
        overtakenMayGoOn()
        // A tail that was read before the epoch was raised doesn't tell: the lost append may come after it.
        if let raised = recovery?.raisedEpoch, head.epoch >= raised { settleLostBatches() }
        confirmReads()
    }

    /// Rows have become visible.
    mutating func committed(_ rows: [LogRow], own: Bool) {
        count(rows)
        publish(rows)
        noteLeases(rows)
        if own {
            nextPoll = now.advanced(byMs: pollIntervalMs)
        }
    }

    // MARK: A history that changed under us

    /// Whether a head is visibly not our history's.
    /// - Parameter since: how far the log was known to go when it was asked for.
    func isOther(_ head: Head, since: Position) -> Bool {
        head.position < since || (head.position == store.committed && head.digest != store.committedDigest)
    }

    /// The log isn't the one that we folded: a failover lost its end, or a backup was restored. Nothing may be served from
    /// this memory; what is in flight has no outcome that could be known.
    mutating func historyChanged() {
        actions.append(.note(.historyChanged(at: store.committed)))
        for batch in batches {
            counters.writesFailed += UInt64(batch.unanswered.count)
            for write in batch.unanswered { respond(write.id, .failure(.leaderChanged)) }
        }
        failLacking()
        failScans()
        failHashes()
        endWatches()
        // What the old history's revisions had us do.
        writes.removeAll { $0.id.isOwn }
        waitingWriteBytes = writes.reduce(0) { $0 + $1.byteCount }
        autoCompactor = AutoCompactor(configuration.autoCompaction)
        quotaAlarm = QuotaAlarm(member: configuration.memberID)
        reset()
    }

    /// Begins anew with an empty memory; the log is loaded at once, or when the caller says so.
    mutating func reset(loading: Bool = true) {
        if let served { marks.append(ComparedMark(served)) }
        comparePastAnew()
        if tailReadInFlight { stale.tailReads += 1 }
        switch headLock {
        case .none: break
        case .asked: stale.locks += 1
        case .held: actions.append(.log(.unlockHead()))
        }
        raise = nil
        emptyStore()
        trail = Trail()
        phase = .loading
        batches = []
        recovery = nil
        headLock = .none
        racesLostInARow = 0
        hasNeighbours = false
        lockExtraMs = 0
        readsWaiting.insert(contentsOf: readsReady + readsConfirming, at: 0)
        readsReady = []
        readsConfirming = []
        if case .inFlight = headRead { staleHeadReads += 1 }
        headRead = .idle
        pausedWrite = nil
        tailReadInFlight = false
        unverified = UnverifiedRows()
        folding = nil
        for waiter in sweeper.loadingBegan() { actions.append(.fail(waiter.id, .leaderChanged)) }
        for listing in leaseListings { actions.append(.fail(listing.id, .leaderChanged)) }
        leaseListings.removeAll()
        restartLeases()
        if loading { actions.append(.load) }
    }
}

let firstReloadPauseMs = 1_000
private let reloadPauseLimitMs = 60_000

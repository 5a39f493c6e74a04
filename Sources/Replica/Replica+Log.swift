// Owns: what the machines are told of the log's answers, and what becomes of what they say: rows on their way into the store, at start-up,
// after lost races, from other processes.
internal import EtcdAPI
internal import Keyspace

extension Replica {
    mutating func heard(_ event: consuming LogEvent) {
        noteContact(event)
        switch consume event {
        case .appended(let number): appended(number)
        case .conflicted(let number, let tail): conflicted(number, tail)
        case .appendLost(let number, let reason): appendLost(number, reason: reason)
        case .headLocked(let head, let expired, let sessions): headLocked(head, expired: expired, sessions: sessions)
        case .lockFailed(let reason): lockLost(reason: reason)
        case .recovered(let tail): recovered(tail)
        case .headRead(let head): headRead(head)
        case .headReadFailed: headReader.failed()
        case .tailRead(let tail): tailRead(tail)
        case .tailReadFailed: tailReadFailed()
        case .historyRead(let tail): historyRead(tail)
        case .historyReadFailed: historyReadFailed()
        case .valuesRead(let number, let head, let values): fetcher.valuesRead(number, head, values)
        case .valuesReadFailed(let number, _): valuesReadFailed(number)
        case .rowsDeleted(let number, let count, let digest): rowsDeleted(number, count, digest)
        case .deletionRefused(let number): deletionRefused(number)
        case .deletionLeft(let number): deletionLeft(number)
        case .lease(let number, let answer): heardOfLeases(number, answer)
        case .hinted: follower.hinted()
        }
        takeAnswers()
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
        guard phase.isLoading else { return }
        for row in rows { store.apply(row) }
        store.commit()
        phase.rowsLoaded(rows)
        counters.rowsFolded += UInt64(rows.count)
    }

    /// Rows whose values stay in the log until somebody wants them.
    mutating func loadWithoutValues(_ rows: [LogRow], _ byteCounts: [Int]) {
        guard phase.isLoading else { return }
        for (row, byteCount) in zip(rows, byteCounts) { store.applyWithoutValue(row, byteCount: byteCount) }
        store.commit()
        phase.rowsLoadedWithoutValues(rows)
        counters.rowsFolded += UInt64(rows.count)
    }

    mutating func restartLoading() {
        guard phase.isLoading else { return }
        emptyStore()
        phase.loadRestarted()
    }

    mutating func emptyStore() {
        let valueCounts = store.valueCounts
        store = Store()
        store.valueCounts = valueCounts
        store.quotaBytes = configuration.quotaBackendBytes
        store.valueByteLimit = configuration.valueCacheBytes
        store.answerByteLimit = configuration.answerByteLimit
        store.inlineVisitLimit = configuration.inlineKeyLimit
        store.auth = AuthTable(tokenTimeToLiveMs: configuration.tokenTimeToLiveMs)
    }

    mutating func finishLoading(_ head: Head, _ deleted: SweepState) {
        guard phase.isLoading else { return }
        let outcome = phase.loadFinished(head, at: folded, now: now)
        if case .damaged(let retryMs) = outcome {
            counters.isLogDamaged = true
            actions.append(.note(.logDamaged(at: store.committed, retryMs: retryMs)))
            loadAnew(after: .damage)
            return
        }
        store.adopt(head)
        sweeper.loaded(deleted)
        clusterID = head.clusterID
        epoch = head.epoch
        if case .lost(let revision) = outcome { raiseRevision(past: revision) } else { startServing() }
    }

    mutating func reloadDamaged() {
        if phase.isRetryDue(now) { actions.append(.load) }
    }

    /// The store is at the log's end, and nothing of what was served is lost.
    mutating func startServing() {
        counters.servingPeriods += 1
        counters.isLogDamaged = false
        follower.servingBegan(at: store.revision)
        resumeWatchers()
        actions.append(.note(.serving(revision: store.revision, keys: store.index.liveCount)))
    }

    // MARK: Following

    /// Where folding has come to.
    var folded: UnverifiedRows.Point { UnverifiedRows.Point(position: store.committed, digest: store.committedDigest) }

    /// Whether a head is visibly not our history's.
    /// - Parameter since: how far the log was known to go when it was asked for.
    func isOther(_ head: Head, since: Position) -> Bool {
        head.position < since || (head.position == store.committed && head.digest != store.committedDigest)
    }

    mutating func poll() {
        if canPoll, follower.isPollDue(now) { startTailRead() }
    }

    /// Whether nothing is under way that tells what a poll would.
    var canPoll: Bool { phase.isServing && !writes.hasBatches && headReader.isIdle && !follower.isReading }

    mutating func startTailRead() {
        guard let position = follower.tailReadStarted(committed: store.committed, now: now) else { return }
        actions.append(.log(.readTail(after: position, limit: configuration.tailRowLimit)))
    }

    private mutating func tailRead(_ tail: Tail) {
        switch follower.tailRead(tail, committed: store.committed, now: now) {
        case .stale: break
        case .readAgain: startTailRead()
        // While an append is in flight its answer tells whether these rows are our own.
        case .tail(let since): if !writes.isAppending { fold(tail, since: since) } else { confirmReads() }
        }
    }

    private mutating func tailReadFailed() {
        guard follower.tailReadFailed() else { return }
        // Nothing else would ask again for those who wait for the rest of a tail; the log paces who asks too often.
        if phase.isRecovering { startTailRead() } else { confirmReads() }
        giveLockBack()
    }

    private mutating func recovered(_ tail: Tail) {
        guard let since = phase.epochRaised(to: tail.head.epoch) else { return }
        fold(tail, since: since)
    }

    /// Folds rows after the committed position, which must not be under speculation, as far as they are known to come after it.
    /// - Parameter since: how far the log was known to go when the tail was asked for. One that ends before that has lost something.
    mutating func fold(_ tail: Tail, since: Position) {
        guard isLoaded else { return }
        switch follower.tailCame(tail, since: since, onto: folded, key: store.digestKey) {
        case .otherHistory: historyChanged()
        case .gap: overtaken()
        case .busy: break
        case .known(let hasRows):
            // The only speculation there can be is a write that is not executed to its end: it begins anew. Under the lock nobody else
            // appends, so that is lost.
            if hasRows {
                if isRevoking { giveLockBack() }
                store.abandon()
            }
            continueFolding()
        }
    }

    /// Folds some of the rows that are known to come next, whole revisions, once a turn.
    mutating func continueFolding() {
        guard let piece = follower.takePiece() else { return }
        turnWork.visits += piece.rows.count
        for row in piece.rows {
            store.apply(row)
            lookForLostBatch()
            if !trail.isEmpty { trail.note(store.tip, store.tipDigest) }
        }
        // Where nothing was folded, the store may be in the middle of a write, whose rows are no part of what the log said.
        let end = store.savepoint
        if let expected = piece.end, end.tip != expected.position || end.digest != expected.digest { return historyChanged() }
        commit(piece.rows, through: end, isOwn: false)
        if piece.end != nil { endFolding() }
    }

    private mutating func endFolding() {
        let end = follower.foldingEnded()
        // Another server may know of fewer raises. An older answer's epoch does no harm: the append that expects it fails.
        if end.head.epoch > epoch || end.head.position >= store.committed { epoch = end.head.epoch }
        guard end.isAtHead else {
            startTailRead()
            return
        }
        if end.asksAgain { startTailRead() }
        overtakenMayGoOn()
        if phase.isSettled(at: end.head.epoch) { settleLostBatches() }
        confirmReads()
    }
}

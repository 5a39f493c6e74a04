// Owns: what the watch table is told, and what becomes of what it wants.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension Replica {
    /// Tells the watch table of something, and sees to what it wants done.
    private mutating func tell(_ event: (inout WatchTable, borrowing Store) -> Void) {
        watches.isTold(
            Standing(now: now, committed: store.committed, compactRevision: store.compactRevision, header: header), &actions)
        event(&watches, store)
        counters.watchEventsSent += watches.told(&actions)
        for id in watches.takeProgressReads() { headReader.arrived(PendingRead(id: id, kind: .watchProgress, arrivedAt: now)) }
        if let lacking = watches.takeLackingSweep() { readValues(forSweep: lacking.sweep, lacking.missing) }
        if watches.isReadingHistory { startTrail() }
    }

    private mutating func readValues(forSweep number: UInt64, _ missing: [MissingValue]) {
        guard fetcher.hasRoom else {
            watches.valuesRefused(forSweep: number)
            return
        }
        park(.sweep(number), lacking: missing, arrivedAt: now)
    }

    // MARK: Clients

    mutating func openWatchStream(_ id: CallID, by principal: Principal) {
        tell { watches, _ in watches.streamOpened(id, by: principal) }
    }

    mutating func requestWatch(_ id: CallID, _ request: WatchRequest) {
        let isLoaded = isLoaded
        tell { watches, store in watches.requested(id, request, isLoaded: isLoaded, store) }
    }

    mutating func watchStreamDrained(_ id: CallID) { tell { watches, _ in watches.drained(id) } }

    mutating func watchersLeft(_ gone: Set<CallID>) { tell { watches, _ in watches.clientsLeft(gone) } }

    mutating func requireLeader(_ id: CallID) {
        let isLeaderless = isLeaderless
        tell { watches, _ in watches.leaderRequired(id, isLeaderless: isLeaderless) }
    }

    private var isLeaderless: Bool { logAwaySince.map { $0.advanced(byMs: configuration.leaderlessLimitMs) <= now } ?? false }

    /// Ends the streams that require a leader where the log is away.
    mutating func endLeaderless() {
        if watches.hasLeaderStreams, isLeaderless { tell { watches, _ in watches.leaderLost() } }
    }

    mutating func confirmProgress(_ id: CallID) { tell { watches, _ in watches.progressConfirmed(id) } }

    mutating func progressExpired(_ id: CallID) { tell { watches, _ in watches.progressExpired(id) } }

    // MARK: A turn

    mutating func publish(_ rows: [LogRow]) { tell { watches, store in watches.committed(rows, store) } }

    /// Goes on with what earlier turns have left for watchers that are up to date, and for new ones.
    mutating func continueWatches() {
        guard watches.hasMoreWork else { return }
        tell { watches, store in
            watches.handOutLive(store)
            watches.takeEarlyRequests(store)
        }
    }

    /// Forgets watchers of streams that have ended, also where the log is away.
    mutating func forgetEndedWatches() {
        if watches.hasMoreWork { tell { watches, _ in watches.forgetEnded() } }
    }

    /// Takes watchers that are behind a step further.
    mutating func catchUp() {
        if canCatchUp { tell { watches, store in watches.continueSweep(store) } }
        takeHistory()
        guard phase.isServing, canCatchUp else { return }
        tell { watches, store in watches.lookAfterLaggards(store) }
    }

    /// Whether the next turn can take a watcher further without hearing from anybody.
    var canCatchUp: Bool { watches.canCatchUp }

    mutating func notifyProgress() {
        guard let deadline = watches.progressDeadline, deadline <= now else { return }
        tell { watches, _ in watches.notifyProgress() }
    }

    // MARK: The log

    mutating func historyRead(_ tail: Tail) { tell { watches, _ in watches.historyRead(tail) } }

    mutating func historyReadFailed() {
        tell { watches, _ in watches.historyReadFailed() }
        endTrail()
    }

    /// Judges old rows that were read for watchers.
    mutating func takeHistory() {
        guard let (head, since) = watches.historyAnswer else { return }
        switch trail.judge(head, since: since) {
        case .ours:
            tell { watches, store in watches.historyWasOurs(store) }
            endTrail()
        case .ahead: followTrail()
        case .other: historyChanged()
        case .unknown: tell { watches, _ in watches.historyIsUnknown() }
        }
    }

    mutating func resumeSweep(_ number: UInt64, with values: [Position: ByteString]) {
        tell { watches, store in watches.valuesRead(forSweep: number, values, store) }
    }

    // MARK: A log that is loaded anew

    mutating func holdWatchers() {
        tell { watches, _ in watches.loadingBegan() }
        endTrail()
    }

    mutating func resumeWatchers() { tell { watches, _ in watches.servingBegan() } }

    mutating func endWatches() {
        tell { watches, _ in watches.historyLost() }
        endTrail()
    }

    // MARK: Counts

    package var watchCounts: WatchCounts { watches.counts }
}

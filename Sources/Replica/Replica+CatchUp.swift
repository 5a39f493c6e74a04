// Owns: watchers that are behind: which rows they are given next, from memory or by reading the log, and a sweep's way through these.
// Must never: give a watcher rows in passing that it would miss others before; sweep two runs of rows at once.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// How many keys and watchers are looked at for values that a sweep is going to need.
private let missingVisitLimit = 1_000

extension Replica {
    // MARK: Catching up

    /// Takes lagging watchers a step further: those that are not far behind from memory, the others by reading the log. At most
    /// one read is in flight, and only for watchers whose clients take what they are sent.
    mutating func catchUp() {
        continueSweep()
        if watches.sweep == nil { takeHistory() }
        guard watches.needsLook, watches.sweep == nil, phase == .serving else { return }
        watches.needsLook = false
        sortOut()
        let recentStart = watches.recent.firstRevision
        if let start = next(watches.laggards, from: watches.recentSweep, where: { $0 >= recentStart }) {
            let (rows, areAll) = watches.recent.rows(from: start, limit: configuration.historyRowLimit)
            let end = areAll ? store.revision : rows[rows.count - 1].position.revision
            watches.recentSweep = end + 1
            begin(WatchSweep(rows: rows, start: start, end: end))
        }
        guard watches.historyRead == nil else { return }
        if let start = next(watches.laggards, from: watches.historySweep, where: { $0 < recentStart }) {
            readHistory(HistoryRead(start: start, after: Position(start - 1, .max)))
        }
    }

    /// Ends the watches of laggards that compaction has overtaken, and parks those whose clients have enough to take.
    private mutating func sortOut() {
        turnWork.visits += watches.laggards.count
        var streams: [WatchStream] = []
        for watcher in watches.laggards where watcher.place == .catchingUp {
            if isOvertaken(watcher) {
                cancelCompacted(watcher)
                if watcher.stream.progressWaits { streams.append(watcher.stream) }
            } else if isBlocked(watcher.stream) {
                watches.catchingUp.remove(watcher.key)
                watcher.stream.park(watcher)
                watches.hasLeavers = true
            }
        }
        forgetLeavers()
        for stream in streams { answerProgress(stream) }
    }

    /// Whether a watcher that is behind lacks rows that compaction may have deleted.
    func isOvertaken(_ watcher: Watcher) -> Bool {
        guard watcher.nextRevision < store.compactRevision else { return false }
        // One that only waits for a value or its turn has its rows in memory. What was before them is compacted then, and not told.
        return !(watcher.isBlameless && watcher.nextRevision >= watches.recent.firstRevision)
    }

    mutating func forgetLeavers() {
        guard watches.hasLeavers else { return }
        watches.hasLeavers = false
        watches.laggards.removeAll { watcher in
            if watcher.place != .catchingUp { watcher.isListed = false }
            return watcher.place != .catchingUp
        }
    }

    /// Where a sweep goes on: at the lowest revision that a watcher waits for at or after the sweep's, else again at the lowest
    /// of all. So all watchers on the way share what is read, and none waits for longer than a sweep.
    private func next(_ watchers: [Watcher], from sweep: Revision, where isWanted: (Revision) -> Bool) -> Revision? {
        var ahead: Revision?
        var lowest: Revision?
        for watcher in watchers {
            let revision = watcher.nextRevision
            guard isWanted(revision) else { continue }
            if revision >= sweep { ahead = min(ahead ?? .max, revision) }
            lowest = min(lowest ?? .max, revision)
        }
        return ahead ?? lowest
    }

    /// Whether the next turn can take a watcher further without hearing from anybody.
    var canCatchUp: Bool {
        guard !watches.parkedSweep else { return false }
        return watches.sweep != nil || watches.needsLook && !watches.laggards.isEmpty
    }

    private mutating func readHistory(_ read: HistoryRead) {
        startTrail()
        // Changed before it is stored: where the answer was cleared in its place, the optimiser (Swift 6.3) lost its rows' memory.
        var asked = read
        asked.since = store.committed
        asked.answer = nil
        watches.historyRead = asked
        actions.append(.log(.readHistory(after: read.after, limit: configuration.historyRowLimit)))
    }

    mutating func historyRead(_ tail: Tail) {
        guard !isStaleHistoryAnswer() else { return }
        watches.historyRead?.answer = tail
    }

    mutating func takeHistory() {
        guard let read = watches.historyRead, let tail = read.answer, watches.sweep == nil else { return }
        // Rows below a compaction may be gone. Where it is folded, which it is once the head is, it has ended these watches.
        switch trail.judge(tail.head, since: read.since) {
        case .ours: break
        case .ahead: return followTrail()
        case .other: return historyChanged()
        case .unknown: return readHistory(read)
        }
        watches.historyRead = nil
        endTrail()
        var rows: [LogRow] = []
        swap(&rows, &watches.historyRows)
        rows.append(contentsOf: tail.rows)
        // What we have not folded ourselves comes when it is committed here; what we have since this was read comes next.
        var end = min(store.revision, tail.head.position.revision)
        if let last = rows.last, !tail.reachesHead, last.position <= store.committed {
            // The last revision may have been cut. One that a whole read doesn't hold is read on.
            guard rows[0].position.revision < last.position.revision else {
                swap(&rows, &watches.historyRows)
                return readHistory(HistoryRead(start: read.start, after: last.position))
            }
            end = last.position.revision - 1
        }
        if let beyond = rows.lastIndex(where: { $0.position.revision <= end }) { rows.removeSubrange((beyond + 1)...) } else { rows = [] }
        watches.historySweep = end + 1
        // Who still stands below the compaction has the rows in memory, where none is missing, and only waits for values.
        begin(WatchSweep(rows: rows, start: max(read.start, tail.head.compactRevision), end: end))
    }

    mutating func historyReadFailed() {
        guard !isStaleHistoryAnswer() else { return }
        watches.historyRead = nil
        watches.historyRows = []
        watches.needsLook = true
        endTrail()
    }

    /// Nobody wants the answer to the read that may be in flight.
    mutating func forgetHistoryRead() {
        if let read = watches.historyRead, read.answer == nil { watches.staleHistoryReads += 1 }
        watches.historyRead = nil
        watches.historyRows = []
        watches.needsLook = true
        endTrail()
    }

    /// Each read is answered once, in order: those that were under way when the log was loaded anew come first.
    private mutating func isStaleHistoryAnswer() -> Bool {
        guard watches.staleHistoryReads > 0 else { return false }
        watches.staleHistoryReads -= 1
        return true
    }

    // MARK: Sweeps

    /// Gives old rows to those that wait for them.
    mutating func begin(_ sweep: WatchSweep) {
        watches.sweep = sweep
        // What was gathered for one as a synced watcher is sent first.
        for watcher in watches.laggards
        where watcher.place == .catchingUp && watcher.events.isEmpty && watcher.nextRevision >= sweep.start
            && watcher.nextRevision <= sweep.end
        {
            watcher.isSwept = true
            sweep.passing.append(watcher)
        }
        continueSweep()
    }

    /// Goes on with the sweep, as far as this turn's work goes.
    mutating func continueSweep() {
        guard let sweep = watches.sweep, !watches.parkedSweep else { return }
        if !sweep.values.isEmpty { store.cold.fetched = sweep.values }
        let progress = handOut(.sweep(sweep), &sweep.handout)
        if progress == .lacksValue { noteMissingValues(sweep) }
        if !sweep.values.isEmpty { store.cold.fetched = [:] }
        switch progress {
        case .outOfWork: break
        case .lacksValue:
            sweep.values = [:]
            guard parked.waiting.count < configuration.waitingLimit else {
                // It is tried again in the next turn.
                _ = store.cold.takeMissing()
                return
            }
            watches.parkedSweep = true
            park(.sweep(sweep), arrivedAt: now)
        case .finished: settle(sweep)
        }
    }

    mutating func resume(_ sweep: WatchSweep, with values: [Position: ByteString]) {
        guard watches.sweep === sweep else { return }
        watches.parkedSweep = false
        sweep.values = values
        continueSweep()
    }

    /// Looks for what was before the next rows, as far as watchers with `prev_kv` will be given it.
    private mutating func noteMissingValues(_ sweep: WatchSweep) {
        var left = missingVisitLimit
        var bytes = 0
        for row in sweep.rows[sweep.passedCount...] where row.kind == .put || row.kind == .delete {
            guard left > 0, bytes < configuration.valueReadByteLimit else { break }
            left -= 1
            guard let previous = store.previous(of: row), !previous.hasValue else { continue }
            var isWanted = false
            watches.catchingUp.matches(row.key) { key in
                left -= 1
                guard !isWanted, let watcher = watches.watchers[key] else { return }
                isWanted = watcher.isSwept && !watcher.hasStopped && watcher.wantsPrevKV && watcher.wants(row.kind)
            }
            guard isWanted else { continue }
            bytes += Int(previous.valueLength)
            _ = store.cold.value(of: previous, key: row.key)
        }
        turnWork.visits += missingVisitLimit - left
    }

    /// All rows are handed out: those that took them all stand behind the sweep.
    private mutating func settle(_ sweep: WatchSweep) {
        while sweep.settledCount < sweep.passing.count {
            guard turnWork.sweepLeft > 0 else { return }
            let watcher = sweep.passing[sweep.settledCount]
            sweep.settledCount += 1
            turnWork.visits += 1
            turnWork.sweepLeft -= 1
            let hasStopped = watcher.hasStopped
            watcher.isSwept = false
            watcher.hasStopped = false
            guard watcher.place == .catchingUp, !hasStopped else { continue }
            watcher.nextRevision = sweep.end + 1
            // All that comes after is still to be handed out to synced watchers.
            guard sweep.end >= watches.live.begunRevision else { continue }
            remove(watcher)
            synchronise(watcher)
            if watcher.stream.laggingCount == 0 { sweep.caughtUp.append(watcher.stream) }
        }
        watches.sweep = nil
        watches.needsLook = true
        forgetLeavers()
        for stream in sweep.caughtUp { answerProgress(stream) }
    }

    /// Nobody is given the rest of the sweep.
    mutating func abandonSweep() {
        guard let sweep = watches.sweep else { return }
        watches.sweep = nil
        watches.parkedSweep = false
        sweep.handout.abort()
        for watcher in sweep.passing[sweep.settledCount...] {
            _ = takeBackEvents(of: watcher)
            watcher.isSwept = false
            watcher.hasStopped = false
        }
    }
}

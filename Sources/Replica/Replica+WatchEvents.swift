// Owns: handing events out: to watchers that are up to date as rows are committed, and to those that are not, at their pace.
// Must never: let one client's pace touch another, or gather more for a client than its buffer's bound and one revision.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// A response is cut between revisions once its events are this large, in bytes.
private let responseByteLimit = 1 << 20

extension Replica {
    // MARK: Live

    /// Rows have been committed: tells whoever watches their keys.
    mutating func publish(_ rows: [LogRow]) {
        guard !rows.isEmpty else { return }
        handOut(rows)
        // Not before all of them are: the answer tells of the newest revision.
        answerWaitingProgress()
    }

    private mutating func handOut(_ rows: [LogRow]) {
        guard !rows.isEmpty else { return }
        // Nobody who stood before the log was moved is sent what comes after.
        if let raise = rows.firstIndex(where: \.isRaise) {
            handOut(Array(rows[..<raise]))
            cancelOvertaken(all: true)
            return handOut(Array(rows[(raise + 1)...]))
        }
        for row in rows where row.kind == .put || row.kind == .delete { watches.recent.append(row) }
        watches.recent.trim()
        if !watches.synced.isEmpty {
            for watcher in gather(rows) { flush(watcher) }
        }
        cancelOvertaken()
    }

    /// Appends the rows' events to the watchers that want them, and returns those that got any, in order. These are the
    /// synced ones or, given the `start` of a sweep, those that are catching up and stand there or later. A watcher whose
    /// client has enough to take stops before the revision that it can't be given.
    private mutating func gather(_ rows: [LogRow], sweepingFrom start: Revision? = nil) -> [Watcher] {
        var touched: [Watcher] = []
        var matched: [WatchKey] = []
        for row in rows where row.kind == .put || row.kind == .delete {
            matched.removeAll(keepingCapacity: true)
            if start != nil {
                watches.catchingUp.matches(row.key) { matched.append($0) }
            } else {
                watches.synced.matches(row.key) { matched.append($0) }
            }
            guard !matched.isEmpty else { continue }
            let revision = row.position.revision
            var event = EncodedEvent()
            for key in matched {
                guard let watcher = watches.watchers[key] else { violated("watcher \(key.rawValue) is in a hub only") }
                guard revision >= watcher.nextRevision, !watcher.hasStopped, watcher.wants(row.kind) else { continue }
                // One that stands before the sweep must not be given rows in passing: it would miss those between.
                if let start, watcher.nextRevision < start { continue }
                // A revision that was begun is finished, however full the buffer: its events stay together.
                if watcher.events.last?.revision != revision, isBlocked(watcher.stream) {
                    watcher.nextRevision = revision
                    if start == nil {
                        remove(watcher)
                        fallBehind(watcher)
                    } else {
                        watcher.hasStopped = true
                    }
                    continue
                }
                let bytes = event.bytes(row, wantsPrevious: watcher.wantsPrevKV, store)
                if store.cold.hasMissing {
                    // It goes the way of those that are behind, who can wait for values.
                    _ = store.cold.takeMissing()
                    event = EncodedEvent()
                    waitForValues(watcher, of: revision)
                    continue
                }
                if watcher.events.isEmpty { touched.append(watcher) }
                watcher.events.append((revision, bytes))
                watcher.stream.gathered += bytes.count
            }
        }
        return touched
    }

    /// A synced watcher lacks the value before a row of this revision: it falls behind with the whole revision.
    private mutating func waitForValues(_ watcher: Watcher, of revision: Revision) {
        while let last = watcher.events.last, last.revision == revision {
            watcher.events.removeLast()
            watcher.stream.gathered -= last.bytes.count
        }
        watcher.nextRevision = revision
        remove(watcher)
        watcher.awaitsValues = true
        fallBehind(watcher)
    }

    // MARK: Responses

    /// Sends what was gathered for a watcher, whole revisions together.
    private mutating func flush(_ watcher: Watcher) {
        let events = watcher.events
        watcher.events.removeAll(keepingCapacity: events.count <= 64)
        watcher.wasBusy = true
        var start = 0
        while start < events.count {
            var end = start
            var size = 0
            while end < events.count, size < responseByteLimit {
                let revision = events[end].revision
                while end < events.count, events[end].revision == revision {
                    size += events[end].bytes.count
                    end += 1
                }
            }
            watcher.stream.gathered -= size
            if watcher.wantsFragments, end - start > 1, size + responseHeadLimit >= configuration.fragmentByteLimit {
                sendFragments(watcher, events[start..<end])
            } else {
                send(watcher, events[start..<end], size: size, fragment: false)
            }
            start = end
        }
    }

    /// Cuts a response that is too large into several, all but the last marked as fragments, each of one event or below the
    /// bound.
    private mutating func sendFragments(_ watcher: Watcher, _ events: ArraySlice<(revision: Revision, bytes: ByteString)>) {
        var start = events.startIndex
        while start < events.endIndex {
            var end = start
            var size = 0
            while end < events.endIndex,
                end == start || size + events[end].bytes.count + responseHeadLimit < configuration.fragmentByteLimit
            {
                size += events[end].bytes.count
                end += 1
            }
            send(watcher, events[start..<end], size: size, fragment: end < events.endIndex)
            start = end
        }
    }

    private mutating func send(
        _ watcher: Watcher, _ events: ArraySlice<(revision: Revision, bytes: ByteString)>, size: Int, fragment: Bool
    ) {
        guard let last = events.last else { return }
        counters.watchEventsSent += UInt64(events.count)
        // What is small is cheaper to copy than to hand over in pieces.
        let isCopied = size < events.count * sharedEventBytes
        var writer = ByteWriter(capacity: (isCopied ? size : 0) + responseHeadLimit)
        writer.appendWatchHead(header(at: last.revision), watchID: watcher.id, fragment: fragment)
        if isCopied {
            for event in events { writer.append(event.bytes) }
            send(watcher.stream, writer.finish())
        } else {
            let head = writer.finish()
            var parts: [ByteString] = []
            parts.reserveCapacity(events.count + 1)
            parts.append(head)
            for event in events { parts.append(event.bytes) }
            send(watcher.stream, parts, size: head.count + size)
        }
    }

    // MARK: Places

    /// Puts a watcher that is nowhere among those that have been sent everything.
    mutating func synchronise(_ watcher: Watcher) {
        watcher.place = .synced
        watcher.awaitsValues = false
        watches.synced.insert(watcher.key, range: watcher.range)
    }

    /// Puts a watcher that is nowhere among those that are sent history.
    mutating func fallBehind(_ watcher: Watcher) {
        watcher.stream.laggingCount += 1
        if isBlocked(watcher.stream) { park(watcher) } else { join(watcher) }
    }

    private mutating func join(_ watcher: Watcher) {
        watcher.place = .catchingUp
        watches.catchingUp.insert(watcher.key, range: watcher.range)
        watches.laggards.append(watcher)
    }

    private func park(_ watcher: Watcher) {
        watcher.place = .parked
        watcher.stream.parked.append(watcher)
    }

    /// The client takes more again.
    mutating func unpark(_ stream: WatchStream) {
        let parked = stream.parked
        stream.parked = []
        for watcher in parked { join(watcher) }
    }

    /// Takes a watcher out of its place.
    mutating func remove(_ watcher: Watcher) {
        switch watcher.place {
        case .nowhere: break
        case .synced: watches.synced.remove(watcher.key)
        case .catchingUp:
            watches.catchingUp.remove(watcher.key)
            // Many may leave together: `laggards` forgets them in one pass, before any of them can come back.
            watches.hasLeavers = true
        case .parked: watcher.stream.parked.removeAll { $0 === watcher }
        }
        if watcher.isLagging { watcher.stream.laggingCount -= 1 }
        watcher.place = .nowhere
    }

    // MARK: Catching up

    /// Takes lagging watchers a step further: those that are not far behind from memory, the others by reading the log. At most
    /// one read is in flight, and only for watchers whose clients take what they are sent.
    mutating func catchUp() {
        guard !watches.laggards.isEmpty, !watches.parkedSweep else { return }
        sortOut()
        let recentStart = watches.recent.firstRevision
        if let start = next(watches.laggards, from: watches.recentSweep, where: { $0 >= recentStart }) {
            let (rows, areAll) = watches.recent.rows(from: start, limit: configuration.historyRowLimit)
            let end = areAll ? store.revision : rows[rows.count - 1].position.revision
            watches.recentSweep = end + 1
            sweep(WatchSweep(rows: rows, start: start, end: end))
        }
        guard watches.historyRead == nil, !watches.parkedSweep else { return }
        if let start = next(watches.laggards, from: watches.historySweep, where: { $0 < recentStart }) {
            readHistory(HistoryRead(start: start, after: Position(start - 1, .max)))
        }
    }

    /// Parks laggards whose clients have enough to take.
    private mutating func sortOut() {
        // Those that compaction has spared, as long as their rows were in memory.
        let bound = min(watches.recent.firstRevision, store.compactRevision)
        for watcher in watches.laggards where watcher.awaitsValues && watcher.place == .catchingUp && watcher.nextRevision < bound {
            cancelCompacted(watcher)
        }
        for watcher in watches.laggards where watcher.place == .catchingUp && isBlocked(watcher.stream) {
            watches.catchingUp.remove(watcher.key)
            park(watcher)
            watches.hasLeavers = true
        }
        forgetLeavers()
    }

    mutating func forgetLeavers() {
        guard watches.hasLeavers else { return }
        watches.hasLeavers = false
        watches.laggards.removeAll { $0.place != .catchingUp }
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
        guard !watches.laggards.isEmpty, !watches.parkedSweep else { return false }
        let recentStart = watches.recent.firstRevision
        let awaitsHistory = watches.historyRead != nil
        return watches.laggards.contains {
            $0.place == .catchingUp && (!awaitsHistory || $0.nextRevision >= recentStart) && !isBlocked($0.stream)
        }
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
        if !isStaleHistoryAnswer() { watches.historyRead?.answer = tail }
    }

    mutating func takeHistory() {
        guard var read = watches.historyRead, let tail = read.answer else { return }
        // Rows below a compaction may be gone. Where it is folded, which it is once the head is, it has ended these watches.
        switch trail.judge(tail.head, since: read.since) {
        case .ours: break
        case .ahead: return followTrail()
        case .other: return historyChanged()
        case .unknown: return readHistory(read)
        }
        watches.historyRead = nil
        endTrail()
        read.rows.append(contentsOf: tail.rows)
        // What we have not folded ourselves comes when it is committed here; what we have since this was read comes next.
        var end = min(store.revision, tail.head.position.revision)
        if let last = read.rows.last, !tail.reachesHead, last.position <= store.committed {
            // The last revision may have been cut. One that a whole read doesn't hold is read on.
            guard read.rows[0].position.revision < last.position.revision else {
                read.after = last.position
                return readHistory(read)
            }
            end = last.position.revision - 1
        }
        let rows = read.rows.prefix { $0.position.revision <= end }
        watches.historySweep = end + 1
        // Who still stands below the compaction has the rows in memory, where none is missing, and only waits for values.
        sweep(WatchSweep(rows: Array(rows), start: max(read.start, tail.head.compactRevision), end: end))
    }

    mutating func historyReadFailed() {
        guard !isStaleHistoryAnswer() else { return }
        watches.historyRead = nil
        endTrail()
    }

    /// Nobody wants the answer to the read that may be in flight.
    mutating func forgetHistoryRead() {
        if let read = watches.historyRead, read.answer == nil { watches.staleHistoryReads += 1 }
        watches.historyRead = nil
        endTrail()
    }

    /// Each read is answered once, in order: those that were under way when the log was loaded anew come first.
    private mutating func isStaleHistoryAnswer() -> Bool {
        guard watches.staleHistoryReads > 0 else { return false }
        watches.staleHistoryReads -= 1
        return true
    }

    /// Gives old rows to those that wait for them, once the values before them are at hand.
    private mutating func sweep(_ sweep: WatchSweep, with values: [Position: ByteString] = [:]) {
        noteMissingValues(sweep)
        if store.cold.hasMissing {
            watches.parkedSweep = true
            park(.sweep(sweep), with: values, arrivedAt: now)
        } else {
            advance(sweep.rows, from: sweep.start, through: sweep.end)
        }
    }

    mutating func resume(_ sweep: WatchSweep, with values: [Position: ByteString]) {
        watches.parkedSweep = false
        self.sweep(sweep, with: values)
    }

    /// Looks for what was before the rows that watchers with `prev_kv` will be given.
    private func noteMissingValues(_ sweep: WatchSweep) {
        guard watches.laggards.contains(where: \.wantsPrevKV) else { return }
        for row in sweep.rows where row.kind == .put || row.kind == .delete {
            guard let previous = store.previous(of: row), !previous.hasValue else { continue }
            var isWanted = false
            watches.catchingUp.matches(row.key) { key in
                guard let watcher = watches.watchers[key], watcher.wantsPrevKV, watcher.wants(row.kind) else { return }
                isWanted = isWanted || watcher.nextRevision >= sweep.start && watcher.nextRevision <= row.position.revision
            }
            if isWanted { _ = store.cold.value(of: previous, key: row.key) }
        }
    }

    /// Gives watchers that are catching up and stand between `start` and `end` the rows of these revisions; those that took them
    /// all stand behind `end` then.
    private mutating func advance(_ rows: [LogRow], from start: Revision, through end: Revision) {
        let passing = watches.laggards.filter {
            $0.place == .catchingUp && $0.nextRevision >= start && $0.nextRevision <= end
        }
        for watcher in gather(rows, sweepingFrom: start) { flush(watcher) }
        var caughtUp: [WatchStream] = []
        for watcher in passing {
            if watcher.hasStopped {
                watcher.hasStopped = false
                continue
            }
            watcher.nextRevision = end + 1
            guard end >= store.revision else { continue }
            remove(watcher)
            synchronise(watcher)
            if watcher.stream.laggingCount == 0 { caughtUp.append(watcher.stream) }
        }
        forgetLeavers()
        for stream in caughtUp { answerProgress(stream) }
    }

    /// Ends watches that stand before the compact revision.
    /// - Parameter all: those that have been sent everything, too. Where the log was moved past what it has lost they may stand on
    ///   the other history, though they look as if they waited for the future of this one.
    mutating func cancelOvertaken(all: Bool = false) {
        guard all || store.compactRevision > watches.compactedThrough else { return }
        watches.compactedThrough = store.compactRevision
        let recentStart = watches.recent.firstRevision
        let overtaken = watches.watchers.values.filter {
            // Who only waits for a value has its rows in memory. What was before them is compacted then, and not told.
            all && $0.nextRevision < store.compactRevision
                || $0.isLagging && $0.nextRevision < store.compactRevision && !($0.awaitsValues && $0.nextRevision >= recentStart)
        }
        for watcher in overtaken.sorted(by: { $0.key < $1.key }) { cancelCompacted(watcher) }
    }
}

/// At least what a response takes beside its events, in bytes.
private let responseHeadLimit = 96

/// From this size on, in bytes and on average, watchers' responses share the bytes of their events.
private let sharedEventBytes = 512

/// Rows of whole revisions, from `start` through `end`, for watchers that are behind.
struct WatchSweep {
    var rows: [LogRow]
    var start: Revision
    var end: Revision
}

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
        for row in rows where row.kind == .put || row.kind == .delete { watches.recent.append(row) }
        watches.recent.trim()
        if !watches.synced.isEmpty {
            for watcher in gather(rows, fromLagging: false) { flush(watcher) }
        }
        cancelOvertaken()
    }

    /// Appends the rows' events to the watchers that want them, and returns those that got any, in order. A watcher whose
    /// client has enough to take stops before the revision that it can't be given.
    private mutating func gather(_ rows: [LogRow], fromLagging: Bool) -> [Watcher] {
        var touched: [Watcher] = []
        var matched: [WatchKey] = []
        for row in rows where row.kind == .put || row.kind == .delete {
            matched.removeAll(keepingCapacity: true)
            if fromLagging {
                watches.lagging.matches(row.key) { matched.append($0) }
            } else {
                watches.synced.matches(row.key) { matched.append($0) }
            }
            guard !matched.isEmpty else { continue }
            let revision = row.position.revision
            var event = EncodedEvent()
            for key in matched {
                guard let watcher = watches.watchers[key] else { violated("watcher \(key.rawValue) is in a hub only") }
                guard revision >= watcher.nextRevision, !watcher.hasStopped, watcher.wants(row.kind) else { continue }
                // A revision that was begun is finished, however full the buffer: its events stay together.
                if watcher.events.last?.revision != revision, isBlocked(watcher.stream) {
                    if fromLagging {
                        watcher.hasStopped = true
                        watcher.nextRevision = revision
                    } else {
                        watches.synced.remove(key)
                        watcher.nextRevision = revision
                        fallBehind(watcher)
                    }
                    continue
                }
                if watcher.events.isEmpty { touched.append(watcher) }
                let bytes = event.bytes(row, wantsPrevious: watcher.wantsPrevKV, store)
                watcher.events.append((revision, bytes))
                watcher.stream.gathered += bytes.count
            }
        }
        return touched
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
        var writer = ByteWriter(capacity: size + responseHeadLimit)
        writer.appendWatchHead(header(at: last.revision), watchID: watcher.id, fragment: fragment)
        for event in events { writer.append(event.bytes) }
        counters.watchEventsSent += UInt64(events.count)
        send(watcher.stream, writer.finish())
    }

    // MARK: Catching up

    /// Puts a watcher, which is in no hub, among those that read history.
    mutating func fallBehind(_ watcher: Watcher) {
        watcher.isLagging = true
        watcher.stream.laggingCount += 1
        watches.lagging.insert(watcher.key, range: watcher.range)
        watches.laggards.append(watcher)
        watches.needsCatchUp = true
    }

    /// Takes lagging watchers a step further, those that are not far behind from memory. At most one read of older rows is in
    /// flight, and only for watchers whose clients take what they are sent.
    mutating func catchUp() {
        guard watches.needsCatchUp else { return }
        var near: Revision?
        var far: Revision?
        for watcher in watches.laggards where !isBlocked(watcher.stream) {
            if watcher.nextRevision >= watches.recent.firstRevision {
                near = min(near ?? .max, watcher.nextRevision)
            } else {
                far = min(far ?? .max, watcher.nextRevision)
            }
        }
        if let near {
            let (rows, areAll) = watches.recent.rows(from: near, limit: historyRowLimitStart)
            advance(rows, from: near, through: areAll ? store.revision : rows[rows.count - 1].position.revision)
        }
        if let far, watches.historyRead == nil {
            watches.historyRead = far
            actions.append(.log(.readHistory(after: Position(far - 1, .max), limit: watches.historyRowLimit)))
        }
        watches.needsCatchUp = near != nil || watches.laggards.contains { !isBlocked($0.stream) }
    }

    /// Whether the next turn can take a watcher further without hearing from anybody.
    var canCatchUp: Bool {
        watches.needsCatchUp
            && watches.laggards.contains { !isBlocked($0.stream) && $0.nextRevision >= watches.recent.firstRevision }
    }

    mutating func historyRead(_ tail: Tail) {
        guard let start = watches.historyRead, phase != .loading else { return }
        watches.historyRead = nil
        watches.needsCatchUp = true
        // Rows below a compaction that we have not folded yet may be gone already. Once it is folded it ends these watches.
        if tail.head.compactRevision > max(start, store.compactRevision) {
            startTailRead()
            return
        }
        // What we have not folded ourselves comes when it is committed here.
        var rows = tail.rows.filter { $0.position <= store.committed }
        var end = store.revision
        if !tail.reachesHead, rows.count == tail.rows.count, let last = rows.last?.position.revision {
            // The last revision may have been cut.
            rows.removeAll { $0.position.revision == last }
            guard !rows.isEmpty else {
                watches.historyRowLimit *= 2
                return
            }
            end = last - 1
        }
        watches.historyRowLimit = historyRowLimitStart
        advance(rows, from: start, through: end)
    }

    mutating func historyReadFailed() { watches.historyRead = nil }

    /// Gives lagging watchers that stand between `start` and `end` the rows of these revisions; those that took them all
    /// stand behind `end` then.
    private mutating func advance(_ rows: [LogRow], from start: Revision, through end: Revision) {
        let passing = watches.laggards.filter { $0.nextRevision >= start && $0.nextRevision <= end && !isBlocked($0.stream) }
        // Others on the way must not be given rows in passing: they could miss earlier ones.
        let bystanders = watches.laggards.filter { $0.nextRevision > end || $0.nextRevision < start || isBlocked($0.stream) }
        for watcher in bystanders { watcher.hasStopped = true }
        for watcher in gather(rows, fromLagging: true) { flush(watcher) }
        for watcher in bystanders { watcher.hasStopped = false }
        var caughtUp = false
        for watcher in passing {
            if watcher.hasStopped {
                watcher.hasStopped = false
                continue
            }
            watcher.nextRevision = end + 1
            guard end >= store.revision else { continue }
            watches.lagging.remove(watcher.key)
            watcher.isLagging = false
            watcher.stream.laggingCount -= 1
            watches.synced.insert(watcher.key, range: watcher.range)
            caughtUp = true
        }
        guard caughtUp else { return }
        watches.laggards.removeAll { !$0.isLagging }
        for watcher in passing where !watcher.isLagging { answerProgress(watcher.stream) }
    }

    /// Ends watches that stand before the compact revision.
    mutating func cancelOvertaken() {
        guard store.compactRevision > watches.compactedThrough else { return }
        watches.compactedThrough = store.compactRevision
        for watcher in watches.laggards.filter({ $0.nextRevision < store.compactRevision }) { cancelCompacted(watcher) }
    }
}

/// At least what a response takes beside its events, in bytes.
private let responseHeadLimit = 96

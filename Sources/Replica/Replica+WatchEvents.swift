// Owns: handing events out, a bounded number a turn: to watchers that are up to date as rows are committed, and to those that are not, at
// their pace.
// Must never: let one client's pace touch another, or gather more for a client than its buffer's bound and one revision.
//
//             begin a revision            long: measured, then from its first row again
//   pending ────────────────────▶ row, watcher by watcher ──▶ next row ──▶ ... ──▶ last row, or enough gathered ──▶ flush ──▶ pending
//
// Each step can be the last of a turn; the next turn goes on with it.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// A response is cut between revisions once its events are this large, in bytes.
private let responseByteLimit = 1 << 20

/// Events gathered for all watchers before they are sent, between revisions.
private let gatheredEventLimit = 50_000

extension Replica {
    enum HandoutProgress {
        case finished
        case outOfWork
        /// A value that the next event needs is not in memory.
        case lacksValue
    }

    // MARK: Live

    /// Rows have been committed: tells whoever watches their keys.
    mutating func publish(_ rows: [LogRow]) {
        guard !rows.isEmpty else { return }
        for row in rows {
            switch row.kind {
            case .put, .delete: watches.recent.append(row)
            // Nobody who stood before the log was moved is sent what comes after.
            case .compact:
                watches.needsLook = true
                if row.isRaise { cancelAllBefore(row.position.revision) }
            case .grant, .revoke, .alarm, .digestKey: break
            }
        }
        if watches.recent.isOverrun { demoteAll() }
        handOutLive()
        answerWaitingProgress()
    }

    /// Sends synced watchers what they have not been sent yet, as far as this turn's work goes.
    mutating func handOutLive() {
        defer { watches.recent.trim() }
        guard watches.hasLiveWork else { return }
        defer { answerWaitingProgress() }
        guard !watches.synced.isEmpty || !watches.live.touched.isEmpty else { return skipPending() }
        var handout = Handout()
        swap(&handout, &watches.live)
        _ = handOut(.live, &handout)
        swap(&handout, &watches.live)
    }

    /// Nobody is there to be given what is pending.
    private mutating func skipPending() {
        watches.live.abort()
        watches.recent.passAll()
        watches.live.skip(through: store.revision)
    }

    /// Everything up to this revision was sent to those who are up to date.
    var publishedRevision: Revision {
        if let unsent = watches.live.unsentRevision { return unsent - 1 }
        if let next = watches.recent.pending() { return next.position.revision - 1 }
        return store.revision
    }

    /// Takes back what was gathered of pending rows, and passes these. Synced watchers lack all after `publishedRevision` then.
    private mutating func abandonPending() {
        for watcher in watches.live.touched where watcher.isGatheredLive { _ = takeBackEvents(of: watcher) }
        skipPending()
    }

    /// The log was moved past what it has lost: ends the watches that stand before, though they look as if they waited for the future.
    private mutating func cancelAllBefore(_ revision: Revision) {
        let gone = watches.watchers.values.filter { $0.nextRevision < revision && !$0.stream.hasEnded }
        abandonPending()
        for watcher in gone.sorted(by: { $0.key < $1.key }) { cancelCompacted(watcher) }
    }

    /// More is pending than memory has room for: every synced watcher reads on at its own pace.
    private mutating func demoteAll() {
        // Those of the future have nothing to read.
        holdSynced(through: store.revision)
    }

    /// Makes every synced watcher one that is behind, from the first revision on that it was not sent whole.
    mutating func holdSynced(through end: Revision = .max) {
        let next = publishedRevision + 1
        for watcher in watches.live.touched where watcher.isGatheredLive { _ = takeBackEvents(of: watcher) }
        let synced = watches.watchers.values.filter { $0.place == .synced && $0.nextRevision <= end }
        for watcher in synced.sorted(by: { $0.key < $1.key }) {
            remove(watcher)
            watcher.nextRevision = max(watcher.nextRevision, next)
            watcher.isBlameless = true
            fallBehind(watcher)
        }
        abandonPending()
    }

    // MARK: Rows and watchers

    private func row(_ source: RowSource, after offset: Int = 0) -> LogRow? {
        switch source {
        case .live: return watches.recent.pending(offset)
        case .sweep(let sweep):
            let index = sweep.passedCount + offset
            return index < sweep.rows.count ? sweep.rows[index] : nil
        }
    }

    private mutating func passRow(_ source: RowSource) {
        switch source {
        case .live: watches.recent.passNext()
        case .sweep(let sweep): sweep.passedCount += 1
        }
    }

    /// Counts what was looked at against this turn's bound.
    private mutating func spend(_ count: Int, _ source: RowSource) {
        turnWork.visits += count
        if case .live = source { turnWork.liveLeft -= count } else { turnWork.sweepLeft -= count }
    }

    private func hasWork(_ source: RowSource) -> Bool {
        if case .live = source { return turnWork.liveLeft > 0 }
        return turnWork.sweepLeft > 0
    }

    /// Goes on handing out rows, as far as this turn's work goes.
    mutating func handOut(_ source: RowSource, _ handout: inout Handout) -> HandoutProgress {
        while hasWork(source) {
            if handout.isFlushing {
                flush(source, &handout)
                continue
            }
            guard let row = row(source) else {
                guard handout.touched.isEmpty else {
                    handout.isFlushing = true
                    continue
                }
                handout.flushed()
                return .finished
            }
            guard row.kind == .put || row.kind == .delete else {
                passRow(source)
                continue
            }
            if row.position.revision != handout.begunRevision {
                let isLong = self.row(source, after: configuration.watchLongRevisionRows)?.position.revision == row.position.revision
                if !handout.touched.isEmpty, isLong || handout.gatheredCount >= gatheredEventLimit {
                    handout.isFlushing = true
                    continue
                }
                handout.begin(row.position.revision, isLong: isLong)
            }
            if handout.measuredRows != nil {
                measure(source, &handout)
                continue
            }
            switch deliver(row, source, &handout) {
            case .finished: passRow(source)
            case .outOfWork: return .outOfWork
            case .lacksValue: return .lacksValue
            }
        }
        return .outOfWork
    }

    /// Looks up who watches the row's key.
    private mutating func beginRow(_ row: LogRow, _ source: RowSource, _ handout: inout Handout) {
        guard !handout.isInRow else { return }
        handout.isInRow = true
        handout.matchedCount = 0
        handout.matched.removeAll(keepingCapacity: handout.matched.count <= 1_024)
        handout.event = EncodedEvent()
        if case .live = source {
            watches.synced.matches(row.key) { handout.matched.append($0) }
        } else {
            watches.catchingUp.matches(row.key) { handout.matched.append($0) }
        }
        spend(1, source)
    }

    /// The next of those who watch the row's key, if it wants the row's event.
    private mutating func nextWatcher(of row: LogRow, _ source: RowSource, _ handout: inout Handout) -> Watcher? {
        let key = handout.matched[handout.matchedCount]
        handout.matchedCount += 1
        spend(1, source)
        // It may have left since the row was begun.
        guard let watcher = watches.watchers[key], !watcher.stream.hasEnded else { return nil }
        // One that stands before the sweep must not be given rows in passing: it would miss those between.
        if case .live = source {
            guard watcher.place == .synced else { return nil }
        } else {
            guard watcher.place == .catchingUp, watcher.isSwept, !watcher.hasStopped else { return nil }
        }
        return row.position.revision >= watcher.nextRevision && watcher.wants(row.kind) ? watcher : nil
    }

    /// Appends the row's event to what is gathered for the watchers that want it. A watcher whose client has enough to take stops before
    /// the revision that it can't be given.
    private mutating func deliver(_ row: LogRow, _ source: RowSource, _ handout: inout Handout) -> HandoutProgress {
        beginRow(row, source, &handout)
        let revision = row.position.revision
        while handout.matchedCount < handout.matched.count {
            guard hasWork(source) else { return .outOfWork }
            guard let watcher = nextWatcher(of: row, source, &handout) else { continue }
            // A revision that was begun is finished, however full the buffer: its events stay together.
            if watcher.events.last?.revision != revision, isBlocked(watcher.stream) {
                stop(watcher, before: revision, source)
                continue
            }
            if handout.gatheredCount >= configuration.watchRevisionEventLimit, givesWay(watcher, &handout) {
                handout.gatheredCount -= takeBackEvents(of: watcher, from: revision)
                watcher.isBlameless = true
                stop(watcher, before: revision, source)
                continue
            }
            let bytes = handout.event.bytes(row, wantsPrevious: watcher.wantsPrevKV, store)
            if store.cold.hasMissing {
                _ = store.cold.takeMissing()
                handout.event = EncodedEvent()
                guard case .live = source else {
                    handout.matchedCount -= 1
                    return .lacksValue
                }
                // It goes the way of those that are behind, who can wait for values.
                handout.gatheredCount -= takeBackEvents(of: watcher, from: revision)
                watcher.isBlameless = true
                stop(watcher, before: revision, source)
                continue
            }
            if watcher.events.isEmpty {
                watcher.isGatheredLive = source.isLive
                handout.touched.append(watcher)
            }
            watcher.events.append((revision, bytes))
            watcher.stream.gathered += bytes.count
            handout.gatheredCount += 1
        }
        handout.endRow()
        return .finished
    }

    /// The watcher is not given `revision` now: it is behind, or stays so.
    private mutating func stop(_ watcher: Watcher, before revision: Revision, _ source: RowSource) {
        watcher.nextRevision = revision
        guard case .live = source else {
            watcher.hasStopped = true
            return
        }
        remove(watcher)
        fallBehind(watcher)
    }

    /// Whether the watcher has to wait for a later pass. One goes on, so that each pass serves somebody.
    private func givesWay(_ watcher: Watcher, _ handout: inout Handout) -> Bool {
        if handout.keeper?.events.isEmpty ?? true { handout.keeper = watcher }
        return handout.keeper !== watcher
    }

    // MARK: Long revisions

    /// Adds the next row's event to what the revision comes to for each watcher. After the last row, ends the streams of those who can't
    /// be sent as much in one message.
    private mutating func measure(_ source: RowSource, _ handout: inout Handout) {
        guard let count = handout.measuredRows else { return }
        guard let row = row(source, after: count), row.position.revision == handout.begunRevision else {
            handout.measuredRows = nil
            let measured = handout.measured
            handout.measured.removeAll()
            spend(measured.count, source)
            for watcher in measured {
                let bytes = watcher.measuredBytes
                watcher.measuredBytes = 0
                if bytes > configuration.messageByteLimit, !watcher.wantsFragments { refuseMessage(watcher.stream, bytes) }
            }
            return
        }
        guard row.kind == .put || row.kind == .delete else {
            handout.measuredRows = count + 1
            return
        }
        beginRow(row, source, &handout)
        var sizes: (plain: Int?, withPrevious: Int?)
        while handout.matchedCount < handout.matched.count {
            guard hasWork(source) else { return }
            guard let watcher = nextWatcher(of: row, source, &handout) else { continue }
            let bytes: Int
            if watcher.wantsPrevKV {
                bytes = sizes.withPrevious ?? EncodedEvent.byteCount(row, previous: store.previous(of: row))
                sizes.withPrevious = bytes
            } else {
                bytes = sizes.plain ?? EncodedEvent.byteCount(row, previous: nil)
                sizes.plain = bytes
            }
            if watcher.measuredBytes == 0 { handout.measured.append(watcher) }
            watcher.measuredBytes += bytes
        }
        handout.endRow()
        handout.measuredRows = count + 1
    }

    /// A message that gRPC doesn't carry: etcd's call ends so, too.
    private mutating func refuseMessage(_ stream: WatchStream, _ byteCount: Int) {
        guard !stream.hasEnded else { return }
        endWatchStream(stream.request)
        let limit = configuration.messageByteLimit
        actions.append(
            .fail(
                stream.request,
                EtcdError(code: .resourceExhausted, text: "trying to send message larger than max (\(byteCount) vs. \(limit))")))
    }

    // MARK: Responses

    /// Sends gathered events, as far as this turn's work goes.
    private mutating func flush(_ source: RowSource, _ handout: inout Handout) {
        while handout.flushedCount < handout.touched.count {
            guard hasWork(source) else { return }
            let watcher = handout.touched[handout.flushedCount]
            handout.flushedCount += 1
            // One that fell behind, and was given nothing here in the end, may be in the middle of a sweep.
            guard watcher.isGatheredLive == source.isLive else { continue }
            // Its message is put together at once; no other in the same turn, where it is a long one.
            let count = watcher.events.count
            spend(1, source)
            if case .live = source { turnWork.liveLeft -= count } else { turnWork.sweepLeft -= count }
            flush(watcher)
        }
        handout.flushed()
    }

    /// Sends what was gathered for a watcher, whole revisions together.
    private mutating func flush(_ watcher: Watcher) {
        // They were taken back where the watcher has left.
        guard let last = watcher.events.last, !watcher.stream.hasEnded else { return }
        let events = watcher.events
        watcher.events.removeAll(keepingCapacity: events.count <= 64)
        watcher.nextRevision = max(watcher.nextRevision, last.revision + 1)
        watcher.wasBusy = true
        if watcher.place == .catchingUp { watches.needsLook = true }
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
            let isCut = watcher.wantsFragments && end - start > 1
            if !isCut, size + responseHeadLimit > configuration.messageByteLimit { return refuseMessage(watcher.stream, size) }
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
        watcher.isBlameless = false
        watches.synced.insert(watcher.key, range: watcher.range)
    }

    /// Puts a watcher that is nowhere among those that are sent history.
    mutating func fallBehind(_ watcher: Watcher) {
        watcher.stream.laggingCount += 1
        if isBlocked(watcher.stream) { watcher.stream.park(watcher) } else { join(watcher) }
    }

    private mutating func join(_ watcher: Watcher) {
        watcher.place = .catchingUp
        watches.catchingUp.insert(watcher.key, range: watcher.range)
        watches.needsLook = true
        if watcher.isListed { return }
        watcher.isListed = true
        watches.laggards.append(watcher)
    }

    /// The client takes more again.
    mutating func unpark(_ stream: WatchStream) {
        for watcher in stream.takeParked() {
            watcher.place = .nowhere
            join(watcher)
        }
    }

    /// Takes a watcher out of its place.
    mutating func remove(_ watcher: Watcher) {
        switch watcher.place {
        case .nowhere: break
        case .synced: watches.synced.remove(watcher.key)
        case .catchingUp:
            watches.catchingUp.remove(watcher.key)
            // Many may leave together: `laggards` forgets them in one pass.
            watches.hasLeavers = true
        case .parked: break
        }
        if watcher.isLagging { watcher.stream.laggingCount -= 1 }
        if watcher.place == .parked { watcher.stream.unparked(watcher) }
        watcher.place = .nowhere
    }
}

/// At least what a response takes beside its events, in bytes.
private let responseHeadLimit = 96

/// From this size on, in bytes and on average, watchers' responses share the bytes of their events.
private let sharedEventBytes = 512

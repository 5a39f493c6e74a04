// Owns: watches, from their creation to their end: what clients ask, which rows each watcher is given, and what its client is told.
// Must never: read the log or the clock; tell a client of a revision that it has not been sent, or let one client's pace touch another's.
// Source: etcd's server/etcdserver/api/v3rpc/watch.go and server/storage/mvcc/watch*.go, whose ids, texts and order of
// messages this keeps.
//
//   committed ──▶ recent rows ──▶ live handout ──▶ watchers that are up to date
//                     │
//                     └────▶ sweep ──▶ watchers that are behind
//   history read ───────────▶
//
// The host says where the store stands before each event (`isTold`), and has what is to be done after it (`told`).
//
// Invariants (see `invariants()`): those of the parts; at most one sweep and one read of history are under way.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

struct WatchTable: ~Copyable {
    private var registry: WatchRegistry
    private var outbox: WatchOutbox
    private var progress: WatchProgress
    private var recent: RecentRows
    /// How far synced watchers have been sent `recent`.
    private var live: Handout
    private var catchUp: WatchCatchUp
    private var early: EarlyWatchRequests
    /// Streams for which the log's end is to be looked up.
    private var progressReads: [CallID] = []
    private let configuration: ReplicaConfiguration

    init(_ configuration: ReplicaConfiguration) {
        self.configuration = configuration
        registry = WatchRegistry(configuration)
        outbox = WatchOutbox(configuration)
        progress = WatchProgress(intervalMs: configuration.watchProgressIntervalMs)
        recent = RecentRows(byteLimit: configuration.watchHistoryBytes)
        live = Handout(sweeping: nil, configuration)
        catchUp = WatchCatchUp(configuration)
        early = EarlyWatchRequests(configuration)
    }

    // MARK: The host

    /// Comes before each event: where the store stands by now, and the actions to append to. They are back after `told`.
    mutating func isTold(_ standing: Standing, _ actions: inout [Action]) {
        outbox.standing = standing
        outbox.swapActions(&actions)
    }

    /// Comes after each event. How many events were sent.
    mutating func told(_ actions: inout [Action]) -> UInt64 {
        outbox.swapActions(&actions)
        return outbox.takeEventsSent()
    }

    /// Streams for which the log's end is to be looked up: `progressConfirmed` has to follow for each, or `progressExpired`.
    mutating func takeProgressReads() -> [CallID] {
        guard !progressReads.isEmpty else { return [] }
        defer { progressReads = [] }
        return progressReads
    }

    /// The sweep that has come to lack values: `valuesRead` or `valuesRefused` has to follow.
    mutating func takeLackingSweep() -> (sweep: UInt64, missing: [MissingValue])? { catchUp.takeLackingSweep() }

    /// Previous values that events asked for.
    var valueCounts: ValueCounts { outbox.valueCounts }

    /// Nothing more is done in this turn. How many rows and watchers were looked at.
    mutating func turnEnded() -> Int {
        defer { outbox.budget = WatchBudget(configuration) }
        return outbox.budget.visits
    }

    /// Whether the next turn has something to do, apart from catching up.
    var hasMoreWork: Bool { hasLiveWork || recent.needsTrim || !early.isEmpty || registry.hasEnded }

    /// Whether the next turn can take a watcher further without hearing from anybody.
    var canCatchUp: Bool {
        catchUp.isSweeping ? !catchUp.isParked : registry.needsLook && !registry.laggards.isEmpty
    }

    /// When `notifyProgress` is to be called; nil where nobody wants notifications.
    var progressDeadline: Instant? { progress.deadline(registry) }

    /// Whether there are streams whose clients want them ended where the log is away.
    var hasLeaderStreams: Bool { registry.hasLeaderStreams }

    var counts: WatchCounts {
        WatchCounts(streams: registry.streams.count, watchers: registry.watchers.count, lagging: registry.laggingCount)
    }

    // MARK: Streams

    mutating func streamOpened(_ id: CallID, by principal: Principal) {
        registry.opened(id, by: principal, progressDue: progress.due(id, now: outbox.now))
    }

    /// What etcd's clients know as `WithRequireLeader`. Who comes while there is none is sent away before its watches are made.
    mutating func leaderRequired(_ id: CallID, isLeaderless: Bool) {
        if registry.leaderRequired(id), isLeaderless { refuse(id, .noLeader) }
    }

    /// A process that can't reach the log is what a member without a leader is: its watchers would hear nothing, and not know it.
    mutating func leaderLost() {
        for id in registry.sortedLeaderStreams { refuse(id, .noLeader) }
    }

    /// These clients are gone; not all of them have streams.
    mutating func clientsLeft(_ gone: Set<CallID>) {
        early.drop(gone)
        for id in gone { end(id) }
    }

    /// What was sent on the stream up to a message that asked for a report has left.
    mutating func drained(_ id: CallID) {
        guard let stream = registry.streams[id] else { return }
        stream.drained()
        registry.roomGained(stream)
        answerProgress(stream)
    }

    private mutating func refuse(_ id: CallID, _ error: EtcdError) {
        end(id)
        outbox.append(.fail(id, error))
    }

    private mutating func end(_ id: CallID) {
        guard registry.end(id) else { return }
        progress.streamEnded(id)
        forgetEnded()
    }

    /// Forgets watchers of streams that have ended, some of them each turn.
    mutating func forgetEnded() {
        outbox.budget.spendControl(registry.forgetEnded(limit: outbox.budget.control))
    }

    // MARK: Requests

    /// A request came on a stream. It waits until the log `isLoaded`.
    mutating func requested(_ id: CallID, _ request: consuming WatchRequest, isLoaded: Bool, _ store: borrowing Store) {
        guard isLoaded, early.isEmpty, outbox.budget.control > 0 else {
            if !early.append(id, request) { refuse(id, .tooManyRequests) }
            return
        }
        serve(id, request, store)
    }

    /// Takes what came while the log was being loaded, or beyond what a turn takes, in its order.
    mutating func takeEarlyRequests(_ store: borrowing Store) {
        while outbox.budget.control > 0, let (id, request) = early.popFirst() {
            serve(id, request, store)
        }
    }

    private mutating func serve(_ id: CallID, _ request: consuming WatchRequest, _ store: borrowing Store) {
        outbox.budget.spendControl(1)
        guard let stream = registry.streams[id] else { return }
        // A client that asks and asks and never reads would have us keep the answers. Events that it has not read are no reason: they
        // have a bound of their own, which a large revision exceeds, and which shrinks as streams are opened.
        if stream.outstanding.answers > unreadAnswersLimit { return refuse(id, .tooManyRequests) }
        switch consume request {
        case .create(let request): create(stream, request, store)
        case .cancel(let request): cancel(stream, request.watchID)
        case .progress: if progress.requested(stream) { progressReads.append(id) }
        case .empty: break
        }
    }

    private mutating func create(_ stream: WatchStream, _ request: WatchCreateRequest, _ store: borrowing Store) {
        do throws(EtcdError) {
            try store.check(request, by: stream.principal)
        } catch {
            return refuseWatch(stream, error.goText)
        }
        // "\0" is the smallest key there is.
        let key = request.key.isEmpty ? ByteString([0]) : request.key
        // A watch may stay for months: it must not keep the request that asked for it alive.
        let range = KeyRange(key: key.compacted(), rangeEnd: request.rangeEnd.compacted())
        if request.startRevision < 0 { return refuseWatch(stream, EtcdError.compacted.text) }
        if range.isEmpty { return refuseWatch(stream, "mvcc: watcher range is empty") }
        let id: WatchID
        if request.watchID == 0 {
            while stream.watchers[stream.nextID] != nil { stream.nextID = stream.nextID.next }
            id = stream.nextID
            stream.nextID = stream.nextID.next
        } else if stream.watchers[request.watchID] != nil {
            return refuseWatch(stream, "mvcc: duplicate watch ID provided on the WatchStream")
        } else {
            id = request.watchID
        }
        guard registry.hasRoom(for: range) else { return refuseWatch(stream, EtcdError.tooManyRequests.text) }
        let revision = outbox.revision
        let watcher = registry.add(
            to: stream, id: id, range: range, request, nextRevision: request.startRevision == 0 ? revision + 1 : request.startRevision)
        // Its answer tells of this revision: none that is told later is below it.
        stream.progressRevision = max(stream.progressRevision, revision)
        outbox.sendControl(stream, id, created: true)
        if watcher.nextRevision > revision {
            registry.synchronise(watcher)
        } else if watcher.nextRevision < outbox.standing.compactRevision {
            cancelCompacted(watcher)
        } else {
            registry.fallBehind(watcher)
        }
    }

    private mutating func refuseWatch(_ stream: WatchStream, _ reason: String) {
        outbox.sendControl(stream, -1, created: true, canceled: true, reason: reason)
    }

    private mutating func cancel(_ stream: WatchStream, _ id: WatchID) {
        guard let known = stream.watchers.removeValue(forKey: id) else { return }
        if let watcher = known {
            stream.removed(watcher)
            registry.forget(watcher)
        }
        outbox.sendControl(stream, id, canceled: true)
        answerProgress(stream)
    }

    /// The start is compacted, or compaction has overtaken the watcher.
    private mutating func cancelCompacted(_ watcher: Watcher) {
        registry.forget(watcher)
        watcher.stream.watchers.updateValue(nil, forKey: watcher.id)
        watcher.stream.removed(watcher)
        outbox.sendControl(watcher.stream, watcher.id, canceled: true, compactRevision: outbox.standing.compactRevision)
    }

    // MARK: Progress

    /// The log's end is known for a progress request that came on this stream.
    mutating func progressConfirmed(_ id: CallID) {
        guard let stream = registry.streams[id] else { return }
        if progress.confirmed(stream, at: outbox.revision) { progressReads.append(id) }
        answerProgress(stream)
    }

    /// The log's end could not be looked up in time: asks again.
    mutating func progressExpired(_ id: CallID) {
        if registry.streams[id] != nil { progressReads.append(id) }
    }

    private mutating func answerProgress(_ stream: WatchStream) {
        progress.answer(stream, published: publishedRevision, registry, &outbox)
    }

    private mutating func answerWaitingProgress() {
        progress.answerWaiting(published: publishedRevision, registry, &outbox)
    }

    /// Periodic notifications of watches that asked for them and had no events in the meantime.
    mutating func notifyProgress() { progress.notify(published: publishedRevision, registry, &outbox) }

    // MARK: New rows

    /// Rows have become visible: tells whoever watches their keys.
    mutating func committed(_ rows: [LogRow], _ store: borrowing Store) {
        guard !rows.isEmpty else { return }
        for row in rows {
            switch row.kind {
            case .put, .delete: recent.append(row)
            // Nobody who stood before the log was moved is sent what comes after.
            case .compact:
                registry.needsLook = true
                if row.isRaise { cancelAllBefore(row.position.revision) }
            case .grant, .revoke, .alarm, .digestKey, .user, .role, .authState: break
            }
        }
        // More is pending than memory has room for: every synced watcher reads on at its own pace. Those of the future have nothing to read.
        if recent.isOverrun { holdSynced(through: outbox.revision) }
        handOutLive(store)
        answerWaitingProgress()
    }

    /// Whether synced watchers are still to be sent something.
    private var hasLiveWork: Bool { recent.hasPending || live.isUnderWay }

    /// Sends synced watchers what they have not been sent yet, as far as this turn's bounds go.
    mutating func handOutLive(_ store: borrowing Store) {
        defer { recent.trim() }
        guard hasLiveWork else { return }
        defer { answerWaitingProgress() }
        guard !registry.isNobodySynced || live.hasGathered else { return skipPending() }
        var lookup = ValueLookup()
        while case .oversized(let revisions) = live.goOn(&recent, &registry, &outbox, store, &lookup) { refuse(revisions) }
        outbox.valueCounts += lookup.counts
    }

    /// Nobody is there to be given what is pending.
    private mutating func skipPending() {
        live.abort()
        recent.passAll()
        live.skip(through: outbox.revision)
    }

    /// Everything up to this revision was sent to those who are up to date.
    private var publishedRevision: Revision {
        if let unsent = live.unsentRevision { return unsent - 1 }
        if let next = recent.pending(0) { return next.position.revision - 1 }
        return outbox.revision
    }

    /// Messages that gRPC doesn't carry: etcd's call ends so, too.
    private mutating func refuse(_ revisions: [OversizedRevision]) {
        for revision in revisions where !revision.stream.hasEnded {
            let text = "trying to send message larger than max (\(revision.byteCount) vs. \(configuration.messageByteLimit))"
            refuse(revision.stream.request, EtcdError(code: .resourceExhausted, text: text))
        }
    }

    /// The log was moved past what it has lost: ends the watches that stand before, though they look as if they waited for the future.
    private mutating func cancelAllBefore(_ revision: Revision) {
        let gone = registry.sortedWatchers { $0.nextRevision < revision && !$0.stream.hasEnded }
        live.takeBack(&registry)
        skipPending()
        for watcher in gone { cancelCompacted(watcher) }
    }

    /// Makes every synced watcher that waits for `end` or less one that is behind, from the first revision on that it was not sent whole.
    private mutating func holdSynced(through end: Revision = .max) {
        let next = publishedRevision + 1
        live.takeBack(&registry)
        // Parked, watchers of a stream that has ended would keep it and each other in memory.
        for watcher in registry.sortedWatchers(where: { $0.place == .synced && $0.nextRevision <= end && !$0.stream.hasEnded }) {
            registry.remove(watcher)
            watcher.nextRevision = max(watcher.nextRevision, next)
            watcher.isBlameless = true
            registry.fallBehind(watcher)
        }
        skipPending()
    }

    // MARK: Old rows

    /// Looks what can be done for watchers that are behind: those that are not far behind are taken further from memory, for the others
    /// the log is read.
    mutating func lookAfterLaggards(_ store: borrowing Store) {
        guard registry.needsLook, !catchUp.isSweeping else { return }
        registry.needsLook = false
        outbox.budget.visited(registry.laggards.count)
        registry.removeEnded()
        endOvertaken()
        registry.parkBlocked()
        catchUp.look(recent, registry, &outbox)
        continueSweep(store)
    }

    /// Ends the watches of laggards that compaction has overtaken.
    private mutating func endOvertaken() {
        var streams: [WatchStream] = []
        for watcher in registry.laggards where watcher.place == .catchingUp && isOvertaken(watcher) {
            cancelCompacted(watcher)
            if watcher.stream.progressWaits { streams.append(watcher.stream) }
        }
        for stream in streams { answerProgress(stream) }
    }

    /// Whether a watcher that is behind lacks rows that compaction may have deleted.
    private func isOvertaken(_ watcher: Watcher) -> Bool {
        guard watcher.nextRevision < outbox.standing.compactRevision else { return false }
        // One that only waits for a value or its turn has its rows in memory. What was before them is compacted then, and not told.
        return !(watcher.isBlameless && watcher.nextRevision >= recent.firstRevision)
    }

    /// Goes on with the sweep, as far as this turn's bounds go.
    mutating func continueSweep(_ store: borrowing Store) {
        while true {
            switch catchUp.goOn(&registry, &outbox, store, liveRevision: live.begunRevision) {
            case .waiting: return
            case .oversized(let revisions): refuse(revisions)
            case .finished(let streams):
                for stream in streams { answerProgress(stream) }
                return
            }
        }
    }

    /// The values that a sweep has lacked.
    mutating func valuesRead(forSweep number: UInt64, _ values: [Position: ByteString], _ store: borrowing Store) {
        catchUp.valuesRead(forSweep: number, values)
        continueSweep(store)
    }

    /// The values can't be read now: it is tried again in the next turn.
    mutating func valuesRefused(forSweep number: UInt64) { catchUp.valuesRead(forSweep: number, [:]) }

    // MARK: The log

    /// Whether an answer is awaited, or not yet judged.
    var isReadingHistory: Bool { catchUp.isReading }

    mutating func historyRead(_ tail: Tail) { catchUp.historyRead(tail) }

    mutating func historyReadFailed() {
        if catchUp.historyReadFailed() { registry.needsLook = true }
    }

    /// An answer that has to be judged, once nothing else is under way: whether its head is of the history that the log was known to have
    /// when it was asked. `historyWasOurs` or `historyIsUnknown` has to follow.
    var historyAnswer: (head: Head, since: Position)? { catchUp.answer }

    /// The answer is of our history.
    mutating func historyWasOurs(_ store: borrowing Store) {
        catchUp.answerWasOurs(registry, &outbox)
        continueSweep(store)
    }

    /// Nobody can tell any more: asks again.
    mutating func historyIsUnknown() { catchUp.answerIsUnknown(&outbox) }

    // MARK: A log that is loaded anew

    /// Its history is the same. Until it is loaded, every watcher waits where it stands.
    mutating func loadingBegan() {
        catchUp.abandon(&registry)
        holdSynced()
    }

    /// The log is loaded: watchers from before go on, except those that compaction has overtaken. What was loaded is not handed out: nobody
    /// who lacks it is up to date.
    mutating func servingBegan() {
        let revision = outbox.revision
        recent.restart(at: revision + 1)
        live.skip(through: revision)
        registry.needsLook = true
        for watcher in registry.sortedWatchers(where: { $0.isLagging && $0.nextRevision > revision }) {
            registry.remove(watcher)
            registry.synchronise(watcher)
        }
        registry.forgetLeavers()
    }

    /// Its history is another: fails every stream, and begins anew.
    mutating func historyLost() {
        for id in registry.streams.keys.sorted(by: { $0.rawValue < $1.rawValue }) { outbox.append(.fail(id, .leaderChanged)) }
        catchUp.restart(&registry)
        registry = WatchRegistry(configuration)
        progress = WatchProgress(intervalMs: configuration.watchProgressIntervalMs)
        recent = RecentRows(byteLimit: configuration.watchHistoryBytes)
        live = Handout(sweeping: nil, configuration)
        early = EarlyWatchRequests(configuration)
    }

    // MARK: Invariants

    /// Traps where the table breaks its rules. Looks at every watcher: for tests, after each turn.
    borrowing func invariants() {
        registry.invariants()
        progress.invariants(registry)
        catchUp.invariants(registry)
        early.invariants()
        invariant(publishedRevision <= outbox.revision, "more is published than committed: \(publishedRevision)")
        invariant(progressReads.isEmpty, "the host was not told of a progress request")
    }
}

/// What a client may leave unread of answers to its own requests, in bytes, beside its stream's share of events.
private let unreadAnswersLimit = 1 << 20

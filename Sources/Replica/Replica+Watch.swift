// Owns: watches from their creation to their end: what clients ask, and what they are told.
// Source: etcd's server/etcdserver/api/v3rpc/watch.go and server/storage/mvcc/watch*.go, whose ids, texts and order of
// messages this keeps.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// The state of all watches.
struct Watches: ~Copyable {
    var streams: [RequestID: WatchStream] = [:]
    /// Those whose clients want to be sent away where the log is away.
    var leaderStreams: Set<RequestID> = []
    var watchers: [WatchKey: Watcher] = [:]
    var nextKey: UInt64 = 1
    var synced = WatchHub()
    var catchingUp = WatchHub()
    /// The watchers that are catching up. Those whose clients don't read are parked, and cost nothing until they do.
    var laggards: [Watcher] = []
    /// Whether some of them have left.
    var hasLeavers = false
    /// Whether something has changed since it was last looked at what can be done for them.
    var needsLook = false
    var recent: RecentRows
    /// How far synced watchers have been sent `recent`.
    var live = Handout()
    /// Old rows on their way to watchers that are behind.
    var sweep: WatchSweep?
    /// The read of old rows that is in flight, and what has come so far of a revision that one read does not hold.
    var historyRead: HistoryRead?
    var historyRows: [LogRow] = []
    /// Reads whose answers are not wanted any more.
    var staleHistoryReads = 0
    /// Whether the sweep waits for values: nobody is taken further meanwhile.
    var parkedSweep = false
    /// Where the sweeps through the recent rows and through the log go on.
    var recentSweep: Revision = 0
    var historySweep: Revision = 0
    /// Streams with confirmed progress requests that wait for nothing but a later revision.
    var progressStreams: Set<RequestID> = []
    /// Requests that came before the log was loaded or when a turn had enough of them, and about how much memory it takes, in bytes.
    var early = Deque<(RequestID, WatchRequest)>()
    var earlyBytes = 0
    /// Streams that have ended, with watchers that are still to be forgotten.
    var ended = Deque<EndedStream>()
    /// The keys and range ends that all watchers look at, in bytes.
    var rangeBytes = 0
    /// How many watchers want progress notifications, and when streams are next looked through for those that are due.
    var progressWatchers = 0
    var nextProgressCheck = Instant(nanoseconds: 0)

    init(recentBytes: Int) { recent = RecentRows(byteLimit: recentBytes) }

    deinit {
        for stream in streams.values { stream.forgetAll() }
    }

    /// These clients are gone.
    mutating func dropEarly(of gone: Set<RequestID>) {
        guard !early.isEmpty else { return }
        early.removeAll { gone.contains($0.0) }
        earlyBytes = early.reduce(0) { $0 + $1.1.byteCount }
    }

    /// Whether synced watchers are still to be sent something.
    var hasLiveWork: Bool { recent.hasPending || live.unsentRevision != nil || !live.touched.isEmpty }

    /// Whether the next turn has something to do, apart from catching up.
    var hasMoreWork: Bool { hasLiveWork || recent.needsTrim || !early.isEmpty || !ended.isEmpty }
}

/// A stream that has ended and the watchers of it that are not forgotten yet.
struct EndedStream {
    var stream: WatchStream
    var watchers: [Watcher]
}

/// Old rows on their way to lagging watchers.
struct HistoryRead {
    /// The lowest revision that is wanted.
    var start: Revision
    /// After what the log is being read, and how far it was known to go by then.
    var after = Position.start
    var since = Position.start
    /// What was read, and not yet known to be of our history.
    var answer: Tail?
}

extension Replica {
    // MARK: What clients ask

    mutating func openWatchStream(_ id: RequestID) {
        watches.streams[id] = WatchStream(id, progressDue: now.advanced(byMs: progressIntervalMs(id)))
    }

    /// What etcd's clients know as `WithRequireLeader`. Who comes while there is none is sent away before its watches are made.
    mutating func requireLeader(_ id: RequestID) {
        guard watches.streams[id] != nil else { return }
        watches.leaderStreams.insert(id)
        if isLeaderless { endWithoutLeader(id) }
    }

    private var isLeaderless: Bool { logAwaySince.map { $0.advanced(byMs: configuration.leaderlessLimitMs) <= now } ?? false }

    private mutating func endWithoutLeader(_ id: RequestID) {
        endWatchStream(id)
        actions.append(.fail(id, .noLeader))
    }

    /// A process that can't reach the log is what a member without a leader is: its watchers would hear nothing, and not know it.
    mutating func endLeaderless() {
        guard isLeaderless else { return }
        for id in watches.leaderStreams.sorted(by: { $0.rawValue < $1.rawValue }) { endWithoutLeader(id) }
    }

    mutating func requestWatch(_ id: RequestID, _ request: consuming WatchRequest) {
        guard isLoaded, watches.early.isEmpty, turnWork.controlLeft > 0 else {
            let bytes = request.byteCount
            guard watches.early.count < configuration.waitingLimit * 4,
                watches.earlyBytes + bytes <= configuration.watchRangeByteLimit
            else { return refuseWatchStream(id) }
            watches.early.append((id, request))
            watches.earlyBytes += bytes
            return
        }
        serveWatch(id, request)
    }

    private mutating func serveWatch(_ id: RequestID, _ request: consuming WatchRequest) {
        turnWork.controlLeft -= 1
        turnWork.visits += 1
        guard let stream = watches.streams[id] else { return }
        // A client that asks and asks and never reads would have us keep the answers. Events that it has not read are no reason: they
        // have a bound of their own, which a large revision exceeds, and which shrinks as streams are opened.
        if stream.outstanding.answers > unreadAnswersLimit { return refuseWatchStream(id) }
        switch consume request {
        case .create(let request): createWatch(stream, request)
        case .cancel(let request): cancelWatch(stream, request.watchID)
        case .progress: requestProgress(stream)
        case .empty: break
        }
    }

    private mutating func refuseWatchStream(_ id: RequestID) {
        endWatchStream(id)
        actions.append(.fail(id, .tooManyRequests))
    }

    /// What came while the log was being loaded, or beyond what a turn takes, in its order.
    mutating func takeEarlyWatchRequests() {
        while turnWork.controlLeft > 0, let (id, request) = watches.early.popFirst() {
            watches.earlyBytes -= request.byteCount
            serveWatch(id, request)
        }
    }

    private mutating func createWatch(_ stream: WatchStream, _ request: WatchCreateRequest) {
        // "\0" is the smallest key there is.
        let key = request.key.isEmpty ? ByteString([0]) : request.key
        // A watch may stay for months: it must not keep the request that asked for it alive.
        let range = KeyRange(key: key.compacted(), rangeEnd: request.rangeEnd.compacted())
        if request.startRevision < 0 { return refuseWatch(stream, EtcdError.compacted.text) }
        if range.isEmpty { return refuseWatch(stream, "mvcc: watcher range is empty") }
        let id: Int64
        if request.watchID == 0 {
            while stream.watchers[stream.nextID] != nil { stream.nextID += 1 }
            id = stream.nextID
            stream.nextID += 1
        } else if stream.watchers[request.watchID] != nil {
            return refuseWatch(stream, "mvcc: duplicate watch ID provided on the WatchStream")
        } else {
            id = request.watchID
        }
        guard watches.watchers.count < configuration.watcherLimit,
            watches.rangeBytes + range.byteCount <= configuration.watchRangeByteLimit
        else {
            return refuseWatch(stream, EtcdError.tooManyRequests.text)
        }
        let watcher = Watcher(
            key: WatchKey(watches.nextKey), stream: stream, id: id, range: range, request: request,
            nextRevision: request.startRevision == 0 ? store.revision + 1 : request.startRevision)
        watches.nextKey += 1
        watches.watchers[watcher.key] = watcher
        watches.rangeBytes += range.byteCount
        if watcher.wantsProgress { watches.progressWatchers += 1 }
        stream.add(watcher)
        // Its answer tells of this revision: none that is told later is below it.
        stream.progressRevision = max(stream.progressRevision, store.revision)
        sendControl(stream, id, created: true)
        if watcher.nextRevision > store.revision {
            synchronise(watcher)
        } else if watcher.nextRevision < store.compactRevision {
            cancelCompacted(watcher)
        } else {
            fallBehind(watcher)
        }
    }

    private mutating func refuseWatch(_ stream: WatchStream, _ reason: String) {
        sendControl(stream, -1, created: true, canceled: true, reason: reason)
    }

    private mutating func cancelWatch(_ stream: WatchStream, _ id: Int64) {
        guard let known = stream.watchers.removeValue(forKey: id) else { return }
        if let watcher = known {
            stream.removed(watcher)
            forget(watcher)
        }
        sendControl(stream, id, canceled: true)
        answerProgress(stream)
    }

    /// The start is compacted, or compaction has overtaken the watcher.
    mutating func cancelCompacted(_ watcher: Watcher) {
        forget(watcher)
        watcher.stream.watchers.updateValue(nil, forKey: watcher.id)
        watcher.stream.removed(watcher)
        sendControl(watcher.stream, watcher.id, canceled: true, compactRevision: store.compactRevision)
    }

    private mutating func forget(_ watcher: Watcher) {
        drop(watcher)
        remove(watcher)
        _ = takeBackEvents(of: watcher)
    }

    /// Takes back what was gathered for a watcher, of `revision` and later. How many events there were.
    mutating func takeBackEvents(of watcher: Watcher, from revision: Revision = 0) -> Int {
        let count = watcher.takeBackEvents(from: revision)
        // That may have been all that kept the others of its stream from more: no report will come.
        if count > 0, watcher.stream.parkedCount > 0, mayUnpark(watcher.stream) { unpark(watcher.stream) }
        return count
    }

    /// The client is gone, or is being sent away.
    mutating func endWatchStream(_ id: RequestID) {
        guard let stream = watches.streams.removeValue(forKey: id) else { return }
        watches.progressStreams.remove(id)
        watches.leaderStreams.remove(id)
        stream.hasEnded = true
        watches.ended.append(EndedStream(stream: stream, watchers: stream.watchers.values.compactMap { $0 }))
        stream.forgetAll()
        forgetEnded()
    }

    /// Forgets watchers of streams that have ended, some of them each turn.
    mutating func forgetEnded() {
        while turnWork.controlLeft > 0, !watches.ended.isEmpty {
            guard let watcher = watches.ended[0].watchers.popLast() else {
                watches.ended.removeFirst()
                continue
            }
            turnWork.controlLeft -= 1
            turnWork.visits += 1
            drop(watcher)
            remove(watcher)
        }
    }

    private mutating func drop(_ watcher: Watcher) {
        watches.watchers[watcher.key] = nil
        watches.rangeBytes -= watcher.range.byteCount
        if watcher.wantsProgress { watches.progressWatchers -= 1 }
    }

    // MARK: Progress

    /// Each request is answered after a head read that begins after it. A client that asks without waiting for answers has only
    /// so many under way; one more stands for all that come later.
    private mutating func requestProgress(_ stream: WatchStream) {
        guard stream.progressReads < progressReadLimit else {
            stream.asksProgressAgain = true
            return
        }
        stream.progressReads += 1
        readsWaiting.append(PendingRead(id: stream.request, kind: .watchProgress, arrivedAt: now))
    }

    /// The log could not be asked in time: asks again.
    mutating func progressExpired(_ id: RequestID) {
        if watches.streams[id] != nil {
            readsWaiting.append(PendingRead(id: id, kind: .watchProgress, arrivedAt: now))
        }
    }

    /// The log's end is known for a progress request that came on this stream.
    mutating func confirmProgress(_ id: RequestID) {
        guard let stream = watches.streams[id] else { return }
        stream.progressReads -= 1
        if stream.asksProgressAgain {
            stream.asksProgressAgain = false
            requestProgress(stream)
        }
        stream.progressWaits = true
        stream.progressRevision = max(stream.progressRevision, store.revision)
        answerProgress(stream)
    }

    /// Answers confirmed progress requests once every watcher of the stream has been sent everything.
    mutating func answerProgress(_ stream: WatchStream) {
        guard stream.progressWaits, stream.laggingCount == 0, !isBlocked(stream) else { return }
        // A client takes what it is told for where it stands: never below where it wants to begin.
        let revision = publishedRevision
        guard revision >= max(stream.latestStart, stream.progressRevision) else {
            watches.progressStreams.insert(stream.request)
            return
        }
        stream.progressWaits = false
        watches.progressStreams.remove(stream.request)
        // Without a watch there is nothing to say, as in etcd.
        if stream.liveCount > 0 { sendControl(stream, -1, at: revision) }
    }

    /// The revision has grown: watches of the future may have begun.
    mutating func answerWaitingProgress() {
        guard !watches.progressStreams.isEmpty else { return }
        for id in watches.progressStreams.sorted(by: { $0.rawValue < $1.rawValue }) {
            if let stream = watches.streams[id] { answerProgress(stream) }
        }
    }

    /// Periodic notifications of watches that asked for them and had no events in the meantime.
    mutating func notifyProgress() {
        guard watches.progressWatchers > 0, watches.nextProgressCheck <= now else { return }
        watches.nextProgressCheck = now.advanced(byMs: min(configuration.watchProgressIntervalMs / 10, 1_000))
        let revision = publishedRevision
        let due = watches.streams.values.filter { $0.progressDue <= now }
        for stream in due.sorted(by: { $0.request.rawValue < $1.request.rawValue }) {
            stream.progressDue = now.advanced(byMs: progressIntervalMs(stream.request))
            for watcher in stream.live where watcher.wantsProgress {
                if !watcher.wasBusy, !watcher.isLagging, !isBlocked(stream),
                    max(watcher.startRevision, stream.progressRevision) <= revision
                {
                    sendControl(stream, watcher.id, at: revision)
                }
                watcher.wasBusy = false
            }
        }
    }

    /// Up to a tenth longer than asked, different for each stream, so that streams that were opened together are not
    /// notified together.
    private func progressIntervalMs(_ id: RequestID) -> Int {
        let interval = configuration.watchProgressIntervalMs
        let mixed = (id.rawValue &* 0x9E37_79B9_7F4A_7C15) >> 32
        return interval + Int(mixed % UInt64(max(interval / 10, 1)))
    }

    // MARK: Sending

    /// A response without events: created, canceled or progress.
    private mutating func sendControl(
        _ stream: WatchStream, _ id: Int64, at revision: Revision? = nil, created: Bool = false, canceled: Bool = false,
        compactRevision: Revision = 0, reason: String = ""
    ) {
        var writer = ByteWriter(capacity: 64 + reason.utf8.count)
        writer.appendWatchHead(
            header(at: revision ?? store.revision), watchID: id, created: created, canceled: canceled, compactRevision: compactRevision,
            cancelReason: ByteString(reason))
        send(stream, writer.finish(), isAnswer: true)
    }

    func header(at revision: Revision) -> ResponseHeader {
        var header = header
        header.revision = revision
        return header
    }

    mutating func send(_ stream: WatchStream, _ message: ByteString, isAnswer: Bool = false) {
        let sent = UnreadBytes(all: message.count, answers: isAnswer ? message.count : 0)
        actions.append(.send(stream.request, message, reportDrained: noteSent(stream, sent)))
    }

    mutating func send(_ stream: WatchStream, _ parts: [ByteString], size: Int) {
        actions.append(.sendParts(stream.request, parts, reportDrained: noteSent(stream, UnreadBytes(all: size))))
    }

    /// Accounts for a message. Whether to ask for a report when it has left.
    private func noteSent(_ stream: WatchStream, _ sent: UnreadBytes) -> Bool {
        stream.outstanding += sent
        stream.sinceReport += sent
        // Half of the least bound: a blocked stream always has a report to wait for, however the bound has shrunk since.
        guard stream.sinceReport.all >= configuration.watchStreamBufferMinBytes / 2 else { return false }
        stream.awaitedReports.append(stream.sinceReport)
        stream.sinceReport = UnreadBytes()
        return true
    }

    /// Whether the client has so much to take that nothing more is gathered for it.
    func isBlocked(_ stream: WatchStream) -> Bool { stream.outstanding.all + stream.gathered >= watchBufferLimit }

    /// What one stream may have under way, in bytes: its share of what all may have together, within reason.
    private var watchBufferLimit: Int {
        let share = configuration.watchBufferBytes / max(watches.streams.count, 1)
        return max(min(share, configuration.watchStreamBufferMaxBytes), configuration.watchStreamBufferMinBytes)
    }

    mutating func watchStreamDrained(_ id: RequestID) {
        guard let stream = watches.streams[id] else { return }
        guard let taken = stream.awaitedReports.popFirst() else { violated("a report that was not asked for") }
        stream.outstanding -= taken
        if stream.parkedCount > 0, mayUnpark(stream) { unpark(stream) }
        answerProgress(stream)
    }

    /// Whether there is room for more than a little: a stream may have many watchers, and each time all of them come along.
    private func mayUnpark(_ stream: WatchStream) -> Bool {
        (stream.outstanding.all + stream.gathered) * 2 <= watchBufferLimit
    }
}

/// Requests, or watchers of streams that have ended, that are taken care of in a turn.
let controlLimit = 5_000

/// How many head reads may be under way for one stream.
private let progressReadLimit = 16

/// What a client may leave unread of answers to its own requests, in bytes, beside its stream's share of events.
private let unreadAnswersLimit = 1 << 20

/// How much is kept for watches: for metrics, and for tests that look for leaks.
package struct WatchCounts: Sendable, Hashable {
    package var streams = 0
    package var watchers = 0
    /// Watchers that are catching up, those of clients that don't read included.
    package var lagging = 0

    package var isEmpty: Bool { self == WatchCounts() }
}

extension KeyRange {
    /// What the keys that it names take, in bytes.
    fileprivate var byteCount: Int {
        if case .before(let end) = end { return start.count + end.count }
        return start.count
    }
}

extension WatchRequest {
    /// About what it takes in memory, in bytes.
    fileprivate var byteCount: Int {
        if case .create(let request) = self { return request.key.count + request.rangeEnd.count + 256 }
        return 256
    }
}

extension Replica {
    package var watchCounts: WatchCounts {
        WatchCounts(
            streams: watches.streams.count, watchers: watches.watchers.count,
            lagging: watches.watchers.count - watches.synced.count)
    }
}

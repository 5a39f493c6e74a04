// Owns: progress: requests, each of which is answered after a head read that begins after it, and periodic notifications.
// Must never: tell a client of a revision before all its stream's watchers have been sent everything up to it.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

struct WatchProgress {
    /// Streams with confirmed requests that wait for nothing but a later revision.
    private var waiting: Set<CallID> = []
    /// When streams are next looked through for watchers that are due a notification.
    private var nextCheck = Instant(nanoseconds: 0)
    private let intervalMs: Int

    init(intervalMs: Int) { self.intervalMs = intervalMs }

    // MARK: Requests

    /// A client asked. Whether the log's end is to be looked up for it. A client that asks without waiting for answers has only so many
    /// under way; one more stands for all that come later.
    func requested(_ stream: WatchStream) -> Bool {
        guard stream.progressReads < progressReadLimit else {
            stream.asksProgressAgain = true
            return false
        }
        stream.progressReads += 1
        return true
    }

    /// The log's end is known for a request that came on this stream. Whether it is to be looked up once more.
    func confirmed(_ stream: WatchStream, at revision: Revision) -> Bool {
        stream.progressReads -= 1
        let asksAgain = stream.asksProgressAgain
        stream.asksProgressAgain = false
        stream.progressWaits = true
        stream.progressRevision = max(stream.progressRevision, revision)
        return asksAgain && requested(stream)
    }

    /// Answers confirmed requests once every watcher of the stream has been sent everything up to `published`.
    mutating func answer(
        _ stream: WatchStream, published: Revision, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox
    ) {
        // A stream may end while it is on its way here, at the end of a sweep.
        guard !stream.hasEnded, stream.progressWaits, stream.laggingCount == 0, !registry.isBlocked(stream) else { return }
        // A client takes what it is told for where it stands: never below where it wants to begin.
        guard published >= max(stream.latestStart, stream.progressRevision) else {
            waiting.insert(stream.request)
            return
        }
        stream.progressWaits = false
        waiting.remove(stream.request)
        // Without a watch there is nothing to say, as in etcd.
        if stream.liveCount > 0 { outbox.sendControl(stream, -1, at: published) }
    }

    /// The revision has grown: watches of the future may have begun.
    mutating func answerWaiting(published: Revision, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox) {
        guard !waiting.isEmpty else { return }
        for id in waiting.sorted(by: { $0.rawValue < $1.rawValue }) {
            if let stream = registry.streams[id] { answer(stream, published: published, registry, &outbox) }
        }
    }

    mutating func streamEnded(_ id: CallID) { waiting.remove(id) }

    // MARK: Notifications

    /// When a stream that is opened or notified now is due its next notifications.
    func due(_ id: CallID, now: Instant) -> Instant {
        // Up to a tenth longer than asked, different for each stream, so that streams that were opened together are not notified together.
        let mixed = (id.rawValue &* 0x9E37_79B9_7F4A_7C15) >> 32
        return now.advanced(byMs: intervalMs + Int(mixed % UInt64(max(intervalMs / 10, 1))))
    }

    /// When `notify` is to be called next.
    func deadline(_ registry: borrowing WatchRegistry) -> Instant? { registry.progressWatchers > 0 ? nextCheck : nil }

    /// Notifies watchers that asked for it and had no events in the meantime.
    mutating func notify(published: Revision, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox) {
        let now = outbox.now
        guard registry.progressWatchers > 0, nextCheck <= now else { return }
        nextCheck = now.advanced(byMs: min(intervalMs / 10, 1_000))
        let due = registry.streams.values.filter { $0.progressDue <= now }
        for stream in due.sorted(by: { $0.request.rawValue < $1.request.rawValue }) {
            stream.progressDue = self.due(stream.request, now: now)
            for watcher in stream.live where watcher.wantsProgress {
                if !watcher.wasBusy, !watcher.isLagging, !registry.isBlocked(stream),
                    max(watcher.startRevision, stream.progressRevision) <= published
                {
                    outbox.sendControl(stream, watcher.id, at: published)
                }
                watcher.wasBusy = false
            }
        }
    }

    borrowing func invariants(_ registry: borrowing WatchRegistry) {
        for id in waiting {
            guard let stream = registry.streams[id] else { violated("stream \(id.rawValue) has ended and waits for progress") }
            invariant(stream.progressWaits, "stream \(id.rawValue) waits for progress unasked")
        }
        for stream in registry.streams.values {
            invariant(stream.progressReads <= progressReadLimit, "stream \(stream.request.rawValue) reads the head too often")
        }
    }
}

/// How many head reads may be under way for one stream.
private let progressReadLimit = 16

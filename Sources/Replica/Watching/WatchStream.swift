// Owns: what is known of one Watch call: its watches, and what its client has not taken yet.
// Invariants: `liveCount`, `laggingCount` and `parkedCount` are what its watchers say, `gathered` what is gathered for them, until it has
// ended; `outstanding` is the sum of the awaited reports and what came after them.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// Bytes that a client has not taken yet.
struct UnreadBytes {
    var all = 0
    /// Those of answers to its own requests, of which it can ask for ever more; how many events it is sent is up to us.
    var answers = 0

    static func += (total: inout UnreadBytes, more: UnreadBytes) {
        total.all += more.all
        total.answers += more.answers
    }

    static func -= (total: inout UnreadBytes, less: UnreadBytes) {
        total.all -= less.all
        total.answers -= less.answers
    }
}

/// One call of Watch, with its watches and what it has not taken from us yet.
final class WatchStream {
    let request: CallID
    let principal: Principal
    /// By the client's id. Those that compaction cancelled stay as nil until the client cancels them: etcd doesn't give
    /// their ids away either.
    var watchers: [WatchID: Watcher?] = [:]
    var nextID: WatchID = 0
    /// How many of them are not nil.
    private(set) var liveCount = 0
    /// What `latestStart` says, where that is known.
    private var knownLatestStart: Revision? = 0
    /// How many of its watchers are lagging, and those of them that wait for the client to read on.
    var laggingCount = 0
    /// Some of `parked` may have left since; `parkedCount` have not.
    private(set) var parked: [Watcher] = []
    private(set) var parkedCount = 0
    /// Whether the client is gone, or was sent away; its watchers are still to be forgotten.
    var hasEnded = false

    /// Bytes gathered for its watchers that are about to be sent.
    var gathered = 0
    /// What was sent and has not left as far as we know: that of each report that was asked for and hasn't come, oldest first, and
    /// that since.
    private(set) var outstanding = UnreadBytes()
    private var awaitedReports = Deque<UnreadBytes>()
    private var sinceReport = UnreadBytes()

    /// Head reads under way for progress requests, and whether more was asked than there may be.
    var progressReads = 0
    var asksProgressAgain = false
    /// Progress requests that were confirmed and wait for the stream's watchers to catch up.
    var progressWaits = false
    /// The revision that their answer has to tell of, at least.
    var progressRevision: Revision = 0

    /// When watches that had no events are told so the next time.
    var progressDue: Instant

    init(_ request: CallID, by principal: Principal, progressDue: Instant) {
        self.request = request
        self.principal = principal
        self.progressDue = progressDue
    }

    /// Lets go of its watchers: it has ended, or everything has.
    func forgetAll() {
        watchers = [:]
        parked = []
    }

    func park(_ watcher: Watcher) {
        watcher.place = .parked
        parkedCount += 1
        // One that left and comes back may be listed still.
        if watcher.isListedAsParked { return }
        watcher.isListedAsParked = true
        parked.append(watcher)
    }

    /// A parked watcher leaves. Many may, one after the other: the list is cleaned up now and then.
    func unparked(_ watcher: Watcher) {
        watcher.place = .nowhere
        parkedCount -= 1
        guard parked.count > 64, parkedCount * 2 < parked.count else { return }
        parked.removeAll { watcher in
            watcher.isListedAsParked = watcher.place == .parked
            return watcher.place != .parked
        }
    }

    func takeParked() -> [Watcher] {
        let taken = parked.filter { $0.place == .parked }
        for watcher in parked { watcher.isListedAsParked = false }
        parked = []
        parkedCount = 0
        return taken
    }

    /// In the order in which they were made.
    var live: [Watcher] {
        watchers.values.compactMap { $0 }.sorted { $0.key < $1.key }
    }

    func add(_ watcher: Watcher) {
        watchers[watcher.id] = watcher
        liveCount += 1
        if let known = knownLatestStart { knownLatestStart = max(known, watcher.startRevision) }
    }

    /// A watcher was cancelled, and is not in `watchers` any more.
    func removed(_ watcher: Watcher) {
        liveCount -= 1
        if watcher.startRevision == knownLatestStart { knownLatestStart = nil }
    }

    /// The highest revision that one of its watchers begins at; 0 where none says any.
    var latestStart: Revision {
        if let knownLatestStart { return knownLatestStart }
        let latest = watchers.values.reduce(0) { max($0, $1?.startRevision ?? 0) }
        knownLatestStart = latest
        return latest
    }

    /// Accounts for a message. Whether to ask for a report when it has left, which is once `reportBytes` have gathered.
    func sent(_ sent: UnreadBytes, reportBytes: Int) -> Bool {
        outstanding += sent
        sinceReport += sent
        guard sinceReport.all >= reportBytes else { return false }
        awaitedReports.append(sinceReport)
        sinceReport = UnreadBytes()
        return true
    }

    /// What the oldest awaited report is about has left.
    func drained() {
        guard let taken = awaitedReports.popFirst() else { violated("a report that was not asked for") }
        outstanding -= taken
    }

    /// Traps where the stream's counts are not what its watchers say.
    func invariants() {
        let live = watchers.values.compactMap { $0 }
        let name = "stream \(request.rawValue)"
        invariant(!hasEnded, "\(name) has ended and is still known")
        invariant(live.count == liveCount, "\(name) has \(live.count) watchers, not \(liveCount)")
        invariant(live.count(where: \.isLagging) == laggingCount, "\(name) has not \(laggingCount) watchers that lag")
        invariant(live.count { $0.place == .parked } == parkedCount, "\(name) has not \(parkedCount) parked watchers")
        invariant(parked.count { $0.place == .parked } == parkedCount, "\(name) has lost a parked watcher")
        let bytes = live.reduce(0) { $0 + $1.events.reduce(0) { $0 + $1.bytes.count } }
        invariant(bytes == gathered, "\(bytes) bytes are gathered for \(name), not \(gathered)")
        var unread = sinceReport
        for report in awaitedReports { unread += report }
        invariant(unread.all == outstanding.all && unread.answers == outstanding.answers, "\(name) has miscounted what is unread")
        invariant(knownLatestStart.map { $0 == live.reduce(0) { max($0, $1.startRevision) } } ?? true, "\(name): latest start")
    }
}

// Owns: what is known of one watch and of one watch stream.
// Invariants: a watcher is in exactly one place: the hub `synced`, where it has been sent everything up to the committed
// revision; the hub `catchingUp`, where `nextRevision` is the first revision that it has not been sent whole; or, the same
// but with a client that doesn't take what it was sent, among its stream's `parked`, where it costs nobody anything.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// One watch of a client.
final class Watcher {
    enum Place {
        case nowhere
        case synced
        case catchingUp
        case parked
    }

    let key: WatchKey
    /// Each holds the other, until the stream has ended: events may be on their way to a watcher whose stream is gone.
    let stream: WatchStream
    /// What the client calls it; unique in its stream.
    let id: Int64
    let range: KeyRange
    let skipsPuts: Bool
    let skipsDeletes: Bool
    let wantsPrevKV: Bool
    let wantsProgress: Bool
    let wantsFragments: Bool
    /// What the client asked for; a watcher of the future says nothing before.
    let startRevision: Revision
    /// Of a lagging watcher: the first revision not sent yet. Of a synced one: the lowest that it wants at all.
    var nextRevision: Revision
    var place = Place.nowhere
    var isLagging: Bool { place == .catchingUp || place == .parked }
    /// Whether it has fallen behind for no fault of its client: a value before an event has to be read first, or there were too many
    /// events for all watchers at once.
    var isBlameless = false
    /// Whether it has been sent something since its last progress notification was due.
    var wasBusy = false

    /// Whether `events` are of rows that were just committed, and not of a pass over old ones.
    var isGatheredLive = false
    /// Whether it is in the list of laggards, which it may have left again.
    var isListed = false
    /// Whether it takes part in the pass over old rows that is under way.
    var isSwept = false
    /// Set for the rest of that pass once its client can't be given more.
    var hasStopped = false
    /// What a long revision comes to for it, while that is measured, in bytes.
    var measuredBytes = 0

    /// Events that are gathered for the next responses, with their revisions. While there are any, it takes part in no other pass.
    var events: [(revision: Revision, bytes: ByteString)] = []

    init(key: WatchKey, stream: WatchStream, id: Int64, range: KeyRange, request: WatchCreateRequest, nextRevision: Revision) {
        self.key = key
        self.stream = stream
        self.id = id
        self.range = range
        skipsPuts = request.filters.contains(.noPut)
        skipsDeletes = request.filters.contains(.noDelete)
        wantsPrevKV = request.prevKV
        wantsProgress = request.progressNotify
        wantsFragments = request.fragment
        startRevision = request.startRevision
        self.nextRevision = nextRevision
    }

    func wants(_ kind: RowKind) -> Bool {
        kind == .put ? !skipsPuts : !skipsDeletes
    }

    /// Takes gathered events of `revision` and later back. How many there were.
    func takeBackEvents(from revision: Revision = 0) -> Int {
        var count = 0
        while let last = events.last, last.revision >= revision {
            events.removeLast()
            stream.gathered -= last.bytes.count
            nextRevision = min(nextRevision, last.revision)
            count += 1
        }
        return count
    }
}

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
    let request: RequestID
    /// By the client's id. Those that compaction cancelled stay as nil until the client cancels them: etcd doesn't give
    /// their ids away either.
    var watchers: [Int64: Watcher?] = [:]
    var nextID: Int64 = 0
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
    var outstanding = UnreadBytes()
    var awaitedReports = Deque<UnreadBytes>()
    var sinceReport = UnreadBytes()

    /// Head reads under way for progress requests, and whether more was asked than there may be.
    var progressReads = 0
    var asksProgressAgain = false
    /// Progress requests that were confirmed and wait for the stream's watchers to catch up.
    var progressWaits = false
    /// The revision that their answer has to tell of, at least.
    var progressRevision: Revision = 0

    /// When watches that had no events are told so the next time.
    var progressDue: Instant

    init(_ request: RequestID, progressDue: Instant) {
        self.request = request
        self.progressDue = progressDue
    }

    /// Lets go of its watchers: it has ended, or everything has.
    func forgetAll() {
        watchers = [:]
        parked = []
    }

    func park(_ watcher: Watcher) {
        watcher.place = .parked
        parked.append(watcher)
        parkedCount += 1
    }

    /// A parked watcher leaves. Many may, one after the other: the list is cleaned up now and then.
    func unparked(_ watcher: Watcher) {
        watcher.place = .nowhere
        parkedCount -= 1
        if parked.count > 64, parkedCount * 2 < parked.count { parked.removeAll { $0.place != .parked } }
    }

    func takeParked() -> [Watcher] {
        let taken = parked.filter { $0.place == .parked }
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
}

/// An event's bytes, made at most once for all who watch the key: with and without the state before.
struct EncodedEvent {
    private var plain: ByteString?
    private var withPrevious: ByteString?

    mutating func bytes(_ row: LogRow, wantsPrevious: Bool, _ store: borrowing Store) -> ByteString {
        if !wantsPrevious {
            if let plain { return plain }
            let bytes = Self.encode(row, previous: nil, store.cold)
            plain = bytes
            return bytes
        }
        if let withPrevious { return withPrevious }
        let previous = store.previous(of: row)
        // Without one there is nothing to tell the two apart.
        let bytes = previous == nil ? self.bytes(row, wantsPrevious: false, store) : Self.encode(row, previous: previous, store.cold)
        withPrevious = bytes
        return bytes
    }

    /// The event as field 11 of a WatchResponse.
    private static func encode(_ row: LogRow, previous: KeyVersion?, _ cold: ColdValues) -> ByteString {
        var writer = ByteWriter(capacity: row.key.count + row.value.count + 64 + Int(previous?.valueLength ?? 0))
        let kv =
            row.kind == .put
            ? KeyValue(
                key: row.key, createRevision: row.createRevision, modRevision: row.position.revision, version: row.version,
                value: row.value, lease: row.lease)
            : KeyValue(key: row.key, modRevision: row.position.revision)
        let before = previous.map {
            KeyValue(
                key: row.key, createRevision: $0.createRevision, modRevision: $0.position.revision, version: $0.version,
                value: cold.value(of: $0, key: row.key), lease: $0.lease)
        }
        writer.appendEvent(row.kind == .put ? .put : .delete, kv: kv, prevKV: before)
        return writer.finish()
    }
}

extension Store {
    /// The key's state before the row's revision; nil where there was none, the row created the key, or it is compacted.
    borrowing func previous(of row: LogRow) -> KeyVersion? {
        let before = row.position.revision - 1
        if row.kind == .put && row.createRevision == row.position.revision { return nil }
        return before < compactRevision ? nil : index.version(of: row.key, at: before)
    }
}

extension EncodedEvent {
    /// At least what the event's bytes will be, without its being encoded.
    static func byteCount(_ row: LogRow, previous: KeyVersion?) -> Int {
        row.key.count + row.value.count + (previous.map { row.key.count + Int($0.valueLength) } ?? 0)
    }
}

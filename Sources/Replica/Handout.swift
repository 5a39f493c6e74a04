// Owns: how far handing out a run of rows has come: state carried across turns, since a revision can have any number of rows, and a row
// any number of watchers.
// Invariants: each watcher in `touched` once; a watcher's gathered events are sent when their revision is whole.
internal import Bytes
internal import Keyspace

struct Handout {
    // The row under way
    /// Those who watch its key, and how many of them have been looked at.
    var matched: [WatchKey] = []
    var matchedCount = 0
    var isInRow = false
    var event = EncodedEvent()

    // The revision under way
    /// That of the row under way, or of the last one.
    private(set) var begunRevision: Revision = 0
    /// The first revision that was begun and is not sent whole.
    private(set) var unsentRevision: Revision?
    /// Rows that were measured of a long revision; nil where none is being measured. What can't be sent is not encoded first.
    var measuredRows: Int?
    var measured: [Watcher] = []

    // What is gathered
    /// Watchers with gathered events, and how many of them were sent theirs.
    var touched: [Watcher] = []
    var flushedCount = 0
    var isFlushing = false
    /// Events gathered for all of `touched`.
    var gatheredCount = 0
    /// The one that goes on where too many are gathered; the others give way.
    var keeper: Watcher?

    mutating func begin(_ revision: Revision, isLong: Bool) {
        begunRevision = revision
        if unsentRevision == nil { unsentRevision = revision }
        measuredRows = isLong ? 0 : nil
    }

    /// All before `revision` is handed out; nobody was there to be given it.
    mutating func skip(through revision: Revision) {
        begunRevision = max(begunRevision, revision)
        unsentRevision = nil
    }

    /// Everything that was gathered is sent.
    mutating func flushed() {
        touched.removeAll(keepingCapacity: touched.count <= 1_024)
        flushedCount = 0
        isFlushing = false
        gatheredCount = 0
        keeper = nil
        unsentRevision = nil
    }

    mutating func endRow() {
        isInRow = false
        matchedCount = 0
    }

    /// Forgets what is under way.
    mutating func abort() {
        endRow()
        measuredRows = nil
        for watcher in measured { watcher.measuredBytes = 0 }
        measured = []
        flushed()
    }
}

/// Where rows come from.
enum RowSource {
    /// Rows that were committed, for those who have been sent everything before.
    case live
    /// Old rows for those that are behind.
    case sweep(WatchSweep)

    var isLive: Bool { if case .live = self { true } else { false } }
}

/// Rows of whole revisions, from `start` through `end`, for watchers that are behind. A class: it is carried across turns.
final class WatchSweep {
    let rows: [LogRow]
    let start: Revision
    let end: Revision
    /// How many rows were handed out.
    var passedCount = 0
    var handout = Handout()
    /// The watchers that stood between `start` and `end` when it began, and how many of them were moved on.
    var passing: [Watcher] = []
    var settledCount = 0
    /// Streams of which no watcher is behind any more.
    var caughtUp: [WatchStream] = []
    /// What was read for the rows that come next.
    var values: [Position: ByteString] = [:]

    init(rows: [LogRow], start: Revision, end: Revision) {
        self.rows = rows
        self.start = start
        self.end = end
    }
}

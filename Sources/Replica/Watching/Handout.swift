// Owns: a pass of rows to the watchers of their keys, which can be left after each step and gone on with in a later turn.
// Must never: let one client's pace touch another, or gather more for a client than its buffer's bound and one revision.
//
//             begin a revision            long: measured, then from its first row again
//   pending ────────────────────▶ row, watcher by watcher ──▶ next row ──▶ ... ──▶ last row, or enough gathered ──▶ flush ──▶ pending
//
// Each step can be the last of a turn; the next turn goes on with it: a revision may have any number of rows, and a row any number of
// watchers.
//
// A pass of old rows ends early once all of its watchers have stopped, each before a revision that it can't be given now.
//
// Invariants: a watcher with events gathered here is in `touched` (twice if it gave events back and then gathered others: it is sent what it
// has the first time); a watcher's gathered events are sent when their revision is whole.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// Rows to hand out, in order.
protocol HandoutRows {
    /// A row that is still to be handed out: the next one, or one after it.
    func pending(_ offset: Int) -> LogRow?
    mutating func passNext()
}

/// A revision that is larger for a client than a message may be, in bytes.
struct OversizedRevision {
    var stream: WatchStream
    var byteCount: Int
}

struct Handout {
    enum Progress {
        case finished
        case outOfWork
        /// A value that the next event needs is not in memory. Never in a pass of rows that were just committed.
        case lacksValue
        /// These streams have to be ended before the pass goes on.
        case oversized([OversizedRevision])
    }

    /// Whether rows are handed out that were just committed, to those who have been sent everything before; else old rows, to those that
    /// are behind.
    let isLive: Bool
    /// Upper bound of the watchers that have not stopped; unused in a pass of rows that were just committed.
    private var goingOnCount: Int

    // The row under way
    /// Those who watch its key, and how many of them have been looked at.
    private var matched: [WatchKey] = []
    private var matchedCount = 0
    private var isInRow = false
    private var event = EncodedEvent()

    // The revision under way
    /// That of the row under way, or of the last one.
    private(set) var begunRevision: Revision = 0
    /// The first revision that was begun and is not sent whole.
    private(set) var unsentRevision: Revision?
    /// Rows that were measured of a long revision; nil where none is being measured. What can't be sent is not encoded first.
    private var measuredRows: Int?
    private var measured: [Watcher] = []

    // What is gathered
    /// Watchers with gathered events, and how many of them were sent theirs.
    private var touched: [Watcher] = []
    private var flushedCount = 0
    private var isFlushing = false
    /// Events gathered for all of `touched`, those of watchers that were cancelled since included.
    private var gatheredCount = 0
    /// The one that goes on where too many are gathered; the others give way.
    private var keeper: Watcher?

    private let longRevisionRows: Int
    private let revisionEventLimit: Int
    private let messageByteLimit: Int

    /// `watcherCount`: how many watchers a pass of old rows is for; nil if the rows were just committed.
    init(sweeping watcherCount: Int?, _ configuration: ReplicaConfiguration) {
        isLive = watcherCount == nil
        goingOnCount = watcherCount ?? 0
        longRevisionRows = configuration.watchLongRevisionRows
        revisionEventLimit = configuration.watchRevisionEventLimit
        messageByteLimit = configuration.messageByteLimit
    }

    /// Whether events are gathered that are still to be sent, or a revision isn't sent whole.
    var isUnderWay: Bool { unsentRevision != nil || !touched.isEmpty }

    /// Whether something is gathered, or was.
    var hasGathered: Bool { !touched.isEmpty }

    /// All before `revision` is handed out; nobody was there to be given it.
    mutating func skip(through revision: Revision) {
        begunRevision = max(begunRevision, revision)
        unsentRevision = nil
    }

    /// Takes back what was gathered of rows that were just committed.
    func takeBack(_ registry: inout WatchRegistry) {
        for watcher in touched where watcher.isGatheredLive == isLive { _ = registry.takeBackEvents(of: watcher) }
    }

    /// Forgets what is under way.
    mutating func abort() {
        endRow()
        measuredRows = nil
        for watcher in measured { watcher.measuredBytes = 0 }
        measured = []
        flushed()
    }

    // MARK: Rows and watchers

    /// Goes on handing out rows, as far as this turn's bounds go.
    mutating func goOn(
        _ rows: inout some HandoutRows, _ registry: inout WatchRegistry, _ outbox: inout WatchOutbox, _ store: borrowing Store,
        _ lookup: inout ValueLookup
    ) -> Progress {
        while hasWork(outbox) {
            if isFlushing {
                let oversized = flush(&registry, &outbox)
                if !oversized.isEmpty { return .oversized(oversized) }
                continue
            }
            guard isLive || goingOnCount > 0, let row = rows.pending(0) else {
                guard touched.isEmpty else {
                    isFlushing = true
                    continue
                }
                flushed()
                return .finished
            }
            guard row.kind == .put || row.kind == .delete else {
                rows.passNext()
                continue
            }
            if row.position.revision != begunRevision {
                let isLong = rows.pending(longRevisionRows)?.position.revision == row.position.revision
                if !touched.isEmpty, isLong || gatheredCount >= gatheredEventLimit {
                    isFlushing = true
                    continue
                }
                begin(row.position.revision, isLong: isLong)
            }
            if let count = measuredRows {
                let oversized = measure(rows.pending(count), registry, &outbox, store)
                if !oversized.isEmpty { return .oversized(oversized) }
                continue
            }
            switch deliver(row, &registry, &outbox, store, &lookup) {
            case .finished: rows.passNext()
            case let progress: return progress
            }
        }
        return .outOfWork
    }

    private mutating func begin(_ revision: Revision, isLong: Bool) {
        begunRevision = revision
        if unsentRevision == nil { unsentRevision = revision }
        measuredRows = isLong ? 0 : nil
    }

    private func hasWork(_ outbox: borrowing WatchOutbox) -> Bool { (isLive ? outbox.budget.live : outbox.budget.sweep) > 0 }

    /// Counts against this turn's bound.
    private func spend(_ count: Int, _ outbox: inout WatchOutbox) {
        if isLive { outbox.budget.live -= count } else { outbox.budget.sweep -= count }
    }

    /// The same of what was looked at.
    private func visit(_ count: Int, _ outbox: inout WatchOutbox) {
        outbox.budget.visited(count)
        spend(count, &outbox)
    }

    /// Looks up who watches the row's key.
    private mutating func beginRow(_ row: LogRow, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox) {
        guard !isInRow else { return }
        isInRow = true
        matchedCount = 0
        matched.removeAll(keepingCapacity: matched.count <= 1_024)
        event = EncodedEvent()
        registry.matches(row.key, areSynced: isLive) { matched.append($0) }
        visit(1, &outbox)
    }

    private mutating func endRow() {
        isInRow = false
        matchedCount = 0
    }

    /// The next of those who watch the row's key, if it wants the row's event.
    private mutating func nextWatcher(
        of row: LogRow, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox
    ) -> Watcher? {
        let key = matched[matchedCount]
        matchedCount += 1
        visit(1, &outbox)
        // It may have left since the row was begun.
        guard let watcher = registry.watchers[key], !watcher.stream.hasEnded else { return nil }
        // One that stands before the sweep must not be given rows in passing: it would miss those between.
        if isLive {
            guard watcher.place == .synced else { return nil }
        } else {
            guard watcher.place == .catchingUp, watcher.isSwept, !watcher.hasStopped else { return nil }
        }
        return row.position.revision >= watcher.nextRevision && watcher.wants(row.kind) ? watcher : nil
    }

    /// Appends the row's event to what is gathered for the watchers that want it. A watcher whose client has enough to take stops before
    /// the revision that it can't be given.
    private mutating func deliver(
        _ row: LogRow, _ registry: inout WatchRegistry, _ outbox: inout WatchOutbox, _ store: borrowing Store,
        _ lookup: inout ValueLookup
    ) -> Progress {
        beginRow(row, registry, &outbox)
        let revision = row.position.revision
        while matchedCount < matched.count {
            guard hasWork(outbox) else { return .outOfWork }
            guard let watcher = nextWatcher(of: row, registry, &outbox) else { continue }
            // A revision that was begun is finished, however full the buffer: its events stay together.
            if watcher.events.last?.revision != revision, registry.isBlocked(watcher.stream) {
                stop(watcher, before: revision, &registry)
                continue
            }
            if gatheredCount >= revisionEventLimit, givesWay(watcher) {
                giveBack(watcher, from: revision, &registry)
                continue
            }
            guard let bytes = event.bytes(row, wantsPrevious: watcher.wantsPrevKV, store, &lookup) else {
                guard isLive else {
                    matchedCount -= 1
                    return .lacksValue
                }
                // Demote to catching up, where fetching values may block.
                giveBack(watcher, from: revision, &registry)
                continue
            }
            if watcher.events.isEmpty {
                watcher.isGatheredLive = isLive
                touched.append(watcher)
            }
            watcher.events.append((revision, bytes))
            watcher.stream.gathered += bytes.count
            gatheredCount += 1
        }
        endRow()
        return .finished
    }

    /// The watcher, for no fault of its client, can't be given the revision now.
    private mutating func giveBack(_ watcher: Watcher, from revision: Revision, _ registry: inout WatchRegistry) {
        gatheredCount -= registry.takeBackEvents(of: watcher, from: revision)
        watcher.isBlameless = true
        stop(watcher, before: revision, &registry)
    }

    /// The watcher is not given `revision` now: it is behind, or stays so.
    private mutating func stop(_ watcher: Watcher, before revision: Revision, _ registry: inout WatchRegistry) {
        watcher.nextRevision = revision
        guard isLive else {
            watcher.hasStopped = true
            goingOnCount -= 1
            return
        }
        registry.remove(watcher)
        registry.fallBehind(watcher)
    }

    /// Whether the watcher has to wait for a later pass. One goes on, so that each pass serves somebody.
    private mutating func givesWay(_ watcher: Watcher) -> Bool {
        if keeper?.events.isEmpty ?? true { keeper = watcher }
        return keeper !== watcher
    }

    // MARK: Long revisions

    /// Adds the next row's event to what the revision comes to for each watcher. After the last row, tells which streams can't be sent as
    /// much in one message.
    private mutating func measure(
        _ row: LogRow?, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox, _ store: borrowing Store
    ) -> [OversizedRevision] {
        guard let count = measuredRows else { return [] }
        guard let row, row.position.revision == begunRevision else { return endMeasuring(&outbox) }
        guard row.kind == .put || row.kind == .delete else {
            measuredRows = count + 1
            return []
        }
        beginRow(row, registry, &outbox)
        var sizes: (plain: Int?, withPrevious: Int?)
        while matchedCount < matched.count {
            guard hasWork(outbox) else { return [] }
            guard let watcher = nextWatcher(of: row, registry, &outbox) else { continue }
            let bytes: Int
            if watcher.wantsPrevKV {
                bytes = sizes.withPrevious ?? EncodedEvent.byteCount(row, previous: store.previous(of: row))
                sizes.withPrevious = bytes
            } else {
                bytes = sizes.plain ?? EncodedEvent.byteCount(row, previous: nil)
                sizes.plain = bytes
            }
            if watcher.measuredBytes == 0 { measured.append(watcher) }
            watcher.measuredBytes += bytes
        }
        endRow()
        measuredRows = count + 1
        return []
    }

    private mutating func endMeasuring(_ outbox: inout WatchOutbox) -> [OversizedRevision] {
        measuredRows = nil
        visit(measured.count, &outbox)
        var oversized: [OversizedRevision] = []
        for watcher in measured {
            let bytes = watcher.measuredBytes
            watcher.measuredBytes = 0
            if bytes > messageByteLimit, !watcher.wantsFragments {
                oversized.append(OversizedRevision(stream: watcher.stream, byteCount: bytes))
            }
        }
        measured.removeAll()
        return oversized
    }

    // MARK: Sending

    /// Sends gathered events, as far as this turn's bounds go, or until a stream has to be ended.
    private mutating func flush(_ registry: inout WatchRegistry, _ outbox: inout WatchOutbox) -> [OversizedRevision] {
        while flushedCount < touched.count {
            guard hasWork(outbox) else { return [] }
            let watcher = touched[flushedCount]
            flushedCount += 1
            // One that fell behind, and was given nothing here in the end, may be in the middle of a sweep.
            guard watcher.isGatheredLive == isLive else { continue }
            // Its message is put together at once; no other in the same turn, where it is a long one.
            let count = watcher.events.count
            visit(1, &outbox)
            spend(count, &outbox)
            if watcher.place == .catchingUp, count > 0, !watcher.stream.hasEnded { registry.needsLook = true }
            if let byteCount = outbox.flush(watcher) { return [OversizedRevision(stream: watcher.stream, byteCount: byteCount)] }
        }
        flushed()
        return []
    }

    /// Everything that was gathered is sent.
    private mutating func flushed() {
        touched.removeAll(keepingCapacity: touched.count <= 1_024)
        flushedCount = 0
        isFlushing = false
        gatheredCount = 0
        keeper = nil
        unsentRevision = nil
    }
}

/// Events gathered for all watchers before they are sent, between revisions.
private let gatheredEventLimit = 50_000

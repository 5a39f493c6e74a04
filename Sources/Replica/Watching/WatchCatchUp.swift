// Owns: which rows watchers that are behind are given next, from memory or by reading the log, and the sweep of these that is under way.
// Must never: sweep two runs of rows at once; read for watchers whose clients don't take what they are sent.
//
// All watchers on the way share what is read: each sweep begins at the lowest revision that one waits for past the last sweep, or at the
// lowest of all.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct WatchCatchUp {
    enum Progress {
        /// There is nothing to sweep, or the turn's bounds are used up, or values are awaited.
        case waiting
        /// The sweep is over. The streams of which no watcher is behind any more.
        case finished([WatchStream])
        /// These streams have to be ended before the sweep goes on.
        case oversized([OversizedRevision])
    }

    /// Old rows on their way to watchers that are behind, and how many sweeps there were.
    private var sweep: WatchSweep?
    private var sweepNumber: UInt64 = 0
    private var reader = HistoryReader()
    /// Where the sweeps through the recent rows and through the log go on.
    private var recentSweep: Revision = 0
    private var historySweep: Revision = 0
    /// Whether the sweep lacks values and has not told of it.
    private var lacksValues = false
    private let configuration: ReplicaConfiguration

    init(_ configuration: ReplicaConfiguration) { self.configuration = configuration }

    /// Whether a sweep is under way, parked or not.
    var isSweeping: Bool { sweep != nil }

    /// Whether the sweep waits for values.
    var isParked: Bool { sweep?.isParked ?? false }

    // MARK: What comes next

    /// Begins the next sweep through the recent rows and the next read of older ones, where watchers wait for them.
    mutating func look(_ recent: borrowing RecentRows, _ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox) {
        let recentStart = recent.firstRevision
        if let start = registry.nextRevision(from: recentSweep, where: { $0 >= recentStart }) {
            let (rows, areAll) = recent.rows(from: start, limit: configuration.historyRowLimit)
            let end = areAll ? outbox.revision : rows[rows.count - 1].position.revision
            recentSweep = end + 1
            begin(HistoryReader.Rows(rows: rows, start: start, end: end), registry)
        }
        guard !reader.isReading else { return }
        if let start = registry.nextRevision(from: historySweep, where: { $0 < recentStart }) {
            read(reader.ask(from: start, committed: outbox.standing.committed), &outbox)
        }
    }

    private mutating func begin(_ rows: HistoryReader.Rows, _ registry: borrowing WatchRegistry) {
        invariant(sweep == nil, "a sweep begins within another")
        sweepNumber += 1
        sweep = WatchSweep(rows: rows.rows, start: rows.start, end: rows.end, registry, configuration)
    }

    // MARK: Sweeping

    /// Goes on with the sweep, as far as this turn's bounds go.
    /// - Parameter liveRevision: all after it is still to be handed out to synced watchers.
    mutating func goOn(
        _ registry: inout WatchRegistry, _ outbox: inout WatchOutbox, _ store: borrowing Store, liveRevision: Revision
    ) -> Progress {
        guard let sweep, !sweep.isParked else { return .waiting }
        switch sweep.goOn(&registry, &outbox, store, valueByteLimit: configuration.valueReadByteLimit) {
        case .oversized(let revisions): return .oversized(revisions)
        case .outOfWork: return .waiting
        case .lacksValue:
            lacksValues = true
            return .waiting
        case .finished:
            guard sweep.settle(&registry, &outbox, liveRevision: liveRevision) else { return .waiting }
            self.sweep = nil
            registry.needsLook = true
            registry.forgetLeavers()
            return .finished(sweep.caughtUp)
        }
    }

    /// The sweep that has come to lack values, and these values.
    mutating func takeLackingSweep() -> (sweep: UInt64, missing: [MissingValue])? {
        guard lacksValues else { return nil }
        lacksValues = false
        return (sweepNumber, sweep?.takeMissing() ?? [])
    }

    /// The values that a sweep has lacked; none where they can't be had now, and it has to ask again.
    mutating func valuesRead(forSweep number: UInt64, _ values: [Position: ByteString]) {
        if sweepNumber == number { sweep?.unpark(with: values) }
    }

    // MARK: The log

    private func read(_ question: HistoryReader.Question, _ outbox: inout WatchOutbox) {
        outbox.append(.log(.readHistory(after: question.after, limit: configuration.historyRowLimit)))
    }

    /// Whether an answer is awaited, or not yet judged.
    var isReading: Bool { reader.isReading }

    mutating func historyRead(_ tail: Tail) { reader.answered(tail) }

    /// False where nobody wanted the answer.
    mutating func historyReadFailed() -> Bool { reader.failed() }

    /// An answer that has to be judged, once nothing else is swept.
    var answer: (head: Head, since: Position)? { sweep == nil ? reader.answer : nil }

    /// The answer is of our history: begins to sweep its rows.
    mutating func answerWasOurs(_ registry: borrowing WatchRegistry, _ outbox: inout WatchOutbox) {
        switch reader.take(committed: outbox.standing.committed) {
        case nil: break
        case .readOn(let question): read(question, &outbox)
        case .rows(let rows):
            historySweep = rows.end + 1
            begin(rows, registry)
        }
    }

    /// Nobody can tell any more whether it is: asks again.
    mutating func answerIsUnknown(_ outbox: inout WatchOutbox) {
        if let question = reader.askAgain(committed: outbox.standing.committed) { read(question, &outbox) }
    }

    /// Nobody is given the rest of the sweep, or wants what is being read.
    mutating func abandon(_ registry: inout WatchRegistry) {
        if let abandoned = sweep {
            sweep = nil
            abandoned.abandon(&registry)
        }
        reader.forget()
        registry.needsLook = true
    }

    /// The same, and the history that comes next is another.
    mutating func restart(_ registry: inout WatchRegistry) {
        abandon(&registry)
        recentSweep = 0
        historySweep = 0
    }

    borrowing func invariants(_ registry: borrowing WatchRegistry) {
        reader.invariants()
        invariant(!lacksValues, "nobody was told that a sweep lacks values")
        if let sweep { return sweep.invariants() }
        for watcher in registry.watchers.values { invariant(!watcher.isSwept, "watcher \(watcher.key.rawValue) waits for no sweep") }
    }
}

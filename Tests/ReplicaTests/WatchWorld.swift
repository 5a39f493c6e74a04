// Owns: a replica whose watchers are clients of a test, over a log whose answers come when chance wants them to.
// Must never: compare anything with what the replica says of itself: what counts is the log and what clients were sent.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import TestSupport

final class WatchWorld {
    let log = MemoryLog()
    let other: TestReplica
    private var host: ReplicaHost
    private let configuration: ReplicaConfiguration
    var random: SeededGenerator
    private var now = Instant(nanoseconds: 0)
    private var nextID: UInt64 = 1
    private(set) var streams: [ClientStream] = []
    /// Those that ended in this turn: something may be on its way to them still.
    private var endedStreams: Set<CallID> = []
    /// The first thing in a turn that no client expected.
    private var mistake: WatchMistake?
    /// The largest revision of any transaction, in bytes of events: what a buffer may be over its bound.
    private var largestRevision = 0
    private(set) var eventsSeen = 0
    private(set) var timesOvertaken = 0
    private var compactions: [Revision] { log.archive.filter { $0.kind == .compact }.map(\.compactRevision) }

    /// A command on its way to one of the log's threads, and its answer on its way back.
    private enum Errand {
        case going(LogCommand)
        case coming(LogEvent)
    }
    /// The log's threads: each does one thing after the other.
    private var threads = [[Errand]](repeating: [], count: 5)

    static let keys: [ByteString] = ["a", "b", "ba", "c", "ca", "d"]

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        other = TestReplica(log, origin: 2)
        var configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        configuration.watchHistoryBytes = random.pick([0, 300, 2_000, 1 << 20])
        configuration.watchStreamBufferMinBytes = random.pick([64, 400, 2_000])
        configuration.watchStreamBufferMaxBytes = random.pick([500, 4_000, 100_000])
        configuration.watchBufferBytes = random.pick([2_000, 1_000_000])
        configuration.historyRowLimit = random.pick([1, 2, 3, 50])
        configuration.tailRowLimit = random.pick([1, 2, 5, 100])
        configuration.fragmentByteLimit = random.pick([150, 400, 2_000])
        configuration.batchRowLimit = random.pick([2, 100])
        configuration.valueCacheBytes = configuration.watchHistoryBytes > 2_000 ? random.pick([.max, 60, 400]) : .max
        configuration.watchProgressIntervalMs = 5_000
        // Of its own, so that kept seeds stay what they are.
        var bounds = SeededGenerator(seed: ~seed)
        configuration.watchVisitLimit = bounds.pick([1, 3, 10, 10_000])
        configuration.watchLongRevisionRows = bounds.pick([1, 2, 1_000])
        if configuration.watchHistoryBytes > 2_000 { configuration.watchRevisionEventLimit = bounds.pick([1, 3, 1_000_000]) }
        configuration.requestTimeoutMs = 10_000_000
        self.configuration = configuration
        host = ReplicaHost(configuration)
    }

    // MARK: The replica and its log

    var replica: Replica { _read { yield host.replica } }

    func step(_ event: ReplicaEvent) { host.step(event, now: now) }

    func advance(ms: Int) { now = now.advanced(byMs: ms) }

    func turn() throws {
        defer { endedStreams = [] }
        perform(host.turn(now: now))
        if let mistake { throw mistake }
    }

    private func thread(of command: LogCommand) -> Int {
        switch command {
        case .appending: 0
        case .reading: 1
        case .history: 2
        case .values: 3
        case .chore: 4
        }
    }

    /// Lets one of the log's threads do one thing. False where none has anything to do.
    func runThread() -> Bool {
        let busy = threads.indices.filter { !threads[$0].isEmpty }
        guard !busy.isEmpty else { return false }
        let thread = random.pick(busy)
        // What has been done is told before the next is done; but others may do something in between.
        switch threads[thread].removeFirst() {
        case .going(let command):
            if let answer = log.answer(command, by: 1) { threads[thread].insert(.coming(answer), at: 0) }
        case .coming(let event): step(.log(event))
        }
        return true
    }

    /// Runs until nothing moves.
    func settle() throws {
        var turns = 0
        repeat {
            while runThread() {}
            try turn()
            turns += 1
            // The slowest world of 8,000 seeds, whose turns look at one watcher each, comes to rest after 12,544.
            if turns > 100_000 { throw WatchMistake("it never comes to rest: \(threads)") }
        } while replica.hasMoreWork || threads.contains { !$0.isEmpty }
    }

    // MARK: What clients do

    func newRequest() -> CallID {
        defer { nextID += 1 }
        return CallID(rawValue: nextID)
    }

    func write(_ request: WriteRequest) {
        step(.requestArrived(newRequest(), .write(request)))
    }

    func compact(to revision: Revision) {
        noteCompaction(revision)
        step(.requestArrived(newRequest(), .compact(revision: revision, physical: false)))
    }

    /// A compaction past what the replica has folded may overtake whoever watches.
    func noteCompaction(_ revision: Revision) {
        guard revision > replica.store.revision else { return }
        for stream in streams {
            for watch in stream.watches.values { watch.mayLag = true }
        }
    }

    func openStream() {
        let stream = ClientStream(newRequest())
        streams.append(stream)
        step(.watchOpened(stream.id))
    }

    func endStream(_ index: Int) {
        let id = streams.remove(at: index).id
        endedStreams.insert(id)
        step(.requestCancelled(id))
    }

    func create(_ request: WatchCreateRequest, on stream: ClientStream) {
        stream.asked.append(request)
        step(.watchRequested(stream.id, .create(request)))
    }

    func cancel(_ id: WatchID, on stream: ClientStream) {
        stream.cancelling.insert(id)
        step(.watchRequested(stream.id, .cancel(WatchCancelRequest(watchID: id))))
    }

    func askProgress(_ stream: ClientStream) {
        // One at a time, or the client could not tell which one is answered. (While there are no watches none is.)
        guard stream.progressAskedAt == nil, !stream.watches.isEmpty else { return }
        stream.progressAskedAt = log.head.position.revision
        step(.watchRequested(stream.id, .progress(WatchProgressRequest())))
    }

    func stall(_ stream: ClientStream) {
        stream.isStalled = true
        for watch in stream.watches.values { watch.mayLag = true }
    }

    func resume(_ stream: ClientStream) {
        stream.isStalled = false
        stream.unreadBytes = 0
        for _ in 0..<stream.withheldReports { step(.streamDrained(stream.id)) }
        stream.withheldReports = 0
    }

    // MARK: What clients are sent

    private func take(_ id: CallID, _ message: ByteString, _ report: Bool) throws {
        guard let stream = streams.first(where: { $0.id == id }) else {
            if endedStreams.contains(id) { return }
            throw WatchMistake("a message on a stream that has ended")
        }
        if report {
            if stream.isStalled { stream.withheldReports += 1 } else { step(.streamDrained(id)) }
        }
        let response = try WatchResponse.decode(message)
        if stream.isStalled, !response.events.isEmpty {
            let bound =
                max(
                    configuration.watchStreamBufferMinBytes,
                    min(configuration.watchStreamBufferMaxBytes, configuration.watchBufferBytes))
            stream.unreadBytes += message.count
            guard stream.unreadBytes <= 2 * bound + largestRevision + 4_000 else {
                throw WatchMistake("\(stream.unreadBytes) bytes for a client that doesn't read, with a bound of \(bound)")
            }
        }
        try received(response, on: stream)
    }

    private func received(_ response: WatchResponse, on stream: ClientStream) throws {
        guard let revision = response.header?.revision else { throw WatchMistake("a response without a header") }
        if response.created { return try created(response, revision, on: stream) }
        if response.watchID == -1 {
            guard let asked = stream.progressAskedAt ?? stream.progressOnceAskedAt, revision >= asked else {
                throw WatchMistake("progress \(revision), asked at \(stream.progressAskedAt ?? -1)")
            }
            stream.progressAskedAt = nil
            stream.progressAnswers += 1
            for watch in stream.watches.values {
                try expectAll(watch, through: revision)
                if watch.request.startRevision > revision { throw WatchMistake("progress \(revision) before \(watch.start)") }
            }
            return
        }
        if response.canceled { return try canceled(response, on: stream) }
        guard let watch = stream.watches[response.watchID] else { throw WatchMistake("an unknown watch: \(response.watchID)") }
        if response.events.isEmpty {
            guard watch.request.progressNotify else { throw WatchMistake("progress that nobody asked for") }
            try expectAll(watch, through: revision)
            return
        }
        try take(response, revision, watch)
    }

    private func created(_ response: WatchResponse, _ revision: Revision, on stream: ClientStream) throws {
        guard !stream.asked.isEmpty else { throw WatchMistake("created without being asked") }
        let request = stream.asked.removeFirst()
        let range = KeyRange(key: request.key, rangeEnd: request.rangeEnd)
        let isTaken = stream.watches[request.watchID] != nil || stream.spent.contains(request.watchID)
        if request.startRevision < 0 || range.isEmpty || request.watchID != 0 && isTaken {
            guard response.canceled, response.watchID == -1, !response.cancelReason.isEmpty else {
                throw WatchMistake("\(request) was not refused: \(response)")
            }
            return
        }
        guard !response.canceled, stream.watches[response.watchID] == nil, !stream.spent.contains(response.watchID),
            request.watchID == 0 || response.watchID == request.watchID
        else { throw WatchMistake("\(request) gave \(response)") }
        // A small buffer fills within a turn, whoever reads.
        let isSlow =
            stream.isStalled || configuration.watchBufferBytes < 1_000_000 || configuration.watchStreamBufferMaxBytes < 100_000
            || log.head.compactRevision > replica.store.revision
        stream.watches[response.watchID] = ClientWatch(request, createdAt: revision, isSlow: isSlow)
    }

    private func canceled(_ response: WatchResponse, on stream: ClientStream) throws {
        let id = response.watchID
        if response.compactRevision == 0 {
            guard stream.cancelling.remove(id) != nil,
                stream.watches.removeValue(forKey: id) != nil || stream.spent.remove(id) != nil
            else { throw WatchMistake("watch \(id) was cancelled by nobody") }
            return
        }
        guard let watch = stream.watches.removeValue(forKey: id) else { throw WatchMistake("an unknown watch was cancelled") }
        stream.spent.insert(id)
        guard watch.mayLag, compactions.contains(response.compactRevision), watch.start < response.compactRevision else {
            throw WatchMistake("\(response) for a watch from \(watch.start)")
        }
        // Something before the compaction must be missing, or could be.
        if let last = watch.lastRevision, last >= response.compactRevision {
            throw WatchMistake("\(response) after an event of \(last)")
        }
    }

    private func take(_ response: WatchResponse, _ revision: Revision, _ watch: ClientWatch) throws {
        let first = response.events[0].kv?.modRevision ?? 0
        if let last = watch.lastRevision {
            // Only a fragment says that more of its last revision follows.
            if !watch.isInFragments, first <= last { throw WatchMistake("revision \(last) was cut") }
        }
        if response.fragment, !watch.request.fragment { throw WatchMistake("a fragment that nobody asked for") }
        watch.isInFragments = response.fragment
        for event in response.events {
            guard let row = nextDue(watch) else { throw WatchMistake("too many events: \(event)") }
            try check(event, row, watch)
            watch.lastRevision = row.position.revision
            watch.rowsPassed += 1
            eventsSeen += 1
            guard row.position.revision <= revision else {
                throw WatchMistake("revision \(revision) with an event of the future")
            }
        }
    }

    /// The row whose event the watch is due next.
    private func nextDue(_ watch: ClientWatch) -> LogRow? {
        while watch.rowsPassed < log.archive.count {
            let row = log.archive[watch.rowsPassed]
            if watch.wants(row) { return row }
            watch.rowsPassed += 1
        }
        return nil
    }

    private func check(_ event: Event, _ row: LogRow, _ watch: ClientWatch) throws {
        let kv =
            row.kind == .put
            ? KeyValue(
                key: row.key, createRevision: row.createRevision, modRevision: row.position.revision, version: row.version,
                value: row.value, lease: row.lease)
            : KeyValue(key: row.key, modRevision: row.position.revision)
        guard event.kv == kv, event.type == (row.kind == .put ? .put : .delete) else {
            throw WatchMistake("\(event) instead of \(row)")
        }
        guard watch.request.prevKV else {
            if event.prevKV != nil { throw WatchMistake("prev_kv that nobody asked for: \(event)") }
            return
        }
        let before = log.archive.last {
            $0.key == row.key && $0.position < row.position && ($0.kind == .put || $0.kind == .delete)
        }
        let previous = before.flatMap { before in
            before.kind == .delete
                ? nil
                : KeyValue(
                    key: row.key, createRevision: before.createRevision, modRevision: before.position.revision,
                    version: before.version, value: before.value, lease: before.lease)
        }
        let isCompacted = compactions.contains { row.position.revision - 1 < $0 }
        guard event.prevKV == previous || event.prevKV == nil && isCompacted else {
            throw WatchMistake("prev_kv of \(event) instead of \(String(describing: previous))")
        }
    }

    /// The watch has been sent every event up to `revision`.
    private func expectAll(_ watch: ClientWatch, through revision: Revision) throws {
        if let missing = nextDue(watch), missing.position.revision <= revision {
            throw WatchMistake("told of \(revision), but not of \(missing.position)")
        }
    }

    // MARK: Chance

    func noteLargestRevision() {
        var size = 0
        var revision: Revision = 0
        for row in log.archive {
            if row.position.revision != revision { size = 0 }
            revision = row.position.revision
            size += row.key.count + 2 * row.value.count + 300
            largestRevision = max(largestRevision, size)
        }
    }

    /// Everybody reads, everything arrives: each watch that is left must have had every event.
    func finish() throws {
        for stream in streams { resume(stream) }
        try settle()
        noteLargestRevision()
        advance(ms: 2_000)
        try settle()
        for stream in streams {
            stream.progressOnceAskedAt = stream.progressAskedAt
            stream.progressAskedAt = nil
            askProgress(stream)
        }
        try settle()
        let head = log.head.position.revision
        guard replica.store.revision == head else {
            throw WatchMistake("the replica is at \(replica.store.revision), the log at \(head)")
        }
        for stream in streams {
            guard stream.asked.isEmpty, stream.cancelling.isEmpty else {
                throw WatchMistake("not answered: \(stream.asked) \(stream.cancelling)")
            }
            for watch in stream.watches.values {
                try expectAll(watch, through: head)
                if watch.isInFragments { throw WatchMistake("a fragment was the last response") }
            }
            let mayAnswer = !stream.watches.isEmpty && stream.watches.values.allSatisfy { $0.request.startRevision <= head }
            guard stream.watches.isEmpty || (stream.progressAskedAt == nil) == mayAnswer else {
                throw WatchMistake("progress was \(mayAnswer ? "not " : "")answered, at \(head)")
            }
        }
        while !streams.isEmpty { endStream(0) }
        try settle()
        guard replica.watchCounts.isEmpty else { throw WatchMistake("left behind: \(replica.watchCounts)") }
    }
}

extension WatchWorld: ReplicaSurroundings {
    func answered(_ id: CallID, _ result: Result<ByteString, EtcdError>) {
        if case .failure(let error) = result, streams.contains(where: { $0.id == id }) { note("a stream failed: \(error)") }
    }

    func sent(_ id: CallID, _ message: ByteString, reportDrained: Bool) {
        do {
            try take(id, message, reportDrained)
        } catch {
            note("\(error)")
        }
    }

    func asked(_ command: LogCommand) { threads[thread(of: command)].append(.going(command)) }

    func load() { for event in log.load() { step(event) } }

    func sort(_ job: SortJob) {
        var job = job
        job.run()
        step(.sorted(job))
    }

    func noted(_ note: Note) {
        switch note {
        case .historyChanged: self.note("the history changed under it")
        case .overtaken: timesOvertaken += 1
        default: break
        }
    }

    private func note(_ text: String) { mistake = mistake ?? WatchMistake(text) }
}

// Owns: a client that lists keys and then watches them, as Kubernetes' informers do, and what it may be told.
// Must never: believe what a replica says of itself: what counts is what the log ever held.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import LogModel
internal import Replica

final class Informer {
    private let world: World
    private let range: KeyRange
    private let key: ByteString
    private let rangeEnd: ByteString

    private var process: SimulatedProcess?
    private var stream: CallID?
    private var watches: [WatchID: ObservedWatch] = [:]
    private var asked: [WatchCreateRequest] = []
    private var withheldReports = 0
    private var isStalled = false
    /// The keys as it knows them, and up to which revision that is true.
    private var known: [ByteString: KeyValue] = [:]
    private(set) var revision: Revision = 0
    /// It went on, at a process that knew nothing of it, from a place in a history that was lost, and those who knew came back too late.
    private var isMisled = false
    /// Where the log ended at each request for progress that may still be answered.
    private var progressAskedAt: [Revision] = []
    /// Tells what was planned for an earlier stream.
    private var streamNumber = 0

    init(_ world: World) {
        self.world = world
        key = world.chance.happens(500) ? ByteString([0]) : world.chance.pick(world.maker.keys)
        rangeEnd = world.chance.pick([ByteString([0]), ByteString(), "d"])
        range = KeyRange(key: key, rangeEnd: rangeEnd)
    }

    // MARK: List and watch

    func goOn() {
        let pause = world.chance.number(1...50_000)
        world.plan(after: pause) { [self] in if !world.isOver { revision == 0 ? list() : watch() } }
    }

    private func list() {
        guard !range.isEmpty, let process = world.anyProcess() else { return goOn() }
        world.call(.range(RangeRequest(key: key, rangeEnd: rangeEnd)), at: process) { [self] answer in
            if case .range(let revision, let kvs, _, _) = answer {
                known = Dictionary(kvs.map { ($0.key, $0) }) { $1 }
                self.revision = revision
                isMisled = false
                watch()
            } else {
                goOn()
            }
        }
    }

    private func watch() {
        guard let process = world.anyProcess() else { return goOn() }
        self.process = process
        streamNumber += 1
        let number = streamNumber
        let stream = process.openWatch(
            PendingCall(
                answered: { [self] _ in if number == streamNumber { ended() } },
                received: { [self] message, report in if number == streamNumber { received(message, report) } }))
        self.stream = stream
        create(startRevision: revision + 1)
        // A second watch of whatever happens, without a memory: also of the past and the future.
        if world.clientsRun, world.chance.happens(300) {
            let newest = world.log.tables.head.position.revision
            create(startRevision: max(0, newest - Int64(world.chance.number(-10...30))))
        }
        live(number)
    }

    private func create(startRevision: Revision) {
        guard let stream, let process else { return }
        var request = WatchCreateRequest(key: key, rangeEnd: rangeEnd, startRevision: startRevision)
        request.prevKV = world.chance.happens(300)
        request.progressNotify = world.chance.happens(300)
        request.fragment = world.chance.happens(300)
        // The first one keeps the books: it needs everything.
        if !asked.isEmpty || !watches.isEmpty, world.chance.happens(300) {
            request.filters = [world.chance.pick([.noPut, .noDelete])]
        }
        asked.append(request)
        process.post(.watchRequested(stream, .create(request)))
    }

    /// What a client does now and then while a stream is there.
    private func live(_ number: Int) {
        let pause = world.chance.delay(300_000)
        world.plan(after: pause) { [self] in
            guard number == streamNumber, let stream, let process, !world.isOver else { return }
            switch world.chance.number(0...9) {
            case 0 where world.clientsRun: isStalled = true
            case 1, 2: read()
            case 3 where world.clientsRun:
                process.cancel(stream)
                return ended()
            default: askProgress()
            }
            live(number)
        }
    }

    /// Takes whatever was sent, from here on, too.
    func read() {
        isStalled = false
        let reports = withheldReports
        withheldReports = 0
        guard let stream, let process else { return }
        for _ in 0..<reports { process.drained(stream) }
    }

    func askProgress() {
        guard let stream, let process, !watches.isEmpty, asked.isEmpty else { return }
        progressAskedAt.append(world.log.tables.head.position.revision)
        process.post(.watchRequested(stream, .progress(WatchProgressRequest())))
    }

    private func ended() {
        stream = nil
        streamNumber += 1
        watches = [:]
        asked = []
        withheldReports = 0
        isStalled = false
        progressAskedAt = []
        goOn()
    }

    // MARK: What it is told

    private func received(_ message: ByteString, _ report: Bool) {
        if report {
            if isStalled { withheldReports += 1 } else if let stream { process?.drained(stream) }
        }
        guard let response = try? WatchResponse.decode(message) else { return world.fail("a watch response can't be read") }
        world.say("informer of \(range) at process \(process?.index ?? -1), at \(revision): \(response)")
        if let mistake = take(response) {
            world.fail("an informer of \(range) at process \(process?.index ?? -1): \(mistake)")
        }
    }

    /// What is wrong with the response, if anything.
    private func take(_ response: WatchResponse) -> String? {
        let revision = response.header?.revision ?? 0
        if response.created {
            guard !asked.isEmpty else { return "created without being asked" }
            let request = asked.removeFirst()
            if range.isEmpty { return nil }
            guard !response.canceled, watches[response.watchID] == nil else { return "\(request) gave \(response)" }
            watches[response.watchID] = ObservedWatch(request, range: range, createdAt: revision, world)
            return nil
        }
        if response.watchID == -1 {
            guard let askedAt = progressAskedAt.first else { return "progress that nobody asked for" }
            // One answer may be for several.
            progressAskedAt.removeFirst()
            // Where the log was lost meanwhile, it may end earlier.
            if revision < askedAt, !world.hasLost { return "progress \(revision), asked at \(askedAt)" }
            for (_, watch) in watches.sorted(by: { $0.key < $1.key }) {
                if let mistake = watch.progress(revision) { return mistake }
            }
            self.revision = max(self.revision, revision)
            return nil
        }
        guard let watch = watches[response.watchID] else { return "an unknown watch \(response.watchID)" }
        if response.canceled {
            watches[response.watchID] = nil
            if response.compactRevision == 0 { return "cancelled by nobody" }
            if let mistake = watch.compacted(response.compactRevision) { return mistake }
            if watch.keepsBooks(after: self.revision) || response.watchID == 0 {
                // What it knows can't be brought up to date any more.
                self.revision = 0
                if let stream, let process { process.cancel(stream) }
                ended()
            }
            return nil
        }
        if response.events.isEmpty {
            guard watch.request.progressNotify else { return "progress that watch \(response.watchID) did not ask for" }
            if let mistake = watch.progress(revision) { return mistake }
            if response.watchID == 0 { self.revision = max(self.revision, revision) }
            return nil
        }
        if let mistake = watch.take(response, revision) { return mistake }
        if response.watchID == 0 {
            for event in response.events {
                guard let kv = event.kv else { continue }
                known[kv.key] = event.type == .put ? kv : nil
            }
            if !response.fragment { self.revision = max(self.revision, revision) }
        }
        return nil
    }

    // MARK: The end

    /// Leaves one watch, which nothing keeps from hearing of progress.
    func settle() {
        read()
        guard let stream, let process, watches.count + asked.count > 1 else { return }
        process.cancel(stream)
        ended()
    }

    /// Whether it has been told everything up to `revision`.
    func isUpToDate(at revision: Revision) -> Bool { range.isEmpty || (stream != nil && self.revision >= revision) }

    /// What it knows that isn't so, if anything, though it would have been told.
    func difference(from rows: [LogRow]) -> String? {
        if range.isEmpty || isMisled || known == truth(of: rows) { return nil }
        return "an informer of \(range) knows \(known.count) keys at \(revision) that are not so"
    }

    /// Nobody is left who could tell it that it follows a history that was lost.
    func lookForMistakes(against rows: [LogRow]) {
        if revision > 0, known != truth(of: rows) { isMisled = true }
    }

    /// Its keys as the log has them, as far as it knows the log.
    private func truth(of rows: [LogRow]) -> [ByteString: KeyValue] {
        var truth: [ByteString: KeyValue] = [:]
        for row in rows where row.position.revision <= revision && range.contains(row.key) {
            if row.kind == .put { truth[row.key] = KeyValue(row) }
            if row.kind == .delete { truth[row.key] = nil }
        }
        return truth
    }
}

extension KeyValue {
    init(_ row: LogRow) {
        self.init(
            key: row.key, createRevision: row.createRevision, modRevision: row.position.revision, version: row.version,
            value: row.value, lease: row.lease)
    }
}

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

/// One watch, compared with every history of the log that it can be about.
final class ObservedWatch {
    let request: WatchCreateRequest
    private let range: KeyRange
    /// The first revision whose events are due.
    private let start: Revision
    private let world: World
    /// By era: how many rows are done with.
    private var passed: [Int: Int] = [:]
    /// Eras that it can't be about.
    private var refuted: Set<Int> = []
    private var lastRevision: Revision?
    private var isInFragments = false

    init(_ request: WatchCreateRequest, range: KeyRange, createdAt revision: Revision, _ world: World) {
        self.request = request
        self.range = range
        self.world = world
        start = request.startRevision == 0 ? revision + 1 : request.startRevision
        for era in world.log.eras.indices { passed[era] = 0 }
    }

    func keepsBooks(after revision: Revision) -> Bool { request.startRevision == revision + 1 }

    private func wants(_ row: LogRow) -> Bool {
        guard row.position.revision >= start, range.contains(row.key) else { return false }
        return switch row.kind {
        case .put: !request.filters.contains(.noPut)
        case .delete: !request.filters.contains(.noDelete)
        default: false
        }
    }

    /// The row of the era whose event is due next.
    private func due(_ era: Int) -> LogRow? {
        let archive = world.log.eras[era].archive
        var at = passed[era] ?? archive.count
        while at < archive.count, !wants(archive[at]) { at += 1 }
        if passed[era] != nil { passed[era] = at }
        return at < archive.count ? archive[at] : nil
    }

    /// A process that had not come further goes on with the history that came after a loss, whichever it comes of; and so does one that
    /// had, once what was lost is there again.
    private func followLosses() {
        for next in world.log.eras.indices where passed[next] == nil && !refuted.contains(next) {
            for era in passed.keys.sorted(by: >) where era < next {
                guard let count = passed[era].flatMap({ continued($0, of: era, in: next) }) else { continue }
                passed[next] = count
                break
            }
        }
    }

    /// How many rows of a later era are done with where `before` of an earlier one are; nil where that went on beyond what the two
    /// share.
    private func continued(_ before: Int, of earlier: Int, in later: Int) -> Int? {
        let (archive, next) = (world.log.eras[earlier].archive, world.log.eras[later])
        let shared = next.sharedCount(with: world.log.eras[earlier], earlier)
        // Rows that nobody wants may have been passed by.
        let seen = archive.prefix(before).last { wants($0) }
        let last = shared == 0 ? Position.start : next.archive[shared - 1].position
        return seen?.position ?? .start <= last ? min(before, shared) : nil
    }

    /// Keeps the eras for which `check` finds no mistake. A mistake if there are none.
    private func keep(_ check: (Int) -> String?) -> String? {
        followLosses()
        var mistake: String?
        for era in passed.keys.sorted(by: >) {
            guard let found = check(era) else { continue }
            mistake = mistake ?? found
            passed[era] = nil
            refuted.insert(era)
        }
        return passed.isEmpty ? mistake : nil
    }

    // MARK: What it is told

    func progress(_ revision: Revision) -> String? {
        if request.startRevision > revision { return "progress \(revision) of a watch from \(start)" }
        return keep { era in
            guard let missing = due(era), missing.position.revision <= revision else { return nil }
            return "told of \(revision), but not of \(missing.position), from \(start)"
        }
    }

    func compacted(_ revision: Revision) -> String? {
        guard start < revision, lastRevision ?? 0 < revision else {
            return "compacted at \(revision), from \(start), after \(lastRevision ?? 0)"
        }
        // Also by what was done to another history than the one that it followed.
        let isTrue = world.log.eras.contains { $0.archive.contains { $0.kind == .compact && $0.compactRevision == revision } }
        return isTrue ? nil : "compacted at \(revision), where nothing was"
    }

    func take(_ response: WatchResponse, _ revision: Revision) -> String? {
        let first = response.events[0].kv?.modRevision ?? 0
        if let last = lastRevision, !isInFragments, first <= last { return "revision \(last) was cut" }
        if response.fragment, !request.fragment { return "a fragment that nobody asked for" }
        isInFragments = response.fragment
        for event in response.events {
            let mistake = keep { era in
                guard var row = due(era) else { return "an event of nothing: \(event)" }
                while !event.isOf(row), isSuperseded(row, era) {
                    passed[era] = (passed[era] ?? 0) + 1
                    guard let next = due(era) else { return "an event of nothing: \(event)" }
                    row = next
                }
                if let mistake = compare(event, row, era) { return mistake }
                passed[era] = (passed[era] ?? 0) + 1
                return nil
            }
            if let mistake { return mistake }
            lastRevision = event.kv?.modRevision
            if let lastRevision, lastRevision > revision { return "revision \(revision) with an event of \(lastRevision)" }
        }
        return nil
    }

    /// Whether the log need not have the row any more: the same transaction changed the key again, and its revision is the compacted
    /// one. Etcd doesn't keep it either, though a watch may begin there.
    private func isSuperseded(_ row: LogRow, _ era: Int) -> Bool {
        let archive = world.log.eras[era].archive
        return archive.contains { $0.kind == .compact && $0.compactRevision == row.position.revision }
            && archive.contains { $0.key == row.key && $0.position > row.position && $0.position.revision == row.position.revision }
    }

    private func compare(_ event: Event, _ row: LogRow, _ era: Int) -> String? {
        let kv = row.kind == .put ? KeyValue(row) : KeyValue(key: row.key, modRevision: row.position.revision)
        guard event.kv == kv, event.type == (row.kind == .put ? .put : .delete) else {
            return "\(event) instead of \(row), from \(start)"
        }
        guard request.prevKV else { return event.prevKV == nil ? nil : "prev_kv that nobody asked for" }
        let archive = world.log.eras[era].archive
        let before = archive.prefix(passed[era] ?? 0).last {
            $0.key == row.key && $0.position.revision < row.position.revision && ($0.kind == .put || $0.kind == .delete)
        }
        // As in etcd, a put that creates the key has none, though the same transaction may have deleted it before.
        let isCreated = row.kind == .put && row.createRevision == row.position.revision
        let previous = before.flatMap { $0.kind == .put && !isCreated ? KeyValue($0) : nil }
        let isCompacted = archive.contains { $0.kind == .compact && row.position.revision <= $0.compactRevision }
        return event.prevKV == previous || event.prevKV == nil && isCompacted
            ? nil : "prev_kv \(String(describing: event.prevKV)) instead of \(String(describing: previous))"
    }
}

extension Event {
    fileprivate func isOf(_ row: LogRow) -> Bool {
        kv?.key == row.key && kv?.modRevision == row.position.revision && (type == .put) == (row.kind == .put)
    }
}

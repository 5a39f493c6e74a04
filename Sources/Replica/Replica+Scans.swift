// Owns: reads that take more than one turn: long scans, streamed ranges.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// A long Range under way. A class, since the writer that grows inside can't be moved about in an array.
final class ScanTask {
    let id: RequestID
    let request: RangeRequest
    /// What it answers, for others that ask the same.
    let question: RangeQuestion?
    let startedAt: Instant
    private var scan: RangeScan
    private var writer: ByteWriter
    private var hasReserved = false

    let arrivedAt: Instant

    init(
        id: RequestID, request: RangeRequest, question: RangeQuestion?, scan: RangeScan, header: ResponseHeader, revision: Revision,
        arrivedAt: Instant, startedAt: Instant
    ) {
        self.id = id
        self.arrivedAt = arrivedAt
        self.request = request
        self.question = question
        self.startedAt = startedAt
        self.scan = scan
        writer = ByteWriter(capacity: 1024)
        writer.appendHeader(header, revision: revision)
    }

    /// The revision that must stay readable.
    var revision: Revision { scan.revision }

    /// True once the answer is complete.
    func step(_ store: borrowing Store, keyLimit: Int) -> Bool {
        if scan.step(store.index, store.cold, budget: keyLimit, byteLimit: Int.max, into: &writer) { return true }
        if !hasReserved { reserveRest() }
        return false
    }

    /// Room for the keys that are still to come, if they are like those so far: a writer that grows by doubling would copy the
    /// whole answer once more.
    private func reserveRest() {
        guard let keysLeft = scan.keysLeft, scan.keysFetched > 0 else { return }
        hasReserved = true
        let (rest, overflow) = (writer.count / scan.keysFetched + 1).multipliedReportingOverflow(by: keysLeft)
        if !overflow && rest <= Self.reservedLimit { writer.reserve(rest + rest / 32) }
    }

    /// Beyond this a client could make us reserve what it will never be sent; in bytes.
    private static let reservedLimit = 256 << 20

    /// The answer; nothing is left afterwards.
    func finish() -> ByteString {
        var done = ByteWriter(capacity: 0)
        swap(&done, &writer)
        return done.finish()
    }
}

/// A long Range that asks what a scan under way is about to answer. It looks again each turn: for the answer, or for what else there
/// is to do where that scan was cancelled.
struct ScanFollower {
    let read: PendingRead
    let request: RangeRequest
    let since: Instant
}

/// A RangeStream under way: chunk after chunk at one revision, each sent when the one before has left.
final class StreamTask {
    let id: RequestID
    private var scan: RangeScan
    private let header: ResponseHeader
    private let headerRevision: Revision
    private var writer = ByteWriter(capacity: 1024)
    var isReady = true

    init(id: RequestID, scan: RangeScan, header: ResponseHeader, revision: Revision) {
        self.id = id
        self.scan = scan
        self.header = header
        headerRevision = revision
    }

    var revision: Revision { scan.revision }

    enum Step {
        case unfinished
        case chunk(ByteString)
        case last(ByteString)
    }

    func step(_ store: borrowing Store, keyLimit: Int, chunkBytes: Int) -> Step {
        let done = scan.step(store.index, store.cold, budget: keyLimit, byteLimit: chunkBytes, into: &writer)
        if !done && (writer.count < chunkBytes || store.cold.hasMissing) { return .unfinished }
        var body = ByteWriter(capacity: done ? 0 : chunkBytes)
        swap(&body, &writer)
        // Header, more and count come with the last chunk, as etcd sends them.
        var message = ByteWriter(capacity: body.count + 64)
        let response = message.beginMessage(1)
        if done { message.appendHeader(header, revision: headerRevision) }
        message.append(body.finish())
        message.endMessage(response)
        return done ? .last(message.finish()) : .chunk(message.finish())
    }
}

extension Replica {
    mutating func continueScans() {
        guard !scans.isEmpty || !scanFollowers.isEmpty else { return }
        let tasks = scans
        scans.removeAll(keepingCapacity: true)
        for task in tasks { advance(task) }
        let followers = scanFollowers
        scanFollowers.removeAll(keepingCapacity: true)
        for follower in followers { startRange(follower.read, follower.request, [:], since: follower.since) }
    }

    /// Whether what is asked for is there already, or is being made: then it is answered, or waits for that.
    mutating func share(_ question: RangeQuestion, with follower: ScanFollower) -> Bool {
        if let message = longAnswers.find(question) {
            counters.rangesShared += 1
            noteSlow(follower)
            actions.append(.respond(follower.read.id, message))
            return true
        }
        // Among the first few only: however many scans there are, this must stay cheap.
        guard scans.prefix(LongAnswers.entryLimit).contains(where: { $0.question == question }) else { return false }
        scanFollowers.append(follower)
        return true
    }

    /// Takes a scan a step further.
    mutating func advance(_ task: ScanTask) {
        if task.step(store, keyLimit: configuration.scanKeyLimit) {
            noteSlow(task)
            let message = task.finish()
            if let question = task.question { longAnswers.note(message, to: question) }
            actions.append(.respond(task.id, message))
        } else if store.cold.hasMissing {
            park(.scan(task), arrivedAt: now)
        } else {
            scans.append(task)
        }
    }

    // MARK: Streams

    mutating func startStream(_ id: RequestID, _ request: RangeRequest) {
        counters.rangesAnswered += 1
        do throws(EtcdError) {
            let scan = try RangeScan(request, current: store.revision, compactRevision: store.compactRevision)
            streams.append(StreamTask(id: id, scan: scan, header: header, revision: store.revision))
        } catch {
            actions.append(.fail(id, error))
        }
    }

    mutating func streamDrained(_ id: RequestID) {
        streams.first { $0.id == id }?.isReady = true
    }

    mutating func continueStreams() {
        guard streams.contains(where: \.isReady) else { return }
        let tasks = streams
        streams.removeAll(keepingCapacity: true)
        for task in tasks {
            guard task.isReady else {
                streams.append(task)
                continue
            }
            advance(task)
        }
    }

    /// Takes a stream whose client wants more a step further.
    mutating func advance(_ task: StreamTask) {
        // Nobody is kept from compacting by a client that reads slowly.
        if task.revision < store.compactRevision {
            actions.append(.fail(task.id, .compacted))
            return
        }
        switch task.step(store, keyLimit: configuration.scanKeyLimit, chunkBytes: configuration.streamChunkBytes) {
        case .unfinished:
            if store.cold.hasMissing { park(.stream(task), arrivedAt: now) } else { streams.append(task) }
        case .chunk(let message):
            task.isReady = false
            actions.append(.send(task.id, message, reportDrained: true))
            streams.append(task)
        case .last(let message):
            actions.append(.send(task.id, message, reportDrained: false))
            actions.append(.finish(task.id))
        }
    }
}

// Owns: reads that take more than one turn: long scans, streamed ranges.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A long answer under way: that of a range, or of a transaction. A class, since the writer that grows inside can't be moved about in an
/// array.
final class ScanTask {
    let id: CallID
    /// Where it begins anew if the values that it wants are gone; nil for the answer of a write.
    let read: PendingRead?
    /// What it answers, for others that ask the same.
    let question: RangeQuestion?
    /// What it is about, for the log.
    let key: ByteString
    let arrivedAt: Instant
    let startedAt: Instant
    let answer: AnswerBuilder

    init(
        id: CallID, read: PendingRead?, question: RangeQuestion?, key: ByteString, arrivedAt: Instant, startedAt: Instant,
        answer: AnswerBuilder
    ) {
        self.id = id
        self.read = read
        self.question = question
        self.key = key
        self.arrivedAt = arrivedAt
        self.startedAt = startedAt
        self.answer = answer
    }

    /// The revision that must stay readable.
    var revision: Revision { answer.oldestRevision }
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
    let id: CallID
    private var scan: RangeScan
    private let header: ResponseHeader
    private let headerRevision: Revision
    private var writer = ByteWriter(capacity: 1024)
    var isReady = true

    init(id: CallID, scan: RangeScan, header: ResponseHeader, revision: Revision) {
        self.id = id
        self.scan = scan
        self.header = header
        headerRevision = revision
    }

    var revision: Revision { scan.revision }

    enum Step {
        case unfinished
        case lacks([MissingValue])
        case chunk(ByteString)
        case last(ByteString)
    }

    func step(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, chunkBytes: Int) -> Step {
        let done = scan.step(index, &lookup, visits: &visits, byteLimit: chunkBytes, into: &writer)
        if lookup.hasMissing { return .lacks(lookup.takeMissing()) }
        if !done && writer.count < chunkBytes { return .unfinished }
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
    // MARK: Scans

    /// Begins an answer that may take more than a turn.
    mutating func startScan(
        of read: PendingRead, _ answer: AnswerBuilder, question: RangeQuestion? = nil, key: ByteString,
        with values: [Position: ByteString], since startedAt: Instant
    ) {
        let task = ScanTask(
            id: read.id, read: read, question: question, key: key, arrivedAt: read.arrivedAt, startedAt: startedAt, answer: answer)
        if scansAreCrowded { scans.append(task) } else { advance(task, with: values) }
    }

    /// The same for a write, which has been executed.
    mutating func startScan(id: CallID, _ answer: AnswerBuilder, arrivedAt: Instant) {
        scans.append(
            ScanTask(id: id, read: nil, question: nil, key: ByteString(), arrivedAt: arrivedAt, startedAt: now, answer: answer))
    }

    /// Takes each scan a step further, as far as the turn goes. Those that had their step come last next time.
    mutating func continueScans() {
        scansAreCrowded = false
        guard !scans.isEmpty || !scanFollowers.isEmpty else { return }
        if let oldest = oldestIfCrowded {
            scansAreCrowded = true
            advance(scans.remove(at: oldest))
        } else {
            let tasks = scans
            scans.removeAll(keepingCapacity: true)
            var count = 0
            while count < tasks.count, turnBudget.isLeft {
                advance(tasks[count])
                count += 1
            }
            scans.insert(contentsOf: tasks[count...], at: 0)
        }
        let followers = scanFollowers
        scanFollowers.removeAll(keepingCapacity: true)
        for follower in followers { startRange(follower.read, follower.request, [:], since: follower.since) }
    }

    /// What all answers that are being made take in memory, in bytes.
    var scanBytes: Int {
        if scans.isEmpty && sorting.isEmpty { return 0 }
        return (scans + sorting.tasks).reduce(0) { $0 + $1.answer.heldBytes }
    }

    /// Which scan came first, where all together take more memory than they may: it is finished before others go on.
    private var oldestIfCrowded: Int? {
        guard scanBytes > configuration.scanMemoryLimit else { return nil }
        return scans.indices.min { scans[$0].arrivedAt < scans[$1].arrivedAt }
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
    mutating func advance(_ task: ScanTask, with values: [Position: ByteString] = [:]) {
        var visits = min(configuration.scanKeyLimit, max(turnBudget.visits, 1))
        let visitsBefore = visits
        let bytesBefore = task.answer.heldBytes
        var lookup = ValueLookup(values)
        defer { valueCounts += lookup.counts }
        do throws(EtcdError) {
            let step = try task.answer.step(store.index, &lookup, visits: &visits, stepBytes: configuration.scanByteLimit)
            turnBudget.visits -= visitsBefore - visits
            turnBudget.answerBytes -= max(task.answer.heldBytes - bytesBefore, 0)
            switch step {
            case .done: finish(task)
            case .unfinished: scans.append(task)
            case .lacks(let missing):
                park(.scan(task), lacking: missing, with: task.answer.isChoosing ? values : [:], arrivedAt: now)
            case .unsorted:
                sorting.add(task)
                startSorting()
            }
        } catch {
            actions.append(.fail(task.id, error))
        }
    }

    private mutating func finish(_ task: ScanTask) {
        noteSlow(task)
        let message = task.answer.finish()
        if let question = task.question { longAnswers.note(message, to: question) }
        actions.append(.respond(task.id, message))
    }

    private mutating func startSorting() {
        if let job = sorting.nextJob() { actions.append(.sort(job)) }
    }

    /// What a scan has found is sorted. Nobody waits for it where its client has given up, or the log was loaded anew.
    mutating func sorted(_ job: consuming SortJob) {
        if let task = sorting.done(job) { scans.append(task) }
        startSorting()
    }

    /// The log is loaded anew: what they read is of another memory.
    mutating func failScans(_ error: EtcdError) {
        for scan in scans + sorting.tasks { actions.append(.fail(scan.id, error)) }
        scans = []
        sorting.removeAll()
    }

    // MARK: Streams

    mutating func startStream(_ id: CallID, _ request: RangeRequest) {
        counters.rangesAnswered += 1
        do throws(EtcdError) {
            let scan = try RangeScan(request, current: store.revision, compactRevision: store.compactRevision)
            streams.append(StreamTask(id: id, scan: scan, header: header, revision: store.revision))
        } catch {
            actions.append(.fail(id, error))
        }
    }

    mutating func streamDrained(_ id: CallID) {
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
    mutating func advance(_ task: StreamTask, with values: [Position: ByteString] = [:]) {
        // Nobody is kept from compacting by a client that reads slowly.
        if task.revision < store.compactRevision {
            actions.append(.fail(task.id, .compacted))
            return
        }
        var visits = configuration.scanKeyLimit
        var lookup = ValueLookup(values)
        defer { valueCounts += lookup.counts }
        switch task.step(store.index, &lookup, visits: &visits, chunkBytes: configuration.streamChunkBytes) {
        case .unfinished: streams.append(task)
        case .lacks(let missing): park(.stream(task), lacking: missing, arrivedAt: now)
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

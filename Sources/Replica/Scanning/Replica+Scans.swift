// Owns: what scans and streams are told, and where their answers go.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension Replica {
    // MARK: Scans

    /// Begins an answer that may take more than a turn.
    /// - Parameter values: what was fetched for it.
    mutating func startScan(
        of read: PendingRead, _ answer: AnswerBuilder, question: RangeQuestion? = nil, key: ByteString,
        with values: [Position: ByteString], since startedAt: Instant
    ) {
        let task = ScanTask(
            id: read.id, read: read, question: question, key: key, arrivedAt: read.arrivedAt, startedAt: startedAt, answer: answer)
        if scans.isCrowded { scans.queue(task) } else { advance(task, with: values) }
    }

    /// The same for a write, which has been executed.
    mutating func startScan(id: CallID, _ answer: AnswerBuilder, arrivedAt: Instant) {
        scans.queue(
            ScanTask(id: id, read: nil, question: nil, key: ByteString(), arrivedAt: arrivedAt, startedAt: now, answer: answer))
    }

    /// Takes each scan a step further, as far as the turn goes.
    mutating func continueScans() {
        scans.turnBegan()
        while let task = scans.next(turnBudget) { advance(task, with: [:]) }
        for follower in scans.takeFollowers() { startRange(follower.read, follower.request, [:], since: follower.since) }
    }

    /// Takes a scan a step further.
    mutating func advance(_ task: ScanTask, with values: [Position: ByteString]) {
        switch scans.advance(task, store.index, with: values, &turnBudget) {
        case .waits: startSorting()
        case .answered(let message):
            noteSlow(task)
            actions.append(.respond(task.id, message))
        case .refused(let error): actions.append(.fail(task.id, error))
        case .lacks(let missing, let keepsValues):
            park(.scan(task), lacking: missing, with: keepsValues ? values : [:], arrivedAt: now)
        }
    }

    private mutating func startSorting() {
        if let job = scans.nextSortJob() { actions.append(.sort(job)) }
    }

    mutating func sorted(_ job: consuming SortJob) {
        scans.sorted(job)
        startSorting()
    }

    /// Whether what is asked for is there already, or is being made: then it is answered, or waits for that.
    mutating func share(_ question: RangeQuestion, with follower: ScanFollower) -> Bool {
        switch scans.asked(question, by: follower) {
        case .no: return false
        case .follows: return true
        case .answered(let message):
            counters.rangesShared += 1
            noteSlow(follower)
            actions.append(.respond(follower.read.id, message))
            return true
        }
    }

    // MARK: Streams

    mutating func startStream(_ id: CallID, _ request: RangeRequest) {
        counters.rangesAnswered += 1
        do throws(EtcdError) {
            let scan = try RangeScan(request, current: store.revision, compactRevision: store.compactRevision)
            streams.started(StreamTask(id: id, scan: scan, header: header, revision: store.revision))
        } catch {
            actions.append(.fail(id, error))
        }
    }

    mutating func continueStreams() {
        streams.turnBegan()
        while let task = streams.next() { advance(task, with: [:]) }
    }

    /// Takes a stream whose client wants more a step further.
    mutating func advance(_ task: StreamTask, with values: [Position: ByteString]) {
        switch streams.advance(task, store.index, compactRevision: store.compactRevision, with: values) {
        case .waits: break
        case .refused(let error): actions.append(.fail(task.id, error))
        case .lacks(let missing): park(.stream(task), lacking: missing, arrivedAt: now)
        case .chunk(let message): actions.append(.send(task.id, message, reportDrained: true))
        case .last(let message):
            actions.append(.send(task.id, message, reportDrained: false))
            actions.append(.finish(task.id))
        }
    }

    // MARK: A log that is loaded anew

    /// What scans and streams read is of another memory.
    mutating func failScans(_ error: EtcdError) {
        for id in streams.historyLost() { actions.append(.fail(id, error)) }
        for id in scans.historyLost() { actions.append(.fail(id, error)) }
    }
}

// Owns: what the value fetcher is told, and how operations go on that have their values.
// Must never: answer from what an operation made of missing values; hold up operations that lack none.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// What goes on once its values are there.
enum LackingWork {
    case read(PendingRead)
    case write(PendingWrite)
    case scan(ScanTask)
    case stream(StreamTask)
    /// Old rows for watchers that want to know what was before each.
    case sweep(UInt64)
    /// A hash of all keys, by its number.
    case hash(UInt64)
    case snapshot(CallID)
}

extension LackingOperation<LackingWork> {
    fileprivate init(_ work: LackingWork, missing: [MissingValue], values: [Position: ByteString], arrivedAt: Instant) {
        let call: CallID? =
            switch work {
            case .read(let read): read.id
            case .write(let write): write.id
            case .scan(let task): task.id
            case .stream(let task): task.id
            case .snapshot(let id): id
            case .sweep, .hash: nil
            }
        // A stream keeps nobody from compacting.
        let pinned: Revision? = if case .scan(let task) = work { task.revision } else { nil }
        self.init(work, call: call, missing: missing, values: values, arrivedAt: arrivedAt, pinnedRevision: pinned)
    }
}

extension Replica {
    /// Lets an operation wait for what it has just turned out to lack.
    /// - Parameter values: what was read for it before.
    mutating func park(
        _ work: LackingWork, lacking missing: [MissingValue], with values: [Position: ByteString] = [:], arrivedAt: Instant
    ) {
        let operation = LackingOperation(work, missing: missing, values: values, arrivedAt: arrivedAt)
        counters.valueWaits += 1
        if !fetcher.lacked(operation) { fail(operation, .tooManyRequests) }
    }

    mutating func startValueRead() {
        guard let question = fetcher.nextRead(committed: store.committed) else { return }
        startTrail()
        actions.append(.log(.readValues(number: question.number, question.positions)))
    }

    /// Judges values that were read.
    mutating func takeValues() {
        guard let (head, since) = fetcher.answer else { return }
        switch trail.judge(head, since: since) {
        case .ours: break
        case .ahead: return followTrail()
        case .other: return historyChanged()
        case .unknown:
            fetcher.answerIsUnknown()
            return endTrail()
        }
        let fetched = fetcher.answerWasOurs()
        endTrail()
        counters.valuesRead += UInt64(fetched.valueCount)
        counters.valueBytesRead += UInt64(fetched.byteCount)
        for (missing, value) in fetched.admissible { store.admit(value, of: missing) }
        if fetched.hasOvertaken { startTailRead() }
        for operation in fetched.complete { resume(operation) }
    }

    mutating func valuesReadFailed(_ number: UInt64) {
        if fetcher.readFailed(number) { endTrail() }
    }

    /// The fold is at the head.
    mutating func overtakenMayGoOn() {
        for operation in fetcher.foldReachedHead() { resume(operation) }
    }

    private mutating func resume(_ operation: LackingOperation<LackingWork>) {
        switch operation.work {
        case .read(let read): answer(read, with: operation.values)
        case .write(var write):
            write.values = operation.values
            writes.putBack(write)
        case .scan(let task):
            if task.revision >= store.compactRevision || !operation.isLacking {
                advance(task, with: operation.values)
            } else if let read = task.read {
                beginAnew(read, with: operation.values)
            } else {
                // The write is in the log, and what its answer would say isn't any more.
                actions.append(.fail(task.id, .timeout))
            }
        case .stream(let task): advance(task, with: operation.values)
        case .sweep(let number): resumeSweep(number, with: operation.values)
        case .hash(let number): resumeHash(number, lacking: operation.missing, with: operation.values)
        case .snapshot(let id): resumeSnapshot(id, isWhole: !operation.isLacking, with: operation.values)
        }
    }

    /// The values of the revision that a read was at are gone.
    private mutating func beginAnew(_ read: PendingRead, with values: [Position: ByteString]) {
        switch read.kind {
        // Whoever asks for the newest revision is never told that it is compacted.
        case .range(let request) where request.revision == 0: startRange(read, request, values)
        case .txn: answer(read, with: values)
        default: actions.append(.fail(read.id, .compacted))
        }
    }

    // MARK: Ends

    mutating func expireLacking() {
        for operation in fetcher.takeExpired(now: now) { fail(operation, .timeout) }
    }

    /// The log is loaded anew.
    mutating func failLacking(_ error: EtcdError) {
        for operation in fetcher.historyLost() { fail(operation, error) }
    }

    private mutating func fail(_ operation: LackingOperation<LackingWork>, _ error: EtcdError) {
        switch operation.work {
        case .read(let read): actions.append(.fail(read.id, error))
        case .write(let write): respond(write.id, .failure(error))
        case .scan(let task): actions.append(.fail(task.id, error))
        case .stream(let task): actions.append(.fail(task.id, error))
        case .sweep: break
        case .snapshot(let id): refuseSnapshot(id, error)
        case .hash(let number):
            if let id = hashing.refused(number) { actions.append(.fail(id, error)) }
        }
    }
}

// Owns: operations that wait for values which memory does not hold: their values are read together, then they run again.
// Must never: answer from what an operation made of missing values, or from values of another history; hold up operations that lack
// none.
//
// A value's row may be gone when it is read: compaction that this process has not folded yet deleted it. Then the operation runs
// again once the fold is at the head: it meets newer rows, or etcd's compacted error.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// Something that lacks values.
struct ParkedOperation {
    enum Kind {
        case read(PendingRead)
        case write(PendingWrite)
        case scan(ScanTask)
        case stream(StreamTask)
        /// Old rows for watchers that want to know what was before each.
        case sweep(UInt64)
        /// A hash of all keys, by its number.
        case hash(UInt64)
    }

    var kind: Kind
    var missing: [MissingValue]
    /// What was read for it before: a second look may show that it lacks more.
    var values: [Position: ByteString]
    var arrivedAt: Instant

    var byteCount: Int { missing.reduce(0) { $0 + $1.byteCount } }

    /// nil for one that nobody can cancel or that has no deadline.
    var request: CallID? {
        switch kind {
        case .read(let read): read.id
        case .write(let write): write.id
        case .scan(let task): task.id
        case .stream(let task): task.id
        case .sweep, .hash: nil
        }
    }
}

struct ParkedOperations {
    /// For the next read.
    var waiting = Deque<ParkedOperation>()
    /// For the read under way.
    var reading: [ParkedOperation] = []
    /// Lack rows that are gone: for the fold to reach the head.
    var overtaken: [ParkedOperation] = []
    var number: UInt64 = 0
    /// Until the answer is taken.
    var isReading = false
    /// How far the log was known to go when the read was sent.
    var since = Position.start
    /// What was read, and not yet known to be of our history.
    var answer: (head: Head, values: [Position: ByteString])?

    var isEmpty: Bool { waiting.isEmpty && reading.isEmpty && overtaken.isEmpty }

    /// When those that have waited too long are looked for.
    var nextExpiry = Instant(nanoseconds: 0)

    var oldestScan: Revision? {
        guard !isEmpty else { return nil }
        var oldest: Revision?
        func look(at operation: ParkedOperation) {
            if case .scan(let task) = operation.kind { oldest = min(oldest ?? .max, task.revision) }
        }
        waiting.forEach(look)
        reading.forEach(look)
        overtaken.forEach(look)
        return oldest
    }

    /// In no order that matters to anybody.
    var all: [ParkedOperation] { Array(waiting) + reading + overtaken }

    mutating func removeAll(where isGone: (ParkedOperation) -> Bool) {
        waiting.removeAll(where: isGone)
        reading.removeAll(where: isGone)
        overtaken.removeAll(where: isGone)
    }

    mutating func drop(_ gone: Set<CallID>) {
        guard !isEmpty else { return }
        removeAll { $0.request.map { gone.contains($0) } ?? false }
    }
}

extension Replica {
    /// Lets an operation wait for what it has just turned out to lack.
    mutating func park(
        _ kind: ParkedOperation.Kind, lacking missing: [MissingValue], with values: [Position: ByteString] = [:], arrivedAt: Instant
    ) {
        let operation = ParkedOperation(kind: kind, missing: missing, values: values, arrivedAt: arrivedAt)
        counters.valueWaits += 1
        guard parked.waiting.count < configuration.waitingLimit else {
            fail(operation, .tooManyRequests)
            return
        }
        parked.waiting.append(operation)
    }

    /// Reads what those who wait lack, as much as is reasonable at once.
    mutating func startValueRead() {
        guard !parked.isReading, !parked.waiting.isEmpty else { return }
        var bytes = 0
        var positions: Set<Position> = []
        while let operation = parked.waiting.first {
            let more = operation.byteCount
            if !parked.reading.isEmpty, bytes + more > configuration.valueReadByteLimit { break }
            bytes += more
            for missing in operation.missing { positions.insert(missing.position) }
            parked.reading.append(operation)
            parked.waiting.removeFirst()
        }
        parked.number += 1
        parked.isReading = true
        parked.since = store.committed
        startTrail()
        actions.append(.log(.readValues(number: parked.number, positions.sorted())))
    }

    mutating func valuesRead(_ number: UInt64, _ head: Head, _ values: [Position: ByteString]) {
        guard parked.isReading, parked.number == number else { return }
        parked.answer = (head, values)
    }

    mutating func takeValues() {
        guard let (head, values) = parked.answer else { return }
        switch trail.judge(head, since: parked.since) {
        case .ours: break
        case .ahead: return followTrail()
        case .other: return historyChanged()
        case .unknown: return valuesReadFailed(parked.number)
        }
        let operations = parked.reading
        parked.reading = []
        parked.isReading = false
        parked.answer = nil
        endTrail()
        for var operation in operations {
            // A scan never comes back to what it has shown.
            switch operation.kind {
            case .scan(let task) where task.answer.isChoosing: break
            case .scan, .stream: operation.values = [:]
            case .read, .write, .sweep, .hash: break
            }
            var isGone = false
            for missing in operation.missing {
                guard let value = values[missing.position] else {
                    isGone = true
                    continue
                }
                operation.values[missing.position] = value
                counters.valuesRead += 1
                counters.valueBytesRead += UInt64(value.count)
                // What a scan reads in passing is no sign that it will be wanted again.
                if operation.missing.count <= admittedLimit { store.admit(value, of: missing) }
            }
            if isGone {
                parked.overtaken.append(operation)
                startTailRead()
            } else {
                resume(operation)
            }
        }
    }

    mutating func valuesReadFailed(_ number: UInt64) {
        guard parked.isReading, parked.number == number else { return }
        parked.isReading = false
        parked.answer = nil
        endTrail()
        for operation in parked.reading.reversed() { parked.waiting.prepend(operation) }
        parked.reading = []
    }

    /// The fold is at the head.
    mutating func parkedMayGoOn() {
        guard !parked.overtaken.isEmpty else { return }
        let operations = parked.overtaken
        parked.overtaken = []
        for operation in operations { resume(operation) }
    }

    private mutating func resume(_ operation: ParkedOperation) {
        switch operation.kind {
        case .read(let read): answer(read, with: operation.values)
        case .write(var write):
            write.values = operation.values
            writes.putBack(write)
        case .scan(let task):
            let isOvertaken =
                task.revision < store.compactRevision && operation.missing.contains { operation.values[$0.position] == nil }
            if !isOvertaken {
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

    mutating func expireParked() {
        guard !parked.isEmpty, now >= parked.nextExpiry else { return }
        parked.nextExpiry = now.advanced(byMs: expiryIntervalMs)
        let timeoutMs = configuration.requestTimeoutMs
        let now = now
        func isOverdue(_ operation: ParkedOperation) -> Bool {
            switch operation.kind {
            case .sweep, .hash: return false
            case .read, .write, .scan, .stream: break
            }
            return operation.arrivedAt.advanced(byMs: timeoutMs) <= now
        }
        let overdue = parked.all.filter(isOverdue)
        guard !overdue.isEmpty else { return }
        parked.removeAll(where: isOverdue)
        for operation in overdue { fail(operation, .timeout) }
    }

    /// The log is loaded anew: what waits is of another memory.
    mutating func failParked(_ error: EtcdError) {
        for operation in parked.all { fail(operation, error) }
        parked.removeAll { _ in true }
        // A late answer has a number that nobody waits for.
        parked.isReading = false
        parked.answer = nil
    }

    private mutating func fail(_ operation: ParkedOperation, _ error: EtcdError) {
        switch operation.kind {
        case .read(let read): actions.append(.fail(read.id, error))
        case .write(let write): respond(write.id, .failure(error))
        case .scan(let task): actions.append(.fail(task.id, error))
        case .stream(let task): actions.append(.fail(task.id, error))
        case .sweep: break
        case .hash(let number):
            if let id = hashing.refused(number) { actions.append(.fail(id, error)) }
        }
    }
}

/// An operation that lacks more values than this is a scan, whose values the cache does not take in.
private let admittedLimit = 128

let expiryIntervalMs = 100

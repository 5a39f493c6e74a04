// Owns: operations that wait for values which memory does not hold, and the one read of the log that fetches them.
// Must never: let an operation go on with values of another history, or have two reads under way.
//
//                        nextRead               answerWasOurs
//   lacked ──▶ waiting ────────────▶ reading ─────────────────┬──▶ goes on
//                 ▲                     │                      └──▶ overtaken ── foldReachedHead ──▶ goes on
//                 └──── readFailed ─────┘
//
// A value's row may be gone when it is read: compaction that this process has not folded yet deleted it. Then the operation goes on once
// the fold is at the head, without that value: it meets newer rows, or etcd's compacted error.
//
// Invariants: an operation is in one of the three lists; operations are `reading` only while a read is under way; each that is
// `overtaken` lacks a value.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct ValueFetcher<Work>: ~Copyable {
    typealias Operation = LackingOperation<Work>

    /// What is to be read.
    struct Question: Hashable {
        var number: UInt64
        /// In ascending order.
        var positions: [Position]
    }

    /// What a read has brought.
    struct Fetched {
        /// Operations that have all that they lacked, in the order in which they came.
        var complete: [Operation] = []
        /// Whether others lack rows that are gone, for which the fold has to come to the head.
        var hasOvertaken = false
        /// Values worth keeping in memory.
        var admissible: [(missing: MissingValue, value: ByteString)] = []
        var valueCount = 0
        var byteCount = 0
    }

    private enum Read {
        case none
        /// - since: how far the log was known to go when the read was sent.
        case underWay(since: Position)
        /// Not yet known to be of our history.
        case answered(since: Position, Head, [Position: ByteString])
    }

    /// For the next read.
    private var waiting = Deque<Operation>()
    /// For the read under way.
    private var reading: [Operation] = []
    /// For the fold to reach the head.
    private var overtaken: [Operation] = []
    private var read = Read.none
    /// Of the read that was sent last: an answer to an earlier one comes too late.
    private var number: UInt64 = 0
    /// When those that have waited too long are looked for.
    private var nextExpiry = Instant(nanoseconds: 0)
    private let waitingLimit: Int
    private let readByteLimit: Int
    private let timeoutMs: Int

    /// - Parameter readByteLimit: how much is read at once, in bytes; one operation may need more.
    init(waitingLimit: Int, readByteLimit: Int, timeoutMs: Int) {
        self.waitingLimit = waitingLimit
        self.readByteLimit = readByteLimit
        self.timeoutMs = timeoutMs
    }

    init(_ configuration: ReplicaConfiguration) {
        self.init(
            waitingLimit: configuration.waitingLimit, readByteLimit: configuration.valueReadByteLimit,
            timeoutMs: configuration.requestTimeoutMs)
    }

    var isEmpty: Bool { waiting.isEmpty && reading.isEmpty && overtaken.isEmpty }

    var count: Int { waiting.count + reading.count + overtaken.count }

    /// Whether one more may wait.
    var hasRoom: Bool { waiting.count < waitingLimit }

    /// Whether a read's answer is still to come, or to be judged.
    var isReading: Bool {
        if case .none = read { false } else { true }
    }

    /// The oldest revision that must stay readable; nil where none must.
    var pinnedRevision: Revision? {
        guard !isEmpty else { return nil }
        return [waiting.lazy.compactMap(\.pinnedRevision).min(), oldest(reading), oldest(overtaken)].compactMap { $0 }.min()
    }

    private func oldest(_ operations: [Operation]) -> Revision? { operations.lazy.compactMap(\.pinnedRevision).min() }

    /// In no order that matters to anybody.
    private var all: [Operation] { Array(waiting) + reading + overtaken }

    // MARK: Waiting

    /// An operation has turned out to lack values. False where too many wait: it has to be refused.
    mutating func lacked(_ operation: consuming Operation) -> Bool {
        guard hasRoom else { return false }
        waiting.append(operation)
        return true
    }

    /// Their clients have given up.
    mutating func dropped(_ gone: Set<CallID>) {
        guard !isEmpty else { return }
        remove { $0.call.map { gone.contains($0) } ?? false }
    }

    /// Takes out those that have waited too long.
    mutating func takeExpired(now: Instant) -> [Operation] {
        guard !isEmpty, now >= nextExpiry else { return [] }
        nextExpiry = now.advanced(byMs: expiryIntervalMs)
        let timeoutMs = timeoutMs
        func isOverdue(_ operation: Operation) -> Bool {
            operation.call != nil && operation.arrivedAt.advanced(byMs: timeoutMs) <= now
        }
        let overdue = all.filter(isOverdue)
        if !overdue.isEmpty { remove(where: isOverdue) }
        return overdue
    }

    private mutating func remove(where isGone: (Operation) -> Bool) {
        waiting.removeAll(where: isGone)
        reading.removeAll(where: isGone)
        overtaken.removeAll(where: isGone)
    }

    // MARK: Reading

    /// What to read now, for as many as is reasonable at once; nil where nobody waits or a read is under way.
    /// - Parameter committed: how far the log is known to go.
    mutating func nextRead(committed: Position) -> Question? {
        guard !isReading, !waiting.isEmpty else { return nil }
        var bytes = 0
        var positions: Set<Position> = []
        while let operation = waiting.first {
            let more = operation.missingBytes
            if !reading.isEmpty, bytes + more > readByteLimit { break }
            bytes += more
            for missing in operation.missing { positions.insert(missing.position) }
            reading.append(operation)
            waiting.removeFirst()
        }
        number += 1
        read = .underWay(since: committed)
        return Question(number: number, positions: positions.sorted())
    }

    /// The read `number` has brought these.
    mutating func valuesRead(_ number: UInt64, _ head: Head, _ values: [Position: ByteString]) {
        guard self.number == number, case .underWay(let since) = read else { return }
        read = .answered(since: since, head, values)
    }

    /// An answer that has to be judged: whether its head is of the history that the log was known to have when the read was sent.
    /// `answerWasOurs` or `answerIsUnknown` has to follow.
    var answer: (head: Head, since: Position)? {
        if case .answered(let since, let head, _) = read { (head, since) } else { nil }
    }

    /// The answer is of our history.
    mutating func answerWasOurs() -> Fetched {
        guard case .answered(_, _, let values) = read else { violated("there is no answer to be judged") }
        let operations = reading
        reading = []
        read = .none
        var fetched = Fetched()
        for var operation in operations {
            let found = operation.take(values)
            fetched.valueCount += found.count
            fetched.byteCount += found.reduce(0) { $0 + $1.value.count }
            // What a scan reads in passing is no sign that it will be wanted again.
            if operation.missing.count <= admittedLimit { fetched.admissible += found }
            if operation.isLacking {
                overtaken.append(operation)
                fetched.hasOvertaken = true
            } else {
                fetched.complete.append(operation)
            }
        }
        return fetched
    }

    /// Nobody can tell any more whether the answer is of our history: the values are read again.
    mutating func answerIsUnknown() { readAgain() }

    /// The read `number` has failed: it is sent again. False where nobody waits for it.
    mutating func readFailed(_ number: UInt64) -> Bool {
        guard isReading, self.number == number else { return false }
        readAgain()
        return true
    }

    private mutating func readAgain() {
        read = .none
        for operation in reading.reversed() { waiting.prepend(operation) }
        reading = []
    }

    /// The fold is at the head. Takes out those whose values are gone.
    mutating func foldReachedHead() -> [Operation] {
        guard !overtaken.isEmpty else { return [] }
        defer { overtaken = [] }
        return overtaken
    }

    /// The log is loaded anew: what waits is of another memory. Takes out all. A late answer has a number that nobody waits for.
    mutating func historyLost() -> [Operation] {
        defer {
            remove { _ in true }
            read = .none
        }
        return all
    }

    // MARK: Invariants

    /// Traps where the fetcher breaks its rules. Looks at all that waits: for tests and the simulator, after each turn.
    borrowing func invariants() {
        invariant(isReading || reading.isEmpty, "\(reading.count) operations wait for a read that is not under way")
        invariant(overtaken.allSatisfy(\.isLacking), "an operation that lacks nothing waits for the head")
        let calls = all.compactMap(\.call)
        invariant(Set(calls).count == calls.count, "a call waits for values twice")
    }
}

/// The values of an operation that lacks more than these are not taken into memory: it is a scan.
private let admittedLimit = 128

/// Between two looks for operations that have waited too long.
let expiryIntervalMs = 100

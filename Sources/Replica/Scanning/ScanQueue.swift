// Owns: long answers under way: which has its step next, which wait to be sorted, who waits for the answer of another's scan.
// Must never: let answers that are being made take much more memory than they may: then only the oldest goes on.
//
//   start ──▶ queued ──next──▶ its step ─┬──▶ answered, or refused
//               ▲                        ├──▶ lacks values: leaves the queue, and comes back by `advance`
//               ├──── bounds used up ────┤
//               └──────── sorted ────────┴──▶ sorting
//
// Invariants: a scan is in here once; at most one sort job is handed out.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct ScanQueue: ~Copyable {
    /// What comes of a scan's step.
    enum Outcome {
        /// It goes on in a later turn, or once it is sorted.
        case waits
        case answered(ByteString)
        case refused(EtcdError)
        /// It has left the queue, until it has these. Values that it has been given before are to be kept for it.
        case lacks([MissingValue], keepsValues: Bool)
    }

    /// What becomes of somebody who asks for what may be there already.
    enum Share: Equatable {
        case answered(ByteString)
        case follows
        case no
    }

    private var queued = Deque<ScanTask>()
    private var followers: [ScanFollower] = []
    private var sorting = ScanSorting()
    private var longAnswers = LongAnswers()
    /// Whether the answers took more memory than they may when this turn began.
    private(set) var isCrowded = false
    /// How many of `queued` have had no step in this turn.
    private var stepsLeft = 0
    /// Values that the scans asked for.
    private(set) var valueCounts = ValueCounts()
    private let keyLimit: Int
    private let byteLimit: Int
    private let memoryLimit: Int

    /// - Parameters:
    ///   - keyLimit: how many keys a step looks at.
    ///   - byteLimit: about how much a step encodes, in bytes.
    ///   - memoryLimit: what all answers that are being made may take, in bytes.
    init(keyLimit: Int, byteLimit: Int, memoryLimit: Int) {
        self.keyLimit = keyLimit
        self.byteLimit = byteLimit
        self.memoryLimit = memoryLimit
    }

    init(_ configuration: ReplicaConfiguration) {
        self.init(
            keyLimit: configuration.scanKeyLimit, byteLimit: configuration.scanByteLimit, memoryLimit: configuration.scanMemoryLimit)
    }

    /// Whether the next turn has something to do.
    var hasWork: Bool { !queued.isEmpty || !followers.isEmpty }

    /// Scans under way, without those that wait for values.
    var count: Int { queued.count + sorting.count }

    /// What all answers that are being made take in memory, in bytes.
    var heldBytes: Int {
        if count == 0 { return 0 }
        return queued.reduce(0) { $0 + $1.answer.heldBytes } + sorting.tasks.reduce(0) { $0 + $1.answer.heldBytes }
    }

    /// The oldest revision that a scan reads; nil where there is none.
    var pinnedRevision: Revision? {
        if count == 0 { return nil }
        return min(queued.lazy.map(\.revision).min() ?? .max, sorting.tasks.lazy.map(\.revision).min() ?? .max)
    }

    // MARK: Steps

    /// Lets a scan wait for its step.
    mutating func queue(_ task: ScanTask) { queued.append(task) }

    /// A turn begins: each scan that is queued now may have a step in it, or only the oldest where they are crowded.
    mutating func turnBegan() {
        isCrowded = !queued.isEmpty && heldBytes > memoryLimit
        stepsLeft = isCrowded ? 1 : queued.count
    }

    /// Takes out the scan whose step is next; nil where no more have one in this turn. Those that had theirs come last in the next one.
    mutating func next(_ budget: TurnBudget) -> ScanTask? {
        guard stepsLeft > 0, isCrowded || budget.isLeft else { return nil }
        stepsLeft -= 1
        guard isCrowded else { return queued.popFirst() }
        guard let oldest = queued.indices.min(by: { queued[$0].arrivedAt < queued[$1].arrivedAt }) else { return nil }
        return queued.remove(at: oldest)
    }

    /// Takes a scan that is not queued a step further.
    /// - Parameter values: what was fetched for it.
    mutating func advance(
        _ task: ScanTask, _ index: borrowing KeyIndex, with values: [Position: ByteString], _ budget: inout TurnBudget
    ) -> Outcome {
        var visits = min(keyLimit, max(budget.visits, 1))
        let visitsBefore = visits
        let bytesBefore = task.answer.heldBytes
        var lookup = ValueLookup(values)
        let step: AnswerBuilder.Step
        do throws(EtcdError) {
            step = try task.answer.step(index, &lookup, visits: &visits, stepBytes: byteLimit)
        } catch {
            valueCounts += lookup.counts
            return .refused(error)
        }
        valueCounts += lookup.counts
        budget.visits -= visitsBefore - visits
        budget.answerBytes -= max(task.answer.heldBytes - bytesBefore, 0)
        switch step {
        case .done:
            let message = task.answer.finish()
            if let question = task.question { longAnswers.note(message, to: question) }
            return .answered(message)
        case .unfinished: queued.append(task)
        // What a range has shown it never comes back to.
        case .lacks(let missing): return .lacks(missing, keepsValues: task.answer.isChoosing)
        case .unsorted: sorting.add(task)
        }
        return .waits
    }

    // MARK: Sorting

    /// What is to be sorted now, where nobody waits for it; nil where that is nothing, or another job is under way.
    mutating func nextSortJob() -> SortJob? { sorting.nextJob() }

    /// The job is done. Nobody waits for it where its client has given up, or the log was loaded anew.
    mutating func sorted(_ job: consuming SortJob) {
        if let task = sorting.done(job) { queued.append(task) }
    }

    // MARK: Sharing

    /// Somebody asks `question`: the answer may be there already, or being made.
    mutating func asked(_ question: RangeQuestion, by follower: ScanFollower) -> Share {
        if let message = longAnswers.find(question) { return .answered(message) }
        // Among the first few only: however many scans there are, this must stay cheap.
        guard queued.prefix(LongAnswers.entryLimit).contains(where: { $0.question == question }) else { return .no }
        followers.append(follower)
        return .follows
    }

    /// Takes out those who wait for another's answer: they look again.
    mutating func takeFollowers() -> [ScanFollower] {
        if followers.isEmpty { return [] }
        defer { followers = [] }
        return followers
    }

    // MARK: Ends

    /// Their clients have given up.
    mutating func dropped(_ gone: Set<CallID>) {
        sorting.drop(gone)
        queued.removeAll { gone.contains($0.id) }
        followers.removeAll { gone.contains($0.read.id) }
    }

    /// The log is loaded anew: what the scans read is of another memory. Takes out all, and gives those who waited for an answer.
    mutating func historyLost() -> [CallID] {
        defer {
            queued = []
            sorting.removeAll()
            stepsLeft = 0
        }
        return queued.map(\.id) + sorting.tasks.map(\.id)
    }

    // MARK: Invariants

    /// Traps where the queue breaks its rules. Looks at every scan: for tests and the simulator, after each turn.
    borrowing func invariants() {
        sorting.invariants()
        let ids = queued.map(\.id) + sorting.tasks.map(\.id)
        invariant(Set(ids).count == ids.count, "a scan is in two places")
        invariant(stepsLeft <= queued.count, "\(stepsLeft) of \(queued.count) scans are to have a step")
    }
}

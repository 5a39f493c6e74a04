// Owns: HashKV: who waits for a hash, the one that is being computed, and what is remembered of compactions.
// Must never: let a compaction's dead rows go before its hash is known, or given up: they count.
// Invariants: the task at the front is the one under way, or none is; at most `rememberedLimit` compactions wait or are remembered.
//
// etcd hashes at each compaction what there was before it deleted anything, and remembers the ten highest until its process ends: for
// their revisions HashKV answers with those. A hash of a compaction is given up where that needs many values from the log.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct Hashing {
    /// What HashKV says.
    struct Answer: Hashable {
        var hash: UInt32
        var compactRevision: Revision
        var revision: Revision
    }

    /// Somebody who gets an answer.
    struct Outcome {
        var request: CallID
        /// Whether it is told the hash alone.
        var isPlain: Bool
        var answer: Result<Answer, EtcdError>
    }

    /// What comes of a step.
    struct Progress {
        var outcomes: [Outcome] = []
        /// Of the first task: it waits for `valuesRead`.
        var missing: [MissingValue] = []
    }

    private enum Cause {
        case request(CallID, Revision, isPlain: Bool)
        case compaction(Compaction)
    }

    private struct Task {
        let number: UInt64
        let cause: Cause
        var scan: HashScan?
        /// What was read of the log for it, in bytes.
        var readBytes = 0

        var request: CallID? {
            if case .request(let id, _, _) = cause { id } else { nil }
        }

        var isPlain: Bool {
            if case .request(_, _, let isPlain) = cause { isPlain } else { false }
        }

        /// What is alive here, and all later, must stay.
        var pinnedRevision: Revision? {
            if case .compaction(let compaction) = cause { compaction.previous } else { scan?.pinnedRevision }
        }
    }

    private var tasks = Deque<Task>()
    private var nextNumber: UInt64 = 1
    /// Whether the first of `tasks` waits for values.
    private var isParked = false
    /// In ascending order of their revisions.
    private var remembered: [Answer] = []
    /// Values that the hashes asked for.
    private(set) var valueCounts = ValueCounts()

    var isEmpty: Bool { tasks.isEmpty }
    var count: Int { tasks.count }
    var canGoOn: Bool { !tasks.isEmpty && !isParked }

    /// What the task under way keeps in memory, in bytes.
    var heldBytes: Int { tasks.first?.scan?.heldBytes ?? 0 }

    /// The lowest revision whose keys must stay; nil where none must.
    var pinnedRevision: Revision? { tasks.lazy.compactMap(\.pinnedRevision).min() }

    mutating func asked(_ id: CallID, for revision: Revision, isPlain: Bool = false) {
        add(.request(id, revision, isPlain: isPlain))
    }

    mutating func compacted(_ compactions: [Compaction]) {
        for compaction in compactions { add(.compaction(compaction)) }
        // Those would be pushed out of what is remembered at once; and nobody may keep dead rows alive by compacting often.
        var excess = tasks.count { $0.request == nil } - rememberedLimit
        guard excess > 0 else { return }
        let front = tasks.first?.number
        tasks.removeAll { task in
            guard excess > 0, task.request == nil, task.number != front else { return false }
            excess -= 1
            return true
        }
    }

    private mutating func add(_ cause: Cause) {
        tasks.append(Task(number: nextNumber, cause: cause))
        nextNumber += 1
    }

    mutating func drop(_ gone: Set<CallID>) {
        guard let front = tasks.first?.number else { return }
        tasks.removeAll { $0.request.map { gone.contains($0) } ?? false }
        if tasks.first?.number != front { isParked = false }
    }

    /// The log is loaded anew: all is forgotten, as by a process that ends. Gives those who waited.
    mutating func loadedAnew() -> [CallID] {
        defer {
            tasks = []
            isParked = false
            remembered = []
        }
        return tasks.compactMap(\.request)
    }

    /// Takes the first task further. Where that lacks values, it waits for `valuesRead`.
    mutating func advance(_ store: borrowing Store, visits: inout Int) -> Progress {
        guard !isParked, var task = tasks.popFirst() else { return Progress() }
        if task.scan == nil {
            do throws(EtcdError) {
                if case .request(let id, let revision, let isPlain) = task.cause, let known = try find(revision, store) {
                    return Progress(outcomes: [Outcome(request: id, isPlain: isPlain, answer: .success(known))])
                }
            } catch {
                return Progress(outcomes: task.request.map { [Outcome(request: $0, isPlain: task.isPlain, answer: .failure(error))] } ?? [])
            }
            task.scan =
                switch task.cause {
                case .compaction(let compaction): HashScan(compaction)
                case .request(_, let revision, _):
                    HashScan(revision: revision == 0 ? store.revision : revision, compactRevision: store.compactRevision)
                }
        }
        var lookup = ValueLookup()
        let step = task.scan!.step(store.index, &lookup, visits: &visits)
        valueCounts += lookup.counts
        switch step {
        case .unfinished:
            tasks.prepend(task)
            return Progress()
        case .lacks(let missing):
            task.readBytes += missing.reduce(0) { $0 + $1.byteCount }
            if task.request == nil, task.readBytes > compactionReadLimit { return Progress() }
            isParked = true
            tasks.prepend(task)
            return Progress(missing: missing)
        case .done(let hash):
            let answer = Answer(hash: hash, compactRevision: task.scan!.compactRevision, revision: task.scan!.revision)
            guard let id = task.request else {
                remember(answer)
                return Progress()
            }
            return Progress(
                outcomes: [Outcome(request: id, isPlain: task.isPlain, answer: .success(answer))] + takeFollowers(of: answer, store))
        }
    }

    /// The number of the task that waits for values.
    var parkedNumber: UInt64? { isParked ? tasks.first?.number : nil }

    /// What the task `number` lacked was read; `isWhole`: all of it, or else compaction has deleted something meanwhile. False where
    /// nobody waits for it any more.
    mutating func valuesRead(_ number: UInt64, isWhole: Bool) -> Bool {
        guard parkedNumber == number else { return false }
        isParked = false
        if !isWhole {
            // It begins anew with what there is now; what a compaction had deleted can't be known any more.
            if tasks[0].request == nil { tasks.removeFirst() } else { tasks[0].scan = nil }
        }
        return isWhole
    }

    /// The task that waits for values can't have them. Gives who asked for it.
    mutating func refused(_ number: UInt64) -> CallID? {
        guard parkedNumber == number else { return nil }
        isParked = false
        return tasks.removeFirst().request
    }

    // MARK: Answers

    /// What is known without looking at keys.
    private func find(_ revision: Revision, _ store: borrowing Store) throws(EtcdError) -> Answer? {
        if let known = remembered.first(where: { $0.revision == revision }) { return known }
        if revision > 0, revision < store.compactRevision { throw .compacted }
        if revision > store.revision { throw .futureRev }
        return nil
    }

    private mutating func remember(_ answer: Answer) {
        remembered.append(answer)
        remembered.sort { $0.revision < $1.revision }
        if remembered.count > rememberedLimit { remembered.removeFirst() }
    }

    /// Those who would be told the same.
    private mutating func takeFollowers(of answer: Answer, _ store: borrowing Store) -> [Outcome] {
        guard answer.compactRevision == store.compactRevision else { return [] }
        let current = store.revision
        let remembered = Set(remembered.map(\.revision))
        var outcomes: [Outcome] = []
        tasks.removeAll { task in
            guard case .request(let id, let revision, let isPlain) = task.cause, task.scan == nil, !remembered.contains(revision),
                (revision == 0 ? current : revision) == answer.revision
            else { return false }
            outcomes.append(Outcome(request: id, isPlain: isPlain, answer: .success(answer)))
            return true
        }
        return outcomes
    }

    // MARK: Invariants

    /// Traps where a rule does not hold.
    func invariants() {
        invariant(tasks.dropFirst().allSatisfy { $0.scan == nil }, "a hash was begun behind another")
        invariant(!isParked || tasks.first?.scan != nil, "a hash waits for values that was not begun")
        invariant(tasks.count { $0.request == nil } <= rememberedLimit + 1, "too many compactions wait for their hashes")
        invariant(remembered.count <= rememberedLimit, "\(remembered.count) compactions are remembered")
        invariant(zip(remembered, remembered.dropFirst()).allSatisfy { $0.revision <= $1.revision }, "hashes are out of order")
    }
}

/// How many compactions etcd remembers the hashes of.
private let rememberedLimit = 10

/// What is read of the log for the hash of a compaction at the most, in bytes: nobody has asked for it.
private let compactionReadLimit = 64 << 20

// Owns: what one thread has to do, one thing at a time.
internal import DequeModule

struct JobQueue<Job> {
    private var jobs = Deque<Job>()
    /// Whether something was begun that has not ended.
    private(set) var isBusy = false

    mutating func add(_ job: Job) { jobs.append(job) }

    /// The next job, unless another is being done.
    mutating func begin() -> Job? {
        guard !isBusy, let job = jobs.popFirst() else { return nil }
        isBusy = true
        return job
    }

    /// Does something in between that was not asked for.
    mutating func beginAside() { isBusy = true }

    mutating func end() { isBusy = false }

    /// What is next.
    var first: Job? { jobs.first }

    mutating func removeFirst() { jobs.removeFirst() }

    mutating func clear() { jobs = [] }
}

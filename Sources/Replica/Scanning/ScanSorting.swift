// Owns: scans whose keys are to be sorted, in the order in which they came, and the one whose keys are being sorted.
// Must never: hand out more than one job at a time: what waits here goes with its client, a job that was handed out does not.
// Invariant: each task is in here once, and in no other list of scans.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

struct ScanSorting {
    private var waiting: [ScanTask] = []
    /// Nil where its client has given up meanwhile.
    private var underWay: ScanTask?
    private var isBusy = false
    private var number: UInt64 = 0

    var isEmpty: Bool { waiting.isEmpty && underWay == nil }

    var count: Int { waiting.count + (underWay == nil ? 0 : 1) }

    /// In the order in which they came.
    var tasks: [ScanTask] { (underWay.map { [$0] } ?? []) + waiting }

    mutating func add(_ task: ScanTask) { waiting.append(task) }

    /// What is to be sorted now; nil where that is nothing, or another job is under way.
    mutating func nextJob() -> SortJob? {
        guard !isBusy, !waiting.isEmpty else { return nil }
        let task = waiting.removeFirst()
        number += 1
        underWay = task
        isBusy = true
        return task.answer.takeSortJob(number: number)
    }

    /// The job is done. Gives the scan that can go on; nil where nobody waits for it any more.
    mutating func done(_ job: consuming SortJob) -> ScanTask? {
        guard isBusy, job.number == number else { return nil }
        isBusy = false
        guard let task = underWay.take() else { return nil }
        task.answer.sorted(job)
        return task
    }

    mutating func drop(_ gone: Set<CallID>) {
        waiting.removeAll { gone.contains($0.id) }
        if let task = underWay, gone.contains(task.id) { underWay = nil }
    }

    mutating func removeAll() {
        waiting = []
        underWay = nil
    }

    /// Traps where more is sorted than was handed out. For tests and the simulator, after each turn.
    func invariants() {
        invariant(isBusy || underWay == nil, "a scan waits for a sort job that is not under way")
        invariant(waiting.allSatisfy(\.answer.isUnsorted), "a scan waits to be sorted, and has nothing to sort")
    }
}

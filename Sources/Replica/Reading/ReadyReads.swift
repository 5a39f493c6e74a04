// Owns: reads that may be answered from the store as it is, and wait only for their turn.
// Must never: let a read overtake another that takes a share of the turn as well.
//
// Reads are answered in the order in which they came, as far as `TurnBudget` goes; the rest waits for the next turn. A read that takes as
// long in any store need not wait for others.
internal import Calls
internal import DequeModule

struct ReadyReads {
    private var reads = Deque<PendingRead>()

    var isEmpty: Bool { reads.isEmpty }
    var count: Int { reads.count }

    mutating func arrived(_ read: consuming PendingRead) { reads.append(read) }

    /// Whether a read may be answered as soon as it is confirmed: no other was there before, and the turn has something left for it.
    func lets(_ read: PendingRead, pass budget: TurnBudget) -> Bool { read.isBounded || reads.isEmpty && budget.isLeft }

    /// The next read to answer in this turn.
    mutating func next(within budget: TurnBudget) -> PendingRead? { budget.isLeft ? reads.popFirst() : nil }

    // MARK: Ends

    /// These reads' calls are over.
    mutating func dropped(_ gone: Set<CallID>) { reads.removeAll { gone.contains($0.id) } }

    /// Takes out the reads that have waited for `timeoutMs`, which come first.
    mutating func expired(timeoutMs: Int, now: Instant) -> [PendingRead] { takeExpired(&reads, timeoutMs: timeoutMs, now: now) }

    /// The log is loaded anew: gives the reads, which have to learn anew where it ends.
    mutating func loadingBegan() -> [PendingRead] {
        defer { reads = [] }
        return Array(reads)
    }
}

// Owns: the writes that wait for a batch, oldest first, and which of them the store is in the middle of.
// Must never: refuse a write that was in the queue before, or let one out without handing it to the caller.
//
//   arrived ──▶ waiting ──── taken ────▶ executed and sent, or waiting for values
//                 │  ▲                          │
//                 │  └──────── put back ────────┘  undone, unfinished, or its values were read
//                 └── cancelled, overdue, or of a history that is lost
//
// Invariants (see `invariants()`): `byteCount` is the sum of the waiting writes'. A write that was put back is in front of all that came
// later, so the first one is the oldest.
internal import Bytes
internal import Calls
internal import DequeModule
internal import Keyspace

struct WriteQueue: ~Copyable {
    private var writes = Deque<PendingWrite>()
    /// About how much memory the waiting writes keep alive, in bytes.
    private(set) var byteCount = 0
    /// The write whose execution was last paused. It goes on only where it is still the first.
    private var unfinished: CallID?
    private let countLimit: Int
    private let byteLimit: Int
    private let timeoutMs: Int

    init(_ configuration: ReplicaConfiguration) {
        countLimit = configuration.waitingLimit
        byteLimit = configuration.waitingByteLimit
        timeoutMs = configuration.requestTimeoutMs
    }

    var count: Int { writes.count }
    var isEmpty: Bool { writes.isEmpty }

    /// Whether the first write is the one whose execution was paused, so that it can go on.
    var isFirstUnfinished: Bool { writes.first?.id == unfinished }

    /// Whether the first write has to be executed under the head's lock.
    var firstNeedsLock: Bool { !writes.isEmpty && writes[0].needsLock }

    /// When the first write will be overdue; nil where none waits.
    var deadline: Instant? { writes.isEmpty ? nil : writes[0].arrivedAt.advanced(byMs: timeoutMs) }

    // MARK: In

    /// A client or the replica itself wants something written. False where too much waits already.
    mutating func arrived(_ write: consuming PendingWrite) -> Bool {
        // One is always let in, however large.
        guard writes.count < countLimit, writes.isEmpty || byteCount + write.byteCount <= byteLimit else { return false }
        byteCount += write.byteCount
        writes.append(write)
        return true
    }

    /// A write that was taken comes back in front of the others; there is always room for it.
    mutating func putBack(_ write: PendingWrite) {
        byteCount += write.byteCount
        writes.prepend(write)
    }

    /// Execution of the first write took more than a turn. The store `isPaused` in the middle of it where `goesOn`; otherwise it begins
    /// anew.
    mutating func paused(_ write: PendingWrite, goesOn: Bool) {
        if goesOn { unfinished = write.id }
        putBack(write)
    }

    /// Batches are undone whose clients still wait for these: they come back in their order.
    mutating func undone(_ batches: some BidirectionalCollection<Batch>) {
        for batch in batches.reversed() {
            for write in batch.unanswered.reversed() { putBack(write) }
        }
    }

    // MARK: Out

    /// Takes the first write out, to be executed.
    mutating func takeFirst() -> PendingWrite? {
        guard let write = writes.popFirst() else { return nil }
        byteCount -= write.byteCount
        return write
    }

    /// Takes the first write out where it has waited for too long.
    mutating func takeOverdue(_ now: Instant) -> PendingWrite? {
        guard let deadline, deadline <= now else { return nil }
        return takeFirst()
    }

    /// Clients have given up.
    mutating func cancelled(_ gone: Set<CallID>) {
        guard !writes.isEmpty else { return }
        writes.removeAll { gone.contains($0.id) }
        byteCount = writes.reduce(0) { $0 + $1.byteCount }
    }

    /// The history is lost whose revisions made the replica write something itself.
    mutating func historyLost() {
        writes.removeAll { $0.id.isOwn }
        byteCount = writes.reduce(0) { $0 + $1.byteCount }
    }

    /// The log is about to be loaded anew: the store is in the middle of nothing.
    mutating func loadingBegan() { unfinished = nil }

    /// Traps where the queue breaks its rules.
    borrowing func invariants() {
        invariant(byteCount == writes.reduce(0) { $0 + $1.byteCount }, "\(byteCount) bytes are not those of the \(count) waiting writes")
    }
}

// Owns: requests that wait until it is known where the log ends, and the one read of the head that is in flight for them.
// Must never: let a request go on with a head that was read before it arrived; have two reads in flight.
//
//            sent                  head heard                reached
//   idle ───────────▶ in flight ───────────────▶ answered ───────────▶ idle
//    ▲                    │
//    └────── failed ──────┘
//
// Requests that arrive while a read is in flight wait for the next one: the answer may be older than they are. After a failed read all
// ask again. Whether the fold has reached the head that was heard, and what a request does then, is the host's business.
//
// Where the log is loaded anew while a read is in flight, its answer comes first and is too old: the log answers each read once, in
// order, so such answers are counted and discarded.
//
// Invariant (see `invariants()`): no request is being confirmed while no read is under way.
internal import Bytes
internal import Calls
internal import Keyspace

/// A request that can wait for the head.
protocol HeadWaiter {
    var id: CallID { get }
    var arrivedAt: Instant { get }
}

struct HeadReader<Waiting: HeadWaiter>: ~Copyable {
    private enum Read: Equatable {
        case idle
        /// Sent when the store was at this position.
        case inFlight(since: Position)
        /// The log ended here; the fold isn't there yet.
        case answered(Position)
    }

    /// How far the fold is, as seen from the head that was heard.
    enum Reach: Equatable {
        /// No head was heard, or all have gone on.
        case nothing
        case behind
        /// `takeConfirmed` is to follow.
        case reached
    }

    private var read = Read.idle
    /// When the last read was sent.
    private(set) var sentAt = Instant(nanoseconds: 0)
    /// Arrived since the last read was sent.
    private var waiting: [Waiting] = []
    /// Wait for the read in flight, or for the fold to get as far as it said.
    private var confirming: [Waiting] = []
    /// Reads from before the log was loaded anew whose answers are still to come.
    private var staleAnswerCount = 0

    /// Whether no read is in flight, nor its answer waiting for the fold.
    var isIdle: Bool { read == .idle }

    /// Requests that wait for the next read.
    var arrivedCount: Int { waiting.count }

    /// All requests that wait.
    var count: Int { waiting.count + confirming.count }

    mutating func arrived(_ waiting: consuming Waiting) { self.waiting.append(waiting) }

    // MARK: The read

    /// A turn is at its end. True where a read is to be sent now, for all that have arrived.
    mutating func readStarted(committed: Position, now: Instant) -> Bool {
        guard read == .idle, !waiting.isEmpty else { return false }
        swap(&waiting, &confirming)
        read = .inFlight(since: committed)
        sentAt = now
        return true
    }

    /// The log ended at `head`. Gives where the store was when that was asked; nil for an answer that no request waits for.
    mutating func headHeard(_ head: Head) -> Position? {
        guard !isStaleAnswer(), case .inFlight(let since) = read else { return nil }
        read = .answered(head.position)
        return since
    }

    /// All ask again, until they time out.
    mutating func failed() {
        guard !isStaleAnswer(), case .inFlight = read else { return }
        read = .idle
        confirming.append(contentsOf: waiting)
        swap(&waiting, &confirming)
        confirming.removeAll(keepingCapacity: true)
    }

    private mutating func isStaleAnswer() -> Bool {
        guard staleAnswerCount > 0 else { return false }
        staleAnswerCount -= 1
        return true
    }

    // MARK: The fold

    /// The store is committed up to here.
    mutating func folded(to committed: Position) -> Reach {
        guard case .answered(let position) = read else { return .nothing }
        guard committed >= position else { return .behind }
        read = .idle
        return .reached
    }

    /// The requests that may go on, in their order. Comes right after `folded` has said so; `recycle` follows.
    mutating func takeConfirmed() -> [Waiting] {
        var taken: [Waiting] = []
        swap(&taken, &confirming)
        return taken
    }

    /// Takes the storage of those that went on, so that the next round need not allocate.
    mutating func recycle(_ storage: consuming [Waiting]) {
        storage.removeAll(keepingCapacity: true)
        if confirming.isEmpty { confirming = storage }
    }

    // MARK: Ends

    /// These requests' calls are over.
    mutating func dropped(_ gone: Set<CallID>) {
        waiting.removeAll { gone.contains($0.id) }
        confirming.removeAll { gone.contains($0.id) }
    }

    /// Takes out the requests that have waited for `timeoutMs`, which come first.
    mutating func expired(timeoutMs: Int, now: Instant) -> [Waiting] {
        takeExpired(&waiting, timeoutMs: timeoutMs, now: now) + takeExpired(&confirming, timeoutMs: timeoutMs, now: now)
    }

    /// The log is loaded anew: all ask again, after `earlier` and before `later`, which had gone on already.
    mutating func loadingBegan(earlier: [Waiting], later: [Waiting]) {
        if case .inFlight = read { staleAnswerCount += 1 }
        read = .idle
        waiting.insert(contentsOf: earlier + confirming, at: 0)
        waiting.append(contentsOf: later)
        confirming = []
    }

    /// Traps where the reader breaks its rules.
    func invariants() {
        invariant(read != .idle || confirming.isEmpty, "\(confirming.count) requests wait for a head read that was not sent")
        invariant(staleAnswerCount >= 0, "\(staleAnswerCount) answers of before the load are to come")
    }
}

/// Takes out what has waited for `timeoutMs`: the oldest come first.
func takeExpired<Waiting: HeadWaiter>(
    _ waiting: inout some RangeReplaceableCollection<Waiting>, timeoutMs: Int, now: Instant
) -> [Waiting] {
    guard let oldest = waiting.first, oldest.arrivedAt.advanced(byMs: timeoutMs) <= now else { return [] }
    let expired = Array(waiting.prefix { $0.arrivedAt.advanced(byMs: timeoutMs) <= now })
    waiting.removeFirst(expired.count)
    return expired
}

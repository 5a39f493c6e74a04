// Owns: following the log: when its tail is read, what is known of it and not folded yet, and how far it is known to go.
// Must never: hand out rows that may be of another history, or that a gap comes before; have two tail reads in flight.
//
//            polled, hinted, or asked for         tail read                     pieces, one a turn
//   idle ───────────────────────────────▶ reading ─────────▶ rows that come next ─────────────────▶ folded
//     ▲                                                │                                               │
//     └────────────── nothing new ─────────────────────┴───────────────────────────────────────────────┘
//
// A tail may come of a lost race or of a recovery as well, while rows of an earlier one are still being folded: then it is read again once
// those are in.
//
// A process may stand still for so long that others have compacted past it, and rows that it never folded are deleted. Compaction leaves
// all rows of the compact revision and of the one before, so a tail can have a gap only where that one is above ours; where the digests
// agree it has none after all.
//
// Invariants (see `invariants()`): a tail is read after a position up to which the log is known; those of the parts.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct Follower: ~Copyable {
    /// What an answer to a tail read is worth.
    enum Answer: Equatable {
        /// It answers a read of before the log was loaded anew, or none.
        case stale
        /// Rows before these were forgotten meanwhile: read from where they begin.
        case readAgain
        /// Of a log that was known to go as far as `since` when it was asked.
        case tail(since: Position)
    }

    /// What a tail says of the log.
    enum Verdict: Equatable {
        /// It isn't the one that was folded.
        case otherHistory
        /// Rows between ours and the tail's end may be deleted.
        case gap
        /// Rows of an earlier tail are still being folded. This one is read again after them.
        case busy
        /// What is known to come next is handed out by `takePiece`: rows, or the news that there are none.
        case known(hasRows: Bool)
    }

    /// All known rows are folded.
    struct End {
        /// What the tail said that brought the last of them.
        var head: Head
        /// Whether the fold is at that head.
        var isAtHead: Bool
        /// Whether a tail came meanwhile that has to be read again.
        var asksAgain: Bool
    }

    private struct TailRead {
        /// How far the log went when it was sent, as far as we knew.
        var since: Position
        var after: Position
    }

    private var reading: TailRead?
    /// Reads from before the log was loaded anew whose answers are still to come: they come first.
    private var staleAnswerCount = 0
    /// When the log is polled next, as far as nothing else tells what a poll would.
    private(set) var nextPoll = Instant(nanoseconds: 0)
    private var pollIntervalMs: Int
    /// Somebody said that there are new rows, and no tail was read since.
    private var isHinted = false
    /// Rows that nobody sees yet: they may be of another history than ours.
    private var unverified = UnverifiedRows()
    private var folding: Folding?
    private var hasFoldedThisTurn = false
    /// The newest revision that a head has told of.
    private(set) var headRevision: Revision = 0
    private let configuration: ReplicaConfiguration

    init(_ configuration: ReplicaConfiguration) {
        self.configuration = configuration
        pollIntervalMs = configuration.pollIntervalMinMs
    }

    /// Whether a tail read is in flight.
    var isReading: Bool { reading != nil }

    /// Whether rows are handed out piece by piece.
    var isFolding: Bool { folding != nil }

    /// Whether the log is known to go on behind what was folded.
    var isBehind: Bool { folding != nil || !unverified.isEmpty }

    // MARK: Polling

    mutating func hinted() { isHinted = true }

    /// Whether it is time to look for new rows.
    func isPollDue(_ now: Instant) -> Bool { isHinted || now >= nextPoll }

    /// This process has appended: no poll tells more for a while.
    mutating func appended(_ now: Instant) { nextPoll = now.advanced(byMs: pollIntervalMs) }

    /// All that hints can have been about is folded: the head is locked, and the fold is there.
    mutating func hintsFolded() { isHinted = false }

    // MARK: Reading

    /// A tail is wanted. Gives the position to read after; nil where a read is in flight, or rows are still being folded.
    mutating func tailReadStarted(committed: Position, now: Instant) -> Position? {
        guard reading == nil, folding == nil else { return nil }
        let after = unverified.end ?? committed
        reading = TailRead(since: max(committed, unverified.reach ?? .start), after: after)
        isHinted = false
        nextPoll = now.advanced(byMs: pollIntervalMs)
        return after
    }

    mutating func tailRead(_ tail: Tail, committed: Position, now: Instant) -> Answer {
        guard let read = endRead() else { return .stale }
        let minimum = configuration.pollIntervalMinMs
        pollIntervalMs = tail.rows.isEmpty ? min(max(pollIntervalMs * 2, minimum), configuration.pollIntervalMaxMs) : minimum
        nextPoll = now.advanced(byMs: pollIntervalMs)
        // Rows before these were passed, and are read again since another answer came first: so are these.
        return read.after > unverified.end ?? committed ? .readAgain : .tail(since: read.since)
    }

    /// False for the answer to a read of before the log was loaded anew.
    mutating func tailReadFailed() -> Bool { endRead() != nil }

    private mutating func endRead() -> TailRead? {
        guard staleAnswerCount == 0 else {
            staleAnswerCount -= 1
            return nil
        }
        return reading.take()
    }

    // MARK: Folding

    /// A tail came, of whatever was asked.
    /// - Parameters:
    ///   - since: how far the log was known to go when the tail was asked for. One that ends before that has lost something.
    ///   - folded: how far the fold is.
    ///   - key: the store's key there.
    mutating func tailCame(_ tail: Tail, since: Position, onto folded: UnverifiedRows.Point, key: DigestKey?) -> Verdict {
        if tail.head.position < since { return .otherHistory }
        guard folding == nil else {
            folding?.asksAgain = true
            return .busy
        }
        if mayHaveGap(tail, after: folded, key) { return .gap }
        guard let known = unverified.take(tail, after: folded, key: key, byteLimit: configuration.unverifiedByteLimit),
            // Before anybody is told of rows of another history. Few are folded and looked at before they are committed.
            known.rows.count <= configuration.foldRowLimit || known.leads(from: folded, key)
        else { return .otherHistory }
        headHeard(tail.head)
        folding = Folding(known, from: tail)
        return .known(hasRows: !known.rows.isEmpty)
    }

    private func mayHaveGap(_ tail: Tail, after folded: UnverifiedRows.Point, _ key: DigestKey?) -> Bool {
        guard Sweep.firstKept(compactedTo: tail.head.compactRevision) > folded.position.revision else { return false }
        guard tail.reachesHead else { return true }
        return !unverified.lead(with: tail.rows, after: folded, key: key, to: tail.head)
    }

    /// Rows to fold now, none where the tail brought none; nil where nothing is to be folded in this turn. What comes of one tail begins
    /// at once; further pieces come one a turn.
    mutating func takePiece() -> Folding.Piece? {
        guard let isNew = folding?.isNew, isNew || !hasFoldedThisTurn else { return nil }
        hasFoldedThisTurn = true
        return folding?.takePiece(limit: configuration.foldRowLimit)
    }

    /// The last piece is committed.
    mutating func foldingEnded() -> End {
        guard let done = folding.take() else { violated("a fold ended that was not begun") }
        return End(head: done.head, isAtHead: done.reachesHead && unverified.isEmpty, asksAgain: done.asksAgain)
    }

    mutating func turnEnded() { hasFoldedThisTurn = false }

    /// A head was heard of, which is of our history.
    mutating func headHeard(_ head: Head) { headRevision = max(headRevision, head.position.revision) }

    // MARK: A log that is loaded anew

    mutating func loadingBegan() {
        if reading != nil { staleAnswerCount += 1 }
        reading = nil
        unverified = UnverifiedRows()
        folding = nil
    }

    /// The store is at the head, as it was loaded.
    mutating func servingBegan(at revision: Revision) { headRevision = revision }

    /// Traps where the follower breaks its rules.
    func invariants() {
        invariant(staleAnswerCount >= 0, "\(staleAnswerCount) answers of before the load are to come")
        if let reading {
            invariant(reading.after <= reading.since, "a tail is read after \(reading.after), and the log is known up to \(reading.since)")
        }
        folding?.invariants()
    }
}

// Owns: the batches that were sent and are not settled, oldest first: their numbers, their outcomes, how large the next may be.
// Must never: give a number out twice; settle a batch before the one ahead of it.
//
// A second batch may be sent while the first is being made durable. It is executed on what the first made of the store, and expects
// the digest that the first would leave, so it can't get into the log unless the first did:
//
//   first, second sent ─┬─ first appended ── committed up to its end; the second is the first now, and another may follow
//                       ├─ first conflicted ── both undone, executed again in their order
//                       └─ first lost ── both undone; the log has none, the first, or both: its rows tell (`rowFolded`, `settled`)
//
// Answers to batches that are no longer here come later, and mean nothing.
//
// Invariants (see `invariants()`): at most `batchLimit` are under way; either all are being appended, or all are lost; each follows the
// one before it; nothing is sent behind a batch that was made under the head's lock.
internal import Bytes
internal import Keyspace

struct BatchesUnderWay: ~Copyable {
    private var batches: [Batch] = []
    /// Whether nobody knows what became of them: the log is being asked.
    private(set) var areLost = false
    private var nextNumber: UInt64 = 1
    private var pace: BatchPace
    private let timeoutMs: Int

    init(_ configuration: ReplicaConfiguration) {
        pace = BatchPace(mostBytes: configuration.batchByteLimit, leastBytes: configuration.pacedByteLeast)
        timeoutMs = configuration.requestTimeoutMs
    }

    var isEmpty: Bool { batches.isEmpty }

    /// Whether batches are under way whose answers will come.
    var isAppending: Bool { !batches.isEmpty && !areLost }

    /// The writes in all batches.
    var writeCount: Int { batches.reduce(0) { $0 + $1.writes.count } }

    /// From so many bytes of keys and values on the next batch takes no further write.
    var byteLimit: Int { pace.byteLimit }

    /// How many writes the last batch has, where another may be sent behind it; nil where none may.
    var followedWriteCount: Int? {
        guard !areLost, batches.count < batchLimit, let last = batches.last, !last.isLocked else { return nil }
        return last.writes.count
    }

    /// When the first of the writes whose clients still wait will be overdue.
    var deadline: Instant? {
        var deadline: Instant?
        for batch in batches {
            guard let oldest = batch.unanswered.first?.arrivedAt.advanced(byMs: timeoutMs) else { continue }
            deadline = min(deadline ?? oldest, oldest)
        }
        return deadline
    }

    // MARK: Sending

    /// The number of the next append.
    mutating func takeNumber() -> UInt64 {
        defer { nextNumber += 1 }
        return nextNumber
    }

    /// Sends a batch, behind those that are under way.
    mutating func send(_ batch: Batch, _ actions: inout [Action]) {
        actions.append(.log(.append(batch.append)))
        batches.append(batch)
    }

    // MARK: Outcomes

    /// A batch is in the log. Nil where nobody waits to hear that.
    mutating func appended(_ number: UInt64, _ now: Instant) -> Batch? {
        guard isFirst(number) else { return nil }
        let done = batches.removeFirst()
        pace.appended(bytes: done.append.byteCount, since: done.startedAt, now: now)
        return done
    }

    /// Others have appended first. What was sent behind it conflicts, too, since it expects what this one would have made of the log. The
    /// batches that are undone; nil where nobody waits to hear that.
    mutating func conflicted(_ number: UInt64) -> [Batch]? {
        guard isFirst(number) else { return nil }
        return takeAll()
    }

    /// It is not known whether a batch is in the log. What was sent behind it is lost with it: whether that is in the log is not known
    /// either, and what its own answer says, if there will be one, comes of itself with what the log is asked now. False where nobody
    /// waits to hear that.
    mutating func appendLost(_ number: UInt64) -> Bool {
        guard isFirst(number) else { return false }
        areLost = true
        return true
    }

    private func isFirst(_ number: UInt64) -> Bool { isAppending && batches[0].append.number == number }

    /// A row was folded: it may be the last of a lost batch.
    mutating func rowFolded(at tip: Position, _ digest: Digest) {
        guard areLost else { return }
        for index in batches.indices where batches[index].append.newHead.position == tip {
            batches[index].found = batches[index].append.newHead.digest == digest
        }
    }

    /// The log is folded past the point where lost batches would be: they are there, or never will be. Those that are come first, since a
    /// batch can't be there without the one before it.
    mutating func settled() -> (found: ArraySlice<Batch>, undone: ArraySlice<Batch>) {
        let lost = takeAll()
        let foundCount = lost.prefix { $0.found }.count
        return (lost[..<foundCount], lost[foundCount...])
    }

    /// The log is about to be loaded anew: the outcome of what is under way can't be known.
    mutating func loadingBegan() -> [Batch] { takeAll() }

    private mutating func takeAll() -> [Batch] {
        defer {
            batches = []
            areLost = false
        }
        return batches
    }

    /// Takes a write whose client has waited for too long. Whether it happened is found out without its client.
    mutating func takeOverdue(_ now: Instant) -> PendingWrite? {
        for index in batches.indices {
            guard let oldest = batches[index].unanswered.first, oldest.arrivedAt.advanced(byMs: timeoutMs) <= now else { continue }
            batches[index].timedOutCount += 1
            return oldest
        }
        return nil
    }

    /// Traps where the batches break their rules.
    /// - Parameters:
    ///   - committed: where the log's known rows end.
    ///   - tip: where the store's last whole write ends.
    borrowing func invariants(committed: Position, tip: Position) {
        invariant(batches.count <= batchLimit, "\(batches.count) batches are under way")
        invariant(!areLost || !batches.isEmpty, "batches are lost, and there are none")
        for batch in batches {
            batch.invariants()
            invariant(batch.append.number < nextNumber, "batch \(batch.append.number) has a number that is not given out")
            invariant(areLost || !batch.found, "batch \(batch.append.number) was found and is not lost")
        }
        for (before, batch) in zip(batches, batches.dropFirst()) {
            invariant(!before.isLocked && !batch.isLocked, "batch \(batch.append.number) is beside one that was made under the lock")
            invariant(batch.append.follows(before.append), "batch \(batch.append.number) does not follow \(before.append.number)")
            invariant(batch.append.number > before.append.number, "batch \(batch.append.number) is sent behind a later one")
        }
        guard isAppending, let last = batches.last else { return }
        invariant(batches[0].append.rows.first.map { $0.position > committed } ?? false, "a batch under way is committed already")
        invariant(last.end.tip == tip, "the store's tip is \(tip), that of the last batch \(last.end.tip)")
    }
}

/// How many batches may be under way at once. With two, PostgreSQL always has the next one; more would only be smaller.
private let batchLimit = 2

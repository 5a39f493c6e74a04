// Owns: what compaction has made dead, on its way out of memory and of the log: how far that has come, and who waits for it.
// Must never: forget a dead row before the log has lost it, so that any process can go on where a steward stopped.
//
//            collected, as the steward               deleted
//   idle ─────────────────────────────▶ deleting ──────────────▶ idle
//                                           │  left: the duty is another's, who goes on
//                                           └─ refused: the log has lost deletions; it is loaded anew
//
// Who is not the steward only forgets what the log says is gone.
//
// Invariants: one deletion at most is under way; nobody waits for what is gone.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A client that waits until what its compaction made dead is gone.
struct PhysicalWaiter {
    var id: CallID
    var revision: Revision
    var message: ByteString
}

struct Sweeper {
    /// What memory has just forgotten.
    struct Collected {
        var dead: [Position]
        /// How far all that is dead was forgotten.
        var swept: Sweep
        /// Whether there may be more.
        var isCut: Bool
        var compactRevision: Revision
        /// About how many rows of compacted revisions are still to be looked at.
        var backlog: Int
    }

    /// How far the log has been swept, by this process as the steward or by another.
    private var swept = Sweep.nothing
    /// Within what all lies of which memory does not know that it is dead: forgotten, or deleted before memory was loaded.
    private var forgotten = Sweep.nothing
    /// What the log says of all deletions where it has just those of which memory does not know the rows; nil where memory has forgotten
    /// others.
    private var digest: Digest?
    private var nextNumber: UInt64 = 1
    private var inFlight: (number: UInt64, swept: Sweep)?
    /// Whether the next turn has something to forget that needs no event.
    private(set) var hasMoreWork = false
    /// Compactions with `physical`, whose answers wait for the rows to be gone.
    private var waiters: [PhysicalWaiter] = []
    /// The last compaction that was seen, and how many rows were to be looked at then.
    private var lastCompaction: (revision: Revision, backlog: Int)?
    /// Whether the rows of that one came on top of others, and there were more than the time before.
    private var isFallingBehind = false
    /// Rows deleted since the last time that none was left, and when that was last told.
    private var deletedCount = 0
    private var toldAt: Instant?

    /// Whether a client waits for dead rows to be gone.
    var isWaitedFor: Bool { !waiters.isEmpty }

    /// Within what memory may forget more now; nil while a deletion is under way.
    func reach(isSteward: Bool) -> Sweep? {
        guard inFlight == nil else { return nil }
        return isSteward ? .everything : swept
    }

    // MARK: The log

    /// Memory is that of a log of which so much had been deleted.
    mutating func loaded(_ state: SweepState) {
        swept = state.swept
        forgotten = state.reach
        digest = state.digest
    }

    /// The log is about to be loaded anew: those who wait can't be told.
    mutating func loadingBegan() -> [PhysicalWaiter] {
        let failed = waiters
        // A late answer to a deletion has a number that nobody waits for.
        let number = nextNumber
        self = Sweeper()
        nextNumber = number
        return failed
    }

    /// The steward, who is another, says how far it has come.
    mutating func heard(_ swept: Sweep) { self.swept = swept }

    // MARK: Forgetting and deleting

    /// Memory has forgotten dead versions, of which another steward deletes the rows.
    mutating func followed(_ collected: Collected, _ actions: inout [Action]) {
        forgotten.extend(to: swept)
        if !collected.dead.isEmpty { digest = nil }
        hasMoreWork = collected.isCut
        answer(&actions)
    }

    /// Memory has forgotten dead versions, whose rows this process deletes as the steward.
    mutating func collected(_ collected: Collected, holder: Int64, _ actions: inout [Action]) {
        let before = forgotten
        // In the middle of a compaction no sweep says how much of it is forgotten.
        forgotten.extend(to: collected.dead.isEmpty ? collected.swept : .whole(collected.compactRevision))
        // So far nothing was dead: there is nothing to delete, or to tell, before all was looked at.
        hasMoreWork = collected.dead.isEmpty && collected.isCut
        guard !hasMoreWork, !collected.dead.isEmpty || collected.swept != swept else { return }
        noteBacklog(collected)
        let deletion = Deletion(
            number: nextNumber, positions: collected.dead, compactRevision: collected.compactRevision, swept: collected.swept,
            digest: digest, after: before, holder: holder, isUrgent: isFallingBehind || isWaitedFor)
        nextNumber += 1
        inFlight = (deletion.number, collected.swept)
        actions.append(.log(.deleteRows(deletion)))
    }

    private mutating func noteBacklog(_ collected: Collected) {
        guard collected.compactRevision != lastCompaction?.revision else { return }
        if let last = lastCompaction {
            isFallingBehind = !swept.covers(last.revision) && collected.backlog > last.backlog
        }
        lastCompaction = (collected.compactRevision, collected.backlog)
    }

    /// The rows are gone. False where the deletion was sent before the log was loaded anew.
    mutating func deleted(
        _ number: UInt64, _ count: Int, _ digest: Digest, compactRevision: Revision, backlog: Int, now: Instant,
        _ actions: inout [Action]
    ) -> Bool {
        // One that was sent before the history changed says nothing about this one.
        guard let done = inFlight, done.number == number else { return false }
        inFlight = nil
        swept = done.swept
        self.digest = digest
        deletedCount += count
        tell(compactRevision: compactRevision, backlog: backlog, now: now, &actions)
        answer(&actions)
        return true
    }

    /// The log has lost what is not known here any more: it has to be loaded anew, and what is dead found again. False where the deletion
    /// is of an earlier memory.
    func refused(_ number: UInt64) -> Bool { inFlight?.number == number }

    /// What memory has forgotten is deleted by the steward that there is. False where the deletion is of an earlier memory.
    mutating func left(_ number: UInt64) -> Bool {
        guard inFlight?.number == number else { return false }
        inFlight = nil
        digest = nil
        return true
    }

    private mutating func tell(compactRevision: Revision, backlog: Int, now: Instant, _ actions: inout [Action]) {
        guard deletedCount > 0 else { return }
        if swept.covers(compactRevision) {
            // Most are small, and as many as there are compactions.
            if toldAt != nil || deletedCount >= toldRowLimit {
                actions.append(.note(.swept(deleted: deletedCount, compactRevision: swept.compactRevision)))
            }
            deletedCount = 0
            toldAt = nil
        } else if toldAt.map({ $0.advanced(byMs: tellingIntervalMs) <= now }) ?? (deletedCount >= toldRowLimit) {
            toldAt = now
            actions.append(.note(.sweeping(deleted: deletedCount, left: backlog)))
        }
    }

    // MARK: Who waits for it

    /// A compaction is in the log whose client wants to be answered once its dead rows are gone.
    mutating func waits(_ waiter: PhysicalWaiter, _ actions: inout [Action]) {
        waiters.append(waiter)
        answer(&actions)
    }

    private mutating func answer(_ actions: inout [Action]) {
        guard waiters.contains(where: { swept.covers($0.revision) }) else { return }
        for waiter in waiters where swept.covers(waiter.revision) { actions.append(.respond(waiter.id, waiter.message)) }
        waiters.removeAll { swept.covers($0.revision) }
    }

    /// Traps where the sweeper breaks its rules.
    func invariants() {
        invariant(inFlight.map { $0.number < nextNumber } ?? true, "a deletion is under way whose number is not given out")
        invariant(inFlight == nil || !hasMoreWork, "there is more to forget while a deletion is under way")
        invariant(deletedCount > 0 || toldAt == nil, "a sweep was told of that has deleted nothing")
    }
}

/// Rows from which on a sweep is worth a line in the log, and how often it is then told how far it is.
private let toldRowLimit = 100_000
private let tellingIntervalMs = 10_000

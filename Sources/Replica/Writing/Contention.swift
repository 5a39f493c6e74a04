// Owns: whether this process races others for the log's end, or queues up at the head's lock.
// Must never: ask for the lock for good: it is left once nobody else appends while it is waited for.
//
//            two races lost in a row, a long one, or one under the lock
//   racing ─────────────────────────────────────────────────────────────▶ contended
//      ▲                                                                      │ the lock was granted: others have appended
//      └─ the lock was granted, and nobody had appended; or it was given back ┴─ meanwhile, so it stays so
//
// Invariants (see `invariants()`): two lost races in a row make it contended; the extra time is bounded.
internal import Bytes

struct Contention {
    private var racesLostInARow = 0
    /// Whether others append all the time, so that the lock is asked for before a batch is made.
    private(set) var isContended = false
    /// How much longer than usually the lock is asked for, so that what is made under it comes before it is given back.
    private(set) var lockExtraMs = 0
    private let longRaceMs: Int

    init(_ configuration: ReplicaConfiguration) { longRaceMs = configuration.longRaceMs }

    /// Whether a batch may be sent behind one that is under way: not where it is in doubt whether that one gets into the log.
    var allowsPipelining: Bool { racesLostInARow == 0 && !isContended }

    /// A batch is in the log.
    mutating func raceWon() {
        racesLostInARow = 0
        lockExtraMs = 0
    }

    /// Another process has appended before a batch that was sent at `startedAt`.
    mutating func raceLost(startedAt: Instant, isLocked: Bool, _ now: Instant) {
        racesLostInARow += 1
        // On a slow link a large batch loses to whoever appends something small while it arrives: another race would cost its clients too
        // much of the time that they wait.
        let tookLong = now >= startedAt.advanced(byMs: longRaceMs)
        if racesLostInARow >= 2 || isLocked || tookLong { isContended = true }
        // It was made under the lock, and took so long that the lock was given back before it came.
        if isLocked { lockExtraMs = min(max(lockExtraMs * 2, firstLockExtraMs), lockExtraLimitMs) }
    }

    /// The head is locked. `othersAppended`: since the lock was asked for.
    mutating func lockGranted(othersAppended: Bool) {
        racesLostInARow = 0
        isContended = isContended && othersAppended
    }

    /// The lock was given back without a batch: the next one is sent without it.
    mutating func lockGivenBack() { isContended = false }

    /// The log is about to be loaded anew.
    mutating func loadingBegan() {
        racesLostInARow = 0
        isContended = false
        lockExtraMs = 0
    }

    /// Traps where the contention breaks its rules.
    func invariants() {
        invariant(racesLostInARow < 2 || isContended, "\(racesLostInARow) races were lost in a row, and another is to follow")
        invariant(lockExtraMs <= lockExtraLimitMs, "the lock is asked for \(lockExtraMs) ms more")
    }
}

/// How much longer the head's lock is asked for where a batch took longer to make than it was held, at first and at the most.
private let firstLockExtraMs = 1_000
private let lockExtraLimitMs = 32_000

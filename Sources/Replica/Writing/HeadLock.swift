// Owns: the head row's lock, for which a process queues up that would lose its races otherwise, or that expires leases.
// Must never: take the answer to a question of an earlier memory for that of this one.
//
//   free ──▶ asked ──▶ held ──▶ free: the append has it, or it is given back
//     ▲        │ refused
//     └────────┘
//
// Each question is answered once, in order: those from before the log was loaded anew (`staleCount`) first.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct HeadLock {
    /// What is known while nobody else can append.
    struct Hold: Equatable {
        /// The log ends here until the lock is given back.
        var head: Head
        /// Leases whose deadlines are out.
        var expired: [LeaseID]
    }

    private enum State: Equatable {
        case free
        /// Asked for when the log was known to go so far.
        case asked(since: Position)
        /// What others have appended meanwhile is being folded.
        case held(Hold)
    }

    private var state = State.free
    /// Locks that were asked for before the log was loaded anew, and are not answered yet. The log gives them back by itself.
    private var staleCount = 0

    var isFree: Bool { if case .free = state { true } else { false } }
    var hold: Hold? { if case .held(let hold) = state { hold } else { nil } }

    /// Asks for the lock. `granted` or `refused` follows.
    mutating func ask(since committed: Position, expiring: LeaseExpiry?, extraMs: Int, _ actions: inout [Action]) {
        invariant(isFree, "the head's lock is asked for twice")
        state = .asked(since: committed)
        actions.append(.log(.lockHead(expiring: expiring, extraMs: extraMs)))
    }

    /// The head is locked. How far the log was known to go when that was asked for; nil where nobody waits for the lock any more.
    mutating func granted(_ hold: Hold) -> Position? {
        guard !isStale(), case .asked(let since) = state else { return nil }
        state = .held(hold)
        return since
    }

    /// The log could not be asked for the lock. False where nobody waits for it any more.
    mutating func refused() -> Bool {
        guard !isStale(), case .asked = state else { return false }
        state = .free
        return true
    }

    private mutating func isStale() -> Bool {
        guard staleCount > 0 else { return false }
        staleCount -= 1
        return true
    }

    /// The lock is the append's that was just sent.
    mutating func handedOver() { state = .free }

    /// Gives the lock back. Deadlines that were taken out stay out only if told.
    mutating func giveBack(keepingRemovals: Bool, _ actions: inout [Action]) {
        state = .free
        actions.append(.log(.unlockHead(keepingRemovals: keepingRemovals)))
    }

    /// The log is about to be loaded anew: the lock is given back, now or once it is granted.
    mutating func loadingBegan(_ actions: inout [Action]) {
        switch state {
        case .free: break
        case .asked: staleCount += 1
        case .held: actions.append(.log(.unlockHead()))
        }
        state = .free
    }
}

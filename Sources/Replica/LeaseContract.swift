// Owns: what the replica asks of the leases' deadlines, of their expiry and of the steward's duty, and what it hears back.
// Time is PostgreSQL's: nothing here carries a point in time, only what is left of one.
package import EtcdAPI
package import Keyspace

/// What a client asks about leases, beyond granting and revoking, which are writes.
package enum LeaseRequest: Sendable, Hashable {
    /// One message of a LeaseKeepAlive stream. Answered by `send`.
    case keepAlive(LeaseID)
    /// The client of a LeaseKeepAlive stream says no more. Answered by `finish`, after what came before.
    case keepAliveEnd
    case timeToLive(LeaseID, keys: Bool)
    case list
}

/// A lease and how long it is to live from the moment in which the log learns it.
package struct LeaseTerm: Hashable, Sendable {
    package var lease: LeaseID
    package var milliseconds: Int64

    package init(lease: LeaseID, milliseconds: Int64) {
        self.lease = lease
        self.milliseconds = milliseconds
    }
}

/// One transaction on the deadlines, and then the head: who folds up to there knows which of the leases still live.
/// All arrays are in the order of the ids, without repetition; nothing is both removed and set.
package struct LeaseRound: Hashable, Sendable {
    package var remove: [LeaseID] = []
    /// Deadlines to start anew, whether they are there or not.
    package var set: [LeaseTerm] = []
    /// One that was later stays so, up to so much: another process may just have set it, with more slack, and promised it. More than
    /// that can only come from another clock, or from a lease of the same id that is gone.
    package var graceMs: Int64 = 0
    /// Deadlines to set only where they are missing, or later than this.
    package var ensure: [LeaseTerm] = []
    /// Deadlines to tell, as they are after all that.
    package var read: [LeaseID] = []

    package init() {}

    package var isEmpty: Bool { remove.isEmpty && set.isEmpty && ensure.isEmpty && read.isEmpty }
}

/// Each is answered by one `LeaseEvent` of the same number.
package enum LeaseCommand: Hashable, Sendable {
    /// Answered by `roundDone`.
    case round(LeaseRound)
    /// Become or stay the steward, if nobody else is. Answered by `dutyAsked`.
    case keepDuty(holder: Int64, termMs: Int)
    /// Not answered.
    case releaseDuty(holder: Int64)
    /// Which leases' time is over, the earliest first, as long as the duty is the holder's. Answered by `dueFound`.
    case findDue(holder: Int64, limit: Int)
}

/// Leases to expire in the transaction that locks the head.
package struct LeaseExpiry: Hashable, Sendable {
    package var leases: [LeaseID]
    /// Nothing expires unless the duty is still this process's.
    package var holder: Int64
    /// How many rows the append will have at the most: the more there are, the longer it takes to execute them under the lock.
    package var rowCount: Int
    /// Of these rows' keys.
    package var byteCount: Int

    package init(leases: [LeaseID], holder: Int64, rowCount: Int = 0, byteCount: Int = 0) {
        self.byteCount = byteCount
        self.leases = leases
        self.holder = holder
        self.rowCount = rowCount
    }
}

package enum DutyAnswer: Hashable, Sendable {
    /// `taken`: it was another's, nobody's, or had lapsed. `sessions` changes whenever a connection on which leases are kept alive or
    /// expire is to another server than before, which may lack what was set last, or one on which they are kept alive had been out of
    /// reach. A connection that is lost alone and made anew to the same server changes nothing.
    case held(taken: Bool, sessions: UInt64)
    /// Another process has it, for so long, and has come so far with deleting what is dead.
    case heldByAnother(forMs: Int, swept: Sweep)
}

package enum LeaseAnswer: Hashable, Sendable {
    /// What is left of each deadline that was asked for and is there, in milliseconds; and the head.
    case roundDone(remainingMs: [LeaseID: Int64], head: Head)
    case dutyAsked(DutyAnswer)
    /// The leases that are due, at most as many as asked for; where those are all, how long it is until the next. `sessions` as
    /// with the duty.
    case dueFound([LeaseID], nextMs: Int64?, sessions: UInt64)
    /// The log could not be asked; nothing was done, or it is not known.
    case failed(reason: String)
}

// Owns: what the replica keeps about leases beside the store: who asks, the round under way, the steward's chores.
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

package struct LeaseLimits: Sendable {
    /// Questions about leases that wait, before "too many requests".
    package var questionLimit = 200_000
    /// Deadlines that one round sets, and questions that it answers.
    package var roundLimit = 4_000
    /// Rounds that nobody waits for a moment for: so many at once, and then one each interval.
    package var roundBurst = 10
    package var roundIntervalMs = 100
    /// The interval after a round with very many questions: the more there are to collect, the fewer statements.
    package var roundIntervalMaxMs = 250
    /// How long a process holds the steward's duty without renewing it, and how often it does renew.
    package var dutyTermMs = 6_000
    package var dutyIntervalMs = 2_000
    /// How often it asks how far the steward has come with deleting while a client waits for that.
    package var sweptIntervalMs = 100
    /// When the log was out of reach for this long, clients may have been unable to keep their leases alive; not where it always takes so
    /// long: then the deadlines' slack allows for it.
    package var outageMs = 1_000
    /// A deadline lies this far behind what the client is told, so that it is right even if the answer takes so long. More where
    /// answers are slow.
    package var slackMinMs = 200
    package var slackMaxMs = 5_000
    /// Leases, and rows, that one append expires at most; one lease may have more rows.
    package var expiryLeaseLimit = 500
    package var expiryRowLimit = 1_000
    /// The steward looks for leases that are due no more often than this, and at least this often while there are any.
    package var dueIntervalMinMs = 50
    package var dueIntervalMaxMs = 5_000
    /// How often the steward makes sure that every lease has a deadline.
    package var sweepIntervalMs = 30_000
    /// After a failure.
    package var retryMs = 200

    package init() {}
}

/// Somebody who waits for a round.
struct LeaseQuestion {
    var id: CallID
    var request: LeaseRequest
    var arrivedAt: Instant

    /// Keep-alives are collected; whoever asks for an answer that is read only gets it at once.
    var isUrgent: Bool {
        switch request {
        case .keepAlive, .keepAliveEnd: false
        case .timeToLive, .list: true
        }
    }
}

/// A round that was sent, and the questions that it answers.
struct RoundUnderWay {
    var number: UInt64
    var questions: [LeaseQuestion]
    /// Whose deadlines are set.
    var set: Set<LeaseID>
    /// Whose deadlines are removed.
    var removed: [LeaseID]
    var sentAt: Instant
    /// What had been folded when it was sent.
    var since: Position
    /// Whether it is part of giving all leases their full time.
    var extends: Bool
    /// What the log said, and when.
    var answer: (remainingMs: [LeaseID: Int64], head: Head, at: Instant)?
}

/// The steward's duty, as far as this process knows.
struct Stewardship {
    enum Stage: Equatable {
        /// Somebody else is the steward, or nobody.
        case none
        /// All leases get their full time; a round from this number on tells which they are.
        case learning(from: UInt64)
        /// These are still to get theirs.
        case extending(ArraySlice<LeaseID>)
        case holding
    }

    var stage = Stage.none
    var hasLeft = false
    var asked: (number: UInt64, at: Instant)?
    var nextAsk = Instant(nanoseconds: 0)
    /// When the log last said that the duty is ours.
    var confirmedAt = Instant(nanoseconds: 0)
    var sessions: UInt64 = 0

    // Expiry
    var dueAsked: (number: UInt64, at: Instant)?
    var nextDue = Instant(nanoseconds: 0)
    /// Due, the earliest first.
    var expiring: [LeaseID] = []
    /// Of those: sent with the lock.
    var lockedAt: Instant?
    var nextExpiry = Instant(nanoseconds: 0)
    /// The store is in the middle of its revoke, under the head's lock.
    var pausedRevoke: LeaseID?
    /// Being revoked by the batch under way: their deadlines are gone with it.
    var revoking: Set<LeaseID> = []

    // Sweep
    /// Leases whose deadlines are still to be made sure of.
    var unswept: ArraySlice<LeaseID> = []
    var nextSweep = Instant(nanoseconds: 0)
}

struct Leases {
    var waiting = Deque<LeaseQuestion>()
    var urgent = 0
    var round: RoundUnderWay?
    var nextNumber: UInt64 = 1
    /// Granted or revoked by this process: their deadlines are to be set or removed.
    var touched: Set<LeaseID> = []
    var slackMs = 0
    var roundsLeft = 0
    var nextRefill = Instant(nanoseconds: 0)
    var retryAt = Instant(nanoseconds: 0)
    var steward = Stewardship()

    mutating func takeNumber() -> UInt64 {
        defer { nextNumber += 1 }
        return nextNumber
    }

    /// Takes a bounded part of the touched leases out, in order.
    mutating func takeTouched(limit: Int) -> ArraySlice<LeaseID> {
        guard !touched.isEmpty else { return [] }
        let part = touched.sorted().prefix(limit)
        touched.subtract(part)
        return part
    }

    /// Forgets the questions of calls that are over.
    mutating func drop(_ gone: Set<CallID>) {
        waiting.removeAll { gone.contains($0.id) }
        urgent = waiting.count(where: \.isUrgent)
        round?.questions.removeAll { gone.contains($0.id) }
    }

    /// Puts the round's questions back in front of the others.
    mutating func putBack(_ questions: [LeaseQuestion]) {
        waiting.prepend(contentsOf: questions)
        urgent += questions.count(where: \.isUrgent)
    }
}

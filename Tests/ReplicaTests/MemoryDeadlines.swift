// Owns: the leases' deadlines and the steward's duty as PostgreSQL keeps them, with a clock that tests turn.
import Keyspace
import Replica

struct MemoryDeadlines {
    /// The log's clock.
    var nowMs: Int64 = 1_000_000
    private(set) var deadlines: [LeaseID: Int64] = [:]
    private(set) var duty: (holder: Int64, endsAt: Int64)?
    /// Taken out under the head's lock, not committed.
    private var removed: [LeaseID: Int64] = [:]
    /// While true, nothing is answered but that the log is away.
    var isAway = false
    /// What the log says of its connections.
    var sessions: UInt64 = 1
    private(set) var rounds: [LeaseRound] = []

    mutating func forget(_ lease: LeaseID) { deadlines[lease] = nil }

    func isSteward(_ holder: Int64) -> Bool { duty.map { $0.holder == holder && $0.endsAt > nowMs } ?? false }

    mutating func expire(_ expiry: LeaseExpiry) -> [LeaseID] {
        removed = [:]
        guard isSteward(expiry.holder) else { return [] }
        for lease in expiry.leases {
            if let deadline = deadlines[lease], deadline < nowMs { removed[lease] = deadlines.removeValue(forKey: lease) }
        }
        return removed.keys.sorted()
    }

    mutating func endLock(keepingRemovals: Bool) {
        if !keepingRemovals { deadlines.merge(removed) { old, _ in old } }
        removed = [:]
    }

    /// The answer to `command`; nil for one that has none.
    mutating func answer(_ command: LeaseCommand, _ head: Head, swept: Sweep = .nothing) -> LeaseAnswer? {
        if isAway { return .failed(reason: "away") }
        switch command {
        case .round(let round):
            rounds.append(round)
            for lease in round.remove { deadlines[lease] = nil }
            for term in round.set {
                let deadline = nowMs + term.milliseconds
                deadlines[term.lease] = max(deadline, min(deadlines[term.lease] ?? 0, deadline + round.graceMs))
            }
            for term in round.ensure { deadlines[term.lease] = min(deadlines[term.lease] ?? .max, nowMs + term.milliseconds) }
            var left: [LeaseID: Int64] = [:]
            for lease in round.read { left[lease] = deadlines[lease].map { $0 - nowMs } }
            return .roundDone(remainingMs: left, head: head)
        case .keepDuty(let holder, let termMs):
            if isSteward(holder) {
                duty = (holder, nowMs + Int64(termMs))
                return .dutyAsked(.held(taken: false, sessions: sessions))
            }
            if let duty, duty.endsAt > nowMs { return .dutyAsked(.heldByAnother(forMs: Int(duty.endsAt - nowMs), swept: swept)) }
            duty = (holder, nowMs + Int64(termMs))
            return .dutyAsked(.held(taken: true, sessions: sessions))
        case .releaseDuty(let holder):
            if duty?.holder == holder { duty = nil }
            return nil
        case .findDue(let holder, let limit):
            guard isSteward(holder) else { return .dueFound([], nextMs: nil, sessions: sessions) }
            let first = deadlines.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.prefix(limit)
            let due = first.prefix { $0.value < nowMs }
            return .dueFound(due.map(\.key), nextMs: first.dropFirst(due.count).first.map { $0.value - nowMs }, sessions: sessions)
        }
    }
}

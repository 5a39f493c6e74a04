// Owns: the leases' deadlines and the steward's duty, as the log's tables hold them.
// Must never: know what time it is: each statement is told, in milliseconds of the log's clock.
package import EtcdAPI
internal import Keyspace
internal import Replica

package struct LeaseTables {
    package private(set) var deadlines: [LeaseID: Int64] = [:]
    package private(set) var duty: (holder: Int64, endsAt: Int64)?

    // MARK: Deadlines

    /// What is left of the deadlines that are to be told. `nowMs`: when the transaction began, whatever it waited for.
    mutating func run(_ round: LeaseRound, at nowMs: Int64) -> [LeaseID: Int64] {
        for lease in round.remove { deadlines[lease] = nil }
        for term in round.set {
            let deadline = nowMs + term.milliseconds
            deadlines[term.lease] = max(deadline, min(deadlines[term.lease] ?? 0, deadline + round.graceMs))
        }
        for term in round.ensure { deadlines[term.lease] = min(deadlines[term.lease] ?? .max, nowMs + term.milliseconds) }
        var remainingMs: [LeaseID: Int64] = [:]
        for lease in round.read { remainingMs[lease] = deadlines[lease].map { $0 - nowMs } }
        return remainingMs
    }

    /// Takes the deadlines out that have passed, unless the duty is not the holder's.
    mutating func expire(_ expiry: LeaseExpiry, at nowMs: Int64) -> [LeaseID: Int64] {
        guard isSteward(expiry.holder, at: nowMs) else { return [:] }
        var removed: [LeaseID: Int64] = [:]
        for lease in expiry.leases {
            if let deadline = deadlines[lease], deadline < nowMs { removed[lease] = deadlines.removeValue(forKey: lease) }
        }
        return removed
    }

    /// The transaction that has taken them out is undone. What was set since waited for that in PostgreSQL, and comes to the same.
    mutating func putBack(_ removed: [LeaseID: Int64]) { deadlines.merge(removed) { new, _ in new } }

    /// The leases whose time is over, the earliest first; where those are all, how long it is until the next.
    func findDue(holder: Int64, limit: Int, at nowMs: Int64) -> (due: [LeaseID], nextMs: Int64?) {
        guard isSteward(holder, at: nowMs) else { return ([], nil) }
        let first = deadlines.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.prefix(limit)
        let due = first.prefix { $0.value < nowMs }
        return (due.map(\.key), first.dropFirst(due.count).first.map { $0.value - nowMs })
    }

    /// Nobody has said anything of this lease, or an older server took over.
    package mutating func forget(_ lease: LeaseID) { deadlines[lease] = nil }

    /// Every lease's time is over.
    package mutating func endAll(before nowMs: Int64) { for lease in deadlines.keys { deadlines[lease] = nowMs - 1 } }

    // MARK: The duty

    func isSteward(_ holder: Int64, at nowMs: Int64) -> Bool { duty.map { $0.holder == holder && $0.endsAt > nowMs } ?? false }

    func isDutyOfAnother(than holder: Int64, at nowMs: Int64) -> Bool {
        duty.map { $0.holder != holder && $0.endsAt > nowMs } ?? false
    }

    /// Gives how long another has the duty still; nil where it is the holder's now. Nobody has it for longer than a term: an end that is
    /// further off is of another clock.
    mutating func takeDuty(holder: Int64, termMs: Int, at nowMs: Int64) -> Int? {
        if let duty, duty.endsAt > nowMs, duty.endsAt <= nowMs + Int64(termMs) + dutyToleranceMs { return Int(duty.endsAt - nowMs) }
        duty = (holder, nowMs + Int64(termMs))
        return nil
    }

    mutating func renewDuty(holder: Int64, termMs: Int, at nowMs: Int64) -> Bool {
        guard isSteward(holder, at: nowMs) else { return false }
        duty = (holder, nowMs + Int64(termMs))
        return true
    }

    mutating func releaseDuty(holder: Int64) { if duty?.holder == holder { duty = nil } }
}

/// So much later than one term the duty may end. See LeaseStatements in Changelog.
private let dutyToleranceMs: Int64 = 1_000

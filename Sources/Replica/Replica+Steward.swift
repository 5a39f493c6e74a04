// Owns: the steward's chores as far as leases go: taking the duty, giving everybody their time after an outage, expiry.
//
//            duty taken, or log was away           head learnt              all set
//   none ──────────────────────────────▶ learning ────────────▶ extending ─────────▶ holding
//     ▲                                     ▲                                          │  ▲ finds what is due and
//     └───────── held by another ───────────┴──────────── log was away ────────────────┘──┘ expires it
//
// Must never: expire a lease on its own word. The log takes a deadline out only if the duty is ours and the time is over by
// its own clock, in the transaction that appends the revoke.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

extension Replica {
    private var limits: LeaseLimits { configuration.leaseLimits }

    var stewardDeadline: Instant {
        let steward = leases.steward
        guard !steward.hasLeft else { return .distantFuture }
        var deadline = steward.asked == nil ? steward.nextAsk : .distantFuture
        guard steward.stage == .holding else { return deadline }
        if !steward.expiring.isEmpty {
            deadline = min(deadline, canStartBatch ? steward.nextExpiry : .distantFuture)
        } else if steward.dueAsked == nil {
            deadline = min(deadline, steward.nextDue)
        }
        return min(deadline, steward.nextSweep)
    }

    mutating func tendDuty() {
        guard !leases.steward.hasLeft else { return }
        if leases.steward.asked == nil, now >= leases.steward.nextAsk {
            let number = leases.takeNumber()
            leases.steward.asked = (number, now)
            actions.append(
                .log(.lease(number: number, .keepDuty(holder: configuration.origin, termMs: limits.dutyTermMs))))
        }
        guard leases.steward.stage == .holding else { return }
        if leases.steward.dueAsked == nil, leases.steward.expiring.isEmpty, now >= leases.steward.nextDue {
            let number = leases.takeNumber()
            leases.steward.dueAsked = (number, now)
            actions.append(
                .log(.lease(number: number, .findDue(holder: configuration.origin, limit: limits.expiryLeaseLimit))))
        }
        if now >= leases.steward.nextSweep {
            leases.steward.nextSweep = now.advanced(byMs: limits.sweepIntervalMs)
            if leases.steward.unswept.isEmpty { leases.steward.unswept = store.leases.ids[...] }
        }
    }

    // MARK: The duty

    /// Whether the chores are this process's.
    var isSteward: Bool { leases.steward.stage != .none }

    mutating func heardOfDuty(_ number: UInt64, _ answer: LeaseAnswer) {
        if let asked = leases.steward.asked, asked.number == number {
            leases.steward.asked = nil
            switch answer {
            case .dutyAsked(.held(let taken, let sessions)): heldDuty(askedAt: asked.at, taken: taken, sessions: sessions)
            case .dutyAsked(.heldByAnother(let forMs, let swept)):
                giveUpDuty()
                sweeper.heard(swept)
                let longestMs = sweeper.isWaitedFor ? limits.sweptIntervalMs : limits.dutyIntervalMs
                leases.steward.nextAsk = now.advanced(byMs: min(max(forMs, limits.dueIntervalMinMs), longestMs))
            case .failed, .roundDone, .dueFound: leases.steward.nextAsk = now.advanced(byMs: limits.retryMs)
            }
        } else if let asked = leases.steward.dueAsked, asked.number == number {
            leases.steward.dueAsked = nil
            if case .dueFound(let due, let nextMs, let sessions) = answer {
                foundDue(due, nextMs: nextMs, askedAt: asked.at, sessions: sessions)
            } else {
                leases.steward.nextDue = now.advanced(byMs: limits.retryMs)
            }
        }
    }

    private mutating func heldDuty(askedAt: Instant, taken: Bool, sessions: UInt64) {
        guard !leases.steward.hasLeft else { return }
        let lastConfirmed = leases.steward.confirmedAt
        let wasAway =
            taken || sessions != leases.steward.sessions || leases.steward.stage == .none
            || isOutage(from: lastConfirmed.advanced(byMs: limits.dutyIntervalMs), to: now)
        leases.steward.sessions = sessions
        leases.steward.confirmedAt = now
        leases.steward.nextAsk = askedAt.advanced(byMs: limits.dutyIntervalMs)
        if wasAway { startExtending() }
    }

    /// Whether the log took so long that leases may be over by now which somebody wanted to keep alive: longer than their deadlines' slack
    /// allows for. Where each answer takes a second, extending all leases after each would let none of them end.
    func isOutage(from start: Instant, to end: Instant) -> Bool {
        end > start.advanced(byMs: max(limits.outageMs, leases.slackMs))
    }

    /// Nothing expires because it could not be kept alive: every lease gets its full time again, before anything is found due.
    mutating func startExtending() {
        leases.steward.stage = .learning(from: leases.nextNumber)
        leases.steward.expiring = []
        leases.steward.unswept = []
        counters.leaseExtensions += 1
        counters.isSteward = true
    }

    mutating func giveUpDuty() {
        leases.steward.stage = .none
        leases.steward.expiring = []
        leases.steward.unswept = []
        counters.isSteward = false
    }

    /// The process ends: somebody else may be the steward at once.
    mutating func leaveDuty() {
        giveUpDuty()
        leases.steward.hasLeft = true
        actions.append(.log(.lease(number: leases.takeNumber(), .releaseDuty(holder: configuration.origin))))
    }

    mutating func restartDuty() {
        let hasLeft = leases.steward.hasLeft
        leases.steward = Stewardship()
        leases.steward.hasLeft = hasLeft
        counters.isSteward = false
    }

    /// What a finished round means for the steward; the store is at its head.
    mutating func roundWasStewards(_ round: RoundUnderWay, wasOutage: Bool) {
        switch leases.steward.stage {
        case .none: break
        case .learning(let from):
            guard round.number >= from else { return }
            leases.steward.stage = .extending(store.leases.ids[...])
            endExtending()
        case .extending:
            endExtending()
        case .holding:
            if wasOutage { startExtending() }
        }
    }

    private mutating func endExtending() {
        guard case .extending(let rest) = leases.steward.stage, rest.isEmpty else { return }
        leases.steward.stage = .holding
        leases.steward.nextDue = now
        leases.steward.nextSweep = now.advanced(byMs: limits.sweepIntervalMs)
        actions.append(.note(.becameSteward(leases: store.leases.count)))
    }

    // MARK: Expiry

    /// A lease is there whose time may be shorter than that of those known.
    mutating func granted(ttl: Int64, isOwn: Bool) {
        guard leases.steward.stage == .holding else { return }
        // Another process's row may have been in the log for as long as we don't look.
        let earlyMs = isOwn ? 0 : configuration.pollIntervalMaxMs
        let due = now.advanced(byMs: max(Int(clamping: min(ttl, 1_000_000)) * 1_000 - earlyMs, 0))
        leases.steward.nextDue = min(leases.steward.nextDue, due)
    }

    private mutating func foundDue(_ due: [LeaseID], nextMs: Int64?, askedAt: Instant, sessions: UInt64) {
        guard leases.steward.stage == .holding else { return }
        let durationMs = Int((now.nanoseconds - askedAt.nanoseconds) / 1_000_000)
        // Another connection may be to another server, with another clock, which may lack deadlines that were set last.
        if mayBeElsewhere(sessions) { return }
        if isOutage(from: askedAt, to: now) { return startExtending() }
        leases.steward.expiring = due
        // Looking takes a pass over all deadlines: at most a tenth of the time.
        let shortestMs = max(limits.dueIntervalMinMs, durationMs * 10)
        // Without leases there may still be deadlines left over, which can wait.
        let longestMs = max(store.leases.count == 0 ? limits.sweepIntervalMs : limits.dueIntervalMaxMs, shortestMs)
        let nextMs = due.isEmpty ? Int(clamping: min(nextMs ?? .max, Int64(longestMs))) + 1 : 0
        leases.steward.nextDue = now.advanced(byMs: min(max(nextMs, shortestMs), longestMs))
    }

    /// Whether it is time for a lock under which leases expire.
    var isExpiryDue: Bool {
        leases.steward.stage == .holding && !leases.steward.expiring.isEmpty && now >= leases.steward.nextExpiry
    }

    /// The leases to expire with the next lock, if it is time for any.
    mutating func takeExpiring() -> LeaseExpiry? {
        guard isExpiryDue else { return nil }
        // Nothing is done to a store that is said to be corrupt.
        guard !store.alarms.contains(.corrupt) else {
            leases.steward.nextExpiry = now.advanced(byMs: limits.retryMs)
            return nil
        }
        var rows = 0
        var taken = 0
        for lease in leases.steward.expiring {
            rows += 1 + (store.leases[lease]?.keys.count ?? 0)
            if taken > 0, rows > limits.expiryRowLimit { break }
            taken += 1
        }
        let part = Array(leases.steward.expiring.prefix(taken))
        leases.steward.expiring.removeFirst(taken)
        leases.steward.lockedAt = now
        var bytes = 0
        for lease in part {
            for key in store.leases[lease]?.keys ?? ChunkedSet() { bytes += key.count }
        }
        return LeaseExpiry(leases: part, holder: configuration.origin, rowCount: rows, byteCount: bytes)
    }

    /// Whether the store is in the middle of the revoke of a lease that has expired.
    var isRevoking: Bool { leases.steward.pausedRevoke != nil }

    /// Executes the revokes of leases whose deadlines have been taken out under the lock. Gives those that were there; nil where `visits`
    /// ran out: then it is to be called again. That is done to a lease that is alone only, for it may have any number of keys.
    mutating func revoke(_ expired: [LeaseID], _ rows: inout [LogRow], visits: inout Int) -> [LeaseID]? {
        var revoked: [LeaseID] = []
        for lease in expired where store.leases.contains(lease) {
            do throws(ExecutionError) {
                var left = expired.count == 1 ? visits : Int.max
                defer { if expired.count == 1 { visits = left } }
                leases.steward.pausedRevoke = nil
                let answer = try store.execute(
                    .leaseRevoke(id: lease), header: header, origin: configuration.origin, rows: &rows, visits: &left)
                guard answer != nil else {
                    leases.steward.pausedRevoke = lease
                    return nil
                }
                revoked.append(lease)
            } catch {
                if error == .refused(.corrupt) {
                    // The alarm was raised since the lock was asked for, and the deadline is out: it gets a new one.
                    leases.touched.insert(lease)
                    continue
                }
                violated("lease \(lease), which is there, can't be revoked: \(error)")
            }
        }
        leases.steward.revoking = Set(revoked)
        return revoked
    }

    /// Whether deadlines that were taken out may be those of another server, which lacks keep-alives. Then all leases get their time on
    /// the connections that there are now, before any expires.
    mutating func mayBeElsewhere(_ sessions: UInt64) -> Bool {
        guard sessions != leases.steward.sessions else { return false }
        leases.steward.sessions = sessions
        startExtending()
        return true
    }

    /// The head is locked: what has not expired after all was kept alive.
    mutating func expiryLocked() {
        guard let lockedAt = leases.steward.lockedAt else { return }
        leases.steward.lockedAt = nil
        // Half of the time is the writers'.
        let tookMs = Int((now.nanoseconds - lockedAt.nanoseconds) / 1_000_000)
        leases.steward.nextExpiry = now.advanced(byMs: max(tookMs * 2, expiryPauseMs))
    }

    mutating func expiryFailed() {
        leases.steward.lockedAt = nil
        leases.steward.pausedRevoke = nil
        leases.steward.expiring = []
        leases.steward.nextDue = now.advanced(byMs: limits.retryMs)
    }

    /// Their revokes are not in the log. Their deadlines may be out nevertheless: those get new ones. One that is still there is over, and
    /// stays so: a revoke that fails again and again must not give its lease all of its time again.
    mutating func expiryUndone(_ expired: [LeaseID]) {
        guard !expired.isEmpty else { return }
        leases.steward.revoking = []
        if leases.steward.stage == .holding {
            leases.steward.unswept = expired + leases.steward.unswept
        } else {
            leases.touched.formUnion(expired)
        }
    }

    mutating func leasesExpired(_ expired: [LeaseID]) {
        counters.leasesExpired += UInt64(expired.count)
        leases.steward.revoking = []
    }
}

/// Between two appends that expire leases.
private let expiryPauseMs = 20

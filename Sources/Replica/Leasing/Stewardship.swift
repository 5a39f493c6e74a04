// Owns: the steward's chores as far as leases go: asking for the duty, giving all leases their time after an outage, expiry, and the
// sweep of deadlines that are missing.
//
//           duty taken                 a later round folded             all set
//   none ────────────────▶ learning ────────────────────────▶ extending ─────────▶ holding ──┐ finds what is due, and
//    ▲                      ▲    ▲       a round failed           │                  │  ▲  └──┘ expires it
//    │                      │    └────────────────────────────────┘                  │
//    │                      └────────── log was away, or is another server ──────────┘
//    └──── held by another, or left: from each of them
//
// Learning waits for a round: all leases that it finds in the log are to be extended. Extending gives each its full time, with rounds.
//
// Must never: expire a lease on its own word. The log takes a deadline out only if the duty is ours and the time is over by
// its own clock, in the transaction that appends the revoke.
// Invariant: nothing is found due, expired or swept but while holding.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct Stewardship {
    /// The duty, as far as this process knows.
    private enum Stage {
        /// Another process is the steward, or none.
        case none
        /// All leases get their full time; a round that is sent from now on tells which they are.
        case learning(isRoundSent: Bool)
        /// These are still to get theirs.
        case extending(ArraySlice<LeaseID>)
        case holding(Holding)
    }

    private struct Holding {
        /// The log is not asked before which leases are due.
        var nextDue: Instant
        /// Due, the earliest first.
        var expiring: [LeaseID] = []
        /// Leases whose deadlines are still to be made sure of.
        var unswept: ArraySlice<LeaseID> = []
        var nextSweep: Instant
    }

    private struct Question {
        let number: UInt64
        let askedAt: Instant
    }

    private enum Asking {
        case due(Instant)
        case underWay(Question)
    }

    private let limits: LeaseLimits
    private let holder: Int64
    /// How long another process's rows may be in the log before they are folded.
    private let pollIntervalMaxMs: Int
    private var stage = Stage.none
    /// The process is about to end: nothing is asked any more.
    private var hasLeft = false
    private var asking = Asking.due(Instant(nanoseconds: 0))
    /// When the log last said that the duty is ours.
    private var confirmedAt = Instant(nanoseconds: 0)
    /// The log's connections, as it last named them.
    private var sessions: UInt64 = 0
    /// The question which leases are due. Its answer may come when others have to be extended first.
    private var dueQuestion: Question?
    private var lock = ExpiryLock()
    /// How often all leases were to be given their full time.
    private(set) var extensionCount: UInt64 = 0

    init(_ configuration: ReplicaConfiguration) {
        limits = configuration.leaseLimits
        holder = configuration.origin
        pollIntervalMaxMs = configuration.pollIntervalMaxMs
    }

    /// Whether the chores are this process's.
    var isSteward: Bool {
        if case .none = stage { false } else { true }
    }

    /// When `tick` has something to do at the latest, or the head's lock is to be asked for where that `canLock`.
    func deadline(canLock: Bool) -> Instant {
        guard !hasLeft else { return .distantFuture }
        var deadline = Instant.distantFuture
        if case .due(let at) = asking { deadline = at }
        guard case .holding(let holding) = stage else { return deadline }
        if !holding.expiring.isEmpty {
            if canLock { deadline = min(deadline, lock.nextAt) }
        } else if dueQuestion == nil {
            deadline = min(deadline, holding.nextDue)
        }
        return min(deadline, holding.nextSweep)
    }

    /// Asks what it is time to ask.
    mutating func tick(_ now: Instant, _ store: borrowing Store, _ numbers: inout LeaseNumbers, _ actions: inout [Action]) {
        guard !hasLeft else { return }
        if case .due(let at) = asking, now >= at {
            let question = Question(number: numbers.take(), askedAt: now)
            asking = .underWay(question)
            actions.append(.log(.lease(number: question.number, .keepDuty(holder: holder, termMs: limits.dutyTermMs))))
        }
        guard case .holding(var holding) = stage else { return }
        if dueQuestion == nil, holding.expiring.isEmpty, now >= holding.nextDue {
            let question = Question(number: numbers.take(), askedAt: now)
            dueQuestion = question
            actions.append(.log(.lease(number: question.number, .findDue(holder: holder, limit: limits.expiryLeaseLimit))))
        }
        guard now >= holding.nextSweep else { return }
        holding.nextSweep = now.advanced(byMs: limits.sweepIntervalMs)
        if holding.unswept.isEmpty { holding.unswept = store.leases.ids[...] }
        stage = .holding(holding)
    }

    // MARK: The duty

    /// How far another steward has come with deleting is wanted by a client, or may have changed: the duty is asked for at once.
    mutating func hurried(_ now: Instant) {
        if case .due(let at) = asking { asking = .due(min(at, now)) }
    }

    /// The log has answered a question, or could not be asked.
    /// - Parameters:
    ///   - outageMs: after how long the log was away.
    ///   - isSweepWaitedFor: whether a client waits for dead rows to be gone.
    /// - Returns: how far another steward has come with deleting what is dead.
    mutating func heard(
        _ number: UInt64, _ answer: LeaseAnswer, now: Instant, outageMs: Int, isSweepWaitedFor: Bool, _ store: borrowing Store
    ) -> Sweep? {
        if case .underWay(let question) = asking, question.number == number {
            switch answer {
            case .dutyAsked(.held(let taken, let sessions)):
                held(askedAt: question.askedAt, taken: taken, sessions: sessions, now: now, outageMs: outageMs)
            case .dutyAsked(.heldByAnother(let forMs, let swept)):
                gaveUp()
                let longestMs = isSweepWaitedFor ? limits.sweptIntervalMs : limits.dutyIntervalMs
                asking = .due(now.advanced(byMs: min(max(forMs, limits.dueIntervalMinMs), longestMs)))
                return swept
            case .failed, .roundDone, .dueFound: asking = .due(now.advanced(byMs: limits.retryMs))
            }
        } else if let question = dueQuestion, question.number == number {
            dueQuestion = nil
            if case .dueFound(let due, let nextMs, let sessions) = answer {
                found(
                    due, nextMs: nextMs, askedAt: question.askedAt, sessions: sessions, now: now, outageMs: outageMs,
                    leaseCount: store.leases.count)
            } else {
                findAgain(at: now.advanced(byMs: limits.retryMs))
            }
        }
        return nil
    }

    private mutating func held(askedAt: Instant, taken: Bool, sessions: UInt64, now: Instant, outageMs: Int) {
        asking = .due(askedAt.advanced(byMs: limits.dutyIntervalMs))
        guard !hasLeft else { return }
        let wasAway =
            taken || sessions != self.sessions || !isSteward
            || now > confirmedAt.advanced(byMs: limits.dutyIntervalMs).advanced(byMs: outageMs)
        self.sessions = sessions
        confirmedAt = now
        if wasAway { startExtending() }
    }

    /// Nothing expires because it could not be kept alive: every lease gets its full time again, before anything is found due.
    private mutating func startExtending() {
        stage = .learning(isRoundSent: false)
        extensionCount += 1
    }

    /// The duty is another process's, or may be.
    mutating func gaveUp() { stage = .none }

    /// The process ends: another one may be the steward at once.
    mutating func left(_ numbers: inout LeaseNumbers, _ actions: inout [Action]) {
        gaveUp()
        hasLeft = true
        actions.append(.log(.lease(number: numbers.take(), .releaseDuty(holder: holder))))
    }

    /// The log is read anew: whatever is under way has another life's numbers.
    mutating func loadingBegan() {
        stage = .none
        asking = .due(Instant(nanoseconds: 0))
        confirmedAt = Instant(nanoseconds: 0)
        sessions = 0
        dueQuestion = nil
        lock = ExpiryLock()
    }

    // MARK: Rounds

    /// How soon the steward needs a round.
    var need: LeaseRounds.StewardNeed {
        switch stage {
        case .none: .none
        case .learning, .extending: .atOnce
        case .holding(let holding): holding.unswept.isEmpty ? .none : .inTime
        }
    }

    /// A round begins. Takes out the steward's part of it.
    mutating func roundStarted() -> LeaseRounds.StewardPart {
        switch stage {
        case .none: return .none
        case .learning:
            stage = .learning(isRoundSent: true)
            return .none
        case .extending(let rest):
            let part = rest.prefix(limits.roundLimit)
            stage = .extending(rest.dropFirst(part.count))
            return .extends(part)
        case .holding(var holding):
            guard !holding.unswept.isEmpty else { return .none }
            let part = holding.unswept.prefix(limits.roundLimit)
            holding.unswept = holding.unswept.dropFirst(part.count)
            stage = .holding(holding)
            return .ensures(part)
        }
    }

    /// Leases that the round was to extend may not have got their time.
    mutating func roundFailed() {
        if case .extending = stage { startExtending() }
    }

    /// The store is at a round's head.
    mutating func roundFolded(_ now: Instant, wasOutage: Bool, _ store: borrowing Store, _ actions: inout [Action]) {
        switch stage {
        case .none, .learning(isRoundSent: false): break
        case .learning(isRoundSent: true):
            let leases = store.leases.ids
            stage = .extending(leases[...])
            if leases.isEmpty { beginHolding(now, store, &actions) }
        case .extending(let rest): if rest.isEmpty { beginHolding(now, store, &actions) }
        case .holding: if wasOutage { startExtending() }
        }
    }

    private mutating func beginHolding(_ now: Instant, _ store: borrowing Store, _ actions: inout [Action]) {
        stage = .holding(Holding(nextDue: now, nextSweep: now.advanced(byMs: limits.sweepIntervalMs)))
        actions.append(.note(.becameSteward(leases: store.leases.count)))
    }

    // MARK: Finding what is due

    /// A lease is there whose time may be shorter than that of those known.
    mutating func granted(ttl: Int64, isOwn: Bool, now: Instant) {
        guard case .holding(var holding) = stage else { return }
        // Another process's row may have been in the log for as long as we don't look.
        let earlyMs = isOwn ? 0 : pollIntervalMaxMs
        let due = now.advanced(byMs: max(Int(clamping: min(ttl, 1_000_000)) * 1_000 - earlyMs, 0))
        holding.nextDue = min(holding.nextDue, due)
        stage = .holding(holding)
    }

    private mutating func found(
        _ due: [LeaseID], nextMs: Int64?, askedAt: Instant, sessions: UInt64, now: Instant, outageMs: Int, leaseCount: Int
    ) {
        guard case .holding(var holding) = stage else { return }
        // Another connection may be to another server, with another clock, which may lack deadlines that were set last.
        if mayBeElsewhere(sessions) { return }
        if now > askedAt.advanced(byMs: outageMs) { return startExtending() }
        holding.expiring = due
        // Looking takes a pass over all deadlines: at most a tenth of the time.
        let durationMs = Int((now.nanoseconds - askedAt.nanoseconds) / 1_000_000)
        let shortestMs = max(limits.dueIntervalMinMs, durationMs * 10)
        // Without leases there may still be deadlines left over, which can wait.
        let longestMs = max(leaseCount == 0 ? limits.sweepIntervalMs : limits.dueIntervalMaxMs, shortestMs)
        let nextMs = due.isEmpty ? Int(clamping: min(nextMs ?? .max, Int64(longestMs))) + 1 : 0
        holding.nextDue = now.advanced(byMs: min(max(nextMs, shortestMs), longestMs))
        stage = .holding(holding)
    }

    /// Whether deadlines that were told or taken out may be those of another server, which lacks keep-alives. Then all leases get their
    /// time on the connections that there are now, before any expires.
    mutating func mayBeElsewhere(_ sessions: UInt64) -> Bool {
        guard sessions != self.sessions else { return false }
        self.sessions = sessions
        // A process that has given the duty up since extends them once it has it again.
        if isSteward { startExtending() }
        return true
    }

    /// Nothing is known to be due any more; it is looked for again then.
    private mutating func findAgain(at nextDue: Instant) {
        guard case .holding(var holding) = stage else { return }
        holding.expiring = []
        holding.nextDue = nextDue
        stage = .holding(holding)
    }

    // MARK: Expiry

    /// Whether it is time for a lock under which leases expire.
    func isExpiryDue(_ now: Instant) -> Bool {
        guard case .holding(let holding) = stage else { return false }
        return !holding.expiring.isEmpty && now >= lock.nextAt
    }

    /// The leases to expire with the lock that is asked for next, if it is time for any: `locked` or `lockFailed` has to follow.
    mutating func takeExpiring(_ now: Instant, _ store: borrowing Store) -> LeaseExpiry? {
        guard case .holding(var holding) = stage, !holding.expiring.isEmpty, now >= lock.nextAt else { return nil }
        // Nothing is done to a store that is said to be corrupt.
        guard !store.alarms.contains(.corrupt) else {
            lock.postponed(until: now.advanced(byMs: limits.retryMs))
            return nil
        }
        var rows = 0
        var taken = 0
        for lease in holding.expiring {
            rows += 1 + (store.leases[lease]?.keys.count ?? 0)
            if taken > 0, rows > limits.expiryRowLimit { break }
            taken += 1
        }
        let leases = Array(holding.expiring.prefix(taken))
        holding.expiring.removeFirst(taken)
        stage = .holding(holding)
        lock.asked(now)
        var bytes = 0
        for lease in leases {
            for key in store.leases[lease]?.keys ?? ChunkedSet() { bytes += key.count }
        }
        return LeaseExpiry(leases: leases, holder: holder, rowCount: rows, byteCount: bytes)
    }

    /// Whether the store is in the middle of the revoke of a lease that has expired.
    var isRevoking: Bool { lock.isPaused }

    /// Whether the lease's deadline goes with the append under way.
    func isBeingRevoked(_ lease: LeaseID) -> Bool { lock.isRevoking(lease) }

    /// The head is locked: what has not expired after all was kept alive.
    mutating func locked(_ now: Instant) { lock.locked(now) }

    /// The lock was not given, or is given back with nothing done.
    mutating func lockFailed(_ now: Instant) {
        lock.failed()
        findAgain(at: now.advanced(byMs: limits.retryMs))
    }

    /// The revoke of a lease under the lock takes more than a turn.
    mutating func revokePaused(_ lease: LeaseID) { lock.revokePaused(lease) }

    /// The batch that is appended next revokes these, or none.
    mutating func revoked(_ leases: [LeaseID]) { lock.revoked(leases) }

    /// The batch under way, if any, is in the log.
    mutating func expired() { lock.settled() }

    /// The revokes are not in the log. Their deadlines may be out nevertheless: those get new ones. One that is still there is over, and
    /// stays so: a revoke that fails again and again must not give its lease all of its time again.
    /// - Returns: false where this process does not hold the duty any more: then a round has to set the deadlines.
    mutating func expiryUndone(_ leases: [LeaseID]) -> Bool {
        lock.settled()
        guard case .holding(var holding) = stage else { return false }
        holding.unswept = leases + holding.unswept
        stage = .holding(holding)
        return true
    }

    // MARK: Rules

    /// Traps where the stewardship breaks its rules.
    func invariants() {
        lock.invariants()
        guard case .holding(let holding) = stage else { return }
        invariant(holding.expiring.count <= limits.expiryLeaseLimit, "\(holding.expiring.count) leases are due")
        invariant(dueQuestion == nil || holding.expiring.isEmpty, "the log is asked what is due while that is known")
    }
}

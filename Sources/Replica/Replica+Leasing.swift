// Owns: what the machines of leases are told, and what becomes of what they want.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

extension Replica {
    // MARK: Clients

    mutating func arrive(_ question: LeaseRounds.Question) {
        // Its call is over already: refused, or given up.
        guard !cancelled.contains(question.id) else { return }
        guard leaseRounds.asked(question) else {
            actions.append(.fail(question.id, .tooManyRequests))
            // The call's earlier questions are dropped with all others that end in this turn: a pass over all that wait for each question
            // refused would be quadratic.
            cancelled.insert(question.id)
            return
        }
    }

    /// How many long answers are under way.
    package var leaseListingCount: Int { leaseListings.count }

    // MARK: A turn

    mutating func tendLeases() {
        finishRound()
        tellSteward { [now] steward, store, numbers, actions in steward.tick(now, store, &numbers, &actions) }
        startRound()
    }

    /// When `tendLeases` has something to do at the latest, as far as no event tells.
    var leaseDeadline: Instant {
        min(stewardship.deadline(canLock: canStartBatch), leaseRounds.deadline(now, stewardship.need))
    }

    private mutating func startRound() {
        guard leaseRounds.tick(now, stewardship.need) else { return }
        let part = stewardship.roundStarted()
        leaseRounds.started(leaseNumbers.take(), with: part, now: now, store, &actions)
        counters.leaseRounds += 1
    }

    /// Once the fold is where the round's head is, what the log said is true.
    private mutating func finishRound() {
        guard let head = leaseRounds.answeredPosition, store.isSettled else { return }
        guard store.committed >= head else { return startTailRead() }
        let wasOutage = leaseRounds.wasOutage
        tellSteward { [now] steward, store, _, actions in steward.roundFolded(now, wasOutage: wasOutage, store, &actions) }
        counters.leasesKeptAlive += leaseRounds.headFolded(now, store, header(at: store.revision), &leaseListings, &actions)
    }

    /// Tells the stewardship of something, and counts what became of it.
    private mutating func tellSteward<Answer>(
        _ event: (inout Stewardship, borrowing Store, inout LeaseNumbers, inout [Action]) -> Answer
    ) -> Answer {
        let answer = event(&stewardship, store, &leaseNumbers, &actions)
        counters.leaseExtensions = stewardship.extensionCount
        counters.isSteward = stewardship.isSteward
        return answer
    }

    // MARK: The log

    mutating func heardOfLeases(_ number: UInt64, _ answer: LeaseAnswer) {
        guard let since = leaseRounds.since(number) else { return heardOfDuty(number, answer) }
        guard case .roundDone(let remainingMs, let head) = answer else {
            leaseRounds.failed(now)
            return tellSteward { steward, _, _, _ in steward.roundFailed() }
        }
        if isOther(head, since: since) { return historyChanged() }
        leaseRounds.answered(remainingMs, head, now: now)
    }

    private mutating func heardOfDuty(_ number: UInt64, _ answer: LeaseAnswer) {
        let (outageMs, isWaitedFor) = (leaseRounds.outageMs, sweeper.isWaitedFor)
        let swept = tellSteward { [now] steward, store, _, _ in
            steward.heard(number, answer, now: now, outageMs: outageMs, isSweepWaitedFor: isWaitedFor, store)
        }
        if let swept { sweeper.heard(swept) }
    }

    /// Sees to the deadlines of the leases that committed rows grant and revoke.
    mutating func noteLeases(_ rows: [LogRow]) {
        for row in rows {
            let isOwn = row.origin == configuration.origin
            switch row.kind {
            case .grant:
                if isOwn { leaseRounds.touched(row.lease) }
                stewardship.granted(ttl: row.version, isOwn: isOwn, now: now)
            case .revoke: if isOwn, !stewardship.isBeingRevoked(row.lease) { leaseRounds.touched(row.lease) }
            case .put, .delete, .compact, .alarm, .digestKey, .user, .role, .authState: break
            }
        }
    }

    /// The log is read anew.
    mutating func restartLeases() {
        leaseRounds.loadingBegan()
        tellSteward { steward, _, _, _ in steward.loadingBegan() }
    }

    /// Whether a round is answered that is finished only once nothing is being appended.
    var isRoundAnswered: Bool { leaseRounds.isAnswered }

    // MARK: The duty

    /// Whether the chores are this process's.
    var isSteward: Bool { stewardship.isSteward }

    mutating func giveUpDuty() { tellSteward { steward, _, _, _ in steward.gaveUp() } }

    mutating func leaveDuty() { tellSteward { steward, _, numbers, actions in steward.left(&numbers, &actions) } }

    /// Asks for the duty at once.
    mutating func hurryDuty() { stewardship.hurried(now) }

    /// Whether what was told of deadlines may be another server's, which lacks keep-alives. Then nothing expires.
    mutating func mayBeElsewhere(_ sessions: UInt64) -> Bool {
        tellSteward { steward, _, _, _ in steward.mayBeElsewhere(sessions) }
    }

    // MARK: Expiry

    /// Whether it is time for a lock under which leases expire.
    var isExpiryDue: Bool { stewardship.isExpiryDue(now) }

    /// The leases to expire with the next lock, if it is time for any.
    mutating func takeExpiring() -> LeaseExpiry? { stewardship.takeExpiring(now, store) }

    /// Whether the store is in the middle of the revoke of a lease that has expired.
    var isRevoking: Bool { stewardship.isRevoking }

    /// Executes the revokes of leases whose deadlines have been taken out under the lock. Gives those that were there; nil where `visits`
    /// ran out: then it is to be called again. That is done to a lease that is alone only, for it may have any number of keys.
    mutating func revoke(_ expired: [LeaseID], _ rows: inout [LogRow], visits: inout Int) -> [LeaseID]? {
        var revoked: [LeaseID] = []
        for lease in expired where store.leases.contains(lease) {
            do throws(ExecutionError) {
                var left = expired.count == 1 ? visits : Int.max
                defer { if expired.count == 1 { visits = left } }
                let answer = try store.execute(
                    .leaseRevoke(id: lease), header: header, origin: configuration.origin, rows: &rows, visits: &left)
                guard answer != nil else {
                    stewardship.revokePaused(lease)
                    return nil
                }
                revoked.append(lease)
            } catch {
                guard error == .refused(.corrupt) else { violated("lease \(lease), which is there, can't be revoked: \(error)") }
                // The alarm was raised since the lock was asked for, and the deadline is out: it gets a new one.
                leaseRounds.touched(lease)
            }
        }
        stewardship.revoked(revoked)
        return revoked
    }

    mutating func expiryLocked() { stewardship.locked(now) }

    mutating func expiryFailed() { stewardship.lockFailed(now) }

    /// The batch that revokes these is not in the log.
    mutating func expiryUndone(_ expired: [LeaseID]) {
        if !expired.isEmpty, !stewardship.expiryUndone(expired) { leaseRounds.touched(expired) }
    }

    /// A batch is in the log, which revokes these.
    mutating func leasesExpired(_ expired: [LeaseID]) {
        counters.leasesExpired += UInt64(expired.count)
        stewardship.expired()
    }
}

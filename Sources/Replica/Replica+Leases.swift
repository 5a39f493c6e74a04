// Owns: rounds: keep-alives, new deadlines and questions about leases, collected and sent as one transaction at a time.
//
// A round sets deadlines and then reads the head. Whoever folds up to that head knows what the round was worth: a lease that
// is still there lives until its new deadline, since whoever wants to expire it must take the deadline out, by itself and by
// PostgreSQL's clock, in the transaction that appends the revoke. One that is gone has lost, whatever the round wrote.
//
// Must never: answer a keep-alive whose deadline may be over before the answered time is; answer from speculation.
// Invariants: one round is under way at most; questions of one call are answered in their order.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

extension Replica {
    private var limits: LeaseLimits { configuration.leaseLimits }

    mutating func arrive(_ question: LeaseQuestion) {
        // Its call is over already: refused, or given up.
        guard !cancelled.contains(question.id) else { return }
        guard leases.waiting.count < limits.questionLimit else {
            actions.append(.fail(question.id, .tooManyRequests))
            // The call's earlier questions are dropped with all others that end in this turn: a pass over all that wait for each question
            // refused would be quadratic.
            cancelled.insert(question.id)
            return
        }
        leases.waiting.append(question)
        if question.isUrgent { leases.urgent += 1 }
    }

    /// A turn's worth of everything about leases.
    mutating func tendLeases() {
        finishRound()
        tendDuty()
        startRound()
    }

    /// When `tendLeases` has something to do at the latest, as far as no event tells.
    var leaseDeadline: Instant {
        var deadline = stewardDeadline
        if let oldest = leases.round?.questions.first ?? leases.waiting.first {
            deadline = min(deadline, oldest.arrivedAt.advanced(byMs: configuration.requestTimeoutMs))
        }
        if leases.round == nil, hasRoundWork {
            deadline = min(deadline, max(leases.retryAt, isRoundUrgent || leases.roundsLeft > 0 ? now : leases.nextRefill))
        }
        return deadline
    }

    // MARK: Starting

    private var hasRoundWork: Bool {
        if !leases.waiting.isEmpty || !leases.touched.isEmpty { return true }
        switch leases.steward.stage {
        case .learning, .extending: return true
        case .holding: return !leases.steward.unswept.isEmpty
        case .none: return false
        }
    }

    /// Whether the next round should not wait for company.
    private var isRoundUrgent: Bool {
        if leases.urgent > 0 || leases.waiting.count >= limits.roundLimit { return true }
        switch leases.steward.stage {
        case .learning, .extending: return true
        case .holding, .none: return false
        }
    }

    private mutating func startRound() {
        guard leases.round == nil, hasRoundWork, now >= leases.retryAt else { return }
        if now >= leases.nextRefill {
            let idleMs = (now.nanoseconds - leases.nextRefill.nanoseconds) / 1_000_000
            let refill = 1 + Int(clamping: idleMs / UInt64(limits.roundIntervalMs))
            leases.roundsLeft = refill >= limits.roundBurst ? limits.roundBurst : min(leases.roundsLeft + refill, limits.roundBurst)
            leases.nextRefill = now.advanced(byMs: limits.roundIntervalMs)
        }
        guard leases.roundsLeft > 0 || isRoundUrgent else { return }
        leases.roundsLeft = max(leases.roundsLeft - 1, 0)
        sendRound()
        let questions = leases.round?.questions.count ?? 0
        let intervalMs = min(limits.roundIntervalMs + questions / 10, limits.roundIntervalMaxMs)
        if questions >= 10 { leases.nextRefill = max(leases.nextRefill, now.advanced(byMs: intervalMs)) }
    }

    private mutating func sendRound() {
        let slackMs = max(leases.slackMs, limits.slackMinMs)
        leases.slackMs = slackMs
        var questions: [LeaseQuestion] = []
        // Where all leases get their full time, whoever keeps one alive may count on as much slack: what was just promised is not cut short.
        var extends = false
        if case .extending = leases.steward.stage { extends = true }
        let termSlackMs = extends ? limits.slackMaxMs : slackMs
        var terms = TermList(slackMs: termSlackMs)
        var read: Set<LeaseID> = []
        while questions.count < limits.roundLimit, let question = leases.waiting.popFirst() {
            switch question.request {
            case .keepAlive(let lease): terms.set(store.leases[lease])
            case .timeToLive(let lease, _): read.insert(lease)
            case .keepAliveEnd, .list: break
            }
            if question.isUrgent { leases.urgent -= 1 }
            questions.append(question)
        }
        var round = LeaseRound()
        round.graceMs = Int64(limits.slackMaxMs - termSlackMs)
        for lease in leases.takeTouched(limit: limits.roundLimit) {
            if store.leases.contains(lease) { terms.set(store.leases[lease]) } else { round.remove.append(lease) }
        }
        if case .extending(var rest) = leases.steward.stage {
            let part = rest.prefix(limits.roundLimit)
            for lease in part { terms.set(store.leases[lease]) }
            rest = rest.dropFirst(part.count)
            leases.steward.stage = .extending(rest)
        } else if leases.steward.stage == .holding {
            let part = leases.steward.unswept.prefix(limits.roundLimit)
            leases.steward.unswept = leases.steward.unswept.dropFirst(part.count)
            for lease in part where !terms.leases.contains(lease) {
                // Whoever keeps it alive may count on as much slack: no deadline that is in order is cut short.
                if let known = store.leases[lease] { round.ensure.append(known.term(slackMs: limits.slackMaxMs)) }
            }
        }
        round.set = terms.sorted()
        round.read = read.sorted()
        let number = leases.takeNumber()
        leases.round = RoundUnderWay(
            number: number, questions: questions, set: terms.leases, removed: round.remove, sentAt: now, since: store.committed,
            extends: extends)
        counters.leaseRounds += 1
        actions.append(.log(.lease(number: number, .round(round))))
    }

    // MARK: Answers of the log

    mutating func heardOfLeases(_ number: UInt64, _ answer: LeaseAnswer) {
        if leases.round?.number == number {
            switch answer {
            case .roundDone(let remainingMs, let head): roundAnswered(remainingMs, head)
            case .failed, .dutyAsked, .dueFound: roundFailed()
            }
        } else {
            heardOfDuty(number, answer)
        }
    }

    private mutating func roundAnswered(_ remainingMs: [LeaseID: Int64], _ head: Head) {
        guard let round = leases.round else { return }
        if head.position < round.since || (head.position == store.committed && head.digest != store.committedDigest) {
            historyChanged()
            return
        }
        leases.round?.answer = (remainingMs, head, now)
    }

    private mutating func roundFailed() {
        guard let failed = leases.round else { return }
        leases.round = nil
        leases.retryAt = now.advanced(byMs: limits.retryMs)
        leases.putBack(failed.questions)
        // Whether the deadlines were set isn't known. Setting them again does no harm.
        leases.touched.formUnion(failed.set)
        leases.touched.formUnion(failed.removed)
        if failed.extends, case .extending = leases.steward.stage { startExtending() }
    }

    /// Once the fold is where the round's head is, what it says is true.
    private mutating func finishRound() {
        guard let done = leases.round, let answer = done.answer, store.isSettled else { return }
        guard store.committed >= answer.head.position else {
            startTailRead()
            return
        }
        leases.round = nil
        let durationMs = Int((now.nanoseconds - done.sentAt.nanoseconds) / 1_000_000)
        let isTooLate = durationMs > leases.slackMs
        // An append under way may have kept us from finishing it: that says nothing about the log.
        roundWasStewards(done, wasOutage: isOutage(from: done.sentAt, to: answer.at))
        // Less only step by step: where every tenth answer is slow, deadlines have to allow for that.
        let lessMs = leases.slackMs - leases.slackMs / 8
        leases.slackMs = min(max(durationMs * 2, lessMs, limits.slackMinMs), limits.slackMaxMs)
        answerQuestions(done, answer.remainingMs, isTooLate: isTooLate)
    }

    private mutating func answerQuestions(_ round: RoundUnderWay, _ remainingMs: [LeaseID: Int64], isTooLate: Bool) {
        var header = header
        header.revision = store.revision
        var again: [LeaseQuestion] = []
        // Of a call whose question has to wait for the next round, all that come after it wait, too.
        var held: Set<CallID> = []
        for question in round.questions {
            if !held.isEmpty, held.contains(question.id) {
                again.append(question)
                continue
            }
            switch question.request {
            case .keepAlive(let lease):
                let known = store.leases[lease]
                if known != nil, isTooLate || !round.set.contains(lease) {
                    again.append(question)
                    held.insert(question.id)
                    continue
                }
                if known == nil, round.set.contains(lease) { leases.touched.insert(lease) }
                var writer = ByteWriter(capacity: 64)
                writer.appendKeepAliveResponse(header, id: lease, ttl: known?.ttl ?? 0)
                actions.append(.send(question.id, writer.finish(), reportDrained: false))
                counters.leasesKeptAlive += 1
            case .keepAliveEnd:
                actions.append(.finish(question.id))
            case .timeToLive(let lease, let keys):
                answerTimeToLive(question.id, lease, keys: keys, leftMs: remainingMs[lease], header)
            case .list:
                listLeases(question.id, header)
            }
        }
        leases.putBack(again)
    }

    private mutating func answerTimeToLive(
        _ id: CallID, _ lease: LeaseID, keys: Bool, leftMs: Int64?, _ header: ResponseHeader
    ) {
        var response = LeaseTimeToLiveResponse(header: header, id: lease, ttl: -1)
        if let known = store.leases[lease] {
            // Without a deadline yet it has all of its time. The slack is not the client's.
            response.ttl = leftMs.map { min(max($0 / 1_000, 0), known.ttl) } ?? known.ttl
            response.grantedTTL = known.ttl
            if keys { return listKeys(of: known, id, response) }
        }
        var writer = ByteWriter(capacity: 64)
        response.encode(into: &writer)
        actions.append(.respond(id, writer.finish()))
    }

    // MARK: Time and the fold

    /// Fails what has waited too long. A stream fails whole.
    mutating func expireLeaseQuestions() {
        let timeout = configuration.requestTimeoutMs
        func isOverdue(_ question: LeaseQuestion?, _ now: Instant) -> Bool {
            question.map { $0.arrivedAt.advanced(byMs: timeout) <= now } ?? false
        }
        guard isOverdue(leases.round?.questions.first, now) || isOverdue(leases.waiting.first, now) else { return }
        var overdue: Set<CallID> = []
        for question in leases.round?.questions ?? [] where isOverdue(question, now) {
            if overdue.insert(question.id).inserted { actions.append(.fail(question.id, .timeout)) }
        }
        for question in leases.waiting {
            guard isOverdue(question, now) else { break }
            if overdue.insert(question.id).inserted { actions.append(.fail(question.id, .timeout)) }
        }
        leases.drop(overdue)
    }

    /// Sees to the deadlines of the leases that committed rows grant and revoke.
    mutating func noteLeases(_ rows: [LogRow]) {
        for row in rows {
            switch row.kind {
            case .grant:
                let isOwn = row.origin == configuration.origin
                if isOwn { leases.touched.insert(row.lease) }
                granted(ttl: row.version, isOwn: isOwn)
            case .revoke:
                if row.origin == configuration.origin, !leases.steward.revoking.contains(row.lease) {
                    leases.touched.insert(row.lease)
                }
            case .put, .delete, .compact, .alarm, .digestKey: break
            }
        }
    }

    /// The log is read anew: whatever is under way has another life's numbers.
    mutating func restartLeases() {
        if let round = leases.round { leases.putBack(round.questions) }
        leases.round = nil
        leases.touched = []
        restartDuty()
    }
}

extension Lease {
    func term(slackMs: Int) -> LeaseTerm { LeaseTerm(lease: id, milliseconds: ttl * 1_000 + Int64(slackMs)) }
}

/// Terms to set, one for each lease.
private struct TermList {
    let slackMs: Int
    private(set) var leases: Set<LeaseID> = []
    private var terms: [LeaseTerm] = []

    init(slackMs: Int) { self.slackMs = slackMs }

    mutating func set(_ lease: Lease?) {
        guard let lease, leases.insert(lease.id).inserted else { return }
        terms.append(lease.term(slackMs: slackMs))
    }

    func sorted() -> [LeaseTerm] { terms.sorted { $0.lease < $1.lease } }
}

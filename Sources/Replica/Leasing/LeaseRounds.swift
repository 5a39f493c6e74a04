// Owns: lease rounds: keep-alives, new deadlines and questions about leases, collected and sent as one transaction at a time.
//
//            started              answered               headFolded
//   idle ──────────────▶ sent ──────────────▶ answered ──────────────▶ idle
//     ▲                   │                                             │ too late, or set too little: its questions
//     └────── failed ─────┘ its questions wait in front of the others   │ wait in front of the others
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

struct LeaseRounds {
    /// A client's question, which waits for a round.
    struct Question {
        let id: CallID
        let request: LeaseRequest
        let arrivedAt: Instant
        var principal = Principal.anonymous

        /// Keep-alives are collected; a question whose answer is only read is asked at once.
        fileprivate var isUrgent: Bool {
            switch request {
            case .keepAlive, .keepAliveEnd: false
            case .timeToLive, .list: true
            }
        }
    }

    /// How soon the steward needs a round.
    enum StewardNeed {
        case none
        /// With the others.
        case inTime
        case atOnce
    }

    /// The steward's part of a round.
    enum StewardPart {
        case none
        /// These get their full time, and the most slack that any client may count on.
        case extends(ArraySlice<LeaseID>)
        /// These must have a deadline, and none that is too late.
        case ensures(ArraySlice<LeaseID>)
    }

    private struct Answer {
        let remainingMs: [LeaseID: Int64]
        let head: Head
        let at: Instant
    }

    private struct UnderWay {
        let number: UInt64
        var questions: [Question]
        /// The leases whose deadlines it sets.
        let set: Set<LeaseID>
        /// The leases whose deadlines it removes.
        let removed: [LeaseID]
        let sentAt: Instant
        /// The store's committed position when it was sent.
        let since: Position
        var answer: Answer?
    }

    private let limits: LeaseLimits
    /// How long a question waits before it fails.
    private let timeoutMs: Int
    private var waiting = Deque<Question>()
    /// How many of `waiting` are urgent.
    private var urgentCount = 0
    private var underWay: UnderWay?
    /// Granted or revoked by this process: their deadlines are to be set or removed.
    private var touched: Set<LeaseID> = []
    /// How far deadlines lie behind what clients are told; 0 before the first round.
    private var slackMs = 0
    /// Rounds that may be sent before the next refill though nobody waits for them.
    private var roundsLeft: Int
    private var nextRefill = Instant(nanoseconds: 0)
    /// After a failure nothing is sent before.
    private var retryAt = Instant(nanoseconds: 0)

    init(_ limits: LeaseLimits, timeoutMs: Int) {
        self.limits = limits
        self.timeoutMs = timeoutMs
        roundsLeft = limits.roundBurst
    }

    /// The log is away where it takes longer than this: then clients may have been unable to keep their leases alive. Not less than the
    /// deadlines' slack: where each answer takes a second, extending all leases after each would let none of them end.
    var outageMs: Int { max(limits.outageMs, slackMs) }

    /// When `tick` or `timePassed` has something to do at the latest, as far as no event tells.
    func deadline(_ now: Instant, _ need: StewardNeed) -> Instant {
        var deadline = Instant.distantFuture
        if let oldest = underWay?.questions.first ?? waiting.first { deadline = oldest.arrivedAt.advanced(byMs: timeoutMs) }
        if underWay == nil, hasWork(need) {
            deadline = min(deadline, max(retryAt, isUrgent(need) || roundsLeft > 0 ? now : nextRefill))
        }
        return deadline
    }

    // MARK: Questions and leases

    /// A client asks. False where too many wait already.
    mutating func asked(_ question: Question) -> Bool {
        guard waiting.count < limits.questionLimit else { return false }
        waiting.append(question)
        if question.isUrgent { urgentCount += 1 }
        return true
    }

    /// The lease was granted or revoked by this process, or may lack its deadline.
    mutating func touched(_ lease: LeaseID) { touched.insert(lease) }

    mutating func touched(_ leases: [LeaseID]) { touched.formUnion(leases) }

    /// These calls are over.
    mutating func clientsLeft(_ gone: Set<CallID>) {
        waiting.removeAll { gone.contains($0.id) }
        urgentCount = waiting.count(where: \.isUrgent)
        underWay?.questions.removeAll { gone.contains($0.id) }
    }

    /// Fails what has waited too long. A stream fails whole.
    mutating func timePassed(_ now: Instant, _ actions: inout [Action]) {
        guard isOverdue(underWay?.questions.first, now) || isOverdue(waiting.first, now) else { return }
        var overdue: Set<CallID> = []
        for question in underWay?.questions ?? [] where isOverdue(question, now) {
            if overdue.insert(question.id).inserted { actions.append(.fail(question.id, .timeout)) }
        }
        for question in waiting {
            guard isOverdue(question, now) else { break }
            if overdue.insert(question.id).inserted { actions.append(.fail(question.id, .timeout)) }
        }
        clientsLeft(overdue)
    }

    private func isOverdue(_ question: Question?, _ now: Instant) -> Bool {
        question.map { $0.arrivedAt.advanced(byMs: timeoutMs) <= now } ?? false
    }

    /// Puts questions of a round back in front of the others.
    private mutating func putBack(_ questions: [Question]) {
        waiting.prepend(contentsOf: questions)
        urgentCount += questions.count(where: \.isUrgent)
    }

    // MARK: Sending

    /// Whether a round is to be sent now: `started` has to follow.
    mutating func tick(_ now: Instant, _ need: StewardNeed) -> Bool {
        guard underWay == nil, hasWork(need), now >= retryAt else { return false }
        if now >= nextRefill {
            let idleMs = (now.nanoseconds - nextRefill.nanoseconds) / 1_000_000
            let refill = 1 + Int(clamping: idleMs / UInt64(limits.roundIntervalMs))
            roundsLeft = refill >= limits.roundBurst ? limits.roundBurst : min(roundsLeft + refill, limits.roundBurst)
            nextRefill = now.advanced(byMs: limits.roundIntervalMs)
        }
        guard roundsLeft > 0 || isUrgent(need) else { return false }
        roundsLeft = max(roundsLeft - 1, 0)
        return true
    }

    private func hasWork(_ need: StewardNeed) -> Bool { !waiting.isEmpty || !touched.isEmpty || need != .none }

    /// Whether the next round should not wait for company.
    private func isUrgent(_ need: StewardNeed) -> Bool {
        urgentCount > 0 || waiting.count >= limits.roundLimit || need == .atOnce
    }

    /// A round begins: as many questions, touched leases and leases of the steward's as fit.
    mutating func started(
        _ number: UInt64, with part: StewardPart, now: Instant, _ store: borrowing Store, _ actions: inout [Action]
    ) {
        slackMs = max(slackMs, limits.slackMinMs)
        // Where all leases get their full time, whoever keeps one alive may count on as much slack: what was just promised is not cut short.
        var termSlackMs = slackMs
        if case .extends = part { termSlackMs = limits.slackMaxMs }
        var terms = TermList(slackMs: termSlackMs)
        var round = LeaseRound()
        let questions = takeQuestions(store, &terms, &round)
        round.graceMs = Int64(limits.slackMaxMs - termSlackMs)
        for lease in takeTouched() {
            if store.leases.contains(lease) { terms.set(store.leases[lease]) } else { round.remove.append(lease) }
        }
        switch part {
        case .none: break
        case .extends(let leases): for lease in leases { terms.set(store.leases[lease]) }
        case .ensures(let leases):
            for lease in leases where !terms.leases.contains(lease) {
                // Whoever keeps it alive may count on as much slack: no deadline that is in order is cut short.
                if let known = store.leases[lease] { round.ensure.append(known.term(slackMs: limits.slackMaxMs)) }
            }
        }
        round.set = terms.sorted()
        underWay = UnderWay(
            number: number, questions: questions, set: terms.leases, removed: round.remove, sentAt: now, since: store.committed)
        // The more questions there are to collect, the fewer statements.
        let intervalMs = min(limits.roundIntervalMs + questions.count / 10, limits.roundIntervalMaxMs)
        if questions.count >= 10 { nextRefill = max(nextRefill, now.advanced(byMs: intervalMs)) }
        actions.append(.log(.lease(number: number, .round(round))))
    }

    /// Takes the questions of a round out, and adds what they need to it.
    private mutating func takeQuestions(
        _ store: borrowing Store, _ terms: inout TermList, _ round: inout LeaseRound
    ) -> [Question] {
        var questions: [Question] = []
        var read: Set<LeaseID> = []
        while questions.count < limits.roundLimit, let question = waiting.popFirst() {
            switch question.request {
            // Whoever may not keep it alive hears that once the round is done.
            case .keepAlive(let lease):
                if store.refusal(of: question.request, by: question.principal) == nil { terms.set(store.leases[lease]) }
            case .timeToLive(let lease, _): read.insert(lease)
            case .keepAliveEnd, .list: break
            }
            if question.isUrgent { urgentCount -= 1 }
            questions.append(question)
        }
        round.read = read.sorted()
        return questions
    }

    /// Takes a bounded part of the touched leases out, in order.
    private mutating func takeTouched() -> ArraySlice<LeaseID> {
        guard !touched.isEmpty else { return [] }
        let part = touched.sorted().prefix(limits.roundLimit)
        touched.subtract(part)
        return part
    }

    // MARK: The log

    /// The position that the round `number` was sent at, where it is the one under way.
    func since(_ number: UInt64) -> Position? { underWay?.number == number ? underWay?.since : nil }

    /// The log did what the round under way asked; `headFolded` follows once the fold is at `head`.
    mutating func answered(_ remainingMs: [LeaseID: Int64], _ head: Head, now: Instant) {
        underWay?.answer = Answer(remainingMs: remainingMs, head: head, at: now)
    }

    /// The log could not be asked. Whether the deadlines were set isn't known. Setting them again does no harm.
    mutating func failed(_ now: Instant) {
        guard let failed = underWay else { return }
        underWay = nil
        retryAt = now.advanced(byMs: limits.retryMs)
        putBack(failed.questions)
        touched.formUnion(failed.set)
        touched.formUnion(failed.removed)
    }

    /// Whether the log has answered the round under way, and the fold has still to get to its head.
    var isAnswered: Bool { underWay?.answer != nil }

    /// Where the head of the answered round is; nil where none is answered.
    var answeredPosition: Position? { underWay?.answer?.head.position }

    /// Whether the log was away while it made its answer. An append under way may keep the round from being finished for longer: that says
    /// nothing about the log.
    var wasOutage: Bool {
        guard let underWay, let answer = underWay.answer else { return false }
        return answer.at > underWay.sentAt.advanced(byMs: outageMs)
    }

    /// The fold is where the answered round's head is: what the answer says is true, and the questions are answered.
    /// - Returns: how many keep-alives were.
    mutating func headFolded(
        _ now: Instant, _ store: borrowing Store, _ header: ResponseHeader, _ listings: inout LeaseListings, _ actions: inout [Action]
    ) -> UInt64 {
        guard let done = underWay, let answer = done.answer else { return 0 }
        underWay = nil
        let durationMs = Int((now.nanoseconds - done.sentAt.nanoseconds) / 1_000_000)
        let isTooLate = durationMs > slackMs
        // Less only step by step: where every tenth answer is slow, deadlines have to allow for that.
        slackMs = min(max(durationMs * 2, slackMs - slackMs / 8, limits.slackMinMs), limits.slackMaxMs)
        var keptAlive: UInt64 = 0
        var again: [Question] = []
        // Of a call whose question has to wait for the next round, all that come after it wait, too.
        var held: Set<CallID> = []
        for question in done.questions {
            if !held.isEmpty, held.contains(question.id) {
                again.append(question)
                continue
            }
            if let refusal = store.refusal(of: question.request, by: question.principal) {
                actions.append(.fail(question.id, refusal))
                continue
            }
            switch question.request {
            case .keepAlive(let lease):
                let known = store.leases[lease]
                if known != nil, isTooLate || !done.set.contains(lease) {
                    again.append(question)
                    held.insert(question.id)
                    continue
                }
                // It is gone: so must be the deadline that the round has set.
                if known == nil, done.set.contains(lease) { touched.insert(lease) }
                var writer = ByteWriter(capacity: 64)
                writer.appendKeepAliveResponse(header, id: lease, ttl: known?.ttl ?? 0)
                actions.append(.send(question.id, writer.finish(), reportDrained: false))
                keptAlive += 1
            case .keepAliveEnd: actions.append(.finish(question.id))
            case .timeToLive(let lease, let keys):
                let known = store.leases[lease]
                let response = timeToLive(lease, known, leftMs: answer.remainingMs[lease], header)
                if keys, let known {
                    listings.asked(question.id, keysOf: known, response, &actions)
                } else {
                    var writer = ByteWriter(capacity: 64)
                    response.encode(into: &writer)
                    actions.append(.respond(question.id, writer.finish()))
                }
            case .list: listings.asked(question.id, leasesOf: store.leases, header, &actions)
            }
        }
        putBack(again)
        return keptAlive
    }

    private func timeToLive(_ lease: LeaseID, _ known: Lease?, leftMs: Int64?, _ header: ResponseHeader) -> LeaseTimeToLiveResponse {
        var response = LeaseTimeToLiveResponse(header: header, id: lease, ttl: -1)
        if let known {
            // Without a deadline yet it has all of its time. The slack is not the client's.
            response.ttl = leftMs.map { min(max($0 / 1_000, 0), known.ttl) } ?? known.ttl
            response.grantedTTL = known.ttl
        }
        return response
    }

    /// The log is read anew: whatever is under way has another life's numbers.
    mutating func loadingBegan() {
        if let round = underWay { putBack(round.questions) }
        underWay = nil
        touched = []
    }

    // MARK: Rules

    /// Traps where the rounds break their rules. Looks at every question that waits.
    func invariants() {
        invariant(urgentCount == waiting.count(where: \.isUrgent), "urgent questions are miscounted")
        invariant(waiting.count <= limits.questionLimit + limits.roundLimit, "\(waiting.count) questions wait")
        invariant((0...limits.roundBurst).contains(roundsLeft), "\(roundsLeft) rounds are left")
        invariant(slackMs == 0 || (limits.slackMinMs...limits.slackMaxMs).contains(slackMs), "the slack is \(slackMs) ms")
        guard let underWay else { return }
        invariant(underWay.questions.count <= limits.roundLimit, "a round answers \(underWay.questions.count) questions")
        invariant(underWay.set.isDisjoint(with: underWay.removed), "a round both sets and removes a deadline")
    }
}

extension Lease {
    fileprivate func term(slackMs: Int) -> LeaseTerm { LeaseTerm(lease: id, milliseconds: ttl * 1_000 + Int64(slackMs)) }
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

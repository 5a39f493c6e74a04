// Owns: the thread of the chores: deleting dead rows, paced, the leases' deadlines, the steward's duty, and the small questions
// about members and sizes.
// Must never: let a long deletion keep a question waiting for longer than one statement.
internal import DequeModule
internal import Keyspace
internal import Mailboxes
internal import Replica

struct Steward {
    enum Message: Sendable {
        case command(ChoreCommand)
        /// Something short, which answers for itself and gives what it failed with.
        case ask(Question, @Sendable (Result<LogSession, LogError>) -> LogError?)
        /// Others need the place of this connection more.
        case yieldPlace
    }

    /// The small questions, of each of which one waits at most.
    enum Question: String, Sendable {
        case databaseSizes = "database sizes"
        case upsertMember = "say that this member is alive"
        case listMembers = "list members"
        case removeMember = "remove a member"
        case releaseDuty = "give the duty back"
    }

    private let mailbox: LogMailbox<Message>
    private var keeper: SessionKeeper
    private let settings: LogSettings
    private let leaseSessions: SessionCount
    private let refusals: Refusals
    private let shared: SharedSession
    private let deliver: @Sendable (LogEvent) -> Void
    private var deletions: Deque<Deletion> = []
    /// When the next delete statement is due.
    private var nextDelete: ContinuousClock.Instant = .now

    init(
        mailbox: LogMailbox<Message>, keeper: SessionKeeper, settings: LogSettings, leaseSessions: SessionCount, refusals: Refusals,
        shared: SharedSession, deliver: @escaping @Sendable (LogEvent) -> Void
    ) {
        self.mailbox = mailbox
        self.keeper = keeper
        self.settings = settings
        self.leaseSessions = leaseSessions
        self.refusals = refusals
        self.shared = shared
        self.deliver = deliver
    }

    mutating func run() {
        while let messages = mailbox.take() {
            for message in messages {
                switch message {
                case .command(.deleteRows(let order)): deletions.append(order)
                case .command(.lease(let number, let command)): answer(number, command)
                case .ask(let question, let body): ask(question, body)
                case .yieldPlace: keeper.drop()
                }
            }
            if !deletions.isEmpty && ContinuousClock.now >= nextDelete { deleteSome() }
            if wantsSession && keeper.untilNextAttempt == .zero { connect() }
            if messages.isEmpty { idle() }
        }
        keeper.drop()
    }

    /// The next chore may be far away.
    private var wantsSession: Bool { keeper.session == nil && keeper.isMissed }

    private mutating func connect() {
        do {
            try withSession { _ in }
            keeper.worked()
        } catch {
            keeper.failed(error)
        }
    }

    /// With a session of its own, or where PostgreSQL has no place for that, with that of the head reads.
    private mutating func withSession<R: Sendable>(
        _ work: @escaping @Sendable (LogSession) throws(LogError) -> R
    ) throws(LogError) -> R {
        if keeper.session == nil, shared.isCrowded { return try shared.run(work) }
        let session: LogSession
        do throws(LogError) {
            session = try keeper.ready()
        } catch {
            guard shared.noteFailure(error, isEssential: false) else { throw error }
            return try shared.run(work)
        }
        return try work(session)
    }

    private mutating func idle() {
        var timeout = deletions.isEmpty ? nil : max(.zero, ContinuousClock.now.duration(to: nextDelete))
        if wantsSession { timeout = min(timeout ?? keeper.untilNextAttempt, keeper.untilNextAttempt) }
        guard mailbox.wait(alongside: keeper.socket, timeout: timeout) else { return }
        do {
            try keeper.session?.connection.readArrived()
        } catch {
            // Made anew when something is to be done.
            keeper.drop()
        }
    }

    /// The oldest deletion; then a pause of nine times what it took, so that writers hardly notice, or where it is urgent of as much,
    /// so that they have half of the time.
    private mutating func deleteSome() {
        guard let deletion = deletions.first else { return }
        let outcome: LogSession.DeletionOutcome
        let started = ContinuousClock.now
        do {
            outcome = try withSession { session throws(LogError) in try session.delete(deletion) }
            keeper.metrics.answered(.deleteRows, since: started)
            keeper.worked()
        } catch {
            // Simply tried again: to do it twice does no harm.
            let isRefused = failed(.deleteRows, "delete dead rows", error)
            nextDelete = .now.advanced(by: isRefused ? refusedPause : max(.milliseconds(50), keeper.untilNextAttempt))
            return
        }
        let now = ContinuousClock.now
        nextDelete = now.advanced(by: started.duration(to: now) * (deletion.isUrgent ? 1 : relaxedPause))
        switch outcome {
        case .deleted(let count, let digest): deliver(.rowsDeleted(number: deletion.number, count: count, digest: digest))
        case .lost: deliver(.deletionRefused(number: deletion.number))
        case .othersDuty: deliver(.deletionLeft(number: deletion.number))
        case .nobodysDuty:
            // Somebody will take it, most likely this process.
            nextDelete = now.advanced(by: unclaimedPause)
            return
        }
        deletions.removeFirst()
    }

    /// Where the database is away the answer is at once that it is: the replica asks again.
    private mutating func answer(_ number: UInt64, _ command: LeaseCommand) {
        guard keeper.untilNextAttempt == .zero else {
            if case .releaseDuty = command { return }
            deliver(.lease(number: number, .failed(reason: "PostgreSQL is away")))
            return
        }
        do throws(LogError) {
            let start = ContinuousClock.now
            let answer: LeaseAnswer?
            switch command {
            case .round(let round):
                let (remainingMs, head) = try withSession { session throws(LogError) in try session.run(round) }
                answer = .roundDone(remainingMs: remainingMs, head: head)
            case .keepDuty(let holder, let termMs):
                switch try withSession({ session throws(LogError) in try session.keepDuty(holder: holder, termMs: termMs) }) {
                case .held(let taken): answer = .dutyAsked(.held(taken: taken, sessions: leaseSessions.value))
                case .heldByAnother(let forMs, let swept):
                    answer = .dutyAsked(.heldByAnother(forMs: Int(clamping: forMs), swept: swept))
                }
            case .releaseDuty(let holder):
                try withSession { session throws(LogError) in try session.releaseDuty(holder: holder) }
                answer = nil
            case .findDue(let holder, let limit):
                let (due, nextMs) = try withSession { session throws(LogError) in
                    try session.findDue(holder: holder, limit: limit)
                }
                answer = .dueFound(due, nextMs: nextMs, sessions: leaseSessions.value)
            }
            keeper.metrics.answered(.lease, since: start)
            keeper.worked()
            if let answer { deliver(.lease(number: number, answer)) }
        } catch {
            failed(.lease, command.chore, error)
            if case .releaseDuty = command { return }
            deliver(.lease(number: number, .failed(reason: error.description)))
        }
    }

    private mutating func ask(_ question: Question, _ body: @escaping @Sendable (Result<LogSession, LogError>) -> LogError?) {
        do {
            if let error = try withSession({ body(.success($0)) }) {
                failed(.ask, question.rawValue, error)
            } else {
                keeper.worked()
            }
        } catch {
            keeper.failed(error)
            _ = body(.failure(error))
        }
    }

    /// True where PostgreSQL is there, and refused this one thing: no outage, but told.
    @discardableResult
    private mutating func failed(_ operation: LogOperation, _ chore: String, _ error: LogError) -> Bool {
        guard case .refused(let state, _) = error, !SQLState.tellsOfPooler(state) else {
            keeper.failed(operation, error)
            return false
        }
        keeper.worked()
        refusals.note(operation, chore: chore, state: state, error)
        return true
    }
}

extension LeaseCommand {
    /// In a few words.
    fileprivate var chore: String {
        switch self {
        case .round: "set lease deadlines"
        case .keepDuty: "keep the steward's duty"
        case .releaseDuty: "give the duty back"
        case .findDue: "find expired leases"
        }
    }
}

/// Before it is tried again to delete where PostgreSQL refused it.
private let refusedPause: Duration = .seconds(1)

/// The pause after a statement that deletes, in multiples of what that took.
private let relaxedPause = 9

/// Before it is tried again to delete where the duty was nobody's.
private let unclaimedPause: Duration = .milliseconds(200)

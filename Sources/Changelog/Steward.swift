// Owns: the thread of the chores: deleting dead rows, paced, the leases' deadlines, the steward's duty, and the small questions
// about members and sizes.
// Must never: let a long deletion keep a question waiting for longer than one statement.
internal import DequeModule
internal import Keyspace
internal import Replica

struct Steward {
    enum Message: Sendable {
        case deleteRows(Deletion)
        case lease(number: UInt64, LeaseCommand)
        /// Something short, which answers for itself.
        case ask(@Sendable (Result<LogSession, LogError>) -> Void)
    }

    private let mailbox: Mailbox<Message>
    private var keeper: SessionKeeper
    private let settings: LogSettings
    private let leaseSessions: SessionCount
    private let deliver: @Sendable (LogEvent) -> Void
    private var deletions: Deque<Deletion> = []
    /// When the next delete statement is due.
    private var nextDelete: ContinuousClock.Instant = .now

    init(
        mailbox: Mailbox<Message>, keeper: SessionKeeper, settings: LogSettings, leaseSessions: SessionCount,
        deliver: @escaping @Sendable (LogEvent) -> Void
    ) {
        self.mailbox = mailbox
        self.keeper = keeper
        self.settings = settings
        self.leaseSessions = leaseSessions
        self.deliver = deliver
    }

    mutating func run() {
        while let messages = mailbox.take() {
            for message in messages {
                switch message {
                case .deleteRows(let order): deletions.append(order)
                case .lease(let number, let command): answer(number, command)
                case .ask(let question): ask(question)
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
            _ = try keeper.ready()
            keeper.worked()
        } catch {
            keeper.failed(error)
        }
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
            let session = try keeper.ready()
            let start = ContinuousClock.now
            outcome = try session.delete(deletion)
            keeper.metrics.answered(.deleteRows, since: start)
            keeper.worked()
        } catch {
            // Simply tried again: to do it twice does no harm.
            keeper.failed(.deleteRows, error)
            nextDelete = .now.advanced(by: max(.milliseconds(50), keeper.untilNextAttempt))
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
            let session = try keeper.ready()
            let start = ContinuousClock.now
            let answer: LeaseAnswer?
            switch command {
            case .round(let round):
                let (remainingMs, head) = try session.run(round)
                answer = .roundDone(remainingMs: remainingMs, head: head)
            case .keepDuty(let holder, let termMs):
                switch try session.keepDuty(holder: holder, termMs: termMs) {
                case .held(let taken): answer = .dutyAsked(.held(taken: taken, sessions: leaseSessions.value))
                case .heldByAnother(let forMs, let swept):
                    answer = .dutyAsked(.heldByAnother(forMs: Int(clamping: forMs), swept: swept))
                }
            case .releaseDuty(let holder):
                try session.releaseDuty(holder: holder)
                answer = nil
            case .findDue(let holder, let limit):
                let (due, nextMs) = try session.findDue(holder: holder, limit: limit)
                answer = .dueFound(due, nextMs: nextMs, sessions: leaseSessions.value)
            }
            keeper.metrics.answered(.lease, since: start)
            keeper.worked()
            if let answer { deliver(.lease(number: number, answer)) }
        } catch {
            keeper.failed(.lease, error)
            if case .releaseDuty = command { return }
            deliver(.lease(number: number, .failed(reason: error.description)))
        }
    }

    private mutating func ask(_ question: @Sendable (Result<LogSession, LogError>) -> Void) {
        do {
            question(.success(try keeper.ready()))
            if keeper.session?.isOpen == true { keeper.worked() } else { keeper.drop() }
        } catch {
            keeper.failed(error)
            question(.failure(error))
        }
    }
}

/// The pause after a statement that deletes, in multiples of what that took.
private let relaxedPause = 9

/// Before it is tried again to delete where the duty was nobody's.
private let unclaimedPause: Duration = .milliseconds(200)

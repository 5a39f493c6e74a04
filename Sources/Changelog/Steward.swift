// Owns: the thread of the chores: deleting dead rows, paced, the leases' deadlines, the steward's duty, and the small questions
// about members and sizes.
// Must never: let a long deletion keep a question waiting for longer than one statement.
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
    private var deletions: [Work] = []
    /// When the next delete statement is due.
    private var nextDelete: ContinuousClock.Instant = .now

    private struct Work {
        var order: Deletion
        var positions: ArraySlice<Position>
        var deleted: Int
        /// The session, by its number, on which the log said that it has what was deleted before, and on which all since was deleted.
        var checkedOn: UInt64?

        init(_ order: Deletion, deleted: Int = 0) {
            self.order = order
            self.deleted = deleted
            // In the order of the primary key, so that two stewards at once lock rows in the same order.
            positions = order.positions.sorted()[...]
        }
    }

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
                case .deleteRows(let order): deletions.append(Work(order))
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

    /// One statement's worth of the oldest deletion; then a pause of nine times what it took, so that writers hardly notice, or where
    /// it is urgent of as much, so that they have half of the time.
    private mutating func deleteSome() {
        guard var deletion = deletions.first else { return }
        let started = ContinuousClock.now
        var isTold = true
        do {
            let session = try keeper.ready()
            let start = ContinuousClock.now
            let swept = deletion.order.swept
            if deletion.checkedOn != keeper.sessionCount {
                // Another server may lack what was done so far. Deleting twice does no harm. And it may lack the compaction, and learn later of
                // one to the same revision, in another history: by then a statement would have been passed over, and those behind it
                // would delete what made its rows dead.
                deletion = Work(deletion.order, deleted: deletion.deleted)
                guard try session.readSweep(compactedTo: swept.compactRevision)?.covers(deletion.order.after) == true else {
                    deletions.removeFirst()
                    deliver(.deletionRefused(number: deletion.order.number))
                    return
                }
                deletion.checkedOn = keeper.sessionCount
            }
            let part = deletion.positions.prefix(settings.limits.deleteRowLimit)
            deletion.positions = deletion.positions.dropFirst(part.count)
            if !part.isEmpty { deletion.deleted += try session.deleteRows(part, compactedTo: swept.compactRevision) }
            if deletion.positions.isEmpty { isTold = try session.advance(swept, holder: deletion.order.holder) }
            keeper.metrics.answered(.deleteRows, since: start)
            keeper.worked()
        } catch {
            // Simply tried again.
            keeper.failed(.deleteRows, error)
            nextDelete = .now.advanced(by: max(.milliseconds(50), keeper.untilNextAttempt))
            return
        }
        let now = ContinuousClock.now
        nextDelete = now.advanced(by: started.duration(to: now) * (deletion.order.isUrgent ? 1 : relaxedPause))
        if !isTold {
            // The duty has lapsed, and somebody will take it. Others that are not told keep what is dead in memory.
            deletion.checkedOn = nil
            deletions[0] = deletion
            nextDelete = now.advanced(by: untoldPause)
        } else if deletion.positions.isEmpty {
            deletions.removeFirst()
            deliver(.rowsDeleted(number: deletion.order.number, count: deletion.deleted))
        } else {
            deletions[0] = deletion
        }
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

/// Before it is tried again to say how far deleting has come.
private let untoldPause: Duration = .milliseconds(200)

// Owns: the connection that appends, one command at a time: the thread's, or for a moment that of a caller who asks by himself
// because nobody else does.
// Must never: leave a command without its answer while the log is open.
// Invariant: while `begun` is set its statement is under way on the session, or was, and nobody sends another before it is ended.
internal import Bytes
internal import CLibPQ
internal import Keyspace
internal import Replica
internal import Synchronization

/// What became of a command that a caller wanted to see to himself.
enum ExchangeOutcome: Sendable {
    case answered(LogEvent)
    /// It is under way, and will be answered like any other.
    case underWay
    /// Nothing was sent.
    case declined
}

final class Appender: @unchecked Sendable {
    enum Message: Sendable {
        case command(LogCommand)
        /// What a caller has begun is to be ended.
        case finish
    }

    /// A statement that a caller has sent.
    private struct Exchange {
        var command: LogCommand
        var start: ContinuousClock.Instant
        var stage = Stage.sent

        enum Stage {
            case sent
            /// Answered: there are other rows in the place of the append's.
            case conflicted
            case failed(LogError)
        }
    }

    private let mailbox: Mailbox<Message>
    private let settings: LogSettings
    private let deliver: @Sendable (LogEvent) -> Void
    /// Called after each own append, so that others may hear of it.
    private let hint: @Sendable () -> Void
    /// Held by whoever uses what follows.
    private let desk = Mutex(())
    private var keeper: SessionKeeper
    /// When the head row's lock is given back if no append has come.
    private var lockDeadline: ContinuousClock.Instant?
    private var begun: Exchange?
    /// How long PostgreSQL takes to answer a caller's command, on average.
    private var usual: (append: Duration, read: Duration) = (.milliseconds(1), .milliseconds(1))

    init(
        mailbox: Mailbox<Message>, keeper: SessionKeeper, settings: LogSettings,
        deliver: @escaping @Sendable (LogEvent) -> Void, hint: @escaping @Sendable () -> Void
    ) {
        self.mailbox = mailbox
        self.keeper = keeper
        self.settings = settings
        self.deliver = deliver
        self.hint = hint
    }

    /// The rows that come with a conflict, a lock or a recovery; what lies beyond is read by `readTail`.
    private static let tailLimit = 10_000
    /// A caller sends no more than this, in bytes: it goes into the socket at once.
    private static let exchangeByteLimit = 32 << 10

    // MARK: The thread

    func run() {
        desk.withLock { _ in connect() }
        while let messages = mailbox.take() {
            desk.withLock { _ in
                endExchange()
                for case .command(let command) in messages { answer(command) }
            }
            if messages.isEmpty { idle() }
        }
        desk.withLock { _ in keeper.drop() }
    }

    // MARK: Between commands

    /// Waits for a command, keeping the connection alive meanwhile, so that the next append need not find out that it is gone.
    private func idle() {
        let (socket, timeout) = desk.withLock { _ -> (Int32, Duration?) in
            prepareForCallers()
            if keeper.session == nil { return (-1, keeper.untilNextAttempt) }
            return (keeper.socket, lockDeadline.map { max(.zero, ContinuousClock.now.duration(to: $0)) })
        }
        // Not for data: what comes is a caller's answer.
        let hasEnded = mailbox.wait(alongside: socket, events: PINE_POLLRDHUP, timeout: timeout)
        desk.withLock { _ in
            endExchange()
            if let lockDeadline, ContinuousClock.now >= lockDeadline { unlock() }
            if keeper.session == nil {
                lockDeadline = nil
                if keeper.untilNextAttempt == .zero { connect() }
            } else if hasEnded, socket == keeper.socket {
                do throws(LogError) {
                    keeper.session?.connection.takeOver()
                    try keeper.session?.connection.readArrived()
                } catch {
                    lockDeadline = nil
                    keeper.failed(error)
                }
            }
        }
    }

    /// Callers send only what needs no round trip before it.
    private func prepareForCallers() {
        guard begun == nil, lockDeadline == nil, let session = keeper.session else { return }
        session.connection.takeOver()
        do {
            try session.prepareForCallers()
        } catch {
            keeper.failed(error)
        }
    }

    private func connect() {
        do {
            _ = try keeper.ready()
            keeper.worked()
        } catch {
            keeper.failed(error)
        }
    }

    // MARK: A caller's command

    /// Sends an append or a read of the head on the caller's thread, if nobody else has anything to do with the connection, and with
    /// `mayWait` waits for the answer where it can't be long.
    func exchange(_ command: LogCommand, mayWait: Bool) -> ExchangeOutcome {
        guard command.fitsExchange(Self.exchangeByteLimit), mailbox.isOwnerAsleep else { return .declined }
        return desk.withLockIfAvailable { _ in begin(command, mayWait: mayWait) } ?? .declined
    }

    private func begin(_ command: LogCommand, mayWait: Bool) -> ExchangeOutcome {
        guard begun == nil, lockDeadline == nil, let session = keeper.session, session.isOpen, !session.holdsHeadLock else {
            return .declined
        }
        session.connection.takeOver()
        var exchange = Exchange(command: command, start: .now)
        do throws(LogError) {
            let usual: Duration
            if case .append(let batch) = command {
                guard try session.startAppend(batch) else { return .declined }
                usual = self.usual.append
            } else {
                guard try session.startReadHead() else { return .declined }
                usual = self.usual.read
            }
            if mayWait, usual <= settings.limits.callerWait, try session.connection.awaitAnswer(usual * 2) {
                if let event = try end(exchange, session) { return .answered(event) }
                exchange.stage = .conflicted
            }
        } catch {
            exchange.stage = .failed(error)
        }
        begun = exchange
        mailbox.put(.finish)
        return .underWay
    }

    /// The answer of what is under way; nil where an append found other rows in its place.
    private func end(_ exchange: Exchange, _ session: LogSession) throws(LogError) -> LogEvent? {
        let event: LogEvent
        if case .append(let batch) = exchange.command {
            guard try session.finishAppend(batch) else { return nil }
            appended(batch, since: exchange.start)
            usual.append = (usual.append * 7 + exchange.start.duration(to: .now)) / 8
            event = .appended(number: batch.number)
        } else {
            event = .headRead(try session.finishReadHead())
            keeper.metrics.answered(.readHead, since: exchange.start)
            usual.read = (usual.read * 7 + exchange.start.duration(to: .now)) / 8
        }
        session.noteExchange(event, since: exchange.start)
        keeper.worked()
        return event
    }

    /// Ends what a caller has begun, if anything.
    private func endExchange() {
        guard var exchange = begun else { return }
        begun = nil
        if case .sent = exchange.stage, let session = keeper.session {
            session.connection.takeOver()
            do throws(LogError) {
                if let event = try end(exchange, session) { return deliver(event) }
                exchange.stage = .conflicted
            } catch {
                exchange.stage = .failed(error)
            }
        }
        switch (exchange.stage, exchange.command) {
        case (.conflicted, .append(let batch)): reportConflict(batch)
        // The server undid it because of concurrent statements: the way that tries again.
        case (.failed(.refused(let state, _)), let command) where SQLState.isRetryable(state): answer(command)
        case (.failed(let error), .append(let batch)): failed(batch, error)
        case (.failed(let error), _): failedToReadHead(error)
        default: violated("an exchange ends with an answer or an error")
        }
    }

    // MARK: Commands

    private func answer(_ command: LogCommand) {
        keeper.session?.connection.takeOver()
        switch command {
        case .append(let batch): append(batch)
        case .lockHead(let position, let expiring):
            do {
                unlock()
                let session = try keeper.ready()
                let start = ContinuousClock.now
                let locked = try session.lockHead(after: position, expiring: expiring, limit: Self.tailLimit)
                keeper.metrics.answered(.lockHead, since: start)
                lockDeadline = .now.advanced(by: settings.limits.lockHoldLimit)
                keeper.worked()
                deliver(.headLocked(locked.tail, expired: locked.expired))
            } catch {
                keeper.failed(.lockHead, error)
                // Asked again at once, we would only run in circles.
                if keeper.waitForNextAttempt() { deliver(.lockFailed(reason: error.description)) }
            }
        case .unlockHead(let keepingRemovals): unlock(keepingRemovals: keepingRemovals)
        case .recover(let position): recover(after: position)
        case .readHead:
            do {
                let start = ContinuousClock.now
                let head = try keeper.ready().readHead()
                keeper.metrics.answered(.readHead, since: start)
                keeper.worked()
                deliver(.headRead(head))
            } catch {
                failedToReadHead(error)
            }
        case .readTail, .readHistory, .readValues, .deleteRows, .lease: break
        }
    }

    private func append(_ batch: AppendBatch) {
        lockDeadline = nil
        do {
            let session = try keeper.ready()
            let start = ContinuousClock.now
            let outcome = try session.append(batch)
            keeper.worked()
            switch outcome {
            case .appended:
                appended(batch, since: start)
                deliver(.appended(number: batch.number))
            case .conflicted(let tail): deliver(.conflicted(number: batch.number, tail: tail))
            }
        } catch {
            failed(batch, error)
        }
    }

    private func appended(_ batch: AppendBatch, since start: ContinuousClock.Instant) {
        keeper.metrics.appended(rows: batch.rows.count, bytes: batch.byteCount, since: start)
        hint()
    }

    private func reportConflict(_ batch: AppendBatch) {
        do throws(LogError) {
            guard let session = keeper.session else { throw LogError.lost("a moment ago") }
            guard case .conflicted(let tail) = try session.readConflict(batch) else { violated("a conflict has a tail") }
            keeper.worked()
            deliver(.conflicted(number: batch.number, tail: tail))
        } catch {
            failed(batch, error)
        }
    }

    private func failed(_ batch: AppendBatch, _ error: LogError) {
        keeper.failed(.append, error)
        // What the server refuses now it will refuse again: not at full speed.
        if case .refused = error, !keeper.waitForNextAttempt() { return }
        deliver(.appendLost(number: batch.number, reason: error.description))
    }

    private func failedToReadHead(_ error: LogError) {
        keeper.failed(.readHead, error)
        deliver(.headReadFailed(reason: error.description))
    }

    private func recover(after position: Position) {
        lockDeadline = nil
        // A new connection, because the old one's server side may still be running what we don't know the outcome of.
        keeper.drop()
        while true {
            do {
                let session = try keeper.ready()
                let start = ContinuousClock.now
                let tail = try session.recover(after: position, limit: Self.tailLimit)
                keeper.metrics.answered(.recover, since: start)
                keeper.worked()
                deliver(.recovered(tail))
                return
            } catch {
                keeper.failed(.recover, error)
                // The server may still be at the statement that failed here: each attempt has its own connection.
                keeper.drop()
                if !keeper.waitForNextAttempt() { return }
            }
        }
    }

    private func unlock(keepingRemovals: Bool = false) {
        lockDeadline = nil
        do {
            keeper.session?.connection.takeOver()
            try keeper.session?.releaseHeadLock(keepingRemovals: keepingRemovals)
        } catch {
            keeper.failed(error)
        }
    }
}

extension LogCommand {
    /// Whether a caller may send it by himself: a read of the head, or a small append that needs nothing done before.
    fileprivate func fitsExchange(_ byteLimit: Int) -> Bool {
        switch self {
        case .append(let batch): !batch.needsLock && batch.byteCount <= byteLimit
        case .readHead: true
        default: false
        }
    }
}

extension LogSession {
    /// Tells of an exchange that took long.
    fileprivate func noteExchange(_ event: LogEvent, since start: ContinuousClock.Instant) {
        let statement = if case .appended = event { statements.append } else { statements.readHead }
        connection.slowStatements?.note(statement.text, since: start)
    }
}

extension AppendBatch {
    /// The bytes of its keys and values.
    fileprivate var byteCount: Int { rows.reduce(0) { $0 + $1.key.count + $1.value.count } }
}

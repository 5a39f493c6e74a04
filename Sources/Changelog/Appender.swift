// Owns: the connection that appends, one command at a time. It is the thread's, or for a moment that of a caller who sends a
// statement himself because nobody else has one.
// Must never: leave a command without its answer while the log is open.
// Invariant: while `begun` is set its statement is under way on the session, or was, and nobody sends another before it is ended.
internal import Bytes
internal import CLibPQ
internal import Keyspace
internal import Replica
internal import Synchronization

final class Appender: @unchecked Sendable {
    enum Message: Sendable {
        case command(LogCommand)
        /// What a caller has begun is to be ended.
        case finish
    }

    /// A statement that a caller has sent, or failed to.
    private struct Exchange {
        var command: LogCommand
        var start: ContinuousClock.Instant
        var failure: LogError?
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

    /// Sends an append or a read of the head on the caller's thread, if nobody else has anything to do with the connection; false where
    /// nothing was sent. The thread waits for the answer: to wake it takes no longer than the server does to answer.
    func begin(_ command: LogCommand) -> Bool {
        guard command.fitsExchange(Self.exchangeByteLimit), mailbox.isOwnerAsleep else { return false }
        return desk.withLockIfAvailable { _ in send(command) } ?? false
    }

    private func send(_ command: LogCommand) -> Bool {
        guard begun == nil, lockDeadline == nil, let session = keeper.session, session.isOpen, !session.holdsHeadLock else {
            return false
        }
        session.connection.takeOver()
        var exchange = Exchange(command: command, start: .now)
        do throws(LogError) {
            let isSent = if case .append(let batch) = command { try session.startAppend(batch) } else { try session.startReadHead() }
            guard isSent else { return false }
        } catch {
            exchange.failure = error
        }
        begun = exchange
        mailbox.put(.finish)
        return true
    }

    /// Ends what a caller has begun, if anything.
    private func endExchange() {
        guard let exchange = begun else { return }
        begun = nil
        do throws(LogError) {
            if let failure = exchange.failure { throw failure }
            guard let session = keeper.session else { throw LogError.lost("a moment ago") }
            session.connection.takeOver()
            if case .append(let batch) = exchange.command {
                guard try session.finishAppend(batch) else { return reportConflict(batch) }
                session.note(session.statements.append, since: exchange.start)
                keeper.worked()
                appended(batch, since: exchange.start)
                deliver(.appended(number: batch.number))
            } else {
                let head = try session.finishReadHead()
                session.note(session.statements.readHead, since: exchange.start)
                keeper.metrics.answered(.readHead, since: exchange.start)
                keeper.worked()
                deliver(.headRead(head))
            }
        } catch {
            switch (error, exchange.command) {
            // The server undid it because of concurrent statements: the way that tries again.
            case (.refused(let state, _), let command) where SQLState.isRetryable(state): answer(command)
            case (_, .append(let batch)): failed(batch, error)
            default: failedToReadHead(error)
            }
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
    /// Tells of a statement that took long.
    fileprivate func note(_ statement: Statement, since start: ContinuousClock.Instant) {
        connection.slowStatements?.note(statement.text, since: start)
    }
}

extension AppendBatch {
    /// The bytes of its keys and values.
    fileprivate var byteCount: Int { rows.reduce(0) { $0 + $1.key.count + $1.value.count } }
}

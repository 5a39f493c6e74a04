// Owns: the thread that appends: one connection, one command at a time.
// Must never: leave a command without its answer while the log is open.
internal import Keyspace
internal import Replica

struct Appender {
    private let mailbox: Mailbox<LogCommand>
    private var keeper: SessionKeeper
    private let settings: LogSettings
    private let deliver: @Sendable (LogEvent) -> Void
    /// Called after each own append, so that others may hear of it.
    private let hint: @Sendable () -> Void
    /// When the head row's lock is given back if no append has come.
    private var lockDeadline: ContinuousClock.Instant?

    init(
        mailbox: Mailbox<LogCommand>, keeper: SessionKeeper, settings: LogSettings,
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

    mutating func run() {
        connect()
        while let commands = mailbox.take() {
            for command in commands { answer(command) }
            if commands.isEmpty { idle() }
        }
        keeper.drop()
    }

    // MARK: Between commands

    /// Waits for a command, keeping the connection alive meanwhile, so that the next append need not find out that it is gone.
    private mutating func idle() {
        var timeout: Duration?
        if let lockDeadline { timeout = max(.zero, ContinuousClock.now.duration(to: lockDeadline)) }
        if keeper.session == nil { timeout = keeper.untilNextAttempt }
        let readable = mailbox.wait(alongside: keeper.socket, timeout: timeout)
        if let lockDeadline, ContinuousClock.now >= lockDeadline { unlock() }
        if keeper.session == nil {
            lockDeadline = nil
            if keeper.untilNextAttempt == .zero { connect() }
        } else if readable {
            do {
                try keeper.session?.connection.readArrived()
            } catch {
                lockDeadline = nil
                keeper.failed(error)
            }
        }
    }

    private mutating func connect() {
        do {
            _ = try keeper.ready()
            keeper.worked()
        } catch {
            keeper.failed(error)
        }
    }

    // MARK: Commands

    private mutating func answer(_ command: LogCommand) {
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
        case .readHead, .readTail, .readHistory, .readValues, .deleteRows, .lease: break
        }
    }

    private mutating func append(_ batch: AppendBatch) {
        lockDeadline = nil
        do {
            let session = try keeper.ready()
            let start = ContinuousClock.now
            let outcome = try session.append(batch)
            keeper.worked()
            switch outcome {
            case .appended:
                let bytes = batch.rows.reduce(0) { $0 + $1.key.count + $1.value.count }
                keeper.metrics.appended(rows: batch.rows.count, bytes: bytes, since: start)
                deliver(.appended(number: batch.number))
                hint()
            case .conflicted(let tail): deliver(.conflicted(number: batch.number, tail: tail))
            }
        } catch {
            keeper.failed(.append, error)
            // What the server refuses now it will refuse again: not at full speed.
            if case .refused = error, !keeper.waitForNextAttempt() { return }
            deliver(.appendLost(number: batch.number, reason: error.description))
        }
    }

    private mutating func recover(after position: Position) {
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

    private mutating func unlock(keepingRemovals: Bool = false) {
        lockDeadline = nil
        do {
            try keeper.session?.releaseHeadLock(keepingRemovals: keepingRemovals)
        } catch {
            keeper.failed(error)
        }
    }
}

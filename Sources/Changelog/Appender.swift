// Owns: the thread that appends: one connection; one command at a time, but for appends, which are sent on while those before them
// are being made durable.
// Must never: leave a command without its answer while the log is open; answer an append before those that were sent before it.
// Invariant: batches under way were sent on the session that there is now; between other commands there are none.
internal import Keyspace
internal import Mailboxes
internal import Replica

/// A batch that is under way, and when it was sent.
private struct SentBatch {
    let batch: AppendBatch
    let sentAt: ContinuousClock.Instant
}

struct Appender {
    private let mailbox: LogMailbox<AppendCommand>
    private var keeper: SessionKeeper
    private let settings: LogSettings
    private let leaseSessions: SessionCount
    private let deliver: @Sendable (LogEvent) -> Void
    /// Called after each own append, so that others may hear of it.
    private let hint: @Sendable () -> Void
    /// When the head row's lock is given back if no append has come.
    private var lockDeadline: ContinuousClock.Instant?
    /// When the server last heard that we are still there which hold it.
    private var lockKept: ContinuousClock.Instant = .now
    /// Sent and not answered, oldest first.
    private var underWay: [SentBatch] = []
    /// The last command, where that was an append that has conflicted, and the head that it met.
    private var lastLost: (batch: AppendBatch, head: Head)?
    /// When one was last answered: the next had to wait for it, and its time begins then.
    private var lastSettled: ContinuousClock.Instant = .now

    init(
        mailbox: LogMailbox<AppendCommand>, keeper: SessionKeeper, settings: LogSettings, leaseSessions: SessionCount,
        deliver: @escaping @Sendable (LogEvent) -> Void, hint: @escaping @Sendable () -> Void
    ) {
        self.mailbox = mailbox
        self.keeper = keeper
        self.settings = settings
        self.leaseSessions = leaseSessions
        self.deliver = deliver
        self.hint = hint
    }

    /// The rows that come with a recovery; what lies beyond is read by `readTail`.
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
        guard underWay.isEmpty else { return idleBesideAppends() }
        var timeout: Duration?
        if let lockDeadline {
            timeout = max(.zero, ContinuousClock.now.duration(to: min(lockDeadline, lockKept.advanced(by: lockKeepInterval))))
        }
        if keeper.session == nil { timeout = keeper.untilNextAttempt }
        let readable = mailbox.wait(alongside: keeper.socket, timeout: timeout)
        if lockDeadline != nil { tendLock() }
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

    private var lockKeepInterval: Duration { settings.limits.lockHoldLimit / 2 }

    /// How long the lock is held while an append is prepared: others' rows have to be read, on a slow link, and a large expiry's to be made.
    private func lockHold(for expiring: LeaseExpiry?, on session: LogSession) -> Duration {
        let limits = settings.limits
        let reading = min(session.connection.load.time(forBytes: limits.lockHoldReadBytes), limits.lockHoldReadLimit)
        return limits.lockHoldLimit + reading + limits.lockHold(for: expiring)
    }

    /// Gives the lock back once it was held for long enough; until then the server hears that somebody is at work.
    private mutating func tendLock() {
        let now = ContinuousClock.now
        if let lockDeadline, now >= lockDeadline { return unlock() }
        guard now >= lockKept.advanced(by: lockKeepInterval) else { return }
        lockKept = now
        do {
            try keeper.session?.keepHeadLock()
        } catch {
            lockDeadline = nil
            keeper.failed(error)
        }
    }

    /// Waits for a command or for what the batches under way come to.
    private mutating func idleBesideAppends() {
        do throws(LogError) {
            guard let session = keeper.session else { throw LogError.lost("it is closed") }
            let connection = session.connection
            let hasMore = try connection.sendMore()
            let now = ContinuousClock.now
            let end = connection.silenceEnd(within: settings.limits.appendLimit)
            guard now < end else { throw connection.giveUp() }
            let timeout = min(now.duration(to: end), connection.nextLook ?? .seconds(3600))
            if mailbox.wait(alongside: connection.socket, untilWritable: hasMore, timeout: timeout) {
                try connection.readArrived()
                try settleArrived(session)
            }
        } catch {
            lose(error)
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

    private mutating func answer(_ command: AppendCommand) {
        switch command {
        case .append(let batch): append(batch)
        case .lockHead(let expiring, let extraMs):
            settleBefore()
            lock(expiring, extraMs: extraMs)
        case .unlockHead(let keepingRemovals):
            settleBefore()
            unlock(keepingRemovals: keepingRemovals)
        case .recover(let position):
            settleBefore()
            recover(after: position)
        }
    }

    /// What is under way has ended before a command begins that is no append.
    private mutating func settleBefore() {
        settleAll()
        lastLost = nil
    }

    private mutating func lock(_ expiring: LeaseExpiry?, extraMs: Int) {
        do {
            unlock()
            let session = try keeper.ready()
            let start = ContinuousClock.now
            let locked = try session.lockHead(expiring: expiring, extra: .milliseconds(extraMs))
            keeper.metrics.answered(.lockHead, since: start)
            lockKept = .now
            lockDeadline = lockKept.advanced(by: lockHold(for: expiring, on: session) + .milliseconds(extraMs))
            keeper.worked()
            deliver(.headLocked(locked.head, expired: locked.expired, sessions: leaseSessions.value))
        } catch {
            keeper.failed(.lockHead, error)
            // Asked again at once, we would only run in circles.
            if keeper.waitForNextAttempt() { deliver(.lockFailed(reason: error.description)) }
        }
    }

    // MARK: Appends

    private mutating func append(_ batch: AppendBatch) {
        lockDeadline = nil
        // A connection that was lost is made anew only once all that was sent on it is answered. A batch that rests on nothing that is
        // under way would not share its fate.
        if keeper.session?.isOpen != true || keeper.session?.maySendAhead(batch) != true || !follows(batch) { settleAll() }
        if underWay.isEmpty, let lost = lastLost, batch.follows(lost.batch) { return pass(over: batch, head: lost.head) }
        do throws(LogError) {
            let session = try keeper.ready()
            let sent = SentBatch(batch: batch, sentAt: .now)
            guard session.maySendAhead(batch) else { return try answer(sent, session.append(batch)) }
            underWay.append(sent)
            try session.startAppend(batch)
        } catch {
            if underWay.last?.batch.number != batch.number { underWay.append(SentBatch(batch: batch, sentAt: .now)) }
            lose(error)
        }
    }

    /// It was handed in before anybody knew that the one has conflicted on which it rests. On a slow link that takes as long as the tail
    /// that is read meanwhile: sent nevertheless it would cost its own bytes, and the same tail once more, for which nobody waits.
    private mutating func pass(over batch: AppendBatch, head: Head) {
        lastLost = (batch, head)
        deliver(.conflicted(number: batch.number, tail: Tail(head: head, rows: [], reachesHead: false)))
    }

    private func follows(_ batch: AppendBatch) -> Bool { underWay.last.map { batch.follows($0.batch) } ?? true }

    /// Answers the batches whose outcomes have arrived.
    private mutating func settleArrived(_ session: LogSession) throws(LogError) {
        while !underWay.isEmpty, let inserted = try session.takeAppended() { try settle(inserted, session) }
    }

    /// Waits for whatever is under way, and answers it.
    private mutating func settleAll() {
        do throws(LogError) {
            while !underWay.isEmpty {
                guard let session = keeper.session else { throw LogError.lost("it is closed") }
                try settle(session.awaitAppended(), session)
            }
        } catch {
            lose(error)
        }
    }

    /// The oldest batch under way has ended so. If it has not been appended, those behind it have not been either: each expects what
    /// it would have left.
    private mutating func settle(_ inserted: Result<Int, LogError>, _ session: LogSession) throws(LogError) {
        guard let first = underWay.first else { return }
        if case .success(first.batch.rows.count) = inserted {
            underWay.removeFirst()
            session.noteSlowAppend(since: max(first.sentAt, lastSettled))
            try answer(first, .appended)
            return
        }
        for behind in underWay.dropFirst() {
            if case .success(let count) = try session.awaitAppended(), count > 0 {
                throw LogError.malformed("batch \(behind.batch.number) was appended without the one before it")
            }
        }
        while let next = underWay.first {
            let isFirst = next.batch.number == first.batch.number
            let outcome = try isFirst ? session.settle(next.batch, inserted) : session.append(next.batch)
            guard case .conflicted(let tail) = outcome else {
                underWay.removeFirst()
                try answer(next, outcome)
                continue
            }
            let conflicted = underWay
            underWay = []
            for sent in conflicted { try answer(sent, .conflicted(tail)) }
        }
    }

    private mutating func answer(_ sent: SentBatch, _ outcome: AppendOutcome) throws(LogError) {
        keeper.worked()
        switch outcome {
        case .appended:
            lastLost = nil
            lastSettled = .now
            keeper.metrics.appended(rows: sent.batch.rows.count, bytes: sent.batch.byteCount, since: sent.sentAt)
            deliver(.appended(number: sent.batch.number))
            hint()
        case .conflicted(let tail):
            lastLost = (sent.batch, tail.head)
            deliver(.conflicted(number: sent.batch.number, tail: tail))
        }
    }

    /// None of the batches under way has an outcome that is known.
    private mutating func lose(_ error: LogError) {
        let lost = underWay
        underWay = []
        lastLost = nil
        // What is still to come of them is nobody's.
        if let session = keeper.session, session.connection.sentAhead > 0 {
            if let first = lost.first { session.noteSlowAppend(since: max(first.sentAt, lastSettled), error: error) }
            session.close()
        }
        keeper.failed(.append, error)
        // What the server refuses now it will refuse again: not at full speed.
        if case .refused = error, !keeper.waitForNextAttempt() { return }
        for sent in lost { deliver(.appendLost(number: sent.batch.number, reason: error.description)) }
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

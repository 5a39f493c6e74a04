// Owns: a process's thread that appends: one command at a time, but for appends, of which the next may be sent while the one before is
// under way; and the head row's lock while it has it. What Changelog's Appender promises is what this does, at its worst.
// Must never: answer a command twice, or not at all while its process lives.
internal import Keyspace
internal import LogModel
internal import Replica

final class AppendThread {
    private let world: World
    private unowned let process: SimulatedProcess
    let connection: LogConnection
    private var jobs = JobQueue<AppendCommand>()
    /// Appends that were sent and are not answered, and those of them that are known to have been refused.
    private var appending = 0
    private var lastAppend: AppendBatch?
    private var refused: [AppendBatch] = []
    /// The last command, where that was an append that lost its race: what rests on it need not be sent. See Appender in Changelog.
    private var lastLost: AppendBatch?
    private var lockNumber = 0

    init(_ connection: LogConnection) {
        self.connection = connection
        world = connection.world
        process = connection.process
    }

    private var log: SimulatedLog { world.log }

    func submit(_ command: AppendCommand) {
        jobs.add(command)
        startNext()
        sendAhead()
    }

    func end() {
        jobs.clear()
        connection.end()
    }

    private func startNext() {
        switch jobs.begin() {
        case nil: break
        case .append(let batch): append(batch)
        case .lockHead(let expiring, let extraMs): lockHead(expiring, extraMs: extraMs)
        case .unlockHead(let keepingRemovals): unlock(keepingRemovals: keepingRemovals) { self.done(nil) }
        case .recover(let position):
            connection.disconnect()
            recover(after: position)
        }
    }

    private func done(_ event: LogEvent?) {
        jobs.end()
        if let event { process.post(.log(event)) }
        startNext()
    }

    // MARK: Appends

    private func append(_ batch: AppendBatch) {
        lockNumber += 1
        if world.swarm.heaviness != nil, let lost = lastLost, batch.follows(lost) {
            lastLost = batch
            return done(.conflicted(number: batch.number, tail: Tail(head: log.tables.head, rows: [], reachesHead: false)))
        }
        lastLost = nil
        connection.withSession { [self] session in
            guard let session else { return done(.appendLost(number: batch.number, reason: "cut")) }
            send(batch, session)
            sendAhead()
        }
    }

    private func send(_ batch: AppendBatch, _ session: SessionID) {
        appending += 1
        lastAppend = batch
        if appending > 1 { world.pipelinedAppends += 1 }
        let execute = { [self] (finish: @escaping (Bool) -> Void) in
            connection.whenFree(session, { [self] in finish(world.append(batch, session)) }, orElse: { finish(false) })
        }
        connection.ask(bytes: batch.wireBytes, rows: batch.rows.count, execute) { [self] in appended(batch, $0) }
    }

    /// Sends the next append behind those that are under way, if it rests on them and they may still get into the log.
    private func sendAhead() {
        guard appending > 0, refused.isEmpty, connection.flightCount == appending, let session = connection.session,
            log.lockHolder != session,
            case .append(let batch) = jobs.first, !batch.needsLock, let lastAppend, batch.follows(lastAppend)
        else { return }
        jobs.removeFirst()
        lockNumber += 1
        send(batch, session)
    }

    private func appended(_ batch: AppendBatch, _ inserted: Bool?) {
        appending -= 1
        switch inserted {
        case nil:
            // What was refused before it is answered in its turn.
            for earlier in refused + [batch] { process.post(.log(.appendLost(number: earlier.number, reason: "cut"))) }
            refused = []
        case true?:
            process.post(.log(.appended(number: batch.number)))
            world.hintOthers(than: process)
        case false?:
            world.say("process \(process.index) has lost a race with \(batch.rows.count) rows of \(batch.wireBytes) bytes")
            refused.append(batch)
        }
        guard appending == 0 else { return sendAhead() }
        guard let first = refused.first else { return done(nil) }
        let read = { [self] (finish: @escaping (Tail) -> Void) in finish(tail(after: first.tailStart)) }
        connection.ask(answerBytes: \.wireBytes, read) { [self] tail in
            for earlier in refused {
                process.post(
                    .log(
                        tail.map { .conflicted(number: earlier.number, tail: $0) }
                            ?? .appendLost(number: earlier.number, reason: "cut")))
            }
            if tail != nil { lastLost = refused.last }
            refused = []
            done(nil)
        }
    }

    /// What comes with a conflict or a recovery, as much as one answer takes.
    private func tail(after position: Position) -> Tail {
        log.tables.tail(after: position, limit: tailLimit, byteLimit: world.swarm.heaviness == nil ? .max : tailByteLimit)
    }

    // MARK: The head row's lock

    private func lockHead(_ expiring: LeaseExpiry?, extraMs: Int) {
        unlock(keepingRemovals: false) { [self] in
            connection.withSession { [self] session in
                guard let session else { return done(.lockFailed(reason: "away")) }
                let holdMs = lockHoldMs(for: expiring) + extraMs
                askForLock(expiring, session, holdMs: holdMs, until: world.now + UInt64(lockLimitMs) * 1_000)
            }
        }
    }

    /// Asks again while the server says that somebody else has the lock.
    private func askForLock(_ expiring: LeaseExpiry?, _ session: SessionID, holdMs: Int, until end: TrueTime) {
        let lock = { [self] (finish: @escaping (LogEvent?) -> Void) in
            let startedAt = world.now
            connection.whenFree(
                session,
                { [self] in
                    let expired = log.lockHead(expiring, session, startedAt: startedAt)
                    // The server doesn't wait for ever for a client that holds it.
                    let count = log.lockCount
                    world.plan(after: 2 * holdMs * 1_000) { [self] in connection.endIdleLock(session, count) }
                    finish(.headLocked(log.tables.head, expired: expired, sessions: process.leaseSessions))
                }, orElse: { finish(nil) })
        }
        connection.ask(lock) { [self] (locked: LogEvent??) in
            if case .some(nil) = locked, world.now < end { return askForLock(expiring, session, holdMs: holdMs, until: end) }
            world.say("process \(process.index) has \(locked == nil ? "not got" : "got") the lock")
            lockNumber += 1
            let number = lockNumber
            connection.after(holdMs * 1_000) { [self] in
                guard lockNumber == number, !jobs.isBusy, connection.session == session else { return }
                jobs.beginAside()
                unlock(keepingRemovals: false) { self.done(nil) }
            }
            done((locked ?? nil) ?? .lockFailed(reason: "cut"))
        }
    }

    /// How long the lock is held while nothing is appended: for longer where others' rows have to be read on a slow link, or many are to be
    /// made. See Appender and LogSettings in Changelog.
    private func lockHoldMs(for expiring: LeaseExpiry?) -> Int {
        guard let heavy = world.swarm.heaviness, heavy.rules.holdsLockForWork else { return Self.lockHoldMs }
        let readingMs = heavy.links[process.index].bytesPerSecond.map { min(2 * Self.lockHoldReadBytes * 1_000 / $0, 4_000) } ?? 0
        return Self.lockHoldMs + readingMs + (expiring?.rowCount ?? 0) * Self.lockHoldMsPerRow
    }

    private func unlock(keepingRemovals: Bool, _ then: @escaping () -> Void) {
        lockNumber += 1
        guard let session = connection.session, log.lockHolder == session else { return then() }
        world.say("process \(process.index) gives the lock back")
        let release = { [self] (finish: @escaping (Bool) -> Void) in
            log.releaseLock(session, commits: keepingRemovals)
            finish(true)
        }
        connection.ask(release) { _ in then() }
    }

    // MARK: Recovery

    private func recover(after position: Position) {
        connection.withSession { [self] session in
            guard let session else { return recover(after: position) }
            let raise = { [self] (finish: @escaping (Tail?) -> Void) in
                connection.whenFree(
                    session,
                    { [self] in
                        world.raiseEpoch(process)
                        finish(tail(after: position))
                    }, orElse: { finish(nil) })
            }
            connection.ask(limitMs: 30_000, answerBytes: { $0?.wireBytes ?? fixedMessageBytes }, raise) { [self] (tail: Tail??) in
                if let tail = tail ?? nil { return done(.recovered(tail)) }
                if case .some(nil) = tail { return recover(after: position) }
                connection.disconnect(backoffMs: 50)
                recover(after: position)
            }
        }
    }
}

extension AppendThread {
    /// How long the head row stays locked for a process that doesn't go on, in milliseconds; the server waits twice as long.
    private static let lockHoldMs = 500
    /// So many bytes of others' rows may have to be read meanwhile: 512 KiB on the scale of heavy worlds.
    private static let lockHoldReadBytes = 13_000
    /// A row of a heavy world stands for a hundred, which take 100 µs each.
    private static let lockHoldMsPerRow = 10
}

/// For how long the lock is asked for.
private let lockLimitMs = 10_000

/// The rows that come with a conflict or a recovery.
private let tailLimit = 10_000
/// The same in bytes: 8 MiB on the scale of heavy worlds.
private let tailByteLimit = 200_000

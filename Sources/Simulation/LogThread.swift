// Owns: one of a process's threads that talk to the log: one connection, one command at a time, but for appends, of which the next may
// be sent while the one before is under way; and what can go wrong with it.
// Must never: answer a command twice, or not at all while its process lives. What PineServer's log threads promise (see
// LogContract in Replica) is what this does, at its worst.
internal import DequeModule
internal import Keyspace
internal import Replica

/// A statement on its way to the log and back.
private final class Flight {
    let server: Int
    /// What was sent on the same connection before and was under way then: executed before, and answered before.
    private(set) var ahead: Flight?
    /// Nobody waits for the answer any more.
    var isCut = false
    /// It will never be executed.
    var isDropped = false
    private(set) var isExecuted = false
    private(set) var isAnswered = false
    var lost: () -> Void = {}
    /// When its last byte reaches the server; nil in a light world.
    var arrivesAt: TrueTime?
    /// What waits for it to be executed, or to be answered.
    var afterExecution: () -> Void = {}
    var afterAnswer: () -> Void = {}

    init(server: Int, behind ahead: Flight?) {
        self.server = server
        self.ahead = ahead
    }

    func wasExecuted() {
        isExecuted = true
        afterExecution()
        afterExecution = {}
    }

    func wasAnswered() {
        isAnswered = true
        ahead = nil
        afterAnswer()
        afterAnswer = {}
    }

    /// Lets go of what waits for it: what is behind it holds on to it in turn.
    func forgetWaiters() {
        afterExecution = {}
        afterAnswer = {}
    }
}

final class LogThread {
    enum Kind: Int, CaseIterable {
        case append
        case read
        case history
        case steward
    }

    private enum Job {
        case command(LogCommand)
        case deletion(Deletion)
    }

    private let world: World
    private unowned let process: SimulatedProcess
    private let life: Int
    let kind: Kind
    private var jobs = Deque<Job>()
    private var isBusy = false
    /// Under way, in the order in which they were sent.
    private var flights: [Flight] = []
    /// Those that others wait for, or have waited for. Some never come to what they are waited for.
    private var waitedFor: [Flight] = []
    /// Appends that were sent and are not answered, and those of them that are known to have been refused.
    private var appending = 0
    private var lastAppend: AppendBatch?
    private var refused: [AppendBatch] = []
    /// The last command, where that was an append that lost its race: what rests on it need not be sent. See Appender in Changelog.
    private var lastLost: AppendBatch?
    private var session: SessionID?
    /// The server has ended the session, which shows once it is used.
    private var isKilled = false
    private var backoffMs = 0
    private var lockNumber = 0

    // In heavy worlds
    private var patience = Patience()
    /// When bytes last went either way, and until when an answer is arriving.
    private var lastProgress: TrueTime = 0
    private var receivingUntil: TrueTime = 0
    private var isWatchingSilence = false

    init(_ kind: Kind, of process: SimulatedProcess, _ world: World) {
        self.kind = kind
        self.process = process
        self.world = world
        life = process.life
    }

    private var log: SimulatedLog { world.log }

    func submit(_ command: LogCommand) {
        jobs.append(.command(command))
        startNext()
        sendAhead()
    }

    /// Nobody waits for it any more.
    func end() {
        jobs = []
        flights = []
        for flight in waitedFor { flight.forgetWaiters() }
        waitedFor = []
    }

    private func startNext() {
        guard !isBusy, let job = jobs.popFirst() else { return }
        isBusy = true
        switch job {
        case .command(let command): run(command)
        case .deletion(let order): delete(order)
        }
    }

    private func done(_ event: LogEvent?) {
        isBusy = false
        if let event { process.post(.log(event)) }
        startNext()
    }

    // MARK: Time

    /// Runs `body` after a while, unless the process is dead by then, and not while it is stopped.
    private func after(_ microseconds: Int, _ body: @escaping () -> Void) {
        process.after(microseconds, in: life, body)
    }

    // MARK: The connection

    private func withSession(_ body: @escaping (SessionID?) -> Void) {
        if let session { return body(session) }
        after(backoffMs * 1_000 + world.chance.delay(world.swarm.tripTime * 3)) { [self] in
            guard !log.isAway else {
                backoffMs = min(max(backoffMs * 2, 50), 2_000)
                return body(nil)
            }
            backoffMs = 0
            if kind == .append || kind == .steward { process.leaseSessions += 1 }
            isKilled = false
            session = world.newSession()
            patience.connected(at: world.now)
            body(session)
        }
    }

    /// Gives the connection up. The server finds out some time later.
    private func disconnect() {
        guard let old = session else { return }
        let flights = flights
        session = nil
        receivingUntil = 0
        process.link.up.forget(kind.rawValue)
        process.link.down.forget(kind.rawValue)
        if log.lockHolder == old {
            world.plan(after: world.chance.pick([0, 1_000, 1_000_000, 5_000_000])) { [self] in
                guard log.lockHolder == old else { return }
                for flight in flights { flight.isDropped = true }
                log.releaseLock(old, commits: false)
            }
        }
    }

    /// Cuts the connection. `dropping`: what is under way does not reach the log any more; of several, perhaps only the last.
    func cut(dropping: Bool) {
        let cut = flights
        if dropping, !cut.isEmpty {
            let first = cut.count > 1 ? world.chance.number(0...cut.count - 1) : 0
            for flight in cut[first...] { flight.isDropped = true }
        }
        disconnect()
        flights = []
        guard !cut.isEmpty else { return }
        for flight in cut { flight.isCut = true }
        after(world.chance.delay(200)) { for flight in cut { flight.lost() } }
    }

    /// Has `execute` run at the log, once, and `done` here with what it gave; with nil where the connection was lost, whether
    /// it ran or will run or not.
    /// - Parameters:
    ///   - bytes: what is sent takes so many, and names so many rows.
    ///   - answerBytes: what the answer takes.
    private func ask<Answer>(
        limitMs: Int = 10_000, bytes: Int = fixedMessageBytes, rows: Int = 0,
        answerBytes: @escaping (Answer) -> Int = { _ in fixedMessageBytes },
        _ execute: @escaping (_ finish: @escaping (Answer) -> Void) -> Void,
        _ done: @escaping (Answer?) -> Void
    ) {
        let world = world
        let sent = Flight(server: log.server, behind: flights.last)
        sent.lost = { done(nil) }
        flights.append(sent)
        var trip = world.chance.delay(world.swarm.tripTime)
        if world.chance.happens(world.swarm.stalledStatement) { trip += world.chance.number(100_000...4_000_000) }
        let isLostAfter = world.chance.happens(world.swarm.lostAfter)
        let isTooLarge = pass(sent, bytes, rows: rows, &trip)
        if isKilled || log.isAway || isTooLarge || world.chance.happens(world.swarm.lostBefore) {
            after(trip) { [self] in if isUnderWay(sent) { cut(dropping: true) } }
        } else if world.chance.happens(world.swarm.late) {
            after(trip) { [self] in if isUnderWay(sent) { cut(dropping: false) } }
            trip += world.chance.pick([1_000, 20_000, 300_000, 3_000_000]) + world.chance.delay(1_000)
        }
        // Where bytes that leave are progress, `watchSilence` looks after it.
        if !(world.swarm.heaviness?.rules.countsLeavingBytes ?? false) {
            after(limitMs * 1_000) { [self] in if isUnderWay(sent) { cut(dropping: false) } }
        }
        world.plan(after: trip) { [self] in
            inTurn(sent.ahead, \.isExecuted, \.afterExecution) { [self] in
                guard !sent.isDropped, sent.server == log.server, !log.isAway || sent.isCut else { return }
                execute { answer in
                    sent.wasExecuted()
                    guard !sent.isCut else { return }
                    self.after(world.chance.delay(world.swarm.tripTime) + self.takeBack(answerBytes(answer))) { [self] in
                        inTurn(sent.ahead, \.isAnswered, \.afterAnswer) { [self] in
                            guard !sent.isCut else { return }
                            if isLostAfter { return cut(dropping: false) }
                            sent.isCut = true
                            flights.removeAll { $0 === sent }
                            noteAnswer()
                            done(answer)
                            sent.wasAnswered()
                        }
                    }
                }
            }
        }
    }

    // MARK: Sizes and speeds

    /// Sends a statement over the link: `trip` gets as much longer as that, and the statement itself, take. True where the server does
    /// not take so large a message.
    private func pass(_ sent: Flight, _ bytes: Int, rows: Int, _ trip: inout Int) -> Bool {
        guard let heavy = world.swarm.heaviness else { return false }
        trip += process.link.latencyMicroseconds + process.link.up.pass(bytes, on: kind.rawValue, at: world.now)
        sent.arrivesAt = world.now + UInt64(trip)
        trip += rows * heavy.server.rowMicroseconds
        lastProgress = world.now
        watchSilence()
        return bytes > heavy.server.messageByteLimit && !heavy.rules.cutsLargeAppends
    }

    /// How many microseconds longer the answer takes for its size.
    private func takeBack(_ bytes: Int) -> Int {
        guard world.swarm.heaviness != nil else { return 0 }
        let microseconds = process.link.latencyMicroseconds + process.link.down.pass(bytes, on: kind.rawValue, at: world.now)
        receivingUntil = max(receivingUntil, world.now + UInt64(microseconds))
        return microseconds
    }

    private func noteAnswer() {
        guard let heavy = world.swarm.heaviness else { return }
        lastProgress = world.now
        patience.answered(heavy.rules)
    }

    /// When the server has said nothing for too long.
    private func silenceEnd(_ heavy: Heaviness) -> TrueTime {
        let leavingUntil = heavy.rules.countsLeavingBytes ? process.link.up.end(on: kind.rawValue) : 0
        return max(lastProgress, receivingUntil, leavingUntil) + UInt64(patience.limitMs) * 1_000
    }

    /// Gives the connection up once the server has said nothing for too long while something is under way.
    private func watchSilence() {
        guard let heavy = world.swarm.heaviness, !isWatchingSilence, !flights.isEmpty else { return }
        isWatchingSilence = true
        after(Int(silenceEnd(heavy) - min(world.now, silenceEnd(heavy))) + 1) { [self] in
            isWatchingSilence = false
            guard !flights.isEmpty, world.now >= silenceEnd(heavy) else { return watchSilence() }
            world.say("process \(process.index) has heard nothing on its \(kind) connection for \(patience.limitMs) ms")
            patience.wasSilent(at: world.now)
            cut(dropping: false)
        }
    }

    /// The server has waited for too long for a client that holds the head row's lock.
    private func endIdleLock(_ holder: SessionID, _ count: Int) {
        guard log.lockCount == count, log.lockHolder == holder else { return }
        if let heavy = world.swarm.heaviness, session == holder, let arrival = flights.first?.arrivesAt {
            // What has arrived is being executed.
            guard arrival > world.now else { return }
            if heavy.rules.keepsLockWhileArriving {
                world.plan(after: Int(arrival - world.now) + 1) { [self] in endIdleLock(holder, count) }
                return
            }
            world.say("the log ends process \(process.index)'s session, whose append under the lock is still arriving")
            log.releaseLock(holder, commits: false)
            return cut(dropping: true)
        }
        isKilled = isKilled || session == holder
        log.releaseLock(holder, commits: false)
    }

    private func isUnderWay(_ sent: Flight) -> Bool { flights.contains { $0 === sent } }

    /// Runs `body` once what was sent ahead is so far, which may be never.
    private func inTurn(
        _ ahead: Flight?, _ isSoFar: KeyPath<Flight, Bool>, _ then: ReferenceWritableKeyPath<Flight, () -> Void>,
        _ body: @escaping () -> Void
    ) {
        guard let ahead, !ahead[keyPath: isSoFar] else { return body() }
        ahead[keyPath: then] = body
        waitedFor.append(ahead)
    }

    // MARK: Commands

    private func run(_ command: LogCommand) {
        switch command {
        case .appending(.append(let batch)): append(batch)
        case .appending(.lockHead(let expiring, let extraMs)): lockHead(expiring, extraMs: extraMs)
        case .appending(.unlockHead(let keepingRemovals)): unlock(keepingRemovals: keepingRemovals) { self.done(nil) }
        case .appending(.recover(let position)):
            disconnect()
            recover(after: position)
        case .reading(.head):
            read(
                { $0.head }, bytes: { _ in fixedMessageBytes },
                event: { head in head.map { .headRead($0) } ?? .headReadFailed(reason: "cut") })
        case .reading(.tail(let position, let limit)):
            read(
                { $0.tail(after: position, limit: limit) }, bytes: { $0.wireBytes },
                event: { $0.map { .tailRead($0) } ?? .tailReadFailed(reason: "cut") })
        case .history(let command):
            read(
                { $0.tail(after: command.after, limit: command.limit) }, bytes: { $0.wireBytes },
                event: { $0.map { .historyRead($0) } ?? .historyReadFailed(reason: "cut") })
        case .values(let command):
            read(
                { ($0.head, $0.values(at: command.positions)) }, bytes: { $0.1.values.reduce(fixedMessageBytes) { $0 + 16 + $1.count } },
                event: { $0.map { .valuesRead(number: command.number, $0, $1) } ?? command.failed("cut") })
        case .chore(.deleteRows(let order)):
            jobs.append(.deletion(order))
            done(nil)
        case .chore(.lease(let number, let command)): lease(number, command)
        }
    }

    private func read<Answer>(
        _ what: @escaping (LogTables) -> Answer, bytes: @escaping (Answer) -> Int, event: @escaping (Answer?) -> LogEvent
    ) {
        withSession { [self] session in
            guard session != nil else { return done(event(nil)) }
            ask(answerBytes: bytes, { [self] finish in finish(what(log.tables)) }) { [self] in done(event($0)) }
        }
    }

    private func append(_ batch: AppendBatch) {
        lockNumber += 1
        if world.swarm.heaviness != nil, let lost = lastLost, batch.follows(lost) {
            lastLost = batch
            return done(.conflicted(number: batch.number, tail: Tail(head: log.tables.head, rows: [], reachesHead: false)))
        }
        lastLost = nil
        withSession { [self] session in
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
            whenFree(session, { [self] in finish(world.append(batch, session)) }, orElse: { finish(false) })
        }
        ask(bytes: batch.wireBytes, rows: batch.rows.count, execute) { [self] in appended(batch, $0) }
    }

    /// Sends the next append behind those that are under way, if it rests on them and they may still get into the log.
    private func sendAhead() {
        guard appending > 0, refused.isEmpty, flights.count == appending, let session, log.lockHolder != session,
            case .command(.appending(.append(let batch))) = jobs.first, !batch.needsLock, let lastAppend, batch.follows(lastAppend)
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
        let read = { [self] (finish: @escaping (Tail) -> Void) in finish(tail(after: first.before)) }
        ask(answerBytes: \.wireBytes, read) { [self] tail in
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

    private func lockHead(_ expiring: LeaseExpiry?, extraMs: Int) {
        unlock(keepingRemovals: false) { [self] in
            withSession { [self] session in
                guard let session else { return done(.lockFailed(reason: "away")) }
                let holdMs = lockHoldMs(for: expiring) + extraMs
                askForLock(expiring, session, holdMs: holdMs, until: world.now + UInt64(lockLimitMs) * 1_000)
            }
        }
    }

    /// Asks again while the server says that somebody else has the lock.
    private func askForLock(_ expiring: LeaseExpiry?, _ session: SessionID, holdMs: Int, until end: TrueTime) {
        let lock = { [self] (finish: @escaping (LogEvent?) -> Void) in
            whenFree(
                session,
                { [self] in
                    log.takeLock(session)
                    // The server doesn't wait for ever for a client that holds it.
                    let count = log.lockCount
                    world.plan(after: 2 * holdMs * 1_000) { [self] in endIdleLock(session, count) }
                    finish(.headLocked(log.tables.head, expired: world.expire(expiring), sessions: process.leaseSessions))
                }, orElse: { finish(nil) })
        }
        ask(lock) { [self] (locked: LogEvent??) in
            if case .some(nil) = locked, world.now < end { return askForLock(expiring, session, holdMs: holdMs, until: end) }
            world.say("process \(process.index) has \(locked == nil ? "not got" : "got") the lock")
            lockNumber += 1
            let number = lockNumber
            after(holdMs * 1_000) { [self] in
                guard lockNumber == number, !isBusy, self.session == session else { return }
                isBusy = true
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

    /// Runs `statement` once the head row is free for it, or `waited` where the server says before that somebody else has it for long.
    private func whenFree(_ session: SessionID, _ statement: @escaping () -> Void, orElse waited: @escaping () -> Void) {
        guard let limitMs = world.swarm.heaviness?.rules.lockWaitLimitMs else { return log.whenFree(session, statement) }
        let server = log.server
        var isWaiting = true
        func end(_ body: () -> Void) {
            guard isWaiting else { return }
            isWaiting = false
            body()
        }
        log.whenFree(session) { end(statement) }
        if isWaiting { world.plan(after: limitMs * 1_000) { [self] in if log.server == server { end(waited) } } }
    }

    private func unlock(keepingRemovals: Bool, _ then: @escaping () -> Void) {
        lockNumber += 1
        guard let session, log.lockHolder == session else { return then() }
        world.say("process \(process.index) gives the lock back")
        let release = { [self] (finish: @escaping (Bool) -> Void) in
            log.releaseLock(session, commits: keepingRemovals)
            finish(true)
        }
        ask(release) { _ in then() }
    }

    private func recover(after position: Position) {
        withSession { [self] session in
            guard let session else { return recover(after: position) }
            let raise = { [self] (finish: @escaping (Tail?) -> Void) in
                whenFree(
                    session,
                    { [self] in
                        world.raiseEpoch(process)
                        finish(tail(after: position))
                    }, orElse: { finish(nil) })
            }
            ask(limitMs: 30_000, answerBytes: { $0?.wireBytes ?? fixedMessageBytes }, raise) { [self] (tail: Tail??) in
                if let tail = tail ?? nil { return done(.recovered(tail)) }
                if case .some(nil) = tail { return recover(after: position) }
                disconnect()
                backoffMs = 50
                recover(after: position)
            }
        }
    }

    private func delete(_ order: Deletion) {
        withSession { [self] session in
            guard session != nil else { return later(order, afterMs: 50) }
            ask(
                bytes: fixedMessageBytes + 20 * order.positions.count, rows: order.positions.count,
                {
                    [self] finish in finish(log.delete(order, at: world.now))
                }
            ) { [self] (answer: LogEvent??) in
                if let mistake = log.mistake { world.fail(mistake) }
                guard let answer else { return later(order, afterMs: 50) }
                guard let event = answer else { return later(order, afterMs: 200) }
                done(event)
            }
        }
    }

    /// Deletes later; questions come before.
    private func later(_ order: Deletion, afterMs: Int) {
        after(afterMs * 1_000) { [self] in
            jobs.append(.deletion(order))
            startNext()
        }
        done(nil)
    }

    private func lease(_ number: UInt64, _ command: LeaseCommand) {
        var failed: LogEvent? = .lease(number: number, .failed(reason: "cut"))
        if case .releaseDuty = command { failed = nil }
        withSession { [self] session in
            guard session != nil else { return done(failed) }
            ask(bytes: command.wireBytes, { [self] finish in execute(command, startedAt: world.now, finish) }) {
                [self] (answer: LeaseAnswer??) in
                guard let answer else { return done(failed) }
                done(answer.map { .lease(number: number, $0) })
            }
        }
    }

    private func execute(_ command: LeaseCommand, startedAt: TrueTime, _ finish: @escaping (LeaseAnswer?) -> Void) {
        if case .round(let round) = command, log.isHeld(round) {
            log.wait { [self] in execute(command, startedAt: startedAt, finish) }
        } else {
            finish(log.answer(command, startedAt: startedAt, now: world.now, sessions: process.leaseSessions))
        }
    }
}

extension AppendBatch {
    /// Where the tail that comes with a conflict starts.
    fileprivate var before: Position {
        let first = rows[0].position
        return first.sub > 0 ? Position(first.revision, first.sub - 1) : Position(first.revision - 1, -1)
    }
}

extension LogThread {
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

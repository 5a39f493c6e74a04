// Owns: one connection of a process to the log, as a thread of its own uses it: its sessions, what is under way on it, and what can go
// wrong with it: cuts, late and lost statements, silence, the end of a session that holds the lock for too long.
// Must never: give two answers to one question, or none while its process lives.
internal import Keyspace
internal import LogModel
internal import Replica

final class LogConnection {
    enum Role: Int, CaseIterable {
        case append
        case read
        case history
        case values
        case steward
    }

    let world: World
    unowned let process: SimulatedProcess
    private let life: Int
    let role: Role
    /// Under way, in the order in which they were sent.
    private var flights: [Flight] = []
    /// Those that others wait for, or have waited for. Some never come to what they are waited for.
    private var waitedFor: [Flight] = []
    private(set) var session: SessionID?
    /// The server has ended the session, which shows once it is used.
    private var isKilled = false
    private var backoffMs = 0

    // In heavy worlds
    private var patience = Patience()
    /// When bytes last went either way, and until when an answer is arriving.
    private var lastProgress: TrueTime = 0
    private var receivingUntil: TrueTime = 0
    private var isWatchingSilence = false

    init(_ role: Role, of process: SimulatedProcess, _ world: World) {
        self.role = role
        self.process = process
        self.world = world
        life = process.life
    }

    var log: SimulatedLog { world.log }

    /// How many statements are under way.
    var flightCount: Int { flights.count }

    /// Nobody waits for it any more.
    func end() {
        flights = []
        for flight in waitedFor { flight.forgetWaiters() }
        waitedFor = []
    }

    // MARK: Time

    /// Runs `body` after a while, unless the process is dead by then, and not while it is stopped.
    func after(_ microseconds: Int, _ body: @escaping () -> Void) {
        process.after(microseconds, in: life, body)
    }

    // MARK: Sessions

    /// Calls `body` with the session, which is made anew where there is none; with nil where that fails.
    func withSession(_ body: @escaping (SessionID?) -> Void) {
        if let session { return body(session) }
        after(backoffMs * 1_000 + world.chance.delay(world.swarm.tripTime * 3)) { [self] in
            guard !log.isAway else {
                backoffMs = min(max(backoffMs * 2, 50), 2_000)
                return body(nil)
            }
            backoffMs = 0
            if role == .append || role == .steward { process.leaseSessions += 1 }
            isKilled = false
            session = world.newSession()
            patience.connected(at: world.now)
            body(session)
        }
    }

    /// Gives the connection up; the next is made `backoffMs` later. The server finds out some time later.
    func disconnect(backoffMs: Int? = nil) {
        if let backoffMs { self.backoffMs = backoffMs }
        guard let old = session else { return }
        let flights = flights
        session = nil
        receivingUntil = 0
        process.link.up.forget(role.rawValue)
        process.link.down.forget(role.rawValue)
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

    // MARK: Statements

    /// Has `execute` run at the log, once, and `done` here with what it gave; with nil where the connection was lost, whether
    /// it ran or will run or not.
    /// - Parameters:
    ///   - bytes: what is sent takes so many, and names so many rows.
    ///   - answerBytes: what the answer takes.
    func ask<Answer>(
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
        trip += process.link.latencyMicroseconds + process.link.up.pass(bytes, on: role.rawValue, at: world.now)
        sent.arrivesAt = world.now + UInt64(trip)
        trip += rows * heavy.server.rowMicroseconds
        lastProgress = world.now
        watchSilence()
        return bytes > heavy.server.messageByteLimit && !heavy.rules.cutsLargeAppends
    }

    /// How many microseconds longer the answer takes for its size.
    private func takeBack(_ bytes: Int) -> Int {
        guard world.swarm.heaviness != nil else { return 0 }
        let microseconds = process.link.latencyMicroseconds + process.link.down.pass(bytes, on: role.rawValue, at: world.now)
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
        let leavingUntil = heavy.rules.countsLeavingBytes ? process.link.up.end(on: role.rawValue) : 0
        return max(lastProgress, receivingUntil, leavingUntil) + UInt64(patience.limitMs) * 1_000
    }

    /// Gives the connection up once the server has said nothing for too long while something is under way.
    private func watchSilence() {
        guard let heavy = world.swarm.heaviness, !isWatchingSilence, !flights.isEmpty else { return }
        isWatchingSilence = true
        after(Int(silenceEnd(heavy) - min(world.now, silenceEnd(heavy))) + 1) { [self] in
            isWatchingSilence = false
            guard !flights.isEmpty, world.now >= silenceEnd(heavy) else { return watchSilence() }
            world.say("process \(process.index) has heard nothing on its \(role) connection for \(patience.limitMs) ms")
            patience.wasSilent(at: world.now)
            cut(dropping: false)
        }
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

    // MARK: The head row's lock

    /// The server has waited for too long for a client that holds the head row's lock.
    func endIdleLock(_ holder: SessionID, _ count: Int) {
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

    /// Runs `statement` once the head row is free for it, or `waited` where the server says before that somebody else has it for long.
    func whenFree(_ session: SessionID, _ statement: @escaping () -> Void, orElse waited: @escaping () -> Void) {
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
}

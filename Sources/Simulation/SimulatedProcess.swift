// Owns: one Pine process: the production replica's host, its threads, its clock; its crashes and its new lives.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import LogModel
internal import Replica

/// Who waits for what a process says to one call. An object, so that a new life can be told apart.
final class PendingCall {
    let answered: (Result<ByteString, EtcdError>) -> Void
    /// A message on a stream, and whether it must be reported once it has left.
    let received: (ByteString, Bool) -> Void

    init(
        answered: @escaping (Result<ByteString, EtcdError>) -> Void, received: @escaping (ByteString, Bool) -> Void = { _, _ in }
    ) {
        self.answered = answered
        self.received = received
    }
}

/// What happens once, at whichever time comes first.
private final class HeldBack {
    private var action: (() -> Void)?

    init(_ action: @escaping () -> Void) { self.action = action }

    var hasRun: Bool { action == nil }

    func run() {
        let action = action
        self.action = nil
        action?()
    }
}

final class SimulatedProcess {
    private let world: World
    let index: Int
    private(set) var life = 0
    /// How often its threads have connected on which leases are kept alive or expire.
    var leaseSessions: UInt64 = 0
    private(set) var isUp = false
    private var pausedUntil: TrueTime = 0
    /// What its threads would have done while it was stopped.
    private var heldBack: [HeldBack] = []
    private var host: ReplicaHost
    private(set) var configuration: ReplicaConfiguration
    private var threads: LogThreads?
    /// Those of its former lives: what they have sent may still happen.
    private var formerThreads: [LogThreads] = []
    /// Turns that are planned are told apart by this number; only the newest counts.
    private var turnNumber = 0
    private var turnAt: TrueTime = .max
    /// A turn that takes time is under way.
    private var isInTurn = false
    /// To the log and back.
    var link: Link
    private var calls: [CallID: PendingCall] = [:]
    private var clockStart: UInt64 = 0
    /// How much faster its clock runs, in millionths.
    private var clockDrift: Int64 = 0
    /// What its file says that it has served. Outlives it.
    private var served: ServedMark?
    /// How far it has served each history that it was on, in the order in which it was.
    private(set) var tops: [Top] = []
    /// How many histories there were when it last noticed that one had gone.
    var noticedEra = 0

    init(_ index: Int, _ world: World) {
        self.index = index
        self.world = world
        configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        host = ReplicaHost(configuration)
        link = Link(LinkSpeed(), connectionCount: connectionCount)
    }

    // MARK: Life

    func start() {
        life += 1
        isUp = true
        pausedUntil = 0
        configuration = world.swarm.configuration(origin: Int64(world.chance.number(1...1 << 40)), &world.chance)
        if let served { configuration.served = [served] }
        host = ReplicaHost(configuration)
        clockStart = UInt64(world.chance.number(1...1 << 40))
        clockDrift = Int64(world.chance.number(-200...200))
        if let threads { formerThreads.append(threads) }
        threads = LogThreads(of: self, world)
        link = Link(world.swarm.heaviness?.links[index] ?? LinkSpeed(), connectionCount: connectionCount)
        calls = [:]
        turnAt = .max
        isInTurn = false
        wake(after: 0)
    }

    func crash() {
        guard isUp else { return }
        world.say("process \(index) crashes")
        isUp = false
        // Nobody hears of what was under way on the connections; some of it may still happen.
        for connection in connections { connection.cut(dropping: world.chance.happens(500)) }
        let open = calls.sorted { $0.key.rawValue < $1.key.rawValue }
        calls = [:]
        for (_, call) in open { call.answered(.failure(.connectionLost)) }
    }

    /// Lets go of everybody who waits for it.
    func end() {
        for threads in formerThreads { threads.end() }
        formerThreads = []
        threads?.end()
        threads = nil
        heldBack = []
        calls = [:]
    }

    func pause(forMs milliseconds: Int) {
        world.say("process \(index) is stopped for \(milliseconds) ms")
        pausedUntil = max(pausedUntil, world.now + UInt64(milliseconds) * 1_000)
    }

    func goOn() {
        pausedUntil = 0
        for held in heldBack { world.plan(after: 0) { held.run() } }
        heldBack = []
        if isUp { wake(after: 0) }
    }

    /// Microseconds until it goes on, while it is stopped.
    private var pauseLeft: Int? { pausedUntil > world.now ? Int(pausedUntil - world.now) : nil }

    /// Runs `body` after a while, unless that life is over by then, and not while the process is stopped.
    func after(_ microseconds: Int, in life: Int, _ body: @escaping () -> Void) {
        world.plan(after: microseconds) { [self] in run(body, in: life) }
    }

    private func run(_ body: @escaping () -> Void, in life: Int) {
        guard self.life == life, isUp else { return }
        guard let rest = pauseLeft else { return body() }
        let held = HeldBack { [self] in run(body, in: life) }
        heldBack.removeAll(where: \.hasRun)
        heldBack.append(held)
        world.plan(after: rest) { held.run() }
    }

    private var connections: [LogConnection] { threads?.connections ?? [] }

    func cutConnections(dropping: Bool) { for connection in connections { connection.cut(dropping: dropping) } }

    func cutOne() { world.chance.pick(connections).cut(dropping: world.chance.happens(500)) }

    /// It serves up to there. `continues` says of another such point whether this one is of the same history.
    func hasServed(_ top: Top, _ continues: (Top) -> Bool) {
        if let last = tops.last, continues(last) { tops.removeLast() }
        tops.append(top)
    }

    // MARK: What it hears

    /// Its own clock's reading.
    private var clock: Instant {
        let elapsed = Int64(world.now) * 1_000
        return Instant(nanoseconds: clockStart &+ UInt64(elapsed + elapsed / 1_000_000 * clockDrift))
    }

    func post(_ event: ReplicaEvent) {
        host.post(event)
        wake(after: world.chance.delay(20))
    }

    func begin(_ request: Request, _ call: PendingCall) -> CallID {
        let id = world.newRequest()
        calls[id] = call
        post(.requestArrived(id, request, by: .anonymous))
        return id
    }

    func openWatch(_ call: PendingCall) -> CallID {
        let id = world.newRequest()
        calls[id] = call
        post(.watchOpened(id, by: .anonymous))
        return id
    }

    func cancel(_ id: CallID) {
        if calls.removeValue(forKey: id) != nil { post(.requestCancelled(id)) }
    }

    func drained(_ id: CallID) {
        if calls[id] != nil { post(.streamDrained(id)) }
    }

    /// Whether the call, which began in this life, goes on.
    func isOpen(_ id: CallID) -> Bool { calls[id] != nil }

    // MARK: Turns

    private func wake(after microseconds: Int) {
        // The turn under way looks again when it ends.
        guard !isInTurn else { return }
        let time = world.now + UInt64(max(microseconds, 0))
        guard time < turnAt else { return }
        turnAt = time
        turnNumber += 1
        let (number, life) = (turnNumber, life)
        world.plan(after: microseconds) { [self] in
            guard isUp, self.life == life, turnNumber == number else { return }
            turnAt = .max
            if let rest = pauseLeft { wake(after: rest) } else { turn() }
        }
    }

    private func turn() {
        let now = clock
        let meter = world.swarm.heaviness == nil ? nil : TurnMeter(host.replica)
        let actions = host.turn(now: now)
        world.fingerprint.mix(world.now)
        world.fingerprint.mix(index)
        world.fingerprint.mix(UInt64(bitPattern: host.replica.store.committedDigest.rawValue))
        guard let heavy = world.swarm.heaviness, let work = meter?.end(host.replica, actions, isOpen: isOpen) else { return end(actions) }
        if let mistake = heavy.mistake(in: work) { world.fail("process \(index): \(mistake)") }
        let microseconds = heavy.turnCost.microseconds(work)
        guard microseconds > 0 else { return end(actions) }
        // Nobody hears of it before it is over, and nothing else happens in between.
        isInTurn = true
        after(microseconds, in: life) { [self] in
            isInTurn = false
            end(actions)
            if host.hasPosted { wake(after: world.chance.delay(20)) }
        }
    }

    /// Hands out what the turn wants done, and plans the next.
    private func end(_ actions: [Action]) {
        // Before anybody hears of it.
        if let served = host.replica.served { self.served = served }
        perform(actions)
        if let served = host.replica.served { world.check(self, at: served.position, served.digest) }
        if host.replica.hasMoreWork { return wake(after: world.chance.delay(10)) }
        let now = clock
        let deadline = host.replica.nextDeadline
        let nanoseconds = deadline > now ? min(deadline.nanoseconds - now.nanoseconds, 60_000_000_000) : 0
        wake(after: Int(nanoseconds / 1_000) + 1)
    }

    // MARK: For checks

    var isServing: Bool { isUp && host.replica.isServing }
    var committed: Position { host.replica.store.committed }
    var leaseCount: Int { host.replica.store.leases.count }
    var hasAlarm: Bool { !host.replica.store.committedAlarms.isEmpty }
    var watchCounts: WatchCounts { host.replica.watchCounts }

    func handOverDuty() { post(.stopping) }
}

extension SimulatedProcess: ReplicaSurroundings {
    func wasSlow(_ id: CallID, _ request: SlowRequest) { world.say("process \(index): \(id.rawValue) was slow: \(request)") }

    func answered(_ id: CallID, _ result: Result<ByteString, EtcdError>) {
        world.fingerprint.mix(id.rawValue)
        // Nobody waits where the client has cancelled.
        calls.removeValue(forKey: id)?.answered(result)
    }

    func sent(_ id: CallID, _ message: ByteString, reportDrained: Bool) {
        world.fingerprint.mix(message.count)
        if let call = calls[id] {
            call.received(message, reportDrained)
        } else if reportDrained {
            // The client is gone since.
            post(.streamDrained(id))
        }
    }

    func asked(_ command: LogCommand) { threads?.submit(command) }

    func sort(_ job: SortJob) {
        var job = job
        job.run()
        post(.sorted(job))
    }

    func noted(_ note: Note) {
        world.say("process \(index): \(note)")
        switch note {
        case .historyChanged: world.historyWasSaidToChange(self)
        case .logDamaged(let position, _): world.fail("process \(index) takes the log for damaged at \(position)")
        default: break
        }
    }

    /// Hands in the whole log as one moment saw it, in pieces; the connection may be lost meanwhile.
    func load() { LogLoad(of: self, comparedWith: host.replica.comparedMarks, world).start() }
}

/// The log's threads have a connection each, and loading has one.
let loadConnection = LogConnection.Role.allCases.count
private let connectionCount = loadConnection + 1

extension EtcdError {
    /// What gRPC says where the server is gone: nobody knows what became of the call.
    static let connectionLost = EtcdError(code: .unavailable, text: "error reading from server: EOF")
}

// Owns: a client that takes leases, hangs keys on them, keeps them alive for a while, and lets them go.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

final class Leaseholder {
    private let world: World
    private var lease: LeaseID = 0
    private var ttl: Int64 = 0
    /// How many more times it keeps its lease alive.
    private var rounds = 0
    /// Whether it doesn't wait for one process before it turns to another.
    private let isImpatient: Bool

    init(_ world: World) {
        self.world = world
        // By chance of its own, so that seeds that once failed play as they did.
        var peek = world.chance
        var ownChance = Chance(seed: ~peek.next())
        isImpatient = ownChance.happens(250)
    }

    func goOn() {
        let pause = world.chance.number(1...200_000)
        world.plan(after: pause) { [self] in if world.clientsRun { step() } }
    }

    private func step() {
        guard let process = world.anyProcess() else { return goOn() }
        if lease == 0 {
            let new = world.newLease()
            ttl = Int64(world.chance.number(1...4))
            world.call(.grant(new, ttl: ttl), at: process) { [self] answer in
                if case .done = answer {
                    lease = new
                    rounds = world.chance.number(0...12)
                    attach()
                } else {
                    goOn()
                }
            }
        } else if rounds > 0 {
            rounds -= 1
            let pause = Int(ttl) * world.chance.pick([200_000, 330_000, 500_000])
            world.plan(after: pause) { [self] in if world.clientsRun { keepAlive() } }
        } else {
            let old = lease
            lease = 0
            guard world.chance.happens(300) else { return goOn() }
            world.call(.revoke(old), at: process) { [self] _ in goOn() }
        }
    }

    private func attach() {
        guard let process = world.anyProcess() else { return goOn() }
        var put = world.maker.put(&world.chance, lease: lease)
        put.ignoreLease = false
        put.lease = lease
        world.call(.put(put), at: process) { [self] _ in goOn() }
    }

    private func keepAlive() {
        guard let process = world.anyProcess() else { return goOn() }
        if isImpatient, let other = world.anyProcess() { world.call(.keepAlive(lease), at: other) { _ in } }
        world.call(.keepAlive(lease), at: process) { [self] answer in
            if case .keptAlive(_, 0) = answer { lease = 0 }
            if lease != 0, world.chance.happens(300) { attach() } else { goOn() }
        }
    }
}

/// What is promised about leases: none ends before its time.
struct LeasePromises {
    /// Until when each lease was last promised to live, and from when on.
    private var promised: [LeaseID: (from: TrueTime, until: TrueTime)] = [:]
    private var ended: [LeaseID: TrueTime] = [:]
    /// By lease: its time to live, and until when it may live by what was asked for it.
    private var expected: [LeaseID: (ttl: Int64, until: TrueTime)] = [:]
    /// Leases that a client wanted to end.
    private var unwanted: Set<LeaseID> = []

    mutating func willRevoke(_ lease: LeaseID) { unwanted.insert(lease) }

    /// A client is being told that the lease, whose promise was asked for at `from`, lives for `ttl` seconds from now on. What
    /// is wrong with that, if anything.
    mutating func promise(_ lease: LeaseID, ttl: Int64, askedAt from: TrueTime, now: TrueTime) -> String? {
        if let end = ended[lease], !unwanted.contains(lease) {
            return "lease \(lease) was promised \(ttl) s at \(now), after it had expired at \(end)"
        }
        let until = now + UInt64(ttl) * 1_000_000
        if until > promised[lease]?.until ?? 0 { promised[lease] = (from, until) }
        expected[lease] = (max(ttl, expected[lease]?.ttl ?? 0), max(until, expected[lease]?.until ?? 0))
        return nil
    }

    /// The log has it before anything begins: its time begins with the first steward's.
    mutating func hasFrom(start lease: LeaseID, ttl: Int64) { expected[lease] = (ttl, UInt64(ttl) * 1_000_000) }

    /// A client asked for more time and was not answered.
    mutating func mayHavePromised(_ lease: LeaseID, now: TrueTime) {
        guard let known = expected[lease] else { return }
        expected[lease]?.until = max(known.until, now + UInt64(known.ttl) * 1_000_000)
    }

    /// What is wrong where a lease lives on for longer than its time to live allows.
    func overdue(now: TrueTime, allowedMs: (_ ttl: Int64) -> Int) -> String? {
        let late = expected.filter { lease, time in
            ended[lease] == nil && now > time.until + UInt64(allowedMs(time.ttl)) * 1_000
        }
        guard let first = late.keys.min(), let time = expected[first] else { return nil }
        return "lease \(first) of \(time.ttl) s is there at \(now / 1_000) ms, and was to end at \(time.until / 1_000) ms"
    }

    /// The lease's revoke was committed. What is wrong with that, if anything. A clock that was put forward counts for nobody.
    mutating func end(_ lease: LeaseID, now: TrueTime, steps: [TrueTime]) -> String? {
        ended[lease] = now
        guard !unwanted.contains(lease), let promise = promised[lease], now < promise.until else { return nil }
        if steps.contains(where: { $0 >= promise.from && $0 <= now }) { return nil }
        return "lease \(lease) expired at \(now), and was promised to live until \(promise.until)"
    }

    /// The ends of another history don't count.
    mutating func forget(endsOf lost: some Sequence<LeaseID>) {
        for lease in lost { ended[lease] = nil }
    }
}

import Bytes
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

/// A stewardship over a store of leases, and what it asks of the log.
private final class World {
    let leases: LeaseStore
    private(set) var steward: Stewardship
    private var numbers = LeaseNumbers()
    private(set) var notes: [Note] = []
    var outageMs = 1_000

    init(_ leases: LeaseStore, _ configure: (inout LeaseLimits) -> Void = { _ in }) {
        self.leases = leases
        var configuration = ReplicaConfiguration(origin: 3, memberID: 7)
        configure(&configuration.leaseLimits)
        steward = Stewardship(configuration)
    }

    func change<Answer>(_ event: (inout Stewardship) -> Answer) -> Answer {
        defer { steward.invariants() }
        return event(&steward)
    }

    /// Asks what is due, with the numbers.
    func asks() -> [(number: UInt64, command: LeaseCommand)] {
        var actions: [Action] = []
        steward.tick(leases.now, leases.store, &numbers, &actions)
        return take(actions)
    }

    func leave() -> [(number: UInt64, command: LeaseCommand)] {
        var actions: [Action] = []
        steward.left(&numbers, &actions)
        return take(actions)
    }

    private func take(_ actions: [Action]) -> [(number: UInt64, command: LeaseCommand)] {
        steward.invariants()
        return actions.compactMap { if case .log(.chore(.lease(let number, let command))) = $0 { (number, command) } else { nil } }
    }

    @discardableResult
    func hear(_ number: UInt64, _ answer: LeaseAnswer, isSweepWaitedFor: Bool = false) -> Sweep? {
        change {
            $0.heard(number, answer, now: leases.now, outageMs: outageMs, isSweepWaitedFor: isSweepWaitedFor, leases.store)
        }
    }

    /// Asks for the duty and gets it.
    func take(taken: Bool = true, sessions: UInt64 = 1) throws {
        let asked = try #require(asks().first { if case .keepDuty = $0.command { true } else { false } })
        hear(asked.number, .dutyAsked(.held(taken: taken, sessions: sessions)))
    }

    /// A whole round: the leases that it was to extend or to make sure of.
    @discardableResult
    func round(wasOutage: Bool = false) -> [LeaseID] {
        let part = change { $0.roundStarted() }
        fold(wasOutage: wasOutage)
        switch part {
        case .none: return []
        case .extends(let leases), .ensures(let leases): return Array(leases)
        }
    }

    func fold(wasOutage: Bool = false) {
        var actions: [Action] = []
        steward.roundFolded(leases.now, wasOutage: wasOutage, leases.store, &actions)
        steward.invariants()
        for case .note(let note) in actions { notes.append(note) }
    }

    /// Asks which leases are due, with the answer.
    func findDue(_ due: [LeaseID], nextMs: Int64? = nil, afterMs: Int = 0, sessions: UInt64 = 1) throws {
        let asked = try #require(asks().first { if case .findDue = $0.command { true } else { false } })
        leases.pass(ms: afterMs)
        hear(asked.number, .dueFound(due, nextMs: nextMs, sessions: sessions))
    }

    /// One that holds the duty, all leases extended.
    static func holding(_ leases: LeaseStore, _ configure: (inout LeaseLimits) -> Void = { _ in }) throws -> World {
        let world = World(leases, configure)
        try world.take()
        while world.steward.need == .atOnce { world.round() }
        try #require(world.notes.count == 1)
        return world
    }

    /// When something is to be done next, from now on.
    var nextMs: Int { Int(steward.deadline(canLock: true).nanoseconds / 1_000_000) - Int(leases.now.nanoseconds / 1_000_000) }
}

@Suite("Stewardship", .ownThreads)
struct StewardshipTests {
    // MARK: The duty

    @Test("the duty is asked for at once; what is taken over is learnt with a round, extended with others, and then held")
    func taken() throws {
        let world = World(LeaseStore([1, 2]))
        let asked = world.asks()
        #expect(asked.map(\.number) == [1] && asked.map(\.command) == [.keepDuty(holder: 3, termMs: 6_000)])
        #expect(world.asks().isEmpty && !world.steward.isSteward && world.steward.need == .none)
        world.hear(1, .dutyAsked(.held(taken: true, sessions: 1)))
        #expect(world.steward.isSteward && world.steward.need == .atOnce && world.steward.extensionCount == 1)
        // A round that was under way by then does not tell.
        world.fold()
        #expect(world.round().isEmpty)
        #expect(world.steward.need == .atOnce && world.round() == [1, 2])
        #expect(world.notes == [.becameSteward(leases: 2)] && world.steward.need == .none)
        #expect(world.asks().map(\.command) == [.findDue(holder: 3, limit: 500)])
    }

    @Test("without leases there is nothing to extend")
    func noLeases() throws {
        let world = try World.holding(LeaseStore())
        #expect(world.notes == [.becameSteward(leases: 0)])
    }

    @Test("many leases are extended in portions; where a round fails all begin anew")
    func portions() throws {
        let world = World(LeaseStore(1...5)) { $0.roundLimit = 2 }
        try world.take()
        #expect(world.round().isEmpty && world.round() == [1, 2])
        guard case .extends([3, 4]) = world.change({ $0.roundStarted() }) else { throw TestSupportError("the next two are due") }
        world.change { $0.roundFailed() }
        #expect(world.steward.extensionCount == 2 && world.steward.need == .atOnce)
        #expect((0..<4).map { _ in world.round() } == [[], [1, 2], [3, 4], [5]])
        #expect(world.notes.count == 1)
        world.change { $0.roundFailed() }
        #expect(world.steward.extensionCount == 2, "one that had nothing to extend")
    }

    @Test("another's duty is asked for when its term may be over, now and then at least, and more often while a client waits for its sweep")
    func another() throws {
        let world = try World.holding(LeaseStore([1]))
        world.leases.pass(ms: 2_000)
        for (forMs, isWaitedFor, nextMs) in [(5_000, false, 2_000), (700, false, 700), (1, false, 50), (5_000, true, 100)] {
            let asked = try #require(world.asks().first)
            let answer = LeaseAnswer.dutyAsked(.heldByAnother(forMs: forMs, swept: .whole(9)))
            #expect(world.hear(asked.number, answer, isSweepWaitedFor: isWaitedFor) == .whole(9))
            #expect(!world.steward.isSteward && world.nextMs == nextMs)
            world.leases.pass(ms: nextMs)
        }
        let asked = try #require(world.asks().first)
        world.hear(asked.number, .failed(reason: "away"))
        #expect(world.nextMs == 200)
        world.change { $0.hurried(world.leases.now) }
        #expect(world.nextMs == 0)
    }

    @Test("a duty that is confirmed in time changes nothing; after an outage, or on another server, all leases are extended")
    func confirmed() throws {
        let world = try World.holding(LeaseStore([1]))
        func confirm(afterMs milliseconds: Int, taken: Bool = false, sessions: UInt64 = 1) throws -> UInt64 {
            let before = world.steward.extensionCount
            world.leases.pass(ms: milliseconds)
            try world.take(taken: taken, sessions: sessions)
            while world.steward.need == .atOnce { world.round() }
            return world.steward.extensionCount - before
        }
        #expect(try confirm(afterMs: 2_000) == 0)
        #expect(try confirm(afterMs: 3_000) == 0)
        #expect(try confirm(afterMs: 3_001) == 1)
        world.outageMs = 4_000
        #expect(try confirm(afterMs: 6_000) == 0, "the log is always that slow")
        #expect(try confirm(afterMs: 2_000, sessions: 2) == 1)
        #expect(try confirm(afterMs: 2_000, sessions: 2) == 0)
        #expect(try confirm(afterMs: 2_000, taken: true, sessions: 2) == 1)
        world.round(wasOutage: true)
        #expect(world.steward.need == .atOnce)
        world.change { $0.gaveUp() }
        world.round(wasOutage: true)
        #expect(!world.steward.isSteward)
    }

    @Test("a process that ends gives the duty back and asks no more, whatever is answered, and though the log is read anew")
    func leaving() throws {
        let world = try World.holding(LeaseStore([1]))
        world.leases.pass(ms: 2_000)
        let asked = try #require(world.asks().first)
        let released = world.leave()
        #expect(released.map(\.command) == [.releaseDuty(holder: 3)] && !world.steward.isSteward)
        world.hear(asked.number, .dutyAsked(.held(taken: false, sessions: 1)))
        #expect(!world.steward.isSteward)
        world.change { $0.loadingBegan() }
        world.leases.pass(ms: 60_000)
        #expect(world.asks().isEmpty && world.steward.deadline(canLock: true) == .distantFuture)
    }

    @Test("a late answer from another server does not make a process the steward that has given the duty up")
    func lateSessions() throws {
        let world = try World.holding(LeaseStore([1]))
        world.leases.pass(ms: 2_000)
        let asked = world.asks()
        #expect(asked.count == 2)
        world.change { $0.gaveUp() }
        let before = world.steward.extensionCount
        for question in asked { world.hear(question.number, .dueFound([1], nextMs: nil, sessions: 8)) }
        #expect(!world.steward.isSteward)
        #expect(world.change { $0.mayBeElsewhere(9) }, "nothing expires under a lock that was granted then")
        #expect(!world.steward.isSteward && world.steward.extensionCount == before)
        world.leases.pass(ms: 10_000)
        try world.take(taken: false, sessions: 9)
        #expect(world.steward.isSteward && world.steward.extensionCount == before + 1)
    }

    @Test("where the log is read anew the duty is asked for at once, and late answers are not heard")
    func loading() throws {
        let world = try World.holding(LeaseStore([1]))
        world.leases.pass(ms: 2_000)
        let asked = world.asks()
        #expect(asked.count == 2)
        world.change { $0.loadingBegan() }
        for question in asked {
            world.hear(question.number, .dutyAsked(.held(taken: true, sessions: 9)))
            world.hear(question.number, .dueFound([1], nextMs: nil, sessions: 9))
        }
        #expect(!world.steward.isSteward && !world.steward.isExpiryDue(world.leases.now))
        let again = world.asks()
        #expect(again.map(\.command) == [.keepDuty(holder: 3, termMs: 6_000)])
        #expect(Set(asked.map(\.number)).isDisjoint(with: again.map(\.number)))
    }

    // MARK: Finding what is due

    @Test("the log is asked what is due when the next lease will be, within bounds, and rarely where looking takes long")
    func looking() throws {
        // Deadlines are kept apart from the duty's and the sweep's.
        let world = try World.holding(LeaseStore([1])) {
            $0.dutyIntervalMs = 100_000
            $0.sweepIntervalMs = 100_000
        }
        func wait(_ nextMs: Int64?, afterMs: Int = 0) throws -> Int {
            try world.findDue([], nextMs: nextMs, afterMs: afterMs)
            defer { world.leases.pass(ms: max(world.nextMs, 0)) }
            return world.nextMs
        }
        #expect(try [0, 300, 4_999, 60_000, nil].map { try wait($0) } == [50, 301, 5_000, 5_000, 5_000])
        #expect(try wait(300, afterMs: 90) == 900)
        #expect(try wait(300, afterMs: 700) == 7_000)
        let asked = try #require(world.asks().first)
        world.hear(asked.number, .failed(reason: "away"))
        #expect(world.nextMs == 200)
        world.leases.pass(ms: 200)
        world.leases.revoke(1)
        #expect(try wait(nil) > 60_000, "deadlines that are left over can wait")
    }

    @Test("a lease that is granted may be due sooner, another process's by what its row may have been in the log")
    func granted() throws {
        let world = try World.holding(LeaseStore([1]))
        try world.findDue([], nextMs: 1_999)
        #expect(world.nextMs == 2_000)
        world.change { $0.granted(ttl: 2, isOwn: false, now: world.leases.now) }
        #expect(world.nextMs == 1_000)
        world.change { $0.granted(ttl: 1, isOwn: true, now: world.leases.now) }
        #expect(world.nextMs == 1_000)
        world.change { $0.granted(ttl: .max, isOwn: true, now: world.leases.now) }
        world.change { $0.granted(ttl: 1, isOwn: false, now: world.leases.now) }
        #expect(world.nextMs == 0)
    }

    @Test("nothing that was found due late, or on another server, expires: all leases are extended")
    func foundLate() throws {
        for (afterMs, sessions) in [(1_001, 1), (0, 2)] as [(Int, UInt64)] {
            let world = try World.holding(LeaseStore([1]))
            try world.findDue([1], afterMs: afterMs, sessions: sessions)
            #expect(world.steward.need == .atOnce && !world.steward.isExpiryDue(world.leases.now))
            #expect(world.steward.extensionCount == 2)
        }
        let world = try World.holding(LeaseStore([1]))
        let asked = try #require(world.asks().first)
        world.change { $0.gaveUp() }
        world.hear(asked.number, .dueFound([1], nextMs: nil, sessions: 1))
        #expect(!world.steward.isExpiryDue(world.leases.now))
    }

    // MARK: Expiry

    @Test("leases expire in portions of bounded rows, one lease at least, and half of the time is the writers'")
    func portionsOfRows() throws {
        let world = try World.holding(LeaseStore(1...4)) { $0.expiryRowLimit = 5 }
        for key in 0..<9 { world.leases.put(ByteString("key\(key)"), lease: key < 3 ? 1 : 3) }
        try world.findDue([1, 2, 3, 4])
        #expect(world.asks().isEmpty, "first these")
        func take() -> LeaseExpiry? { world.change { $0.takeExpiring(world.leases.now, world.leases.store) } }
        let first = try #require(take())
        #expect(first.leases == [1, 2] && first.holder == 3 && first.byteCount == 12)
        world.leases.pass(ms: 50)
        world.change { $0.locked(world.leases.now) }
        #expect(!world.steward.isExpiryDue(world.leases.now) && take() == nil && world.nextMs == 100)
        #expect(world.steward.deadline(canLock: false) > world.steward.deadline(canLock: true))
        world.leases.pass(ms: 100)
        let second = try #require(take())
        #expect(second.leases == [3] && second.byteCount == 24)
        world.change { $0.locked(world.leases.now) }
        #expect(world.nextMs == 20)
        world.leases.pass(ms: 20)
        #expect(take()?.leases == [4])
        #expect(take() == nil)
    }

    @Test("nothing expires while the store is said to be corrupt")
    func corrupt() throws {
        let world = try World.holding(LeaseStore([1]))
        try world.findDue([1])
        world.leases.alarm(.raise)
        let none = world.change { $0.takeExpiring(world.leases.now, world.leases.store) }
        #expect(none == nil && world.nextMs == 200)
        world.leases.alarm(.disarm)
        world.leases.pass(ms: 200)
        let expiry = world.change { $0.takeExpiring(world.leases.now, world.leases.store) }
        #expect(expiry == LeaseExpiry(leases: [1], holder: 3, rowCount: 1))
    }

    @Test("where the lock is not given, what is due is looked for again")
    func lockFailed() throws {
        let world = try World.holding(LeaseStore(1...2)) { $0.expiryRowLimit = 1 }
        try world.findDue([1, 2])
        _ = world.change { $0.takeExpiring(world.leases.now, world.leases.store) }
        world.change { $0.lockFailed(world.leases.now) }
        #expect(!world.steward.isExpiryDue(world.leases.now) && world.nextMs == 200)
        world.leases.pass(ms: 200)
        try world.findDue([1, 2])
        #expect(world.steward.isExpiryDue(world.leases.now))
    }

    @Test("a revoke that pauses is gone on with; its lease's deadline is gone with the append, and only with that")
    func revokes() throws {
        let world = try World.holding(LeaseStore([1]))
        try world.findDue([1])
        _ = world.change { $0.takeExpiring(world.leases.now, world.leases.store) }
        world.change { $0.locked(world.leases.now) }
        #expect(!world.steward.isRevoking)
        world.change { $0.revokePaused(1) }
        #expect(world.steward.isRevoking && !world.steward.isBeingRevoked(1))
        world.change { $0.revoked([1]) }
        #expect(!world.steward.isRevoking && world.steward.isBeingRevoked(1) && !world.steward.isBeingRevoked(2))
        world.change { $0.expired() }
        #expect(!world.steward.isBeingRevoked(1))
        world.change { $0.revokePaused(1) }
        world.change { $0.lockFailed(world.leases.now) }
        #expect(!world.steward.isRevoking)
    }

    @Test("a lease whose revoke is not in the log gets a deadline where it has none: from the sweep, or else as one that is touched")
    func undone() throws {
        let world = try World.holding(LeaseStore(1...2))
        world.change { $0.revoked([2]) }
        let isSwept = world.change { $0.expiryUndone([2]) }
        #expect(isSwept && !world.steward.isBeingRevoked(2) && world.steward.need == .inTime)
        guard case .ensures([2]) = world.change({ $0.roundStarted() }) else { throw TestSupportError("it is to be made sure of") }
        world.change { $0.gaveUp() }
        let isSweptByAnother = world.change { $0.expiryUndone([2]) }
        #expect(!isSweptByAnother)
    }

    @Test("the deadlines of all leases are made sure of now and then, so many a round")
    func sweep() throws {
        let world = try World.holding(LeaseStore(1...5)) {
            $0.dutyIntervalMs = 100_000
            $0.roundLimit = 2
        }
        try world.findDue([], nextMs: 1_000_000)
        world.leases.pass(ms: 29_999)
        _ = world.asks()
        #expect(world.steward.need == .none)
        world.leases.pass(ms: 1)
        _ = world.asks()
        #expect(world.steward.need == .inTime)
        #expect((0..<4).map { _ in world.round() } == [[1, 2], [3, 4], [5], []])
        #expect(world.steward.need == .none)
    }
}

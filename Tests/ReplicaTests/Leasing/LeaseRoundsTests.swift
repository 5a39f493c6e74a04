import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

/// Lease rounds over a store of leases, and what they want.
private final class World {
    let leases: LeaseStore
    private(set) var rounds: LeaseRounds
    private var listings = LeaseListings(turnLimit: 10_000)
    private var numbers = LeaseNumbers()
    var need = LeaseRounds.StewardNeed.none
    var part = LeaseRounds.StewardPart.none
    /// Every round that was sent.
    private(set) var sent: [(number: UInt64, round: LeaseRound)] = []
    /// Call, lease and TTL of each keep-alive that was answered; TTL -2 for the end of a stream.
    private(set) var keptAlive: [[Int64]] = []
    private(set) var responses: [UInt64: ByteString] = [:]
    private(set) var failures: [UInt64: EtcdError] = [:]

    init(_ leases: LeaseStore, _ configure: (inout LeaseLimits) -> Void = { _ in }) {
        self.leases = leases
        var limits = LeaseLimits()
        configure(&limits)
        rounds = LeaseRounds(limits, timeoutMs: 7_000)
    }

    @discardableResult
    func ask(_ call: UInt64, _ request: LeaseRequest) -> Bool {
        rounds.asked(LeaseRounds.Question(id: CallID(rawValue: call), request: request, arrivedAt: leases.now))
    }

    func keepAlive(_ call: UInt64, _ ids: LeaseID...) { for id in ids { ask(call, .keepAlive(id)) } }

    func change<Answer>(_ event: (inout LeaseRounds) -> Answer) -> Answer {
        defer { rounds.invariants() }
        return event(&rounds)
    }

    /// Does a turn. Gives the round that it sends, if any.
    @discardableResult
    func turn() throws -> LeaseRound? {
        var actions: [Action] = []
        defer { perform(actions) }
        rounds.timePassed(leases.now, &actions)
        guard change({ $0.tick(leases.now, need) }) else { return nil }
        let number = numbers.take()
        rounds.started(number, with: part, now: leases.now, leases.store, &actions)
        rounds.invariants()
        guard case .log(.chore(.lease(number, .round(let round))))? = actions.last else {
            Issue.record("a round is to be sent, and isn't")
            return nil
        }
        sent.append((number, round))
        return round
    }

    /// The log answers the round under way, and the fold is there at once.
    func answer(_ remainingMs: [LeaseID: Int64] = [:]) {
        rounds.answered(remainingMs, leases.head, now: leases.now)
        fold()
    }

    func fold() {
        var actions: [Action] = []
        let header = ResponseHeader(memberID: 7, revision: leases.store.revision)
        let count = rounds.headFolded(leases.now, leases.store, header, &listings, &actions)
        rounds.invariants()
        let before = keptAlive.count { $0[2] != -2 }
        perform(actions)
        if UInt64(keptAlive.count { $0[2] != -2 } - before) != count { Issue.record("\(count) keep-alives are counted") }
    }

    private func perform(_ actions: [Action]) {
        for action in actions {
            switch action {
            case .answer(let id, .send(let message, _)):
                guard let answer = try? LeaseKeepAliveResponse.decode(message) else { continue }
                keptAlive.append([Int64(id.rawValue), answer.id.rawValue, answer.ttl])
            case .answer(let id, .finish): keptAlive.append([Int64(id.rawValue), 0, -2])
            case .answer(let id, .respond(let message)): responses[id.rawValue] = message
            case .answer(let id, .fail(let error)): failures[id.rawValue] = error
            default: break
            }
        }
    }
}

@Suite("Lease rounds", .ownThreads)
struct LeaseRoundsTests {
    // MARK: Questions

    @Test("each lease's deadline is set once a round, and all who keep it alive are answered in their order")
    func keepAlive() throws {
        let world = World(LeaseStore([1, 2]))
        world.keepAlive(8, 2, 1)
        world.keepAlive(9, 2, 99)
        world.ask(8, .keepAliveEnd)
        let round = try #require(try world.turn())
        #expect(round.set == [LeaseTerm(lease: 1, milliseconds: 60_200), LeaseTerm(lease: 2, milliseconds: 60_200)])
        #expect(round.graceMs == 4_800 && round.read.isEmpty && round.remove.isEmpty && round.ensure.isEmpty)
        #expect(!world.rounds.isAnswered && world.rounds.since(1) == world.leases.store.committed && world.rounds.since(2) == nil)
        world.change { $0.answered([:], world.leases.head, now: world.leases.now) }
        #expect(world.rounds.isAnswered && world.keptAlive.isEmpty)
        world.fold()
        #expect(world.keptAlive == [[8, 2, 60], [8, 1, 60], [9, 2, 60], [9, 99, 0], [8, 0, -2]])
        #expect(try world.turn() == nil)
    }

    @Test("the time that is left is read once for all who ask, without the slack, and never more than was granted")
    func timeToLive() throws {
        let world = World(LeaseStore([1, 2, 3]))
        world.leases.put("k", lease: 1)
        for (call, lease) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 2)] as [(UInt64, LeaseID)] {
            world.ask(call, .timeToLive(lease, keys: call == 1))
        }
        world.ask(6, .list)
        #expect(try world.turn()?.read == [1, 2, 3, 4])
        world.answer([1: 5_900, 2: 60_180, 4: 1_000])
        func left(_ call: UInt64) throws -> LeaseTimeToLiveResponse {
            try LeaseTimeToLiveResponse.decode(try #require(world.responses[call]))
        }
        #expect(try [1, 2, 3, 4, 5].map { try left($0).ttl } == [5, 60, 60, -1, 60])
        #expect(try [1, 4].map { try left($0).grantedTTL } == [60, 0])
        #expect(try left(1).keys == ["k"] && left(1).header?.revision == 2)
        #expect(try LeaseLeasesResponse.decode(try #require(world.responses[6])).leases.map(\.id) == [1, 2, 3])
    }

    @Test("a round takes so many questions; beyond the limit none is let in")
    func limits() throws {
        let world = World(LeaseStore(1...10)) {
            $0.questionLimit = 8
            $0.roundLimit = 3
        }
        for lease in 1...10 as ClosedRange<LeaseID> {
            #expect(world.ask(UInt64(lease.rawValue), .keepAlive(lease)) == (lease <= 8))
        }
        var sizes: [Int] = []
        while let round = try world.turn() {
            sizes.append(round.set.count)
            world.answer()
        }
        #expect(sizes == [3, 3, 2])
        #expect(world.keptAlive.map { $0[0] } == Array(1...8))
    }

    @Test("a question that has waited too long fails with all its call's, wherever they wait; other calls' stay")
    func overdue() throws {
        let world = World(LeaseStore([1, 2]))
        world.keepAlive(8, 1)
        try world.turn()
        world.leases.pass(ms: 6_000)
        world.keepAlive(8, 2)
        world.keepAlive(9, 1)
        #expect(world.rounds.deadline(world.leases.now, .none) == Instant(nanoseconds: 7_000_000_000))
        world.leases.pass(ms: 999)
        try world.turn()
        #expect(world.failures.isEmpty)
        world.leases.pass(ms: 1)
        try world.turn()
        #expect(world.failures == [8: .timeout])
        world.answer()
        #expect(world.keptAlive.isEmpty)
        try world.turn()
        world.answer()
        #expect(world.keptAlive == [[9, 1, 60]])
    }

    @Test("questions of a call that is over are forgotten, those of the round under way too")
    func left() throws {
        let world = World(LeaseStore([1]))
        world.ask(8, .list)
        world.keepAlive(9, 1)
        try world.turn()
        world.ask(8, .list)
        world.change { $0.clientsLeft([CallID(rawValue: 8)]) }
        world.answer()
        #expect(world.keptAlive == [[9, 1, 60]] && world.responses.isEmpty)
        #expect(try world.turn() == nil)
    }

    // MARK: When

    @Test("some rounds may go at once, then one each interval, or fewer where there is much to collect; a question to read goes at once")
    func pace() throws {
        let world = World(LeaseStore(1...2_000)) { $0.roundBurst = 2 }
        func round() throws -> Bool {
            guard try world.turn() != nil else { return false }
            world.answer()
            return true
        }
        for _ in 0..<2 {
            world.keepAlive(8, 1)
            #expect(try round())
        }
        // The first turn has filled up what may be sent.
        world.keepAlive(8, 1)
        #expect(try !round())
        #expect(world.rounds.deadline(world.leases.now, .none) == world.leases.now.advanced(byMs: 100))
        world.ask(9, .timeToLive(1, keys: false))
        #expect(world.rounds.deadline(world.leases.now, .none) == world.leases.now)
        #expect(try round())
        world.leases.pass(ms: 100)
        for lease in 1...900 as ClosedRange<LeaseID> { world.keepAlive(8, lease) }
        #expect(try round())
        world.keepAlive(8, 1)
        world.leases.pass(ms: 189)
        #expect(try !round())
        world.leases.pass(ms: 1)
        #expect(try round())
        // The steward's rounds can't wait.
        world.need = .inTime
        #expect(try !round())
        world.need = .atOnce
        #expect(try round())
    }

    @Test("one round at a time; one that failed is sent again after a pause, with its questions in front and its deadlines")
    func failed() throws {
        let world = World(LeaseStore([1, 2, 3]))
        world.change { $0.touched(3) }
        world.change { $0.touched([99]) }
        world.keepAlive(8, 1)
        let first = try #require(try world.turn())
        #expect(first.set.map(\.lease) == [1, 3] && first.remove == [99])
        world.keepAlive(8, 2)
        world.ask(9, .list)
        #expect(try world.turn() == nil)
        world.change { $0.failed(world.leases.now) }
        #expect(world.rounds.since(1) == nil)
        #expect(try world.turn() == nil)
        #expect(world.rounds.deadline(world.leases.now, .none) == world.leases.now.advanced(byMs: 200))
        world.leases.pass(ms: 200)
        let second = try #require(try world.turn())
        #expect(second.set.map(\.lease) == [1, 2, 3] && second.remove == [99])
        world.answer()
        #expect(world.keptAlive == [[8, 1, 60], [8, 2, 60]] && world.responses[9] != nil)
    }

    // MARK: Answers

    @Test("an answer that comes later than the slack allows for is not passed on: the next round has more, and later ones less, by steps")
    func slack() throws {
        let world = World(LeaseStore([1]))
        func slack(afterMs milliseconds: Int) throws -> Int64 {
            let round = try #require(try world.turn())
            world.leases.pass(ms: milliseconds)
            world.answer()
            return try #require(round.set.first).milliseconds - 60_000
        }
        world.keepAlive(8, 1)
        #expect(try slack(afterMs: 201) == 200)
        #expect(world.keptAlive.isEmpty)
        #expect(try slack(afterMs: 402) == 402)
        #expect(world.keptAlive == [[8, 1, 60]])
        var later: [Int64] = []
        for _ in 0..<4 {
            world.keepAlive(8, 1)
            later.append(try slack(afterMs: 100))
        }
        #expect(later == [804, 704, 616, 539])
        world.keepAlive(8, 1)
        #expect(try slack(afterMs: 60_000) == 472)
        #expect(world.rounds.outageMs == 5_000, "there is a most")
    }

    @Test("the log was away where its answer took longer than an outage, whatever kept the round from being finished")
    func outage() throws {
        let world = World(LeaseStore([1]))
        world.keepAlive(8, 1)
        try world.turn()
        world.leases.pass(ms: 1_000)
        world.change { $0.answered([:], world.leases.head, now: world.leases.now) }
        world.leases.pass(ms: 1_000)
        #expect(!world.rounds.wasOutage)
        world.fold()
        // By now answers are known to be slow.
        #expect(world.rounds.outageMs == 4_000)
        try world.turn()
        world.leases.pass(ms: 4_001)
        world.change { $0.answered([:], world.leases.head, now: world.leases.now) }
        #expect(world.rounds.wasOutage)
    }

    @Test("a lease that was not known when the round was sent holds up its call for the next one, and no other call")
    func grantedMeanwhile() throws {
        let world = World(LeaseStore([1]))
        world.keepAlive(8, 1, 2, 1)
        world.ask(8, .keepAliveEnd)
        world.keepAlive(9, 1)
        #expect(try world.turn()?.set.map(\.lease) == [1])
        world.leases.grant(2, ttl: 30)
        world.answer()
        #expect(world.keptAlive == [[8, 1, 60], [9, 1, 60]])
        #expect(try world.turn()?.set.map(\.lease) == [1, 2])
        world.answer()
        #expect(world.keptAlive.suffix(3) == [[8, 2, 30], [8, 1, 60], [8, 0, -2]])
    }

    @Test("a lease that is gone by the round's head has lost, and the deadline that the round has set goes away")
    func revokedMeanwhile() throws {
        let world = World(LeaseStore([1]))
        world.keepAlive(8, 1)
        try world.turn()
        world.leases.revoke(1)
        world.answer()
        #expect(world.keptAlive == [[8, 1, 0]])
        let next = try #require(try world.turn())
        #expect(next.remove == [1] && next.set.isEmpty)
    }

    // MARK: The steward, and the log anew

    @Test("leases to extend get the most slack, and so does who is kept alive with them; leases to make sure of are not set twice")
    func steward() throws {
        let world = World(LeaseStore([1, 2, 3]))
        world.need = .atOnce
        world.part = .extends([2, 3, 99])
        world.keepAlive(8, 1)
        let first = try #require(try world.turn())
        #expect(first.set == [1, 2, 3].map { LeaseTerm(lease: $0, milliseconds: 65_000) } && first.graceMs == 0)
        world.answer()
        world.need = .inTime
        world.part = .ensures([1, 2, 99])
        world.keepAlive(8, 1)
        let second = try #require(try world.turn())
        #expect(second.set == [LeaseTerm(lease: 1, milliseconds: 60_200)])
        #expect(second.ensure == [LeaseTerm(lease: 2, milliseconds: 65_000)])
    }

    @Test("touched leases are taken in order, so many a round")
    func touched() throws {
        let world = World(LeaseStore([2, 4, 6])) { $0.roundLimit = 4 }
        world.change { $0.touched([6, 5, 4, 3, 2, 1]) }
        let first = try #require(try world.turn())
        #expect(first.set.map(\.lease) == [2, 4] && first.remove == [1, 3])
        world.answer()
        let second = try #require(try world.turn())
        #expect(second.set.map(\.lease) == [6] && second.remove == [5])
    }

    @Test("where the log is read anew questions wait on, and late answers are of a round that nobody knows")
    func loading() throws {
        let world = World(LeaseStore([1]))
        world.change { $0.touched(5) }
        world.ask(8, .list)
        try world.turn()
        world.change { $0.touched(6) }
        world.change { $0.loadingBegan() }
        #expect(world.rounds.since(1) == nil && !world.rounds.isAnswered)
        let next = try #require(try world.turn())
        #expect(next.isEmpty && world.sent.map(\.number) == [1, 2])
        world.answer()
        #expect(world.responses[8] != nil)
    }
}

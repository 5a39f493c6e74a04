import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite("Leases, over a log in memory")
struct LeaseTests {
    // MARK: Asking

    @Test("A lease is granted, listed, asked for its time, and revoked with its keys in one revision")
    func wholeLife() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(7, ttl: 60)
        #expect(log.deadlines[7] == 1_060_200)
        _ = try pine.put("b", lease: 7)
        _ = try pine.put("a", lease: 7)
        _ = try pine.put("c", lease: 0)
        #expect(try pine.leases() == [7])
        pass(10_000, pine)
        let left = try pine.timeToLive(7, keys: true)
        #expect(left.ttl == 50)
        #expect(left.grantedTTL == 60)
        #expect(left.keys == ["a", "b"])
        #expect(left.header?.revision == 4)
        #expect(try pine.timeToLive(7).keys.isEmpty)

        #expect(try pine.revoke(7) == 5)
        #expect(try pine.range(RangeRequest(key: "a", rangeEnd: "z")).kvs.map(\.key) == ["c"])
        #expect(try pine.timeToLive(7).ttl == -1)
        #expect(try pine.timeToLive(7).grantedTTL == 0)
        #expect(try pine.leases() == [])
        #expect(throws: EtcdError.leaseNotFound) { try pine.revoke(7) }
        pass(200, pine)
        #expect(log.deadlines.isEmpty)
    }

    @Test("A keep-alive starts the time anew; one of an unknown lease answers 0; all in the order of the questions")
    func keepAlive() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 10)
        try pine.grant(2, ttl: 20)
        pass(8_000, pine)
        let stream = pine.newStream()
        for lease: LeaseID in [1, 99, 2, 1, 0] { pine.keepAlive(lease, on: stream) }
        pine.endKeepAlives(on: stream)
        pine.settle()
        #expect(try pine.keptAlive(on: stream) == [[1, 10], [99, 0], [2, 20], [1, 10], [0, 0]])
        #expect(pine.answers[stream] == .success(ByteString()))
        #expect(try pine.timeToLive(1).ttl == 10)
        pass(10_100, pine)
        #expect(try pine.leases() == [1, 2])
    }

    @Test("Questions beyond the limit are refused at once, each call once and with all that it asked before, in one pass for all of them")
    func tooManyQuestions() throws {
        let limit = 20_000
        let pine = TestReplica(MemoryLog()) { $0.leaseLimits.questionLimit = limit }
        try pine.grant(1, ttl: 60)
        pine.settle()
        let (kept, refused) = (pine.newStream(), pine.newStream())
        pine.keepAlive(1, on: refused)
        for _ in 1..<limit { pine.keepAlive(1, on: kept) }
        // The second of these comes after the call's end. A pass over all that wait for each of the others would take minutes.
        for _ in 0..<2 { pine.keepAlive(1, on: refused) }
        let late = (0..<limit).map { _ in pine.newStream() }
        for stream in late { pine.keepAlive(1, on: stream) }
        pass(5_000, pine)
        #expect(pine.answers[refused] == .failure(.tooManyRequests))
        #expect(pine.sent[refused] == nil)
        #expect(late.allSatisfy { pine.answers[$0] == .failure(.tooManyRequests) && pine.sent[$0] == nil })
        #expect(try pine.keptAlive(on: kept) == Array(repeating: [1, 60], count: limit - 1))
        // There is room again.
        let next = pine.newStream()
        pine.keepAlive(1, on: next)
        pass(1_000, pine)
        #expect(try pine.keptAlive(on: next) == [[1, 60]])
    }

    @Test("A lease granted through one process is known to the other at once, in every call")
    func otherProcess() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        try one.grant(1, ttl: 10)
        #expect(try two.timeToLive(1).grantedTTL == 10)
        try one.grant(2, ttl: 10)
        #expect(try two.leases() == [1, 2])
        try one.grant(3, ttl: 10)
        let stream = two.newStream()
        // In front of it, one that does exist: their order stays.
        for lease: LeaseID in [3, 1, 4] { two.keepAlive(lease, on: stream) }
        two.settle()
        pass(200, one, two)
        #expect(try two.keptAlive(on: stream) == [[3, 10], [1, 10], [4, 0]])
        try one.grant(5, ttl: 10)
        #expect(try two.revoke(5) > 0)
        let after = one.newStream()
        one.keepAlive(5, on: after)
        pass(200, one, two)
        #expect(try one.keptAlive(on: after) == [[5, 0]])
    }

    @Test("A keep-alive that comes after the revoke has lost, though the deadline is still there")
    func revokedElsewhere() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        try one.grant(1, ttl: 10)
        _ = try two.leases()
        // Its deadline would be removed with the next round.
        let id = one.start(.write(.leaseRevoke(id: 1)))
        while one.answers[id] == nil { _ = one.turn() }
        let stream = two.newStream()
        two.keepAlive(1, on: stream)
        two.settle()
        #expect(try two.keptAlive(on: stream) == [[1, 0]])
        pass(12_000, one, two)
        #expect(log.deadlines.isEmpty)
    }

    @Test("Keep-alives are collected: many, from many streams, make few rounds")
    func collected() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        for lease in 1...500 { try pine.grant(LeaseID(lease), ttl: 60) }
        pass(2_000, pine)
        let before = log.rounds.count
        var streams: [CallID] = []
        // Half a second in which one comes each millisecond.
        for lease in 1...500 {
            let stream = pine.newStream()
            streams.append(stream)
            pine.keepAlive(LeaseID(lease), on: stream)
            pass(1, pine)
        }
        pass(200, pine)
        #expect(try streams.allSatisfy { try pine.keptAlive(on: $0).count == 1 })
        #expect(log.rounds.count - before < 20)
        #expect(pine.replica.counters.leasesKeptAlive == 500)
    }

    @Test("Keep-alives that nobody answers fail in time, the stream whole; cancelled ones are forgotten")
    func overdue() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 600)
        log.isAwayForLeases = true
        let (first, second, third) = (pine.newStream(), pine.newStream(), pine.newStream())
        pine.keepAlive(1, on: first)
        pine.keepAlive(1, on: second)
        pass(6_000, pine)
        pine.keepAlive(1, on: first)
        pine.keepAlive(1, on: third)
        pine.cancel(second)
        pass(2_000, pine)
        #expect(pine.answers[first] == .failure(.timeout))
        #expect(pine.answers[second] == nil)
        #expect(pine.answers[third] == nil)
        let question = pine.start(.lease(.timeToLive(1, keys: false)))
        log.isAwayForLeases = false
        pass(1_000, pine)
        #expect(try pine.keptAlive(on: third) == [[1, 600]])
        #expect(pine.sent[first] == nil && pine.sent[second] == nil)
        #expect(pine.answers[question] != nil)
    }

    @Test("A keep-alive is not answered by a deadline that the answer's slowness has eaten up")
    func slowAnswers() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 60)
        pass(500, pine)
        let stream = pine.newStream()
        pine.keepAlive(1, on: stream)
        pine.holdsAnswers = true
        _ = pine.turn()
        pass(700, pine)
        pine.holdsAnswers = false
        pine.settle()
        // The first round had 200 ms of slack. It was done again with more.
        #expect(log.rounds.suffix(2).map { $0.set.first?.milliseconds } == [60_200, 61_400])
        #expect(try pine.keptAlive(on: stream) == [[1, 60]])
    }

    @Test("What a slow process promises is not cut short by a fast one, and a lease of the same id starts with its own time")
    func slowAndFast() throws {
        let log = MemoryLog()
        let (slow, fast) = (TestReplica(log, origin: 1), TestReplica(log, origin: 2))
        try slow.grant(1, ttl: 60)
        pass(500, slow, fast)
        let stream = slow.newStream()
        slow.keepAlive(1, on: stream)
        slow.holdsAnswers = true
        _ = slow.turn()
        pass(700, slow, fast)
        slow.holdsAnswers = false
        slow.settle()
        // The second round's slack, for an answer that comes as late.
        let promised = log.nowMs + 61_400
        #expect(log.deadlines[1] == promised)
        pass(400, slow, fast)
        let other = fast.newStream()
        fast.keepAlive(1, on: other)
        pass(200, slow, fast)
        #expect(try fast.keptAlive(on: other) == [[1, 60]])
        #expect(log.rounds.last?.set.first?.milliseconds == 60_200)
        #expect(log.deadlines[1] == promised)
        // The old lease's deadline is still there when the new one gets its own.
        _ = try fast.revoke(1)
        try fast.grant(1, ttl: 5)
        pass(200, slow, fast)
        #expect(try #require(log.deadlines[1]) <= log.nowMs + 10_000)
    }

    // MARK: Expiry

    @Test("A lease expires after its time, not before, and soon")
    func expiry() throws {
        let pine = TestReplica(MemoryLog())
        try pine.grant(1, ttl: 5)
        _ = try pine.put("k", lease: 1)
        pass(5_000, pine)
        #expect(try pine.get("k").count == 1)
        pass(400, pine)
        let gone = try pine.get("k")
        #expect(gone.count == 0)
        #expect(gone.header?.revision == 3)
        #expect(try pine.leases() == [])
        #expect(pine.replica.counters.leasesExpired == 1)
    }

    @Test("Nothing expires while the store is said to be corrupt, and afterwards it does")
    func corrupt() throws {
        let pine = TestReplica(MemoryLog())
        try pine.grant(7, ttl: 2)
        _ = try pine.call(.write(.alarm(AlarmChange(.raise, member: 1, alarm: .corrupt))))
        pass(60_000, pine)
        #expect(try pine.leases() == [7])
        _ = try pine.call(.write(.alarm(AlarmChange(.disarm, member: 1, alarm: .corrupt))))
        pass(10_000, pine)
        #expect(try pine.leases() == [])
    }

    @Test("A lease granted elsewhere expires through the steward, in time though it learns late of it")
    func expiryElsewhere() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        #expect(one.replica.counters.isSteward && !two.replica.counters.isSteward)
        pass(60_000, one, two)
        try two.grant(1, ttl: 2)
        pass(2_000, one, two)
        #expect(try two.leases() == [1])
        pass(1_000, one, two)
        #expect(try two.leases() == [])
        #expect(one.replica.counters.leasesExpired == 1)
    }

    @Test("A keep-alive between finding a lease due and expiring it wins")
    func keepAliveWins() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 5)
        try pine.grant(2, ttl: 5)
        pass(5_150, pine)
        pine.holdsAnswers = true
        // Found due; then kept alive through another process before the lock is asked for.
        while log.nowMs < 1_005_300 { pass(10, pine) }
        var other = LeaseRound()
        other.set = [LeaseTerm(lease: 1, milliseconds: 5_000)]
        _ = log.answer(.lease(number: 0, .round(other)))
        pine.holdsAnswers = false
        pass(500, pine)
        #expect(try pine.leases() == [1])
    }

    @Test(
        "An append of expiries whose answer is lost expires each lease exactly once",
        arguments: [MemoryLog.Fate.lostBeforeCommit, .lostAfterCommit])
    func lostExpiry(fate: MemoryLog.Fate) throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 5)
        _ = try pine.put("k", lease: 1)
        log.fates = [fate]
        pass(6_000, pine)
        #expect(try pine.get("k").header?.revision == 3)
        #expect(log.rows.count { $0.kind == .revoke } == 1)
        #expect(log.deadlines.isEmpty)
        #expect(pine.replica.counters.leasesExpired == 1)
    }

    @Test("A lease whose expiry fails again and again does not get its time again, and ends as soon as one works")
    func expiryUndone() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 30)
        _ = try pine.put("k", lease: 1)
        pass(30_000, pine)
        log.fates = Array(repeating: .withoutLock, count: 5)
        pass(3_000, pine)
        #expect(log.fates.isEmpty)
        #expect(try pine.leases() == [])
        #expect(try pine.get("k").count == 0)
        #expect(log.deadlines.isEmpty)
    }

    @Test("Leases end where each answer of the log takes longer than an outage does")
    func slowLog() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 5)
        try pine.grant(2, ttl: 5)
        pass(1_000, pine)
        let stream = pine.newStream()
        // Others are kept alive all the time.
        for _ in 0..<12 {
            pine.keepAlive(2, on: stream)
            pine.holdsAnswers = true
            pass(1_500, pine)
            pine.holdsAnswers = false
            pine.settle()
        }
        #expect(try pine.leases() == [2])
    }

    @Test("An append that takes long does not make the log's answers about leases look like an outage")
    func slowAppend() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 60)
        pass(3_000, pine)
        let extensions = pine.replica.counters.leaseExtensions
        for _ in 0..<3 {
            _ = pine.start(.write(.put(PutRequest(key: "a", value: "b"))))
            let stream = pine.newStream()
            pine.keepAlive(1, on: stream)
            pine.holdsAppends = true
            pass(1_900, pine)
            pine.holdsAppends = false
            pine.settle()
            #expect(try pine.keptAlive(on: stream) == [[1, 60]])
        }
        #expect(pine.replica.counters.leaseExtensions == extensions)
    }

    @Test("Ten thousand leases that end at once expire in portions, with writes in between")
    func manyAtOnce() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        for lease in 1...10_000 { _ = pine.start(.write(.leaseGrant(id: LeaseID(lease), ttl: 5))) }
        pine.settle()
        pass(5_000, pine)
        #expect(log.deadlines.count == 10_000)
        var largest = 0
        var writes = 0
        while pine.replica.store.leases.count > 0 {
            let before = log.rows.count
            pass(10, pine)
            largest = max(largest, log.rows.count - before)
            _ = try pine.put("w", ByteString("\(writes)"))
            writes += 1
            try #require(writes < 2_000)
        }
        #expect(largest <= 1_000)
        #expect(writes > 40)
        #expect(pine.replica.counters.leasesExpired == 10_000)
        #expect(log.deadlines.isEmpty)
    }

    @Test("A lease with many keys expires in one revision")
    func manyKeys() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 30)
        for key in 0..<3_000 { _ = pine.start(.write(.put(PutRequest(key: ByteString("k\(key)"), value: "v", lease: 1)))) }
        pass(29_000, pine)
        #expect(try pine.range(RangeRequest(key: "k", rangeEnd: "l", countOnly: true)).count == 3_000)
        pass(2_000, pine)
        #expect(try pine.range(RangeRequest(key: "k", rangeEnd: "l", countOnly: true)).count == 0)
        let deletes = log.rows.filter { $0.kind == .delete }
        #expect(deletes.count == 3_000)
        #expect(Set(deletes.map(\.position.revision)).count == 1)
    }

    // MARK: The duty

    @Test("A steward that is gone is replaced within its term, and no lease is lost in the change")
    func stewardDies() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        try one.grant(1, ttl: 4)
        try one.grant(2, ttl: 4)
        pass(3_000, one, two)
        // `one` is not driven any more: dead.
        let stream = two.newStream()
        for _ in 0..<6 {
            two.keepAlive(1, on: stream)
            pass(1_000, two)
        }
        #expect(two.replica.counters.isSteward)
        #expect(try two.leases() == [1, 2])
        // What nobody kept alive has its full time again, and the most slack that anybody may count on, counted from the change.
        for _ in 0..<11 {
            two.keepAlive(1, on: stream)
            pass(1_000, two)
        }
        #expect(try two.leases() == [1])
        #expect(try two.keptAlive(on: stream).allSatisfy { $0 == [1, 4] })
    }

    @Test("A steward that stops gives the duty back at once")
    func stewardStops() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        pass(1_000, one, two)
        one.stop()
        one.settle()
        #expect(log.duty == nil)
        pass(2_100, one, two)
        #expect(!one.replica.counters.isSteward)
        #expect(two.replica.counters.isSteward)
    }

    @Test("Nothing expires because the log was away, however long or short", arguments: [1_500, 3_000, 60_000])
    func outage(awayMs: Int) throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        for lease: LeaseID in 1...3 { try pine.grant(lease, ttl: 2) }
        pass(1_000, pine)
        log.isAwayForLeases = true
        pass(awayMs, pine)
        log.isAwayForLeases = false
        log.sessions += 1
        pass(1_900, pine)
        #expect(try pine.leases() == [1, 2, 3])
        pass(6_500, pine)
        #expect(try pine.leases() == [])
    }

    @Test("A lease that was found due does not expire on a server that may lack its last keep-alive")
    func expiryOnAnotherServer() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 2)
        pass(1_000, pine)
        let extensions = pine.replica.counters.leaseExtensions
        var wasLocked = false
        log.beforeLock = {
            log.sessions += 1
            wasLocked = true
        }
        for _ in 0..<50 where !wasLocked { pass(100, pine) }
        #expect(wasLocked)
        pass(1_900, pine)
        #expect(try pine.leases() == [1])
        #expect(pine.replica.counters.leaseExtensions == extensions + 1)
        pass(6_500, pine)
        #expect(try pine.leases() == [])
    }

    @Test("A lease whose process died before it had a deadline gets one, and a deadline that is too late is put right")
    func sweep() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        try pine.grant(1, ttl: 20)
        try pine.grant(2, ttl: 20)
        log.forget(1)
        var other = LeaseRound()
        other.set = [LeaseTerm(lease: 2, milliseconds: 1_000_000)]
        _ = log.answer(.lease(number: 0, .round(other)))
        #expect(try pine.timeToLive(1).ttl == 20)
        pass(31_000, pine)
        #expect(Set(log.deadlines.keys) == [1, 2])
        #expect(log.deadlines.values.allSatisfy { $0 <= log.nowMs + 25_000 })
        #expect(try pine.leases() == [1, 2])
        pass(27_000, pine)
        #expect(try pine.leases() == [])
    }

    @Test("A deadline without a lease goes away when its time is over")
    func leftOver() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        var other = LeaseRound()
        other.set = [LeaseTerm(lease: 5, milliseconds: 1_000)]
        _ = log.answer(.lease(number: 0, .round(other)))
        pass(40_000, pine)
        #expect(log.deadlines.isEmpty)
        #expect(log.rows.isEmpty)
    }

    // MARK: The log

    @Test("Both rows of a lease that is gone, and superseded compaction marks, leave the log; the rest folds to the same state")
    func deadRows() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        for number in 1...40 {
            let lease = LeaseID(number)
            try pine.grant(lease, ttl: 600)
            _ = try pine.put("k\(number % 5)", lease: lease)
            if number % 4 != 0 { _ = try pine.revoke(lease) }
        }
        let revision = try pine.get("x").header!.revision
        for cut in [10, 20, revision] { _ = try pine.call(.compact(revision: cut, physical: true)) }
        // A mark stays until a compaction two revisions later: one more takes all but the last away, and the one before it.
        for _ in 0..<2 { _ = try pine.put("x", lease: 0) }
        _ = try pine.call(.compact(revision: revision + 2, physical: true))
        pine.settle()
        let kinds = log.rows.map(\.kind)
        #expect(kinds.count { $0 == .revoke } == 0)
        #expect(kinds.count { $0 == .grant } == 10)
        #expect(kinds.count { $0 == .compact } == 2)
        let late = TestReplica(log, origin: 2)
        #expect(try late.leases() == pine.leases())
        for lease: LeaseID in 1...40 { #expect(try late.timeToLive(lease, keys: true).keys == pine.timeToLive(lease, keys: true).keys) }
        #expect(late.replica.store.committedDigest == pine.replica.store.committedDigest)
    }
}

// MARK: -

/// Lets time pass, for the log and for these processes, from one deadline of theirs to the next.
private func pass(_ milliseconds: Int, _ replicas: TestReplica...) {
    var left = milliseconds
    while left > 0 {
        let step = min(left, replicas.map(\.untilNextDeadlineMs).min() ?? left)
        left -= step
        replicas[0].log.nowMs += Int64(step)
        for replica in replicas {
            replica.advance(ms: step)
            replica.settle()
        }
    }
}

extension TestReplica {
    fileprivate func grant(_ lease: LeaseID, ttl: Int64) throws {
        let answer = try LeaseGrantResponse.decode(try call(.write(.leaseGrant(id: lease, ttl: ttl))))
        #expect(answer.id == lease && answer.ttl == ttl)
    }

    fileprivate func revoke(_ lease: LeaseID) throws -> Revision {
        try LeaseRevokeResponse.decode(try call(.write(.leaseRevoke(id: lease)))).header?.revision ?? 0
    }

    fileprivate func put(_ key: ByteString, lease: LeaseID) throws -> PutResponse {
        try PutResponse.decode(try call(.write(.put(PutRequest(key: key, value: "v", lease: lease)))))
    }

    fileprivate func put(_ key: String, lease: LeaseID) throws -> PutResponse { try put(ByteString(key), lease: lease) }

    fileprivate func leases() throws -> [LeaseID] {
        try LeaseLeasesResponse.decode(try call(.lease(.list))).leases.map(\.id)
    }

    fileprivate func timeToLive(_ lease: LeaseID, keys: Bool = false) throws -> LeaseTimeToLiveResponse {
        try LeaseTimeToLiveResponse.decode(try call(.lease(.timeToLive(lease, keys: keys))))
    }

    /// Id and TTL of each answer on the stream so far.
    fileprivate func keptAlive(on stream: CallID) throws -> [[Int64]] {
        try (sent[stream] ?? []).map {
            let answer = try LeaseKeepAliveResponse.decode($0)
            return [answer.id.rawValue, answer.ttl]
        }
    }
}

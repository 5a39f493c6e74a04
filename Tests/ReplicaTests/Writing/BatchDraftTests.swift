// Owns: checks of how waiting writes become a batch: how many fit, and what becomes of those that can't be executed.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("A batch in the making", .ownThreads)
struct BatchDraftTests {
    private func put(_ key: ByteString, bytes: Int = 1) -> WriteRequest {
        .put(PutRequest(key: key, value: ByteString(String(repeating: "v", count: bytes))))
    }

    private let deleteAll = WriteRequest.deleteRange(DeleteRangeRequest(key: "k", rangeEnd: "l"))

    private func ids(_ draft: BatchDraft) -> [UInt64] { draft.writes.map(\.id.rawValue) }

    @Test("it takes what waits up to the limit of rows; the rest waits")
    func rowLimit() {
        let world = WriteWorld { $0.batchRowLimit = 2 }
        for _ in 0..<3 { world.arrive() }
        let draft = world.draft()
        #expect(ids(draft) == [1, 2] && draft.rows.count == 2 && draft.answers.count == 2)
        #expect(world.pipeline.writeCount == 1)
    }

    @Test("it takes what waits up to the limit of bytes, and one write however large")
    func byteLimit() {
        let world = WriteWorld {
            $0.batchByteLimit = 1_000
            $0.pacedByteLeast = 100
        }
        for _ in 0..<3 { world.arrive(put("k", bytes: 600)) }
        #expect(ids(world.draft()) == [1, 2])
        let large = WriteWorld {
            $0.batchByteLimit = 1_000
            $0.pacedByteLeast = 100
        }
        for _ in 0..<2 { large.arrive(put("k", bytes: 5_000)) }
        #expect(ids(large.draft()) == [1])
    }

    @Test("a refused write is answered with the others: what refuses it may rest on their rows")
    func refused() {
        let world = WriteWorld()
        world.arrive(.leaseGrant(id: 5, ttl: 10))
        world.arrive(.leaseGrant(id: 5, ttl: 10))
        world.arrive()
        let draft = world.draft()
        #expect(ids(draft) == [1, 2, 3] && draft.rows.count == 2 && !draft.exceedsQuota)
        guard case .failure(.leaseExist) = draft.answers[1] else { return #expect(Bool(false), "the second grant is refused") }
    }

    @Test("a write that takes more than a turn goes on alone, and counts once as begun")
    func paused() throws {
        let world = WriteWorld { $0.turnKeyLimit = 10 }
        for number in 0..<25 {
            world.arrive(put(ByteString("k\(100 + number)")))
            world.send()
            world.appended()
        }
        world.arrive(deleteAll)
        world.arrive(put("later"))
        var turns = 1
        var draft = world.draft()
        while draft.rows.isEmpty, turns < 20 {
            #expect(draft.writes.isEmpty && world.store.isPaused && world.pipeline.isFirstUnfinished && world.pipeline.writeCount == 2)
            #expect(world.pipeline.wantsLock == false)
            draft = world.draft()
            turns += 1
        }
        #expect(turns > 2 && turns < 20 && ids(draft).first == 26 && draft.rows.count >= 25 && !world.store.isPaused)
    }

    @Test("what was executed before a write that takes more than a turn is sent without it, and it begins anew")
    func behindOthers() {
        let world = WriteWorld { $0.turnKeyLimit = 10 }
        for number in 0..<25 {
            world.arrive(put(ByteString("k\(100 + number)")))
            world.send()
            world.appended()
        }
        world.arrive(put("before"))
        world.arrive(deleteAll)
        let draft = world.draft()
        #expect(ids(draft) == [26] && draft.rows.count == 1)
        #expect(!world.store.isPaused && world.store.savepoint.tip == draft.rows[0].position && world.pipeline.writeCount == 1)
    }

    @Test("after it was begun anew three times a write wants the lock")
    func beginsAnew() {
        let world = WriteWorld { $0.turnKeyLimit = 10 }
        for number in 0..<25 {
            world.arrive(put(ByteString("k\(100 + number)")))
            world.send()
            world.appended()
        }
        world.arrive(deleteAll)
        for time in 1...3 {
            #expect(world.pipeline.wantsLock == false)
            _ = world.draft()
            #expect(world.pipeline.wantsLock == (time == 3))
            world.abandon()
        }
    }

    @Test("a write that lacks values is left out, and those behind it are executed")
    func lacking() {
        let world = WriteWorld()
        world.load([LogRow(position: Position(2, 0), kind: .put, key: "cold", createRevision: 2, version: 1, origin: 2)], byteCounts: [3])
        world.arrive(.put(PutRequest(key: "cold", value: "new", prevKV: true)))
        world.arrive()
        let draft = world.draft()
        #expect(ids(draft) == [2] && draft.rows.count == 1 && draft.rows[0].position == Position(3, 0))
        #expect(draft.lacking.map(\.write.id.rawValue) == [1])
        #expect(draft.lacking.map { $0.values.map(\.position) } == [[Position(2, 0)]])
    }

    @Test(
        "a write that the quota refuses is answered, and the alarm is to be raised, but where one stands already", arguments: [false, true])
    func quota(isRaised: Bool) {
        let world = WriteWorld()
        if isRaised {
            world.arrive(.alarm(AlarmChange(.raise, member: 1, alarm: .noSpace)))
            world.send()
            world.appended()
        }
        world.setQuota(bytes: 10)
        world.arrive(put("k", bytes: 100))
        let draft = world.draft()
        guard case .failure(.noSpace)? = draft.answers.first else { return #expect(Bool(false), "the put is refused") }
        #expect(draft.exceedsQuota == !isRaised && draft.rows.isEmpty)
    }
}

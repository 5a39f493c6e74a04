// Checks HashKV through the replica: what stays in memory for it, values from the log, and changes of the history. See HashScanTests for the
// hashes themselves and HashingTests for the machine.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import TestSupport
import Testing

@testable import Replica

@Suite("HashKV in the replica", .ownThreads)
struct ReplicaHashingTests {
    private func hash(_ pine: TestReplica, _ id: CallID) throws -> HashKVResponse {
        try HashKVResponse.decode(try #require(pine.answers[id]).get())
    }

    private func hash(_ pine: TestReplica, at revision: Revision = 0) throws -> HashKVResponse {
        try HashKVResponse.decode(try pine.call(.hashKV(revision)))
    }

    private func filled(_ log: MemoryLog = MemoryLog(), origin: Int64 = 1, keys: Int = 50) throws -> TestReplica {
        let pine = TestReplica(log, origin: origin) { $0.scanKeyLimit = 10 }
        for number in 0..<keys { _ = try pine.put(ByteString("k\(number)"), "v") }
        return pine
    }

    @Test("A hash is as of when it was begun, though writes and a compaction come between its steps")
    func pinned() throws {
        let pine = try filled()
        let before = try hash(pine)
        #expect(before.header?.revision == 51 && before.hashRevision == 51 && before.compactRevision == -1)
        let id = pine.start(.hashKV(0))
        _ = pine.turn()
        #expect(pine.answers[id] == nil)
        for number in 0..<50 { _ = pine.start(.write(.put(PutRequest(key: ByteString("k\(number)"), value: "w")))) }
        _ = pine.start(.compact(revision: 51, physical: false))
        pine.settle()
        #expect(try hash(pine, id).hash == before.hash)
        #expect(try hash(pine).hash != before.hash)
    }

    @Test("Those who ask for the same get it from one scan")
    func shared() throws {
        let pine = try filled()
        let ids = [0, 51, 0, 40].map { pine.start(.hashKV($0)) }
        _ = pine.turn()
        while pine.answers[ids[0]] == nil { _ = pine.turn() }
        #expect(pine.answers[ids[1]] != nil && pine.answers[ids[2]] != nil && pine.answers[ids[3]] == nil)
        pine.settle()
        #expect(try hash(pine, ids[3]).hashRevision == 40)
        #expect(try hash(pine, ids[1]).hash == hash(pine, ids[0]).hash)
    }

    @Test("Whoever gives up is forgotten, and the next goes on")
    func cancelled() throws {
        let pine = try filled()
        let ids = (0..<2).map { pine.start(.hashKV(Revision($0) + 40)) }
        _ = pine.turn()
        pine.cancel(ids[0])
        pine.settle()
        #expect(pine.answers[ids[0]] == nil)
        #expect(try hash(pine, ids[1]).hashRevision == 41)
        #expect(pine.replica.hashing.isEmpty)
    }

    @Test("A compaction's hash is remembered, of ten compactions, and rows that it needs stay until then")
    func remembered() throws {
        let pine = try filled()
        for number in 0..<50 { _ = try pine.put(ByteString("k\(number)"), "w") }
        let unchanged = try hash(pine, at: 40)
        let compacted = pine.start(.compact(revision: 60, physical: true))
        pine.settle()
        pine.advance(ms: 10)
        pine.settle()
        #expect(pine.answers[compacted] != nil)
        let remembered = try hash(pine, at: 60)
        #expect(remembered.compactRevision == -1 && remembered.hashRevision == 60)
        #expect(throws: EtcdError.compacted) { try pine.call(.hashKV(40)) }
        #expect(throws: EtcdError.futureRev) { try pine.call(.hashKV(102)) }
        #expect(unchanged.hash != remembered.hash)
        for revision in Revision(61)...70 { _ = try pine.call(.compact(revision: revision, physical: false)) }
        #expect(throws: EtcdError.compacted) { try pine.call(.hashKV(60)) }
        #expect(try hash(pine, at: 61).compactRevision == 60)
        #expect(try hash(pine, at: 70).compactRevision == 69)
    }

    @Test("Compactions that come faster than they are hashed keep no more than ten waiting")
    func flood() throws {
        let pine = try filled(keys: 200)
        let ids = (Revision(2)...100).map { pine.start(.compact(revision: $0, physical: false)) }
        var most = 0
        while pine.turn() { most = max(most, pine.replica.hashing.count) }
        pine.settle()
        #expect(ids.allSatisfy { pine.answers[$0] != nil })
        #expect(most > 5 && most <= 11)
        #expect(pine.replica.hashing.isEmpty)
        #expect(try hash(pine, at: 100).compactRevision == 99)
    }

    @Test("Every process of a store computes the same, also one that has no value in memory")
    func processes() throws {
        let log = MemoryLog()
        let pine = try filled(log)
        _ = try pine.call(.compact(revision: 20, physical: true))
        let other = TestReplica(log, origin: 2, loadsWithoutValues: true) { $0.valueCacheBytes = 0 }
        other.settle()
        #expect(try hash(other).hash == hash(pine).hash)
        #expect(other.replica.counters.valuesRead > 0)
        let read = other.replica.counters.valuesRead
        #expect(try hash(other, at: 30).hash == hash(pine, at: 30).hash)
        #expect(other.replica.counters.valuesRead == read, "checksums are kept where values are not")
    }

    @Test("Values that another process deletes meanwhile end in etcd's compacted error, and nobody waits for ever")
    func overtaken() throws {
        let log = MemoryLog()
        let steward = try filled(log)
        let pine = TestReplica(log, origin: 2, loadsWithoutValues: true) { $0.valueCacheBytes = 0 }
        pine.settle()
        pine.holdsAnswers = true
        let past = pine.start(.hashKV(10))
        let current = pine.start(.hashKV(0))
        for number in 0..<50 { _ = try steward.put(ByteString("k\(number)"), "w") }
        _ = try steward.call(.compact(revision: 101, physical: true))
        pine.settle()
        pine.holdsAnswers = false
        pine.settle()
        #expect(pine.answers[past] == .failure(.compacted))
        #expect(try hash(pine, current).hash == hash(steward, at: 0).hash)
    }

    @Test("Where the history changes, those who wait are told, and nothing is remembered")
    func historyChanged() throws {
        let log = MemoryLog()
        let pine = try filled(log)
        _ = try pine.call(.compact(revision: 20, physical: false))
        #expect(try hash(pine, at: 20).compactRevision == -1)
        let id = pine.start(.hashKV(0))
        _ = pine.turn()
        log.lose(last: 1)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(throws: EtcdError.leaderChanged) { try hash(pine, id) }
        #expect(throws: EtcdError.compacted) { try pine.call(.hashKV(20)) }
    }
}

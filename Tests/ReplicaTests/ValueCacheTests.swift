import Bytes
import EtcdAPI
import Keyspace
import LogModel
import Replica
import TestSupport
import Testing

/// A replica with next to no room for values has to answer every request as one that keeps all of them does.
@Suite("Values that are not in memory", .ownThreads)
struct ValueCacheTests {
    private static let keys: [ByteString] = (0..<24).map { ByteString("k\($0)") }

    private struct Requests {
        var random: SeededGenerator
        var revision: Revision = 1
        var compacted: Revision = 0

        mutating func key() -> ByteString { random.pick(ValueCacheTests.keys) }

        mutating func value() -> ByteString {
            ByteString(String(repeating: random.pick(["a", "b", "c"]), count: random.pick([0, 1, 3, 40, 200])))
        }

        mutating func put() -> PutRequest {
            var put = PutRequest(key: key(), value: value(), prevKV: random.chance(0.5))
            if random.chance(0.15) { (put.ignoreValue, put.value) = (true, ByteString()) }
            return put
        }

        mutating func range() -> RangeRequest {
            var range = RangeRequest(key: key(), rangeEnd: random.pick([ByteString(), ByteString([0]), "k5"]))
            if random.chance(0.4) {
                range.revision = Revision(random.number(Int(max(compacted - 2, 1).rawValue)...Int(revision.rawValue) + 1))
            }
            if random.chance(0.3) { range.limit = Int64(random.number(1...8)) }
            range.keysOnly = random.chance(0.1)
            range.countOnly = random.chance(0.1)
            if random.chance(0.3) {
                range.sortOrder = random.pick([.ascend, .descend])
                range.sortTarget = random.pick([.key, .value, .mod, .version])
            }
            if random.chance(0.1) { range.minModRevision = Revision(random.number(1...Int(revision.rawValue))) }
            return range
        }

        mutating func delete() -> DeleteRangeRequest {
            DeleteRangeRequest(key: key(), rangeEnd: random.chance(0.2) ? "k2" : ByteString(), prevKV: random.chance(0.5))
        }

        mutating func txn(depth: Int = 0) -> TxnRequest {
            func comparison(_ requests: inout Requests) -> Compare {
                Compare(
                    result: requests.random.pick([.equal, .notEqual, .greater]), target: requests.random.pick([.value, .value, .mod]),
                    key: requests.key(), targetUnion: .value(requests.value()),
                    rangeEnd: requests.random.chance(0.3) ? ByteString([0]) : ByteString())
            }
            func operations(_ requests: inout Requests) -> [RequestOp] {
                // Each key is touched once.
                var puts: Set<ByteString> = []
                return (0..<requests.random.number(0...3)).compactMap { _ in
                    switch requests.random.number(0...9) {
                    case ..<4: .range(requests.range())
                    case ..<8:
                        {
                            let put = requests.put()
                            return puts.insert(put.key).inserted ? .put(put) : nil
                        }()
                    default: depth == 0 ? .txn(TxnRequest(compare: [comparison(&requests)], success: [.range(requests.range())])) : nil
                    }
                }
            }
            return TxnRequest(
                compare: (0..<random.number(0...2)).map { _ in comparison(&self) }, success: operations(&self), failure: operations(&self))
        }

        mutating func next() -> Request {
            switch random.number(0...99) {
            case ..<35: return .write(.put(put()))
            case ..<60: return .range(range())
            case ..<68: return .write(.deleteRange(delete()))
            // Not at a compacted revision: what is remembered of a compaction goes with a process.
            case 68:
                return .hashKV(random.chance(0.3) ? 0 : Revision(random.number(Int(compacted.rawValue) + 1...Int(revision.rawValue) + 1)))
            case ..<95:
                let txn = txn()
                return txn.isReadOnly ? .readTxn(txn) : .write(.txn(txn))
            default: return .compact(revision: Revision(random.number(1...Int(revision.rawValue))), physical: random.chance(0.5))
            }
        }
    }

    @Test("Random requests are answered as by a replica that keeps all values", arguments: 0..<12)
    func likeOneThatKeepsAll(number: Int) throws {
        let seed = testSeed("ValueCacheTests \(number)")
        var requests = Requests(random: SeededGenerator(seed: seed))
        let model = TestReplica(MemoryLog())
        let log = MemoryLog()
        let limit = requests.random.pick([0, 40, 300, 1_000])
        let scanKeyLimit = requests.random.pick([1, 3, 1_000])
        func start(_ loadsWithoutValues: Bool) -> TestReplica {
            TestReplica(log, loadsWithoutValues: loadsWithoutValues) {
                $0.valueCacheBytes = limit
                $0.scanKeyLimit = scanKeyLimit
                $0.valueReadByteLimit = 300
            }
        }
        var pine = start(false)
        for step in 0..<1_500 {
            let request = requests.next()
            let (wanted, got) = (model.start(request), pine.start(request))
            // The steward needs its duty to delete.
            for replica in [model, pine] {
                replica.settle()
                replica.advance(ms: 10)
            }
            try #require(pine.answers[got] == model.answers[wanted], "step \(step) of seed \(seed): \(request)")
            requests.revision = model.replica.store.revision
            requests.compacted = model.replica.store.compactRevision
            if step % 100 == 99 { pine.replica.store.index.invariants() }
            if step == 700 { pine = start(true) }
        }
        #expect(pine.replica.counters.valuesRead > 0)
        #expect(pine.replica.store.committedDigest == model.replica.store.committedDigest)
    }

    @Test("What has room is in memory after it was read, what has none is not, and the hand spares what is read")
    func clock() throws {
        let pine = TestReplica(MemoryLog()) { $0.valueCacheBytes = 20_000 }
        let value = ByteString(String(repeating: "v", count: 1_000))
        for number in 0..<100 {
            _ = try pine.put(ByteString("k\(number)"), value)
            _ = try pine.get("k0")
        }
        #expect(pine.replica.store.index.valueBytes <= 20_000)
        #expect(pine.replica.store.index.valueBytes >= 15_000)
        #expect(pine.replica.counters.valuesRead == 0, "k0 was read all the time")
        #expect(try pine.get("k1").kvs.first?.value == value)
        #expect(pine.replica.counters.valuesRead == 1)
        #expect(try pine.get("k1").kvs.first?.value == value)
        #expect(pine.replica.counters.valuesRead == 1)
        let all = try pine.range(RangeRequest(key: "k", rangeEnd: "l"))
        #expect(all.kvs.count == 100 && all.kvs.allSatisfy { $0.value == value })
        #expect(pine.replica.store.index.valueBytes <= 20_000)
        pine.replica.store.index.invariants()
    }

    @Test("A write that waits for a value holds up no other, and is executed at the tip")
    func writesWait() throws {
        let pine = TestReplica(MemoryLog()) { $0.valueCacheBytes = 0 }
        _ = try pine.put("cold", "old")
        pine.holdsAnswers = true
        let compare = Compare(result: .equal, target: .value, key: "cold", targetUnion: .value("old"))
        let txn = pine.start(.write(.txn(TxnRequest(compare: [compare], success: [.put(PutRequest(key: "x", value: "1"))]))))
        let other = pine.start(.write(.put(PutRequest(key: "cold", value: "new"))))
        _ = pine.turn()
        pine.holdsAnswers = false
        pine.settle()
        #expect(try PutResponse.decode(try #require(pine.answers[other]).get()).header?.revision == 3)
        let answer = try TxnResponse.decode(try #require(pine.answers[txn]).get())
        #expect(!answer.succeeded, "the value has changed meanwhile")
        #expect(try pine.get("x").kvs.isEmpty)
    }

    @Test("A value whose row another process has deleted is the newer one, or compacted")
    func rowsDeletedElsewhere() throws {
        let log = MemoryLog()
        let steward = TestReplica(log, origin: 1)
        let pine = TestReplica(log, origin: 2) { $0.valueCacheBytes = 0 }
        _ = try pine.put("k", "old")
        pine.settle()
        // What the other does meanwhile is not folded yet.
        pine.holdsAnswers = true
        let latest = pine.start(.range(RangeRequest(key: "k", serializable: true)))
        let past = pine.start(.range(RangeRequest(key: "k", revision: 2, serializable: true)))
        let latestScan = pine.start(.range(RangeRequest(key: "k", rangeEnd: "l", serializable: true)))
        let pastScan = pine.start(.range(RangeRequest(key: "k", rangeEnd: "l", revision: 2, serializable: true)))
        _ = try steward.put("k", "new")
        _ = try steward.put("other", "v")
        _ = try steward.call(.compact(revision: 4, physical: true))
        #expect(log.rows.first?.position.revision == 3)
        pine.settle()
        pine.holdsAnswers = false
        pine.settle()
        #expect(try RangeResponse.decode(try #require(pine.answers[latest]).get()).kvs.first?.value == "new")
        #expect(pine.answers[past] == .failure(.compacted))
        #expect(try RangeResponse.decode(try #require(pine.answers[latestScan]).get()).kvs.first?.value == "new")
        #expect(pine.answers[pastScan] == .failure(.compacted))
    }

    @Test("While the log is away operations wait for their values, and then time out; the others go on")
    func logAway() throws {
        let pine = TestReplica(MemoryLog()) { $0.valueCacheBytes = 0 }
        _ = try pine.put("k", "v")
        pine.holdsAnswers = true
        let read = pine.start(.range(RangeRequest(key: "k", serializable: true)))
        let count = pine.start(.range(RangeRequest(key: "k", serializable: true, countOnly: true)))
        _ = pine.turn()
        #expect(pine.answers[count] != nil)
        #expect(pine.answers[read] == nil)
        pine.advance(ms: 7_001)
        _ = pine.turn()
        #expect(pine.answers[read] == .failure(.timeout))
    }
}

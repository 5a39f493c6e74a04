// Owns: checks that no request takes a turn for long: that long ones give way, that cancelled ones are not begun, and that answers which
// can't be sent are refused while they grow.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Testing

@testable import Replica

@Suite("What a turn may take")
struct TurnBudgetTests {
    private func loaded(keys: Int = 600, valueBytes: Int = 10, configure: @escaping (inout ReplicaConfiguration) -> Void = { _ in })
        throws -> TestReplica
    {
        let pine = TestReplica(MemoryLog()) {
            $0.scanKeyLimit = 50
            $0.turnKeyLimit = 100
            configure(&$0)
        }
        for base in stride(from: 0, to: keys, by: 50) {
            let puts = (base..<min(base + 50, keys)).map {
                RequestOp.put(PutRequest(key: ByteString("k\(10_000 + $0)"), value: ByteString(String(repeating: "v", count: valueBytes))))
            }
            _ = try pine.call(.write(.txn(TxnRequest(success: puts))))
        }
        return pine
    }

    private let everything = RangeRequest(key: "\0", rangeEnd: "\0", minModRevision: Revision(1 << 40))

    /// How many turns pass until `id` is answered.
    private func turns(of pine: TestReplica, until id: CallID, limit: Int = 10_000) -> Int {
        var turns = 0
        while pine.answers[id] == nil, turns < limit {
            _ = pine.turn()
            turns += 1
        }
        return turns
    }

    @Test("A transaction of many long ranges takes many turns, and a put that comes meanwhile does not wait for it")
    func longReads() throws {
        let pine = try loaded()
        let txn = TxnRequest(success: (0..<32).map { _ in .range(everything) })
        for request in [Request.readTxn(txn), .write(.txn(TxnRequest(success: [.txn(txn)])))] {
            let long = pine.start(request)
            for _ in 0..<5 { _ = pine.turn() }
            let put = pine.start(.write(.put(PutRequest(key: "beside", value: "x"))))
            #expect(turns(of: pine, until: put) <= 6)
            #expect(pine.answers[long] == nil)
            #expect(turns(of: pine, until: long) > 100)
            let answer = try TxnResponse.decode(try #require(pine.answers[long]).get())
            #expect(answer.succeeded)
        }
    }

    @Test("Comparisons over long ranges hold up other writes, but no reads, and are done with though others write")
    func longComparisons() throws {
        let pine = try loaded()
        let holds = Compare(result: .greater, target: .version, key: "\0", targetUnion: .version(0), rangeEnd: "\0")
        let txn = TxnRequest(
            compare: Array(repeating: holds, count: 8), success: [.put(PutRequest(key: "a", value: "1"))],
            failure: [.put(PutRequest(key: "b", value: "1"))])
        let long = pine.start(.write(.txn(txn)))
        for _ in 0..<3 { _ = pine.turn() }
        #expect(pine.answers[long] == nil)
        let read = pine.start(.range(RangeRequest(key: "k10000")))
        #expect(turns(of: pine, until: read) <= 3)
        #expect(pine.answers[long] == nil)
        // Another process gets there first: it begins anew.
        let other = TestReplica(pine.log, origin: 2)
        _ = try other.put("k10001", "other")
        pine.advance(ms: 2_000)
        #expect(turns(of: pine, until: long) > 40)
        #expect(try TxnResponse.decode(try #require(pine.answers[long]).get()).succeeded)
        other.advance(ms: 2_000)
        other.settle()
        #expect(try other.get("a").kvs.first?.value == "1")
        #expect(other.replica.store.committedDigest == pine.replica.store.committedDigest)
    }

    @Test("A write that gives way ends though others write before each of its turns: under the head's lock, in steps")
    func besideNeighbours() throws {
        let pine = try loaded()
        let other = TestReplica(pine.log, origin: 2)
        let delete = pine.start(.write(.deleteRange(DeleteRangeRequest(key: "k", rangeEnd: "l"))))
        var writes = 0
        var lockedTurns = 0
        while pine.answers[delete] == nil, writes < 30, lockedTurns < 1_000 {
            // Nobody else appends while the lock is held.
            if pine.replica.writes.hold != nil {
                lockedTurns += 1
                _ = pine.turn()
                continue
            }
            writes += 1
            _ = try other.put("z", ByteString("\(writes)"))
            // Two turns, in which it learns of that and begins anew: too few for 600 keys.
            pine.tell(.log(.hinted))
            for _ in 0..<2 { _ = pine.turn() }
        }
        #expect(writes > 3 && writes < 30)
        #expect(lockedTurns > 5 && lockedTurns < 1_000)
        #expect(try DeleteRangeResponse.decode(try #require(pine.answers[delete]).get()).deleted == 600)
        other.advance(ms: 2_000)
        other.settle()
        #expect(try other.range(RangeRequest(key: "k", rangeEnd: "l")).count == 0)
    }

    @Test(
        "A lease of many keys expires in steps under the head's lock; reads beside it are answered, and nothing is seen of it before its end"
    )
    func expiry() throws {
        let pine = try loaded(keys: 0)
        let other = TestReplica(pine.log, origin: 2)
        _ = try pine.call(.write(.leaseGrant(id: 7, ttl: 5)))
        for base in stride(from: 0, to: 600, by: 50) {
            let puts = (base..<base + 50).map {
                RequestOp.put(PutRequest(key: ByteString("k\(10_000 + $0)"), value: "v", lease: 7))
            }
            _ = try pine.call(.write(.txn(TxnRequest(success: puts))))
        }
        let puts = (0..<200).map { RequestOp.put(PutRequest(key: ByteString("other\($0)"), value: "v")) }
        _ = try pine.call(.write(.txn(TxnRequest(success: puts))))
        let before = pine.replica.store.revision
        // It takes several turns as well, and comes in the turn that ends the revoke.
        var delete: CallID?
        var turns = 0
        var lockedTurns = 0
        while pine.replica.store.leases.contains(7) || !pine.replica.store.isSettled, turns < 20_000 {
            turns += 1
            if !pine.turn() {
                pine.log.nowMs += 20
                pine.advance(ms: 20)
            }
            guard pine.replica.isRevoking else { continue }
            lockedTurns += 1
            if delete == nil {
                delete = pine.start(.write(.deleteRange(DeleteRangeRequest(key: "other", rangeEnd: "otherz"))))
            }
            #expect(pine.replica.store.revision == before)
            let read = pine.start(.range(RangeRequest(key: "k", rangeEnd: "l", serializable: true, countOnly: true)))
            _ = pine.turn()
            #expect(try RangeResponse.decode(try #require(pine.answers[read]).get()).count == 600)
        }
        #expect(lockedTurns > 5)
        #expect(try pine.range(RangeRequest(key: "k", rangeEnd: "l")).count == 0)
        pine.settle()
        #expect(pine.replica.store.revision == before + 2)
        let begun = try #require(delete)
        #expect(try DeleteRangeResponse.decode(try #require(pine.answers[begun]).get()).deleted == 200)
        other.advance(ms: 2_000)
        other.settle()
        #expect(other.replica.store.committedDigest == pine.replica.store.committedDigest)
    }

    @Test("A write that gives way can be given up, and leaves nothing")
    func givenUp() throws {
        let pine = try loaded()
        let digest = pine.replica.store.committedDigest
        let delete = pine.start(.write(.deleteRange(DeleteRangeRequest(key: "k", rangeEnd: "l"))))
        for _ in 0..<3 { _ = pine.turn() }
        pine.cancel(delete)
        pine.settle()
        #expect(pine.answers[delete] == nil && pine.replica.store.committedDigest == digest && pine.replica.store.isSettled)
        _ = try pine.put("k10000", "after")
        #expect(try pine.range(RangeRequest(key: "k", rangeEnd: "l", countOnly: true)).count == 600)
    }

    @Test("What clients have given up is not begun")
    func cancelled() throws {
        let pine = try loaded()
        let before = pine.replica.counters.readsAnswered
        let range = RequestOp.range(RangeRequest(key: "\0", rangeEnd: "\0", serializable: true))
        let calls = (0..<200).map { _ in pine.start(.readTxn(TxnRequest(success: [range, range, range]))) }
        for call in calls { pine.cancel(call) }
        let read = pine.start(.range(RangeRequest(key: "k10000")))
        #expect(turns(of: pine, until: read) <= 3)
        #expect(pine.replica.counters.readsAnswered == before + 1)
        #expect(calls.allSatisfy { pine.answers[$0] == nil })
    }

    @Test("No turn answers much more than its share")
    func answerBytes() throws {
        let pine = try loaded(keys: 100, valueBytes: 1_000) {
            $0.turnAnswerByteLimit = 10_000
            $0.scanByteLimit = 2_000
        }
        let reads = (0..<200).map { pine.start(.range(RangeRequest(key: ByteString("k\(10_000 + $0 % 100)"), serializable: true))) }
        let lists = (0..<5).map { _ in pine.start(.range(RangeRequest(key: "k", rangeEnd: "l", serializable: true))) }
        var most = 0
        while (reads + lists).contains(where: { pine.answers[$0] == nil }) {
            pine.forgetSizes()
            _ = pine.turn()
            most = max(most, pine.answeredBytes)
        }
        // A list that is done is handed out whole, after many turns; all may be done in one.
        #expect(most < 12_000 + 5 * 105_000)
        #expect(try lists.allSatisfy { try RangeResponse.decode(try #require(pine.answers[$0]).get()).kvs.count == 100 })
    }

    @Test("An answer larger than any may be is refused while it grows", arguments: [false, true])
    func tooLarge(isNested: Bool) throws {
        let pine = try loaded(keys: 100, valueBytes: 1_000) { $0.answerByteLimit = 500_000 }
        let ranges = TxnRequest(success: (0..<20).map { _ in .range(RangeRequest(key: "k", rangeEnd: "l")) })
        let put = RequestOp.put(PutRequest(key: "applied", value: "1"))
        let call = pine.start(isNested ? .write(.txn(TxnRequest(success: [put, .txn(ranges)]))) : .readTxn(ranges))
        pine.settle()
        #expect {
            _ = try #require(pine.answers[call]).get()
        } throws: { error in
            guard let error = error as? EtcdError else { return false }
            return error.code == .resourceExhausted && error.text.hasPrefix("grpc: trying to send message larger than max (")
                && error.text.hasSuffix(" vs. 500000)")
        }
        #expect(try pine.get("applied").kvs.count == (isNested ? 1 : 0))
    }

    @Test("Long answers that together take too much memory are finished one after the other")
    func crowded() throws {
        let pine = try loaded(keys: 300, valueBytes: 1_000) { $0.scanMemoryLimit = 100_000 }
        let lists = (0..<20).map { number in
            pine.advance(ms: 1)
            return pine.start(.range(RangeRequest(key: "k", rangeEnd: "l", limit: Int64(1_000 + number), serializable: true)))
        }
        var most = 0
        while lists.contains(where: { pine.answers[$0] == nil }) {
            _ = pine.turn()
            most = max(most, pine.replica.gauges.scanBytes)
        }
        // One whole answer, and what the turn made in which the limit was passed.
        #expect(most < 100_000 + 320_000 + 120_000)
        #expect(try lists.allSatisfy { try RangeResponse.decode(try #require(pine.answers[$0]).get()).kvs.count == 300 })
    }

    @Test("Many keys are sorted elsewhere, one job after the other")
    func sorting() throws {
        let pine = try loaded(keys: 2_500)
        let request = RangeRequest(key: "k", rangeEnd: "l", limit: 1, sortOrder: .descend, sortTarget: .mod)
        let calls = (0..<3).map { _ in pine.start(.range(request)) }
        pine.holdsSortJobs = true
        pine.settle()
        #expect(pine.sortJobs.count == 1)
        pine.cancel(calls[0])
        _ = try pine.put("k99999", "newest")
        pine.holdsSortJobs = false
        pine.settle()
        #expect(pine.answers[calls[0]] == nil)
        for call in calls.dropFirst() {
            let answer = try RangeResponse.decode(try #require(pine.answers[call]).get())
            #expect(answer.count == 2_500 && answer.more && answer.kvs.count == 1)
        }
    }
}

import Bytes
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite("The replica, over a log in memory")
struct ReplicaTests {
    @Test("A log whose rows don't add up is looked at again, less and less often, until somebody has mended it")
    func damagedLog() throws {
        let log = MemoryLog()
        let writer = TestReplica(log)
        for key in ["a", "b"] as [ByteString] { _ = try writer.put(key, "1") }
        log.damage()
        let reader = TestReplica(log, origin: 2)
        var damages: [Int] {
            reader.notes.compactMap { if case .logDamaged(_, let retryMs) = $0 { retryMs } else { nil } }
        }
        #expect(damages == [1_000] && reader.replica.counters.isLogDamaged && !reader.replica.isServing)
        var pauses: [Int] = []
        while pauses.count < 8 {
            let before = damages.count
            var waited = 0
            while damages.count == before {
                reader.advance(ms: 100)
                reader.settle()
                waited += 100
            }
            pauses.append(waited)
        }
        #expect(pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
        log.mend()
        reader.advance(ms: 60_000)
        reader.settle()
        #expect(reader.replica.isServing && !reader.replica.counters.isLogDamaged)
        #expect(try reader.get("b").kvs.count == 1)
    }

    @Test("A put is read back at the revision that it made")
    func putThenGet() throws {
        let pine = TestReplica(MemoryLog())
        #expect(try pine.put("foo", "bar").header?.revision == 2)
        let answer = try pine.get("foo")
        #expect(answer.header?.revision == 2)
        #expect(answer.count == 1)
        #expect(answer.kvs == [KeyValue(key: "foo", createRevision: 2, modRevision: 2, version: 1, value: "bar")])
        #expect(try pine.get("fo").kvs.isEmpty)
    }

    @Test("Requests that arrive while an append is in flight share the next one")
    func groupCommit() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        pine.holdsAnswers = true
        let first = pine.start(.write(.put(PutRequest(key: "k0", value: "v"))))
        _ = pine.turn()
        let others = (1...50).map { pine.start(.write(.put(PutRequest(key: ByteString("k\($0)"), value: "v")))) }
        _ = pine.turn()
        #expect(pine.answers.isEmpty)
        pine.holdsAnswers = false
        pine.settle()
        #expect(pine.replica.counters.writes.batchesAppended == 2)
        for (number, id) in ([first] + others).enumerated() {
            let answer = try PutResponse.decode(try #require(pine.answers[id]).get())
            #expect(answer.header?.revision == Revision(number) + 2)
        }
    }

    @Test("A read does not see what is not committed yet")
    func speculationIsHidden() throws {
        let pine = TestReplica(MemoryLog())
        _ = try pine.put("a", "1")
        pine.holdsAnswers = true
        let write = pine.start(.write(.put(PutRequest(key: "a", value: "2"))))
        _ = pine.turn()
        let read = pine.start(.range(RangeRequest(key: "a", serializable: true)))
        _ = pine.turn()
        let answer = try RangeResponse.decode(try #require(pine.answers[read]).get())
        #expect(answer.kvs.first?.value == "1")
        #expect(answer.header?.revision == 2)
        #expect(pine.answers[write] == nil)
    }

    @Test("Two replicas that write in turn lose races and converge")
    func lostRaces() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        for round in 0..<20 {
            _ = try one.put(ByteString("one\(round % 3)"), "x")
            _ = try two.put(ByteString("two\(round % 3)"), "y")
        }
        #expect(try one.get("two1").header?.revision == 41)
        #expect(try two.get("one1").header?.revision == 41)
        #expect(one.replica.store.committedDigest == two.replica.store.committedDigest)
        #expect(one.replica.counters.writes.racesLost > 0)
    }

    @Test("An append whose answer is lost is answered for certain", arguments: [MemoryLog.Fate.lostBeforeCommit, .lostAfterCommit])
    func lostAppend(fate: MemoryLog.Fate) throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("a", "1")
        log.fates = [fate]
        #expect(try pine.put("a", "2").header?.revision == 3)
        #expect(log.rows.count == 2)
        #expect(pine.notes.contains(.appendRecovered(committed: fate == .lostAfterCommit)))
        #expect(try pine.get("a").kvs.first?.version == 2)
    }

    @Test("A lost append is done again behind what another process wrote in between")
    func lostAppendBehindAnother() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        log.fates = [.lostBeforeCommit]
        one.holdsAnswers = true
        let id = one.start(.write(.put(PutRequest(key: "a", value: "one", prevKV: true))))
        _ = one.turn()
        _ = try two.put("a", "two")
        one.holdsAnswers = false
        one.settle()
        let answer = try PutResponse.decode(try #require(one.answers[id]).get())
        #expect(answer.header?.revision == 3)
        #expect(answer.prevKV?.value == "two")
    }

    @Test("A transaction that fails half way leaves nothing behind")
    func halfTransaction() throws {
        let pine = TestReplica(MemoryLog())
        _ = try pine.put("foo", "1")
        _ = try pine.put("z", "1")
        let txn = TxnRequest(success: [
            .deleteRange(DeleteRangeRequest(key: "a/", rangeEnd: ByteString([0]))),
            .put(PutRequest(key: "foo", ignoreValue: true)),
        ])
        #expect(throws: EtcdError.keyNotFound) { try pine.call(.write(.txn(txn))) }
        #expect(try pine.get("foo").kvs.count == 1)
        #expect(try pine.get("z").header?.revision == 3)
        // Its neighbours in the batch aren't failed with it.
        let before = pine.start(.write(.put(PutRequest(key: "b", value: "1"))))
        let bad = pine.start(.write(.txn(txn)))
        let after = pine.start(.write(.put(PutRequest(key: "c", value: "1"))))
        pine.settle()
        #expect(pine.answers[bad] == .failure(.keyNotFound))
        #expect(try PutResponse.decode(try #require(pine.answers[before]).get()).header?.revision == 4)
        #expect(try PutResponse.decode(try #require(pine.answers[after]).get()).header?.revision == 5)
    }

    @Test("A write without effect is confirmed against the log's end before it is answered")
    func unchangedWrites() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        _ = try two.put("k", "v")
        let delete = DeleteRangeRequest(key: "k")
        // `one` has not seen the key yet when it executes this.
        let answer = try DeleteRangeResponse.decode(try one.call(.write(.deleteRange(delete))))
        #expect(answer.deleted == 1)
        #expect(answer.header?.revision == 3)
        let again = try DeleteRangeResponse.decode(try two.call(.write(.deleteRange(delete))))
        #expect(again.deleted == 0)
        #expect(again.header?.revision == 3)
    }

    @Test("A long range gives way and still answers at one revision")
    func longRange() throws {
        let pine = TestReplica(MemoryLog()) { $0.scanKeyLimit = 10 }
        for number in 100..<200 { _ = try pine.put(ByteString("k\(number)"), "v") }
        let scan = pine.start(.range(RangeRequest(key: "k", rangeEnd: "l", limit: 95, serializable: true)))
        _ = pine.turn()
        _ = pine.start(.write(.put(PutRequest(key: "k999", value: "late"))))
        pine.settle()
        let answer = try RangeResponse.decode(try #require(pine.answers[scan]).get())
        #expect(answer.kvs.count == 95)
        #expect(answer.count == 100)
        #expect(answer.more)
        let old = try pine.range(RangeRequest(key: "k", rangeEnd: "l", limit: 5, revision: 51))
        #expect(old.kvs.count == 5)
        #expect(old.count == 50)
        #expect(old.more)
    }

    @Test("A streamed range arrives in chunks, the last with header and count")
    func rangeStream() throws {
        let pine = TestReplica(MemoryLog()) {
            $0.streamChunkBytes = 300
            $0.scanKeyLimit = 4
        }
        for number in 100..<150 { _ = try pine.put(ByteString("k\(number)"), "0123456789") }
        let id = pine.start(.rangeStream(RangeRequest(key: "k", rangeEnd: "l")))
        pine.settle()
        let chunks = try #require(pine.sent[id]).map { try RangeStreamResponse.decode($0).rangeResponse! }
        #expect(chunks.count >= 5)
        #expect(chunks.flatMap(\.kvs).count == 50)
        #expect(chunks.dropLast().allSatisfy { $0.header == nil && $0.count == 0 })
        #expect(chunks.last?.header?.revision == 51)
        #expect(chunks.last?.count == 50)
        #expect(pine.answers[id] != nil)
    }

    @Test("Compaction refuses old reads and deletes exactly the dead rows")
    func compaction() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        for value in 1...5 { _ = try pine.put("a", ByteString("\(value)")) }
        _ = try pine.put("b", "1")
        _ = try pine.call(.write(.deleteRange(DeleteRangeRequest(key: "b"))))
        _ = try pine.call(.compact(revision: 8, physical: true))
        func revisions() -> [Revision] { log.rows.filter { $0.kind != .compact }.map(\.position.revision) }
        // The delete at 8 stays for those who watch from there on, and what it deletes, at 7, for those who were served up to there.
        #expect(revisions() == [6, 7, 8])
        #expect(throws: EtcdError.compacted) { try pine.get("a", revision: 5) }
        #expect(try pine.get("a").kvs.first?.value == "5")
        #expect(throws: EtcdError.compacted) { try pine.call(.compact(revision: 8, physical: false)) }
        #expect(throws: EtcdError.futureRev) { try pine.call(.compact(revision: 9, physical: false)) }
        // A process that starts now folds what is left to the same state.
        let late = TestReplica(log, origin: 2)
        #expect(try late.get("a").kvs.first?.version == 5)
        #expect(throws: EtcdError.compacted) { try late.get("a", revision: 5) }
        #expect(late.replica.store.committedDigest == pine.replica.store.committedDigest)
        _ = try pine.put("a", "6")
        _ = try pine.call(.compact(revision: 9, physical: true))
        #expect(revisions() == [8, 9])
        _ = try pine.put("c", "1")
        _ = try pine.call(.compact(revision: 10, physical: true))
        #expect(revisions() == [9, 10])
    }

    @Test("What waits is bounded in number and in bytes, and room comes back")
    func waitingBounds() throws {
        let pine = TestReplica(MemoryLog()) { $0.waitingByteLimit = 10_000 }
        let big = ByteString([UInt8](repeating: 7, count: 6_000))
        for _ in 0..<3 {
            pine.holdsAnswers = true
            // The first is in flight, the second waits, the third is too much.
            let ids = (0..<3).map { _ in
                let id = pine.start(.write(.put(PutRequest(key: "k", value: big))))
                _ = pine.turn()
                return id
            }
            #expect(pine.answers[ids[2]] == .failure(.tooManyRequests))
            pine.holdsAnswers = false
            pine.settle()
            #expect(try pine.answers[ids[0]]?.get() != nil)
            #expect(try pine.answers[ids[1]]?.get() != nil)
        }
    }

    @Test("Cancelled and overdue requests are dropped")
    func cancelling() throws {
        let pine = TestReplica(MemoryLog())
        pine.holdsAnswers = true
        _ = pine.start(.write(.put(PutRequest(key: "a", value: "1"))))
        _ = pine.turn()
        let cancelled = pine.start(.write(.put(PutRequest(key: "b", value: "1"))))
        let overdue = pine.start(.write(.put(PutRequest(key: "c", value: "1"))))
        pine.cancel(cancelled)
        _ = pine.turn()
        pine.advance(ms: 7_001)
        _ = pine.turn()
        #expect(pine.answers[overdue] == .failure(.timeout))
        pine.holdsAnswers = false
        pine.settle()
        #expect(pine.answers[cancelled] == nil)
        #expect(try pine.get("b").count == 0)
        #expect(try pine.get("c").count == 0)
    }

    @Test("A write whose append is under way is told in time that it takes too long, once", arguments: [true, false])
    func overdueAppend(arrives: Bool) throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("a", "1")
        if !arrives { log.fates = [.lostBeforeCommit] }
        pine.holdsAnswers = true
        let first = pine.start(.write(.put(PutRequest(key: "a", value: "2"))))
        pine.advance(ms: 4_000)
        _ = pine.turn()
        let second = pine.start(.write(.put(PutRequest(key: "b", value: "1"))))
        _ = pine.turn()
        pine.advance(ms: 3_001)
        _ = pine.turn()
        #expect(pine.answers[first] == .failure(.timeout))
        #expect(pine.answers[second] == nil)
        pine.holdsAnswers = false
        pine.settle()
        // Told once, and not tried again where it had failed.
        #expect(pine.answers[first] == .failure(.timeout))
        #expect(try pine.answers[second]?.get() != nil)
        #expect(try pine.get("a").kvs.first?.value == (arrives ? "2" : "1"))
        #expect(try pine.get("b").count == 1)
    }
}

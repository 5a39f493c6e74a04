// Owns: a batch that is sent while the one before it is being made durable: when it is, what is seen of it, and what becomes of both.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite struct PipelinedAppendTests {
    private let log = MemoryLog()

    private func start(writeLeast: Int = 1) -> HandDriven {
        HandDriven(log) { $0.pipelinedWriteLeast = writeLeast }
    }

    private func put(_ key: ByteString, _ value: ByteString) -> Request { .write(.put(PutRequest(key: key, value: value))) }

    private func revision(_ pine: HandDriven, _ id: CallID) throws -> Revision? {
        try PutResponse.decode(try #require(pine.answers[id]).get()).header?.revision
    }

    private func takeBatch(_ pine: HandDriven) throws -> AppendBatch {
        guard case .appending(.append(let batch)) = try #require(pine.takeAppend()) else { throw EtcdError.leaderChanged }
        return batch
    }

    /// The key's value as a serializable read sees it.
    private func value(_ pine: HandDriven, of key: ByteString, at revision: Revision = 0) throws -> ByteString? {
        let id = pine.ask(.range(RangeRequest(key: key, revision: revision, serializable: true)))
        return try RangeResponse.decode(try #require(pine.answers[id]).get()).kvs.first?.value
    }

    @Test("A batch is sent behind another once enough writes wait, and expects what that one leaves; there are never three")
    func second() throws {
        let pine = start(writeLeast: 2)
        let first = pine.ask(put("a", "1"))
        let firstBatch = try takeBatch(pine)
        let more = [pine.ask(put("b", "2"))]
        #expect(pine.takeAppend() == nil)
        let rest = [pine.ask(put("c", "3"))]
        let secondBatch = try takeBatch(pine)
        #expect(secondBatch.expectedDigest == firstBatch.newHead.digest)
        #expect(secondBatch.rows.map(\.position) == [Position(3, 0), Position(4, 0)])
        let last = [pine.ask(put("d", "4")), pine.ask(put("e", "5"))]
        #expect(pine.takeAppend() == nil)
        pine.hear(log.answer(.append(firstBatch)))
        #expect(try revision(pine, first) == 2)
        let thirdBatch = try takeBatch(pine)
        #expect(thirdBatch.expectedDigest == secondBatch.newHead.digest)
        pine.hear(log.answer(.append(secondBatch)))
        pine.hear(log.answer(.append(thirdBatch)))
        #expect(try (more + rest + last).map { try revision(pine, $0) } == [3, 4, 5, 6])
        #expect(pine.replica.counters.writes.batchesPipelined == 2)
    }

    @Test("A few writes are not sent behind a batch of many")
    func company() throws {
        let pine = start()
        _ = pine.ask(put("a", "1"))
        let firstBatch = try takeBatch(pine)
        for key in ["b", "c", "d", "e", "f"] as [ByteString] {
            pine.step(.requestArrived(pine.newID(), put(key, "2")))
        }
        pine.turn()
        let secondBatch = try takeBatch(pine)
        pine.hear(log.answer(.append(firstBatch)))
        _ = [pine.ask(put("g", "3")), pine.ask(put("h", "4"))]
        #expect(pine.takeAppend() == nil)
        _ = pine.ask(put("i", "5"))
        #expect(try takeBatch(pine).expectedDigest == secondBatch.newHead.digest)
    }

    @Test("What is under way behind a batch that is durable is seen by nobody: no value, no compaction, no alarm")
    func commit() throws {
        let pine = start()
        _ = pine.ask(put("k", "1"))
        let firstBatch = try takeBatch(pine)
        for request in [
            put("k", "2"), .compact(revision: 3, physical: false), .write(.leaseGrant(id: 7, ttl: 60)),
            .write(.alarm(AlarmChange(.raise, member: 1, alarm: .noSpace))),
        ] { pine.step(.requestArrived(pine.newID(), request)) }
        pine.turn()
        let secondBatch = try takeBatch(pine)
        #expect(secondBatch.rows.map(\.kind) == [.put, .compact, .grant, .alarm])
        #expect(try value(pine, of: "k") == nil)
        pine.hear(log.answer(.append(firstBatch)))
        #expect(pine.replica.store.committed == firstBatch.newHead.position)
        #expect(pine.replica.store.committedDigest == firstBatch.newHead.digest)
        #expect(try value(pine, of: "k") == "1")
        #expect(try value(pine, of: "k", at: 2) == "1")
        #expect(pine.replica.store.compactRevision == -1)
        #expect(pine.replica.store.committedAlarms.isEmpty)
        pine.hear(log.answer(.append(secondBatch)))
        #expect(try value(pine, of: "k") == "2")
        #expect(pine.replica.store.compactRevision == 3)
        #expect(!pine.replica.store.committedAlarms.isEmpty)
        let old = pine.ask(.range(RangeRequest(key: "k", revision: 2, serializable: true)))
        #expect(pine.answers[old] == .failure(.compacted))
        pine.replica.store.index.invariants()
    }

    @Test("Where the first conflicts both are undone, and done again in their order behind what came instead")
    func conflict() throws {
        let pine = start()
        let other = TestReplica(log, origin: 2)
        let first = pine.ask(put("k", "1"))
        let firstBatch = try takeBatch(pine)
        let second = pine.ask(put("k", "2"))
        let secondBatch = try takeBatch(pine)
        _ = try other.put("k", "other")
        pine.hear(log.answer(.append(firstBatch)))
        let again = try takeBatch(pine)
        // The second one's answer comes when nobody waits for it any more.
        pine.hear(log.answer(.append(secondBatch)))
        #expect(try value(pine, of: "k") == "other")
        // After a lost race nothing is sent ahead.
        let third = pine.ask(put("k", "3"))
        #expect(pine.takeAppend() == nil)
        pine.hear(log.answer(.append(again)))
        pine.hear(log.answer(.append(try takeBatch(pine))))
        #expect(try [first, second, third].map { try revision(pine, $0) } == [3, 4, 5])
        #expect(log.rows.map(\.value) == ["other", "1", "2", "3"])
        #expect(pine.replica.counters.writes.racesLost == 1)
        pine.replica.store.index.invariants()
    }

    @Test("Where only the second conflicts the first stays")
    func secondConflict() throws {
        let pine = start()
        let first = pine.ask(put("k", "1"))
        let firstBatch = try takeBatch(pine)
        let second = pine.ask(put("k", "2"))
        let secondBatch = try takeBatch(pine)
        let appended = log.answer(.append(firstBatch))
        _ = try TestReplica(log, origin: 2).put("k", "other")
        let conflicted = log.answer(.append(secondBatch))
        pine.hear(appended)
        pine.hear(conflicted)
        pine.hear(log.answer(.append(try takeBatch(pine))))
        #expect(try revision(pine, first) == 2)
        #expect(try revision(pine, second) == 4)
        #expect(log.rows.map(\.value) == ["1", "other", "2"])
    }

    @Test("Where the connection is lost each is found in the log or done again, once", arguments: 0...2, [false, true])
    func lost(inserted: Int, isHeardOfBoth: Bool) throws {
        let pine = start()
        let ids = [pine.ask(put("k", "1")), pine.ask(put("k", "2"))]
        let batches = [try takeBatch(pine), try takeBatch(pine)]
        let waiting = pine.ask(put("k", "3"))
        for batch in batches.prefix(inserted) { #expect(log.answer(.append(batch)) == .appended(number: batch.number)) }
        pine.hear(.appendLost(number: batches[0].number, reason: "cut"))
        #expect(pine.takeAppend() == nil)
        if isHeardOfBoth { pine.hear(.appendLost(number: batches[1].number, reason: "cut")) }
        let recover = try #require(pine.takeRecover())
        pine.hear(log.answer(recover))
        #expect(pine.takeRecover() == nil)
        while let again = pine.takeAppend() { pine.hear(log.answer(again)) }
        #expect(try (ids + [waiting]).map { try revision(pine, $0) } == [2, 3, 4])
        #expect(log.rows.map(\.value) == ["1", "2", "3"])
        #expect(try value(pine, of: "k") == "3")
    }

    @Test("Where the second is lost the first stays answered", arguments: [false, true])
    func secondLost(isInserted: Bool) throws {
        let pine = start()
        let ids = [pine.ask(put("k", "1")), pine.ask(put("k", "2"))]
        let batches = [try takeBatch(pine), try takeBatch(pine)]
        pine.hear(log.answer(.append(batches[0])))
        if isInserted { _ = log.answer(.append(batches[1])) }
        pine.hear(.appendLost(number: batches[1].number, reason: "cut"))
        #expect(try value(pine, of: "k") == "1")
        pine.hear(log.answer(try #require(pine.takeRecover())))
        while let again = pine.takeAppend() { pine.hear(log.answer(again)) }
        #expect(try ids.map { try revision(pine, $0) } == [2, 3])
        #expect(log.rows.map(\.value) == ["1", "2"])
    }

    @Test("A write without effect behind a batch rests on that one's rows, not on others at the same position")
    func unchanged() throws {
        let pine = start()
        let isFree = Compare(target: .version, key: "k", targetUnion: .version(0))
        let create = TxnRequest(compare: [isFree], success: [.put(PutRequest(key: "k", value: "own"))])
        let first = pine.ask(.write(.txn(create)))
        let firstBatch = try takeBatch(pine)
        let isOwn = Compare(target: .value, key: "k", targetUnion: .value("own"))
        let look = TxnRequest(compare: [isOwn], failure: [.deleteRange(DeleteRangeRequest(key: "none"))])
        let second = pine.ask(.write(.txn(look)))
        #expect(pine.takeAppend() == nil)
        let headRead = try #require(pine.takeHeadRead())
        _ = try TestReplica(log, origin: 2).put("k", "other")
        pine.hear(log.answer(.append(firstBatch)))
        #expect(pine.replica.store.committed == firstBatch.newHead.position)
        pine.hear(log.answer(headRead))
        while let next = pine.takeHeadRead() { pine.hear(log.answer(next)) }
        #expect(try TxnResponse.decode(try #require(pine.answers[first]).get()).succeeded == false)
        #expect(try TxnResponse.decode(try #require(pine.answers[second]).get()).succeeded == false)
    }

    @Test("A write without effect behind a batch is answered once that one is in the log")
    func unchangedBehind() throws {
        let pine = start()
        _ = pine.ask(put("k", "own"))
        let firstBatch = try takeBatch(pine)
        let isOwn = Compare(target: .value, key: "k", targetUnion: .value("own"))
        let second = pine.ask(
            .write(.txn(TxnRequest(compare: [isOwn], failure: [.deleteRange(DeleteRangeRequest(key: "none"))]))))
        // The head is read before the batch is in the log, and again.
        pine.hear(log.answer(try #require(pine.takeHeadRead())))
        let headRead = try #require(pine.takeHeadRead())
        #expect(pine.answers[second] == nil)
        let appended = log.answer(.append(firstBatch))
        pine.hear(log.answer(headRead))
        #expect(pine.answers[second] == nil)
        pine.hear(appended)
        #expect(try TxnResponse.decode(try #require(pine.answers[second]).get()).succeeded == true)
    }

    @Test("Writes of both batches are told in time that they take too long")
    func timeouts() throws {
        let pine = start()
        let ids = [pine.ask(put("k", "1")), pine.ask(put("k", "2"))]
        _ = [try takeBatch(pine), try takeBatch(pine)]
        pine.now = pine.now.advanced(byMs: 7_001)
        #expect(pine.replica.nextDeadline <= pine.now)
        pine.turn()
        for id in ids { #expect(pine.answers[id] == .failure(.timeout)) }
    }
}

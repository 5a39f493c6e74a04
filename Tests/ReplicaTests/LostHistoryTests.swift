import Bytes
import EtcdAPI
import Keyspace
import Replica
import Testing

/// A log that lacks the end of what was folded from it.
@Suite struct LostHistoryTests {
    @Test("A process that nobody asks anything notices that the log has lost what it has folded")
    func whileIdle() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("k", "kept")
        _ = try pine.put("k", "lost")
        log.lose(last: 1)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(pine.notes.contains { if case .historyChanged = $0 { true } else { false } })
        #expect(log.head.position.revision > revisionRaiseMargin)
        #expect(try pine.get("k").kvs.first?.value == "kept")
    }

    @Test("A process that is only written to notices it, too, and the write is done", arguments: [1, 2])
    func whileWriting(processCount: Int) throws {
        let log = MemoryLog()
        let all = (1...processCount).map { TestReplica(log, origin: Int64($0)) }
        for (index, pine) in all.enumerated() { _ = try pine.put("k", ByteString("\(index)")) }
        for pine in all {
            pine.advance(ms: 2_000)
            pine.settle()
        }
        log.lose(last: processCount)
        for pine in all {
            let response = try pine.put("k", "new")
            #expect((response.header?.revision ?? 0) > revisionRaiseMargin)
        }
    }

    @Test(
        "Nobody is told of what another history has in place of what was lost, however it is read",
        arguments: [1, 2, 3, 5_000], [0, 1_000, 1 << 20])
    func foreignRows(tailRowLimit: Int, unverifiedByteLimit: Int) throws {
        let log = MemoryLog()
        let other = TestReplica(log, origin: 2)
        let pine = TestReplica(log, origin: 1) {
            $0.tailRowLimit = tailRowLimit
            $0.unverifiedByteLimit = unverifiedByteLimit
        }
        _ = try pine.put("k", "lost")
        let stream = pine.newStream()
        pine.tell(.watchOpened(stream))
        pine.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "k"))))
        pine.settle()
        let told = pine.sent[stream]?.count
        log.lose(last: 1)
        for number in 1...10 { _ = try other.put("k", ByteString("\(number)")) }
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(pine.notes.contains { if case .historyChanged = $0 { true } else { false } })
        #expect(pine.sent[stream]?.count == told)
        #expect(pine.answers[stream] == .failure(.leaderChanged))
        #expect(try pine.get("k").kvs.first?.value == "10")
    }

    @Test("A key that was deleted stays so where the log has lost deletions of its rows")
    func lostDeletions() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("k", "v")
        _ = try pine.call(.write(.deleteRange(DeleteRangeRequest(key: "k"))))
        _ = try pine.call(.compact(revision: 3, physical: true))
        #expect(log.rows.first?.position == Position(3, 0))
        log.loseDeletions()
        #expect(log.rows.first?.position == Position(2, 0))
        // What made it dead is dead now as well.
        _ = try pine.put("other", "v")
        _ = try pine.call(.compact(revision: 4, physical: false))
        pine.settle()
        #expect(pine.notes.contains(.deletionsLost))
        pine.advance(ms: 10_000)
        pine.settle()
        #expect(!log.rows.contains { $0.key == "k" })
        #expect(try TestReplica(log, origin: 2).get("k").kvs.isEmpty)
    }
}

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
}

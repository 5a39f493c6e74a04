// Owns: checks that long answers are shared where the question and the store are the same, and nowhere else.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Testing

@testable import Replica

@Suite("Long answers to the same question")
struct LongAnswersTests {
    /// 40 keys of 4 KiB, looked at 10 at a time.
    private func loaded() throws -> TestReplica {
        let pine = TestReplica(MemoryLog()) { $0.scanKeyLimit = 10 }
        for number in 100..<140 { _ = try pine.put(ByteString("k\(number)"), value("first")) }
        return pine
    }

    private func value(_ text: String) -> ByteString { ByteString(text + String(repeating: "x", count: 4_096)) }

    private func list(limit: Int64 = 0, revision: Revision = 0, serializable: Bool = false) -> Request {
        .range(RangeRequest(key: "k", rangeEnd: "l", limit: limit, revision: revision, serializable: serializable))
    }

    private func answer(_ pine: TestReplica, _ id: CallID) throws -> ByteString { try #require(pine.answers[id]).get() }

    @Test("Those who ask while an answer is made or sent get the same bytes, linearizable or not")
    func shared() throws {
        let pine = try loaded()
        let first = [pine.start(list()), pine.start(list())]
        pine.settle()
        let late = pine.start(list(serializable: true))
        pine.settle()
        let answers = try (first + [late]).map { try answer(pine, $0) }
        #expect(try RangeResponse.decode(answers[0]).kvs.count == 40)
        for other in answers.dropFirst() { #expect(other.sharedStorage === answers[0].sharedStorage && other == answers[0]) }
        #expect(pine.replica.counters.rangesShared == 2)
    }

    @Test("Nothing is kept once nobody holds it")
    func letGo() throws {
        let pine = try loaded()
        let id = pine.start(list())
        pine.settle()
        weak let storage = try answer(pine, id).sharedStorage
        #expect(storage != nil)
        pine.forgetAnswers()
        #expect(storage == nil)
        #expect(try RangeResponse.decode(try pine.call(list())).kvs.count == 40)
        #expect(pine.replica.counters.rangesShared == 0)
    }

    @Test("Another question or another store gets an answer of its own")
    func different() throws {
        let pine = try loaded()
        let ids = [list(), list(limit: 39), list(revision: 40)].map { pine.start($0) }
        pine.settle()
        let counts = try ids.map { try RangeResponse.decode(try answer(pine, $0)).kvs.count }
        #expect(counts == [40, 39, 39])
        _ = try pine.put("k120", value("second"))
        let after = try RangeResponse.decode(try pine.call(list()))
        #expect(after.kvs[20].value == value("second"))
        #expect(after.header?.revision == 42)
        // The same keys, but not the same header.
        let old = try RangeResponse.decode(try pine.call(list(revision: 40)))
        #expect(old.kvs.count == 39)
        #expect(old.header?.revision == 42)
        #expect(pine.replica.counters.rangesShared == 0)
    }

    @Test("A write between two lists is seen by the second, though the first is still being made")
    func linearizable() throws {
        let pine = try loaded()
        let before = pine.start(list(serializable: true))
        _ = pine.turn()
        #expect(pine.answers[before] == nil)
        let write = pine.start(.write(.put(PutRequest(key: "k100", value: value("second")))))
        while pine.answers[write] == nil { _ = pine.turn() }
        let after = pine.start(list())
        pine.settle()
        #expect(try RangeResponse.decode(try answer(pine, before)).kvs[0].value == value("first"))
        #expect(try RangeResponse.decode(try answer(pine, after)).kvs[0].value == value("second"))
    }

    @Test("Who waits for another's answer gets one though the other gives up")
    func cancelled() throws {
        let pine = try loaded()
        let ids = (0..<3).map { _ in pine.start(list(serializable: true)) }
        _ = pine.turn()
        pine.cancel(ids[0])
        pine.cancel(ids[1])
        pine.settle()
        #expect(pine.answers[ids[0]] == nil && pine.answers[ids[1]] == nil)
        #expect(try RangeResponse.decode(try answer(pine, ids[2])).kvs.count == 40)
    }

    @Test("Who waits for another's answer when the history changes is answered from the new one")
    func historyChanged() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.scanKeyLimit = 10 }
        for number in 100..<140 { _ = try pine.put(ByteString("k\(number)"), value("first")) }
        let ids = (0..<2).map { _ in pine.start(list(serializable: true)) }
        _ = pine.turn()
        log.lose(last: 1)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(throws: EtcdError.leaderChanged) { try answer(pine, ids[0]) }
        #expect(try RangeResponse.decode(try answer(pine, ids[1])).kvs.count == 39)
    }
}

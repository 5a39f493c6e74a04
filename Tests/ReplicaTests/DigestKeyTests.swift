import Bytes
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite("A store's secret key")
struct DigestKeyTests {
    private func digests(_ pines: TestReplica...) -> Set<Digest> { Set(pines.map { $0.replica.store.committedDigest }) }

    @Test("A store that is given its key while members run keeps its revision, and all members agree")
    func givenWhileRunning() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2) {
            // It passes rows that are too many to keep.
            $0.tailRowLimit = 2
            $0.unverifiedByteLimit = 100
        }
        for round in 0..<4 { _ = try one.put("k", ByteString("\(round)")) }
        let revision = try two.get("k").header?.revision
        log.giveKey(.random())
        #expect(try one.get("k").header?.revision == revision)
        for round in 0..<20 { _ = try one.put("k", ByteString("\(round)")) }
        #expect(try two.get("k").kvs.first?.value == "19")
        _ = try two.put("k", "two")
        #expect(try one.get("k").header?.revision == revision! + 21)
        let late = TestReplica(log, origin: 3)
        #expect(digests(one, two, late) == [log.head.digest])
        for pine in [one, two, late] {
            #expect(!pine.notes.contains { if case .historyChanged = $0 { true } else { false } })
        }
        #expect(log.rows.filter { $0.kind == .put }.suffix(21).allSatisfy { $0.hash == log.key?.hash($0) })
    }

    @Test("An append that is under way while the key is given loses its race, and is made again under the key")
    func givenDuringAppend() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("a", "1")
        log.giveKey(.random())
        #expect(try pine.put("a", "2").header?.revision == 3)
        #expect(pine.replica.counters.writes.racesLost == 1)
        #expect(log.rows.last?.hash == log.key?.hash(log.rows[log.rows.count - 1]))
    }

    @Test("What was served before the key came, or after, is compared across it", arguments: [false, true])
    func marks(isLost: Bool) throws {
        for servedCount in 1...4 {
            let log = MemoryLog()
            let pine = TestReplica(log, origin: 1)
            var served: [ServedMark] = []
            for round in 0..<4 {
                _ = try pine.put("k", ByteString("\(round)"))
                let mark = pine.replica.served
                served.append(try #require(mark))
                if round == 1 { log.giveKey(.random()) }
            }
            if isLost {
                log.lose(last: 1)
                _ = try TestReplica(log, origin: 2).put("k", "other")
            }
            let next = TestReplica(log, origin: 3, loadsWithoutValues: false) { $0.served = [served[servedCount - 1]] }
            let isRaised = next.notes.contains { if case .revisionRaised = $0 { true } else { false } }
            #expect(isRaised == (isLost && servedCount == 4))
        }
    }

    @Test("A log that lost its key with its end is another history")
    func keyLost() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("k", "1")
        log.giveKey(.random())
        _ = try pine.put("k", "2")
        log.lose(last: 2)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(pine.notes.contains { if case .historyChanged = $0 { true } else { false } })
        #expect(try pine.put("k", "3").header!.revision > Revision(revisionRaiseMargin))
        #expect(pine.replica.store.digestKey == nil)
    }

    @Test("A store that has its key from the start begins where any begins, and is raised under it")
    func fromTheStart() throws {
        let log = MemoryLog(key: .random())
        let one = TestReplica(log, origin: 1)
        #expect(try one.get("k").header?.revision == 1)
        #expect(try one.put("k", "1").header?.revision == 2)
        _ = try one.put("k", "2")
        log.lose(last: 1)
        one.advance(ms: 2_000)
        one.settle()
        #expect(one.replica.store.revision > Revision(revisionRaiseMargin))
        #expect(log.rows.last?.isRaise == true && log.rows.last?.hash == log.key?.hash(log.rows[log.rows.count - 1]))
        let two = TestReplica(log, origin: 2)
        #expect(try two.get("k").kvs.first?.value == "1")
        #expect(digests(one, two) == [log.head.digest])
    }
}

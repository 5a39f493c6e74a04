// Owns: checks of streamed ranges alone: when the next chunk is made, and what ends a stream.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import Testing

@testable import Replica

@Suite("Range streams")
struct RangeStreamsTests {
    private let header = ResponseHeader(clusterID: 7, memberID: 8, raftTerm: 2)

    private func store(keys: Int, isCold: Bool = false) throws -> Store {
        var store = Store()
        for number in 0..<keys {
            let row = LogRow(
                position: Position(Revision(number + 2), 0), kind: .put, key: ByteString("k\(10_000 + number)"), value: "value",
                createRevision: Revision(number + 2), version: 1, origin: 1)
            if isCold { store.applyWithoutValue(row, byteCount: 5) } else { store.apply(row) }
        }
        store.commit()
        return store
    }

    private func stream(_ id: UInt64, _ store: borrowing Store) throws -> StreamTask {
        let scan = try RangeScan(
            RangeRequest(key: "k", rangeEnd: "l"), current: store.revision, compactRevision: store.compactRevision)
        return StreamTask(id: CallID(rawValue: id), scan: scan, header: header, revision: store.revision)
    }

    /// One turn. Gives what each stream that had a step came to.
    private func turn(_ streams: inout RangeStreams, _ store: borrowing Store) -> [(id: UInt64, outcome: RangeStreams.Outcome)] {
        var outcomes: [(id: UInt64, outcome: RangeStreams.Outcome)] = []
        streams.turnBegan()
        while let task = streams.next() {
            let outcome = streams.advance(task, store.index, compactRevision: store.compactRevision, with: [:])
            outcomes.append((task.id.rawValue, outcome))
        }
        streams.invariants()
        return outcomes
    }

    @Test("The next chunk is made when the one before has left; the last one tells the count")
    func chunks() throws {
        let store = try store(keys: 30)
        var streams = RangeStreams(keyLimit: 100, chunkBytes: 300)
        streams.started(try stream(1, store))
        var keys = 0
        while true {
            let outcomes = turn(&streams, store)
            try #require(outcomes.count == 1)
            if case .last(let message) = outcomes[0].outcome {
                let last = try RangeStreamResponse.decode(message).rangeResponse
                keys += last?.kvs.count ?? 0
                #expect(last?.count == 30)
                break
            }
            guard case .chunk(let message) = outcomes[0].outcome else { violated("no chunk") }
            keys += try RangeStreamResponse.decode(message).rangeResponse?.kvs.count ?? 0
            #expect(streams.hasWork == false)
            #expect(turn(&streams, store).isEmpty)
            streams.drained(CallID(rawValue: 1))
            #expect(streams.hasWork == true)
        }
        #expect(keys == 30 && streams.count == 0)
    }

    @Test("Each stream that is ready has a step a turn, in order; a step looks at so many keys only")
    func steps() throws {
        let store = try store(keys: 30)
        var streams = RangeStreams(keyLimit: 10, chunkBytes: 1 << 20)
        for id in 1...3 as ClosedRange<UInt64> { streams.started(try stream(id, store)) }
        for _ in 0..<2 { #expect(turn(&streams, store).map(\.id) == [1, 2, 3]) }
        streams.dropped([CallID(rawValue: 2)])
        _ = turn(&streams, store)
        #expect(streams.count == 0 && streams.valueCounts.hits == 80)
    }

    @Test("A stream at a compacted revision is ended")
    func compacted() throws {
        var store = try store(keys: 30)
        var streams = RangeStreams(keyLimit: 10, chunkBytes: 1 << 20)
        streams.started(try stream(1, store))
        _ = turn(&streams, store)
        for row in [
            LogRow(position: Position(40, 0), kind: .put, key: "z", value: "z", createRevision: 40, version: 1, origin: 1),
            LogRow(position: Position(40, 1), kind: .compact, version: 40, origin: 1),
        ] { store.apply(row) }
        store.commit()
        let outcomes = turn(&streams, store)
        guard case .refused(let error) = outcomes[0].outcome else { violated("it goes on") }
        #expect(error == .compacted && streams.count == 0)
    }

    @Test("A stream that lacks values has left, and goes on with them")
    func lacking() throws {
        let store = try store(keys: 3, isCold: true)
        var streams = RangeStreams(keyLimit: 10, chunkBytes: 1 << 20)
        let task = try stream(1, store)
        guard case .lacks(let missing) = streams.advance(task, store.index, compactRevision: -1, with: [:]) else {
            violated("it lacks nothing")
        }
        #expect(missing.count == 3 && streams.count == 0 && streams.valueCounts.misses == 3)
        let values = Dictionary(uniqueKeysWithValues: missing.map { ($0.position, ByteString("value")) })
        guard case .last(let message) = streams.advance(task, store.index, compactRevision: -1, with: values) else {
            violated("it is not done")
        }
        #expect(try RangeStreamResponse.decode(message).rangeResponse?.kvs.map(\.value) == ["value", "value", "value"])
    }

    @Test("Where the log is loaded anew all are taken out")
    func historyLost() throws {
        let store = try store(keys: 3)
        var streams = RangeStreams(keyLimit: 10, chunkBytes: 1 << 20)
        for id in 1...2 as ClosedRange<UInt64> { streams.started(try stream(id, store)) }
        #expect(streams.historyLost().map(\.rawValue) == [1, 2])
        #expect(streams.count == 0 && streams.hasWork == false)
        streams.invariants()
    }
}

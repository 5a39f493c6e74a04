// Owns: checks of the value fetcher alone: what it reads, and when operations go on.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("Value fetcher", .ownThreads)
struct ValueFetcherTests {
    private func fetcher(waitingLimit: Int = 100, readByteLimit: Int = 100) -> ValueFetcher<String> {
        ValueFetcher(waitingLimit: waitingLimit, readByteLimit: readByteLimit, timeoutMs: 1_000)
    }

    private func missing(_ revision: Revision, bytes: Int = 10) -> MissingValue {
        MissingValue(key: ByteString("k\(revision)"), position: Position(revision, 0), byteCount: bytes)
    }

    private func operation(
        _ name: String, _ missing: [MissingValue], call: Int? = nil, arrivedAt: Instant = .start, pinned: Revision? = nil
    ) -> LackingOperation<String> {
        LackingOperation(
            name, call: call.map { CallID(rawValue: UInt64($0)) }, missing: missing, arrivedAt: arrivedAt, pinnedRevision: pinned)
    }

    private func values(_ revisions: Revision...) -> [Position: ByteString] {
        Dictionary(uniqueKeysWithValues: revisions.map { (Position($0, 0), ByteString("v\($0)")) })
    }

    private let head = Head(clusterID: 1, position: Position(9, 0), digest: .start, epoch: 1, compactRevision: -1)
    private let here = Position(9, 0)

    @Test("Several operations are read for at once, each value once, in the order of the log")
    func oneRead() {
        var fetcher = fetcher()
        #expect(fetcher.nextRead(committed: here) == nil)
        #expect(fetcher.lacked(operation("a", [missing(5), missing(3)])) == true)
        #expect(fetcher.lacked(operation("b", [missing(3)])) == true)
        #expect(fetcher.nextRead(committed: here) == .init(number: 1, positions: [Position(3, 0), Position(5, 0)]))
        #expect(fetcher.lacked(operation("c", [missing(4)])) == true)
        #expect(fetcher.nextRead(committed: here) == nil, "one is under way")
        fetcher.invariants()
        fetcher.valuesRead(1, head, values(3, 5))
        #expect(fetcher.answer?.since == here && fetcher.answer?.head == head)
        let fetched = fetcher.answerWasOurs()
        #expect(fetched.complete.map(\.work) == ["a", "b"] && !fetched.hasOvertaken)
        #expect(fetched.complete.map(\.values) == [values(3, 5), values(3)])
        #expect(fetched.valueCount == 3 && fetched.byteCount == 6)
        #expect(fetched.admissible.map(\.missing) == [missing(5), missing(3), missing(3)])
        #expect(fetcher.nextRead(committed: here)?.positions == [Position(4, 0)])
        fetcher.invariants()
    }

    @Test("A read takes what is reasonable, and at least one operation")
    func bounds() {
        var fetcher = fetcher(waitingLimit: 3)
        #expect(fetcher.lacked(operation("large", [missing(2, bytes: 500)])) == true)
        #expect(fetcher.lacked(operation("a", [missing(3, bytes: 60)])) == true)
        #expect(fetcher.lacked(operation("b", [missing(4, bytes: 60)])) == true)
        #expect(fetcher.hasRoom == false)
        #expect(fetcher.lacked(operation("c", [missing(5)])) == false)
        for revision in [2, 3, 4] as [Revision] {
            guard let question = fetcher.nextRead(committed: here) else { violated("nothing is read") }
            #expect(question.positions == [Position(revision, 0)])
            fetcher.valuesRead(question.number, head, values(revision))
            #expect(fetcher.answerWasOurs().complete.count == 1)
        }
        #expect(fetcher.count == 0)
    }

    @Test("What lacks many values is a scan, whose values are not kept in memory")
    func scansAreNotAdmitted() {
        var fetcher = fetcher(readByteLimit: 10_000)
        let revisions = Array(2...130 as ClosedRange<Revision>)
        #expect(fetcher.lacked(operation("scan", revisions.map { missing($0) })) == true)
        #expect(fetcher.nextRead(committed: here)?.positions.count == 129)
        fetcher.valuesRead(1, head, Dictionary(uniqueKeysWithValues: revisions.map { (Position($0, 0), "v") }))
        let fetched = fetcher.answerWasOurs()
        #expect(fetched.complete[0].values.count == 129 && fetched.admissible.isEmpty)
    }

    @Test("An operation whose rows are gone waits for the fold to reach the head, and keeps what was there")
    func overtaken() {
        var fetcher = fetcher()
        #expect(fetcher.lacked(operation("gone", [missing(3), missing(4)])) == true)
        #expect(fetcher.lacked(operation("there", [missing(4)])) == true)
        _ = fetcher.nextRead(committed: here)
        #expect(fetcher.foldReachedHead().isEmpty)
        fetcher.valuesRead(1, head, values(4))
        let fetched = fetcher.answerWasOurs()
        #expect(fetched.complete.map(\.work) == ["there"] && fetched.hasOvertaken)
        #expect(fetcher.count == 1 && !fetcher.isReading)
        fetcher.invariants()
        let gone = fetcher.foldReachedHead()
        #expect(gone.map(\.work) == ["gone"] && gone[0].isLacking && gone[0].values == values(4))
        #expect(fetcher.count == 0 && fetcher.foldReachedHead().isEmpty)
    }

    @Test("A read that failed, or that nobody can judge, is sent again before those that came since")
    func readAgain() {
        var fetcher = fetcher(readByteLimit: 25)
        for (name, revision) in [("a", 2), ("b", 3), ("c", 4)] as [(String, Revision)] {
            #expect(fetcher.lacked(operation(name, [missing(revision)])) == true)
        }
        let two = [Position(2, 0), Position(3, 0)]
        #expect(fetcher.nextRead(committed: here)?.positions == two)
        #expect(fetcher.readFailed(1) == true)
        #expect(fetcher.readFailed(1) == false, "nobody waits for it any more")
        #expect(fetcher.nextRead(committed: here) == .init(number: 2, positions: two))
        fetcher.valuesRead(1, head, values(2, 3))
        #expect(fetcher.answer == nil, "that is the answer to the first read")
        fetcher.valuesRead(2, head, values(2, 3))
        fetcher.answerIsUnknown()
        #expect(fetcher.answer == nil && !fetcher.isReading)
        fetcher.invariants()
        #expect(fetcher.nextRead(committed: here) == .init(number: 3, positions: two))
    }

    @Test("Those who have waited too long are taken out wherever they are, but not what has no deadline")
    func expiry() {
        var fetcher = fetcher(readByteLimit: 10)
        #expect(fetcher.lacked(operation("sweep", [missing(2)])) == true)
        #expect(fetcher.lacked(operation("a", [missing(3)], call: 1)) == true)
        #expect(fetcher.lacked(operation("late", [missing(4)], call: 2, arrivedAt: Instant.start.advanced(byMs: 900))) == true)
        _ = fetcher.nextRead(committed: here)
        #expect(fetcher.takeExpired(now: Instant.start.advanced(byMs: 999)).isEmpty)
        #expect(fetcher.takeExpired(now: Instant.start.advanced(byMs: 1_010)).isEmpty, "it looks now and then only")
        #expect(fetcher.takeExpired(now: Instant.start.advanced(byMs: 1_100)).map(\.work) == ["a"])
        #expect(fetcher.takeExpired(now: Instant.start.advanced(byMs: 9_000)).map(\.work) == ["late"])
        #expect(fetcher.count == 1)
    }

    @Test("What a client has given up is forgotten, and its read goes on for the others")
    func dropped() {
        var fetcher = fetcher()
        #expect(fetcher.lacked(operation("a", [missing(3)], call: 1, pinned: 7)) == true)
        #expect(fetcher.lacked(operation("b", [missing(4)], call: 2, pinned: 8)) == true)
        #expect(fetcher.pinnedRevision == 7)
        _ = fetcher.nextRead(committed: here)
        #expect(fetcher.pinnedRevision == 7)
        fetcher.dropped([CallID(rawValue: 1), CallID(rawValue: 9)])
        #expect(fetcher.pinnedRevision == 8)
        fetcher.valuesRead(1, head, values(3, 4))
        #expect(fetcher.answerWasOurs().complete.map(\.work) == ["b"])
        #expect(fetcher.pinnedRevision == nil)
    }

    @Test("Where the log is loaded anew all are taken out, and the answer under way is nobody's")
    func historyLost() {
        var fetcher = fetcher(readByteLimit: 10)
        for name in ["a", "b", "c"] { #expect(fetcher.lacked(operation(name, [missing(3)])) == true) }
        _ = fetcher.nextRead(committed: here)
        fetcher.valuesRead(1, head, [:])
        #expect(fetcher.answerWasOurs().hasOvertaken == true)
        _ = fetcher.nextRead(committed: here)
        #expect(fetcher.historyLost().map(\.work).sorted() == ["a", "b", "c"])
        #expect(fetcher.count == 0 && !fetcher.isReading)
        fetcher.valuesRead(2, head, values(3))
        #expect(fetcher.answer == nil)
        fetcher.invariants()
    }

    @Test("Whatever happens in whatever order, each operation comes out once", arguments: 1...50 as ClosedRange<UInt64>)
    func anyOrder(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var fetcher = fetcher(waitingLimit: 8, readByteLimit: 40)
        var inside: Set<String> = []
        var number: UInt64 = 0
        var calls = 0
        var now = Instant.start
        func leave(_ operations: [LackingOperation<String>]) {
            for operation in operations { #expect(inside.remove(operation.work) != nil, "\(operation.work) comes out twice") }
        }
        for _ in 0..<500 {
            now = now.advanced(byMs: random.number(0...80))
            switch random.number(0...11) {
            case ..<4:
                calls += 1
                let lacking = (0..<random.number(1...3)).map { _ in missing(Revision(random.number(2...12))) }
                let hasRoom = fetcher.hasRoom
                let name = "\(calls)"
                let isIn = fetcher.lacked(operation(name, lacking, call: random.chance(0.8) ? calls : nil, arrivedAt: now))
                #expect(isIn == hasRoom)
                if isIn { inside.insert(name) }
            case 4, 5: if let question = fetcher.nextRead(committed: here) { number = question.number }
            case 6, 7:
                let found = (2...12 as ClosedRange<Revision>).filter { _ in random.chance(0.8) }
                fetcher.valuesRead(
                    random.chance(0.9) ? number : number &- 1, head,
                    Dictionary(uniqueKeysWithValues: found.map { (Position($0, 0), ByteString("v\($0)")) }))
            case 8:
                guard fetcher.answer != nil else { break }
                if random.chance(0.2) {
                    fetcher.answerIsUnknown()
                } else {
                    let fetched = fetcher.answerWasOurs()
                    #expect(fetched.complete.allSatisfy { !$0.isLacking })
                    leave(fetched.complete)
                }
            case 9: if random.chance(0.3) { _ = fetcher.readFailed(number) } else { leave(fetcher.foldReachedHead()) }
            case 10: leave(fetcher.takeExpired(now: now))
            default:
                if random.chance(0.1) {
                    leave(fetcher.historyLost())
                    #expect(inside.isEmpty)
                } else if calls > 0 {
                    let gone = random.number(1...calls)
                    let before = fetcher.count
                    fetcher.dropped([CallID(rawValue: UInt64(gone))])
                    if fetcher.count < before { #expect(inside.remove("\(gone)") != nil) }
                }
            }
            fetcher.invariants()
            #expect(fetcher.count == inside.count)
        }
        leave(fetcher.historyLost())
        #expect(inside.isEmpty)
    }
}

extension Instant {
    fileprivate static let start = Instant(nanoseconds: 0)
}

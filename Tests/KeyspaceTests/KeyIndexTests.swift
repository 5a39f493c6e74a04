import Bytes
import EtcdAPI
import TestSupport
import Testing

@testable import Keyspace

@Suite("The key index", .ownThreads)
struct KeyIndexTests {
    @Test("every short history of two keys reads and collects as the model says")
    func exhaustive() {
        // Four rows in a revision of their own, two that join the one before, and what can happen to speculation.
        let operations = 9
        let length = 5
        var total = 1
        for _ in 0..<length { total *= operations }
        for code in 0..<total {
            var pair = KeyIndexPair(leafLimit: 4, innerLimit: 4)
            var rest = code
            var isRight = true
            for step in 0..<length {
                isRight = Self.perform(rest % operations, on: &pair, step: step) && isRight
                rest /= operations
            }
            isRight = isRight && pair.totalsAgree() && pair.readsAgree(.all, from: max(1, pair.model.compactRevision))
            if !isRight {
                Issue.record("history \(code) differs")
                return
            }
            pair.index.invariants()
        }
    }

    private static func perform(_ operation: Int, on pair: inout KeyIndexPair, step: Int) -> Bool {
        let value = ByteString("\(step)")
        switch operation {
        case 0: pair.put("a", value: value)
        case 1: pair.put("b", value: value)
        case 2: pair.delete("a")
        case 3: pair.delete("a", sameRevision: true)
        case 4: pair.put("a", value: value, sameRevision: true)
        case 5: pair.commit(through: pair.model.tip)
        case 6: pair.rollBack(after: pair.model.committed)
        case 7:
            pair.compact(to: pair.model.committed.revision)
            return pair.collect(limit: 1, keepingReadersAt: nil)
        default:
            pair.compact(to: pair.model.committed.revision)
            return pair.collect(limit: 7, keepingReadersAt: pair.model.committed.revision - 1)
        }
        return true
    }

    @Test("a worked example: two puts and a delete, compacted in between")
    func workedExample() {
        var index = KeyIndex()
        func row(_ revision: Revision, _ kind: RowKind, _ value: ByteString = "") -> LogRow {
            LogRow(
                position: Position(revision, 0), kind: kind, key: "a", value: value, createRevision: kind == .put ? 5 : 0,
                version: kind == .put ? revision.rawValue - 4 : 0, origin: 1)
        }
        index.apply(row(5, .put, "five"))
        index.apply(row(7, .put, "seven"))
        index.apply(row(9, .delete))
        #expect(index.latest("a") == nil)
        #expect(index.version(of: "a", at: 8)?.value == "seven")
        #expect(index.version(of: "a", at: 4) == nil)
        #expect(index.liveCount == 0, "nothing is committed yet")
        index.commit(through: Position(9, 0))
        var dropped: [Position] = []
        index.compact(to: 7)
        index.collect(limit: 10, keepingReadersAt: nil, into: &dropped)
        #expect(dropped == [Position(5, 0)])
        #expect(index.version(of: "a", at: 7)?.value == "seven")
        index.compact(to: 9)
        index.collect(limit: 10, keepingReadersAt: 8, into: &dropped)
        #expect(dropped.count == 1, "a reader at 8 still sees the put at 7")
        index.collect(limit: 10, keepingReadersAt: nil, into: &dropped)
        #expect(dropped == [Position(5, 0), Position(7, 0)], "who watches from 9 on must hear of the delete")
        for revision in 10...11 as ClosedRange<Revision> {
            index.apply(LogRow(position: Position(revision, 0), kind: .grant, version: 30, lease: LeaseID(revision.rawValue), origin: 1))
            index.commit(through: Position(revision, 0))
            index.compact(to: revision)
            #expect(dropped.count == 2, "what was served up to 9 can still be compared")
            index.collect(limit: 10, keepingReadersAt: nil, into: &dropped)
        }
        #expect(dropped == [Position(5, 0), Position(7, 0), Position(9, 0)])
        #expect(index.keyCount == 0 && index.versionCount == 0 && index.keyBytes == 0 && index.valueBytes == 0)
        index.invariants()
    }

    @Test("places of values that compaction dropped don't pile up where there is room for all values")
    func lostPlaces() {
        let keys: Int64 = 100
        var index = KeyIndex()
        index.valueByteLimit = 1 << 20
        var dropped: [Position] = []
        for number in 1...Int64(5_000) {
            let revision = Revision(number)
            let (key, round) = ((number - 1) % keys, (number - 1) / keys)
            // Over half of the limit, from where on values have places, and never near the whole.
            index.apply(
                LogRow(
                    position: Position(revision, 0), kind: .put, key: ByteString("key \(key)"),
                    value: ByteString([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 6_000)),
                    createRevision: Revision(key + 1), version: round + 1, origin: 1))
            index.commit(through: Position(revision, 0))
            index.compact(to: revision)
            index.collect(limit: 10, keepingReadersAt: nil, into: &dropped)
        }
        #expect(dropped.count == 4_900)
        #expect(index.placeCount >= 100, "values have places")
        #expect(index.placeCount <= 1_200)
        #expect(index.evictions == 0)
        index.invariants()
    }

    @Test("rows that touch no key only move the tip")
    func otherRows() {
        var index = KeyIndex()
        index.apply(LogRow(position: Position(1, 0), kind: .grant, version: 30, lease: 7, origin: 1))
        index.apply(LogRow(position: Position(1, 1), kind: .revoke, lease: 7, origin: 1))
        index.commit(through: Position(1, 0))
        #expect(index.tip == Position(1, 1) && index.committed == Position(1, 0))
        index.rollBack(after: Position(1, 0))
        #expect(index.tip == Position(1, 0) && index.keyCount == 0)
    }

    @Test("keys of any bytes are found, in bytewise order")
    func anyBytes() {
        // All strings of up to four bytes over an alphabet with both extremes: ends, zeros and prefixes of each other.
        let alphabet: [UInt8] = [0x00, 0x61, 0xFF]
        var keys: [[UInt8]] = [[]]
        var level: [[UInt8]] = [[]]
        for _ in 0..<4 {
            level = level.flatMap { key in alphabet.map { key + [$0] } }
            keys += level
        }
        // Longer than a head, equal in all of it.
        keys += (0..<40).map { Array(repeating: 0x61, count: 20) + Array(repeating: 0x00, count: $0) }
        var generator = SeededGenerator(seed: 3)
        for limits in [(4, 4), (5, 7), (64, 64)] {
            var pair = KeyIndexPair(leafLimit: limits.0, innerLimit: limits.1)
            for key in keys.shuffled(using: &generator) { pair.put(ByteString(key), value: ByteString(key)) }
            pair.commit(through: pair.model.tip)
            pair.index.invariants()
            let sorted = keys.sorted { $0.lexicographicallyPrecedes($1) }.map { ByteString($0) }
            #expect(pair.scan(.all, at: nil).map(\.key) == sorted)
            for key in sorted { #expect(pair.index.latest(key)?.value == key) }
            #expect(pair.index.latest("b") == nil)
            for (rank, key) in sorted.enumerated() {
                #expect(pair.index.countLatest(in: KeyRange(start: key, end: .unbounded)) == sorted.count - rank)
            }
        }
    }

    @Test("random histories agree with the model", arguments: Array(0..<12) as [UInt64])
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let limits = [(4, 4), (4, 5), (6, 4), (8, 8), (64, 64)][Int(seed % 5)]
        var pair = KeyIndexPair(leafLimit: limits.0, innerLimit: limits.1)
        let pool = Self.keyPool(&generator)
        // Histories that mostly put, mostly delete, or change their mind: the tree grows and shrinks.
        var deleteShare = 30
        var isRight = true
        for step in 0..<4_000 where isRight {
            if step % 400 == 0 { deleteShare = [10, 30, 60, 85].randomElement(using: &generator)! }
            let key = pool.randomElement(using: &generator)!
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<70:
                let joins = Int.random(in: 0..<4, using: &generator) == 0
                if Int.random(in: 0..<100, using: &generator) < deleteShare {
                    pair.delete(key, sameRevision: joins)
                } else {
                    pair.put(key, value: ByteString("v\(step)"), lease: LeaseID(step % 3), sameRevision: joins)
                }
            case 70..<80: pair.commit(through: Self.revisionEnd(pair.model, &generator))
            case 80..<84: pair.rollBack(after: Self.revisionEnd(pair.model, &generator))
            case 84..<88:
                let low = max(pair.model.compactRevision, 1)
                if low <= pair.model.committed.revision {
                    pair.compact(to: .random(in: low...pair.model.committed.revision, using: &generator))
                }
            case 88..<91:
                let oldest = Bool.random(using: &generator) ? nil : max(1, pair.model.compactRevision - 5) as Revision?
                isRight = pair.collect(
                    limit: Int.random(in: 1...9, using: &generator), visitLimit: Int.random(in: 1...9, using: &generator),
                    keepingReadersAt: oldest)
            default: isRight = Self.readsAgree(pair, pool, &generator)
            }
            if step % 100 == 99 {
                pair.index.invariants()
                isRight = isRight && pair.totalsAgree()
            }
            if !isRight { Issue.record("step \(step) differs") }
        }
        // Everything goes but what comes last: the tree shrinks to one key.
        for key in pair.model.rows.keys.sorted() { pair.delete(key) }
        for value in ["first", "second", "third"] as [ByteString] { pair.put("last", value: value) }
        pair.commit(through: pair.model.tip)
        pair.compact(to: pair.model.tip.revision)
        let collected = pair.collect(limit: 100, keepingReadersAt: nil)
        #expect(collected)
        pair.index.invariants()
        #expect(pair.index.keyCount == 1 && pair.index.versionCount == 2 && pair.index.supersededCount == 1)
    }

    /// Keys as clients have them: few long prefixes, some short keys, keys that are prefixes of others.
    private static func keyPool(_ generator: inout SeededGenerator) -> [ByteString] {
        var keys: Set<ByteString> = [ByteString([0]), ByteString([0xFF]), "/registry", "/registry/"]
        while keys.count < 250 {
            let kind = ["pods", "leases", "events"].randomElement(using: &generator)!
            let name = Int.random(in: 0..<400, using: &generator)
            keys.insert(ByteString("/registry/\(kind)/ns-\(name % 3)/name-\(name)"))
            keys.insert(ByteString("k\(name)"))
        }
        return keys.sorted()
    }

    /// The end of some revision that may still be committed or undone: transactions stay whole.
    private static func revisionEnd(_ model: KeyIndexModel, _ generator: inout SeededGenerator) -> Position {
        let ends = Dictionary(
            grouping: model.rows.values.joined().map(\.position).filter { $0 > model.committed }, by: \.revision
        )
        .values.compactMap { $0.max() }.sorted()
        return ends.randomElement(using: &generator) ?? model.committed
    }

    private static func readsAgree(_ pair: borrowing KeyIndexPair, _ pool: [ByteString], _ generator: inout SeededGenerator)
        -> Bool
    {
        let (a, b) = (pool.randomElement(using: &generator)!, pool.randomElement(using: &generator)!)
        let ranges = [KeyRange(single: a), KeyRange(start: a, end: .unbounded), KeyRange(start: a, end: .before(b)), .all]
        let range = ranges.randomElement(using: &generator)!
        let model = pair.model
        let revision = Revision.random(in: max(1, model.compactRevision)...model.tip.revision + 1, using: &generator)
        let limit = [1, 2, 10, 1_000].randomElement(using: &generator)!
        let found = model.scan(range, KeyIndexModel.bound(revision))
        let latest = model.scan(range, model.tip)
        return pair.scan(range, at: revision, visitLimit: limit) == found
            && pair.index.count(in: range, at: revision) == found.count
            && pair.scan(range, at: nil, visitLimit: limit) == latest && pair.index.countLatest(in: range) == latest.count
            && pair.index.latest(b) == model.version(b, model.tip)
            && pair.index.latestMetadata(b) == model.version(b, model.tip).map { KeyMetadata($0) }
            && pair.index.version(of: b, at: revision) == model.version(b, KeyIndexModel.bound(revision))
    }

    @Test("a transaction sees its own rows one by one")
    func positions() {
        var pair = KeyIndexPair()
        pair.put("a", value: "1")
        pair.delete("a", sameRevision: true)
        pair.put("a", value: "2", sameRevision: true)
        #expect(pair.index.version(of: "a", at: Position(2, 0))?.value == "1")
        #expect(pair.index.version(of: "a", at: Position(2, 1)) == nil)
        #expect(pair.index.version(of: "a", at: Position(2, 2))?.value == "2")
        #expect(pair.index.latest("a")?.value == "2")
        #expect(pair.index.version(of: "a", at: 1) == nil)
    }

    @Test("a scan stops where its body says and goes on by key after the index has changed")
    func resuming() {
        var pair = KeyIndexPair(leafLimit: 4, innerLimit: 4)
        for number in 10..<60 { pair.put(ByteString("k\(number)"), value: "old") }
        pair.commit(through: pair.model.tip)
        let revision = pair.model.committed.revision
        let expected = pair.model.scan(.all, KeyIndexModel.bound(revision))
        var found: [Found] = []
        var next: ByteString?
        var round = 0
        repeat {
            var taken = 0
            next = pair.index.scan(.all, at: revision, startingAt: next) { view in
                found.append(Found(key: view.key, version: view.version))
                taken += 1
                return taken == 7 ? .stop : .goOn
            }
            // New keys, new versions and deletes all around do not show at the old revision.
            round += 1
            for number in 10..<60 where number % 3 == round % 3 {
                pair.put(ByteString("k\(number)+\(round)"), value: "new")
                pair.delete(ByteString("k\(number)"))
            }
            pair.commit(through: pair.model.tip)
        } while next != nil
        #expect(found == expected)
        #expect(round >= 8)
    }

    @Test("visitLimit counts dead keys too, so that a scan over tombstones gives way")
    func visitLimit() {
        var pair = KeyIndexPair()
        for number in 10..<90 { pair.put(ByteString("k\(number)"), value: "") }
        for number in 10..<80 { pair.delete(ByteString("k\(number)")) }
        var visited = 0
        let next = pair.index.scanLatest(.all, visitLimit: 50) { _ in
            visited += 1
            return .goOn
        }
        #expect(visited == 0 && next == "k60")
    }
}

// Owns: checks that operations tell which values they lack, change nothing where they do, and come to the same once they have them.
import Bytes
import EtcdAPI
import Testing

@testable import Keyspace

@Suite("Values that memory does not hold")
struct ValueLookupTests {
    /// The same keys twice: with all values in memory, and with none.
    private struct Pair: ~Copyable {
        var warm = Store()
        var cold = Store()
        var log: [Position: ByteString] = [:]

        init(keys: Int) throws {
            for number in 0..<keys {
                var rows: [LogRow] = []
                let put = PutRequest(key: ByteString("k\(number)"), value: ByteString("value \(keys - number)"))
                _ = try warm.execute(.put(put), header: header, origin: 1, rows: &rows)
                warm.commit()
                for row in rows {
                    log[row.position] = row.value
                    cold.applyWithoutValue(row, byteCount: row.value.count)
                }
                cold.commit()
            }
        }

        /// Executes a write in both. Gives how often the cold one had to be run again, and whether the answers are the same.
        mutating func execute(_ request: WriteRequest) throws -> (lacked: [[MissingValue]], isSame: Bool) {
            var rows: [LogRow] = []
            let expected = complete(try warm.execute(request, header: header, origin: 1, rows: &rows))
            var lacked: [[MissingValue]] = []
            var values: [Position: ByteString] = [:]
            while true {
                let before = cold.tip
                var coldRows: [LogRow] = []
                do throws(ExecutionError) {
                    let answer = try cold.execute(request, with: values, header: header, origin: 1, rows: &coldRows)
                    return (lacked, complete(answer) == expected && coldRows == rows)
                } catch {
                    guard case .lacks(let missing) = error else { throw error }
                    let isUnchanged = cold.tip == before && coldRows.isEmpty && !cold.isPaused
                    #expect(isUnchanged)
                    lacked.append(missing)
                    for missing in missing { values[missing.position] = log[missing.position] }
                }
            }
        }

        private func complete(_ answer: WriteAnswer) -> ByteString? {
            if case .complete(let bytes) = answer { bytes } else { nil }
        }

        /// Answers a range in both.
        mutating func range(_ request: RangeRequest) throws -> (lacked: Int, isSame: Bool) {
            func builder(_ store: borrowing Store) throws -> AnswerBuilder {
                AnswerBuilder(
                    try RangeScan(request, current: store.revision, compactRevision: store.compactRevision), header: header,
                    revision: store.revision, byteLimit: .max)
            }
            let expected = try builder(warm)
            var visits = Int.max
            var none = ValueLookup()
            #expect(try expected.step(warm.index, &none, visits: &visits, stepBytes: 1 << 20) == .done)
            let actual = try builder(cold)
            var values: [Position: ByteString] = [:]
            var lacked = 0
            while true {
                var visits = Int.max
                var lookup = ValueLookup(values)
                switch try actual.step(cold.index, &lookup, visits: &visits, stepBytes: 1 << 20) {
                case .done: return (lacked, actual.finish() == expected.finish())
                case .lacks(let missing):
                    lacked += missing.count
                    values = [:]
                    for missing in missing { values[missing.position] = log[missing.position] }
                case .unfinished, .unsorted: violated("a short range takes more than a step")
                }
            }
        }
    }

    @Test("A put that shows or keeps the value before lacks that value, and that only")
    func put() throws {
        var pair = try Pair(keys: 3)
        #expect(try pair.execute(.put(PutRequest(key: "k1", value: "new"))) == ([], true))
        let (shown, isSame) = try pair.execute(.put(PutRequest(key: "k0", value: "new", prevKV: true)))
        #expect(shown == [[MissingValue(key: "k0", position: Position(2, 0), byteCount: 7)]] && isSame)
        let (kept, isSameAgain) = try pair.execute(.put(PutRequest(key: "k2", ignoreValue: true)))
        #expect(kept.map(\.count) == [1] && isSameAgain)
    }

    @Test("A deletion lacks all values that it shows at once, and none where it shows none")
    func deletion() throws {
        var pair = try Pair(keys: 9)
        let shows = DeleteRangeRequest(key: "k0", rangeEnd: "k5", prevKV: true)
        let (lacked, isSame) = try pair.execute(.deleteRange(shows))
        #expect(lacked.map(\.count) == [5] && isSame)
        #expect(try pair.execute(.deleteRange(DeleteRangeRequest(key: "k", rangeEnd: "l"))) == ([], true))
    }

    @Test("A transaction lacks what it compares, and then what its branch shows")
    func txn() throws {
        var pair = try Pair(keys: 5)
        let txn = TxnRequest(
            compare: [
                Compare(result: .equal, target: .value, key: "k0", targetUnion: .value("value 5")),
                Compare(result: .notEqual, target: .value, key: "k1", targetUnion: .value("value 5")),
            ],
            success: [.put(PutRequest(key: "k2", value: "x", prevKV: true)), .put(PutRequest(key: "k3", value: "x", prevKV: true))],
            failure: [.deleteRange(DeleteRangeRequest(key: "k4"))])
        let (lacked, isSame) = try pair.execute(.txn(txn))
        #expect(lacked.flatMap { $0 }.map(\.key).sorted() == ["k0", "k1", "k2", "k3"] && isSame)
    }

    @Test("etcd's errors are no lack of values")
    func refused() throws {
        var pair = try Pair(keys: 1)
        var rows: [LogRow] = []
        #expect(throws: ExecutionError.refused(.keyNotFound)) {
            try pair.cold.execute(.put(PutRequest(key: "none", ignoreValue: true)), header: header, origin: 1, rows: &rows)
        }
        #expect(throws: ExecutionError.refused(.futureRev)) {
            try pair.cold.get(RangeRequest(key: "k0", revision: 99), with: [:], header: header)
        }
    }

    @Test("A range of one key lacks its value, unless it shows none")
    func get() throws {
        var pair = try Pair(keys: 2)
        let missing = MissingValue(key: "k1", position: Position(3, 0), byteCount: 7)
        let request = RangeRequest(key: "k1")
        #expect(throws: ExecutionError.lacks([missing])) { try pair.cold.get(request, with: [:], header: header) }
        let expected = try pair.warm.get(request, with: [:], header: header)
        #expect(try pair.cold.get(request, with: pair.log, header: header) == expected)
        #expect(pair.cold.valueCounts.misses == 1 && pair.cold.valueCounts.hits == 0)
        #expect(pair.warm.valueCounts.hits == 1 && pair.warm.valueCounts.misses == 0)
        for request in [RangeRequest(key: "k1", keysOnly: true), RangeRequest(key: "k1", countOnly: true)] {
            let expected = try pair.warm.get(request, with: [:], header: header)
            #expect(try pair.cold.get(request, with: [:], header: header) == expected)
        }
    }

    @Test("A scan lacks each value once, in any order of its answer")
    func scan() throws {
        var pair = try Pair(keys: 20)
        #expect(try pair.range(RangeRequest(key: "k", rangeEnd: "l")) == (20, true))
        #expect(try pair.range(RangeRequest(key: "k", rangeEnd: "l", limit: 4)) == (4, true))
        #expect(try pair.range(RangeRequest(key: "k", rangeEnd: "l", limit: 3, sortOrder: .descend, sortTarget: .key)) == (3, true))
        #expect(try pair.range(RangeRequest(key: "k", rangeEnd: "l", limit: 3, sortOrder: .ascend, sortTarget: .value)) == (20, true))
        #expect(try pair.range(RangeRequest(key: "k", rangeEnd: "l", keysOnly: true)) == (0, true))
    }
}

private let header = ResponseHeader(clusterID: 7, memberID: 8, raftTerm: 2)

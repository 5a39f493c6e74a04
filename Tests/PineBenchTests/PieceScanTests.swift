// Owns: checks of how the load generator reads answers that come in pieces.
import Bytes
import EtcdAPI
import EtcdClient
import Testing

@testable import PineBench

@Suite("Reading answers in pieces")
struct PieceScanTests {
    private func bytes(of message: some WireMessage) -> [UInt8] { Array(message.encoded()) }

    /// What a scan hands out of `message`, cut before each of `cuts`.
    private func scan(_ message: [UInt8], cuts: [Int]) throws -> [[UInt8]] {
        var scan = PieceScan()
        var runs: [[UInt8]] = []
        var start = 0
        for end in cuts + [message.count] {
            try message[start..<end].withUnsafeBytes { piece in
                try scan.take(piece, isLast: end == message.count) { run throws(WrongAnswer) in runs.append(Array(run)) }
            }
            start = end
        }
        return runs
    }

    @Test("Wherever a message is cut, its fields come out whole and in order")
    func anywhere() throws {
        let kvs = (0..<3).map { number in
            KeyValue(key: ByteString("name\(number)"), modRevision: 300, value: ByteString(Array(repeating: 7, count: 90 * number)))
        }
        let message = bytes(of: RangeResponse(header: ResponseHeader(revision: 70_000), kvs: kvs, more: true, count: 500))
        for first in 1..<message.count {
            for second in first...min(first + 5, message.count - 1) {
                let runs = try scan(message, cuts: first == second ? [first] : [first, second])
                #expect(Array(runs.joined()) == message)
                var keys = 0
                for run in runs {
                    var view = RangeView()
                    // Fails where a field is cut.
                    try run.withUnsafeBytes { try view.take($0) { kv throws(WrongAnswer) in keys += kv.key.count == 5 ? 1 : 0 } }
                }
                #expect(keys == 3)
            }
        }
        #expect(Array(try scan(message, cuts: Array(1..<message.count)).joined()) == message)
    }

    @Test("What is cut short, or no message, is an error")
    func wrong() throws {
        let message = bytes(of: RangeResponse(header: ResponseHeader(revision: 9), count: 500))
        #expect(throws: WrongAnswer.self) { try scan(message.dropLast(), cuts: [2]) }
        #expect(throws: WrongAnswer.self) { try scan([0x0F, 1, 2], cuts: [1]) }
        #expect(throws: WrongAnswer.self) { try scan(Array(repeating: 0xFF, count: 30), cuts: [3]) }
        var random = SplitMix64(seed: 1)
        for _ in 0..<20_000 {
            var noise = message
            for _ in 0..<3 { noise[random.below(noise.count)] = UInt8(truncatingIfNeeded: random.next()) }
            _ = try? scan(noise, cuts: [1 + random.below(noise.count - 1)])
        }
    }

    @Test("A list is checked in pieces as it is whole")
    func list() throws {
        let endpoint = try #require(Endpoint("http://127.0.0.1:2379"))
        let plan = try BenchPlan("list-full:keys=3,value-size=64", defaults: BenchPlan(workload: .put, endpoints: [endpoint]))
        let share = WorkerShare(index: 0, workers: 1, slots: 1, slotsBefore: 0, slotsInAll: 1)
        let operations = plan.operations(share, Preparation(leases: LeaseNumbers(plan, start: 1)))
        let keys = KeyNames(plan.dataPrefix)
        func answer(_ numbers: [Int]) throws -> [UInt8] {
            var values = ValueSource(size: 64, seed: 1)
            let kvs = try numbers.map { number in
                var writer = ByteWriter()
                values.append(to: &writer, field: 2, number: number, sentAt: 1)
                return KeyValue(key: keys.name(number), modRevision: 2, value: try PutRequest.decode(writer.finish()).value)
            }
            return bytes(of: RangeResponse(header: ResponseHeader(revision: 3), kvs: kvs, count: 3))
        }
        func accepts(_ answer: [UInt8], cut: Int) -> Bool {
            _ = operations.next(0, at: 5)
            let revisions = try? [answer[..<cut], answer[cut...]].map { piece in
                try piece.withUnsafeBytes { try operations.check(0, piece: $0, isLast: piece.endIndex == answer.count)?.revision }
            }
            return revisions == [nil, 3]
        }
        let right = try answer([0, 1, 2])
        for cut in 1..<right.count { #expect(accepts(right, cut: cut)) }
        for wrong in [[0, 1], [0, 2, 1], [0, 1, 2, 2], [0, 1, 1]] {
            let answer = try answer(wrong)
            for cut in [1, 40, answer.count / 2, answer.count - 1] { #expect(!accepts(answer, cut: cut)) }
        }
    }
}

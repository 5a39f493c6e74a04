// Owns: checks that the load generator tells a wrong answer from a right one.
import Bytes
import EtcdAPI
import EtcdClient
import Testing

@testable import PineBench

@Suite("What the load generator takes for an answer")
struct OperationsTests {
    private let share = WorkerShare(index: 0, workers: 1, slots: 1, slotsBefore: 0, slotsInAll: 1)

    private func plan(_ text: String) throws -> BenchPlan {
        let endpoint = try #require(Endpoint("http://127.0.0.1:2379"))
        return try BenchPlan(text, defaults: BenchPlan(workload: .put, endpoints: [endpoint]))
    }

    private func operations(_ plan: BenchPlan, revisions: [Revision] = []) -> any Operations {
        plan.operations(share, Preparation(revisions: revisions, leases: LeaseNumbers(plan, start: 1)))
    }

    private func accepts(_ operations: any Operations, _ answer: some WireMessage) -> Bool {
        answer.encoded().withUnsafeBytes { (try? operations.check(0, $0)) != nil }
    }

    @Test("A get wants its own key, with a value of that key, once")
    func get() throws {
        let plan = try plan("get:keys=3,value-size=64")
        let operations = operations(plan)
        let request = try #require(operations.next(0, at: 5))
        let key = try RangeRequest.decode(request.message).key
        let keys = KeyNames(plan.dataPrefix)
        func value(_ number: Int) throws -> ByteString {
            var values = ValueSource(size: 64, seed: 1)
            var writer = ByteWriter()
            values.append(to: &writer, field: 2, number: number, sentAt: 1)
            return try PutRequest.decode(writer.finish()).value
        }
        let number = try #require(key.withUnsafeBytes { keys.number($0) })
        let right = KeyValue(key: key, modRevision: 2, value: try value(number))
        let header = ResponseHeader(revision: 3)
        #expect(accepts(operations, RangeResponse(header: header, kvs: [right], count: 1)))
        #expect(!accepts(operations, RangeResponse(header: header)))
        #expect(!accepts(operations, RangeResponse(header: header, kvs: [right, right], count: 2)))
        let other = KeyValue(key: keys.name(number + 1), modRevision: 2, value: try value(number))
        #expect(!accepts(operations, RangeResponse(header: header, kvs: [other], count: 1)))
        let foreign = KeyValue(key: key, modRevision: 2, value: try value(number + 1))
        #expect(!accepts(operations, RangeResponse(header: header, kvs: [foreign], count: 1)))
    }

    @Test("An update compares with the revision that it knows, and wants its transaction to succeed")
    func update() throws {
        let operations = operations(try plan("txn-update:keys=1,connections=1,streams=1"), revisions: [17])
        for revision in [17, 20] as [Int64] {
            let txn = try TxnRequest.decode(try #require(operations.next(0, at: 5)).message)
            #expect(txn.compare.map(\.numberOperand) == [revision])
            guard case .put(let put) = txn.success.first, case .range(let range) = txn.failure.first else {
                Issue.record("not the shape of an update: \(txn)")
                return
            }
            #expect(put.key == range.key && put.value.count == 512 && txn.compare.map(\.key) == [put.key])
            #expect(!accepts(operations, TxnResponse(header: ResponseHeader(revision: 20), responses: [.range(RangeResponse())])))
            #expect(
                accepts(operations, TxnResponse(header: ResponseHeader(revision: 20), succeeded: true, responses: [.put(PutResponse())])))
        }
    }

    @Test("An object is created, updated twice and deleted; a deletion that finds nothing is wrong")
    func lifeCycle() throws {
        let operations = operations(try plan("txn"))
        var shapes: [String] = []
        for step in 1...8 {
            let request = try #require(operations.next(0, at: 5))
            let txn = try TxnRequest.decode(request.message)
            shapes.append("\(operations.kinds[request.kind]) \(txn.compare[0].numberOperand)")
            let header = ResponseHeader(revision: Revision(10 * step))
            if case .deleteRange = txn.success[0] {
                #expect(
                    !accepts(operations, TxnResponse(header: header, succeeded: true, responses: [.deleteRange(DeleteRangeResponse())])))
                #expect(
                    accepts(
                        operations, TxnResponse(header: header, succeeded: true, responses: [.deleteRange(DeleteRangeResponse(deleted: 1))])
                    ))
            } else {
                #expect(accepts(operations, TxnResponse(header: header, succeeded: true, responses: [.put(PutResponse())])))
            }
        }
        #expect(shapes == ["create 0", "update 10", "update 20", "delete 30", "create 0", "update 50", "update 60", "delete 70"])
    }

    @Test("A paged list goes on at the first page's revision, and misses no key")
    func list() throws {
        let plan = try plan("list:keys=1200,value-size=16")
        let operations = operations(plan)
        let keys = KeyNames(plan.dataPrefix)
        func page(_ numbers: Range<Int>, more: Bool, count: Int) throws -> RangeResponse {
            let kvs = try numbers.map { number in
                var values = ValueSource(size: 16, seed: 1)
                var writer = ByteWriter()
                values.append(to: &writer, field: 2, number: number, sentAt: 1)
                return KeyValue(key: keys.name(number), value: try PutRequest.decode(writer.finish()).value)
            }
            return RangeResponse(header: ResponseHeader(revision: 9), kvs: kvs, more: more, count: Int64(count))
        }
        for (range, revision) in [(0..<500, 0), (500..<1_000, 9), (1_000..<1_200, 9), (0..<500, 0)] {
            let request = try RangeRequest.decode(try #require(operations.next(0, at: 5)).message)
            #expect(request.limit == 500 && request.revision == Revision(Int64(revision)))
            #expect(request.key == (range.lowerBound == 0 ? keys.prefix : keys.name(range.lowerBound)))
            let count = 1_200 - range.lowerBound
            #expect(!accepts(operations, try page((range.lowerBound + 1)..<range.upperBound, more: true, count: count)))
            #expect(accepts(operations, try page(range, more: range.upperBound < 1_200, count: count)))
        }
    }

    @Test("Plans say what is wrong with them")
    func plans() throws {
        #expect(try plan("kubernetes:nodes=600").rate ?? 0 > 60)
        #expect(try plan("lease-keepalive:leases=3000,lease-seconds=30").rate == 300)
        #expect(try plan("lease-keepalive:rate=max").rate == nil)
        for wrong in ["putt", "put:keys", "put:keys=0", "put:kays=1", "put:rate=-1", "put:value-size=8", "kubernetes:watchers=3"] {
            #expect(throws: BenchError.self) { try plan(wrong) }
        }
        for endpoint in ["127.0.0.1", "ftp://h:1", "http://h:0", "http://:1", "unix://"] { #expect(Endpoint(endpoint) == nil) }
        #expect(Endpoint("[::1]:2379")?.address == .host("::1", port: 2_379))
    }
}

// Owns: the comparison of Pine with a real etcd, request by request.
import Bytes
import EtcdAPI
import TestSupport
import Testing

/// An answer or an error, made comparable.
private enum Outcome: Hashable, CustomStringConvertible {
    case range(RangeResponse)
    case put(PutResponse)
    case deleteRange(DeleteRangeResponse)
    case txn(TxnResponse)
    case compact(CompactionResponse)
    case failed(EtcdClientError)

    var revision: Revision? {
        switch self {
        case .range(let response): response.header?.revision
        case .put(let response): response.header?.revision
        case .deleteRange(let response): response.header?.revision
        case .txn(let response): response.header?.revision
        case .compact(let response): response.header?.revision
        case .failed: nil
        }
    }

    var description: String {
        switch self {
        case .range(let response): "\(response)"
        case .put(let response): "\(response)"
        case .deleteRange(let response): "\(response)"
        case .txn(let response): "\(response)"
        case .compact(let response): "\(response)"
        case .failed(let error): "\(error)"
        }
    }
}

/// A request that has been sent and whose answer has not been read yet.
private struct Pending {
    let receive: () -> Outcome
}

extension EtcdClient {
    /// Sends without waiting, so that both servers work at the same time.
    fileprivate func start(_ request: KVRequest) throws -> Pending {
        switch request {
        case .range(let request):
            try start(.range, request, answer: RangeResponse.self) {
                Differences.normalise(&$0, request)
                return .range($0)
            }
        case .put(let request):
            try start(.put, request, answer: PutResponse.self) {
                Differences.normalise(&$0)
                return .put($0)
            }
        case .deleteRange(let request):
            try start(.deleteRange, request, answer: DeleteRangeResponse.self) {
                Differences.normalise(&$0)
                return .deleteRange($0)
            }
        case .txn(let request):
            try start(.txn, request, answer: TxnResponse.self) {
                Differences.normalise(&$0, request)
                return .txn($0)
            }
        case .compact(let request):
            try start(.compact, request, answer: CompactionResponse.self) {
                Differences.normalise(&$0)
                return .compact($0)
            }
        }
    }

    private func start<Answer: WireMessage>(
        _ method: EtcdMethod, _ request: some WireMessage, answer: Answer.Type, _ outcome: @escaping (inout Answer) -> Outcome
    ) throws -> Pending {
        let stream = try open(method, answer: Answer.self)
        stream.send(request)
        stream.finishSending()
        return Pending {
            do throws(EtcdClientError) {
                guard var answer = try stream.receive() else { return .failed(.malformed("no message")) }
                guard try stream.receive() == nil else { return .failed(.malformed("two messages")) }
                return outcome(&answer)
            } catch {
                return .failed(error)
            }
        }
    }
}

@Suite("Pine beside a real etcd", .ownThreads)
struct DifferentialTests {
    @Test("3,000 random KV requests in lockstep get the same answers, with room for values and without", arguments: [nil, "1KB"])
    func lockstep(valueCache: String?) throws {
        let seed = testSeed("DifferentialTests")
        let etcd = try EtcdServer()
        let pine = try PineProcess(
            ["--postgres", try PostgresServer.shared().newDatabase()] + (valueCache.map { ["--value-cache-bytes", $0] } ?? []))
        let toEtcd = try EtcdClient(port: etcd.port)
        let toPine = try EtcdClient(port: pine.port)
        var generator = RequestGenerator(seed: seed)
        var answered = 0
        for number in 1...3_000 {
            let request = generator.next()
            let first = try toEtcd.start(request)
            let second = try toPine.start(request)
            let expected = first.receive()
            let actual = second.receive()
            if case .failed = expected {} else { answered += 1 }
            guard actual == expected else {
                Issue.record("seed \(seed), request \(number): \(request)\netcd: \(expected)\npine: \(actual)\n\(pine.log.suffix(2_000))")
                return
            }
            if let revision = expected.revision { generator.revision = max(generator.revision, revision) }
            if case (.compact(let request), .compact) = (request, expected) { generator.compacted = request.revision }
        }
        // Most requests must be valid, or little has been compared.
        #expect(answered > 2_000)
        #expect(generator.revision > 500)
        print("DifferentialTests: \(answered) answers, \(3_000 - answered) errors, revision \(generator.revision)")
    }

    /// etcd dies of this one, so Pine is asked alone.
    @Test("A transaction that deletes a key and then keeps its value fails and leaves no trace")
    func ignoreValueOfDeleted() throws {
        let pine = try PineProcess(["--postgres", try PostgresServer.shared().newDatabase()])
        let client = try EtcdClient(port: pine.port)
        let revision = try #require(try client.put("foo", "bar").header?.revision)
        for keep in [PutRequest(key: "foo", ignoreValue: true), PutRequest(key: "foo", value: "x", ignoreLease: true)] {
            let txn = TxnRequest(success: [
                .put(PutRequest(key: "A", value: "1")),
                .deleteRange(DeleteRangeRequest(key: "a/", rangeEnd: ByteString([0]))),
                .put(keep),
            ])
            #expect(throws: EtcdClientError.status(.keyNotFound)) { try client.txn(txn) }
            let all = try client.range(RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0])))
            #expect(all.header?.revision == revision)
            #expect(all.kvs.map(\.key) == ["foo"])
            #expect(all.kvs.map(\.value) == ["bar"])
        }
        #expect(try client.put("foo", "baz").header?.revision == revision + 1)
    }
}

// Owns: checks that writes and reads that are executed in steps, and transactions whose ranges are answered later, come to the same as
// those that are done at once.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@testable import Keyspace

@Suite("Execution in steps", .ownThreads)
struct SteppedExecutionTests {
    /// A store whose requests are executed at once, or in steps of a few keys.
    private struct Side: ~Copyable {
        var store = Store()
        let takesSteps: Bool
        var random: SeededGenerator
        var pauses = 0
        var unfinished = 0

        init(takesSteps: Bool, seed: UInt64) {
            self.takesSteps = takesSteps
            random = SeededGenerator(seed: seed)
        }

        /// Executes a request and commits it. The rows that it made, and its answer, which may be still to be made.
        mutating func execute(_ request: WriteRequest) -> (rows: [LogRow], answer: Result<WriteAnswer, EtcdError>) {
            var rows: [LogRow] = []
            store.inlineVisitLimit = takesSteps ? random.number(0...5) : .max
            do throws(ExecutionError) {
                while true {
                    var visits = takesSteps ? random.number(1...9) : Int.max
                    let answer = try store.execute(request, header: header, origin: 1, rows: &rows, visits: &visits)
                    if let answer {
                        store.commit()
                        if case .unfinished = answer { unfinished += 1 }
                        return (rows, .success(answer))
                    }
                    pauses += 1
                    #expect(rows.isEmpty && store.isPaused)
                    if random.chance(0.05) {
                        let before = store.savepoint
                        store.abandon()
                        #expect(store.tip == store.committed && store.tipDigest == store.committedDigest && before.tip == store.tip)
                    }
                }
            } catch {
                switch error {
                case .refused(let error): return ([], .failure(error))
                case .lacks(let missing): violated("a store that keeps all its values lacks \(missing)")
                }
            }
        }

        /// Makes what is left of an answer.
        mutating func finish(_ answer: WriteAnswer) -> Result<ByteString, EtcdError> {
            switch answer {
            case .complete(let message): .success(message)
            case .refused(let error): .failure(error)
            case .unfinished(let builder): finish(builder)
            }
        }

        mutating func finish(_ builder: AnswerBuilder) -> Result<ByteString, EtcdError> {
            do throws(EtcdError) {
                while true {
                    let limit = takesSteps ? random.number(1...9) : Int.max / 2
                    var visits = limit
                    var lookup = ValueLookup()
                    let step = try builder.step(store.index, &lookup, visits: &visits, stepBytes: takesSteps ? 100 : Int.max / 2)
                    #expect(limit - visits <= limit, "no more keys than it was given visits for")
                    if step == .done { return .success(builder.finish()) }
                    if step == .unsorted, var job = builder.takeSortJob(number: 1) {
                        job.run()
                        builder.sorted(job)
                    }
                }
            } catch {
                return .failure(error)
            }
        }
    }

    private struct Requests {
        var random: SeededGenerator
        var revision: Revision = 1

        mutating func key() -> ByteString { ByteString("k\(random.number(100...180))") }

        mutating func end() -> ByteString {
            let other = key()
            return random.pick([ByteString(), "\0", other, "l"])
        }

        mutating func range() -> RangeRequest {
            let key = key()
            var request = RangeRequest(
                key: key, rangeEnd: end(), limit: random.pick([0, 0, 1, 5]), revision: random.chance(0.2) ? revision : 0,
                sortOrder: random.pick([.none, .ascend, .descend]), sortTarget: random.pick([.key, .version, .create, .mod, .value]),
                keysOnly: random.chance(0.2), countOnly: random.chance(0.1))
            if random.chance(0.2) { request.minModRevision = Revision(random.number(1...Int(revision.rawValue))) }
            return request
        }

        mutating func comparison() -> Compare {
            let key = key()
            return Compare(
                result: random.pick([.greater, .less, .notEqual]), target: .version, key: key,
                targetUnion: .version(Int64(random.number(0...3))),
                rangeEnd: random.chance(0.5) ? end() : ByteString())
        }

        mutating func txn(depth: Int = 0, isReadOnly: Bool = false) -> TxnRequest {
            var used: Set<ByteString> = []
            func operations(_ requests: inout Requests) -> [RequestOp] {
                (0..<requests.random.number(0...4)).compactMap { _ in
                    switch isReadOnly ? 0 : requests.random.number(0...9) {
                    case ..<5: return .range(requests.range())
                    case ..<7:
                        let key = requests.key()
                        guard used.insert(key).inserted else { return nil }
                        return .put(PutRequest(key: key, value: ByteString("v\(requests.random.number(0...999))"), prevKV: true))
                    case ..<8:
                        let key = requests.key()
                        return .deleteRange(DeleteRangeRequest(key: key, rangeEnd: requests.end(), prevKV: true))
                    default: return depth < 2 ? .txn(requests.txn(depth: depth + 1)) : nil
                    }
                }
            }
            return TxnRequest(
                compare: (0..<random.number(0...2)).map { _ in comparison() }, success: operations(&self), failure: operations(&self))
        }

        mutating func next() -> WriteRequest {
            switch random.number(0...11) {
            case ..<5:
                return .put(
                    PutRequest(key: key(), value: ByteString("v\(random.number(0...999))"), lease: random.pick([0, 0, 1, 2])))
            case 10: return .leaseGrant(id: random.pick([1, 2]), ttl: 60)
            case 11: return .leaseRevoke(id: random.pick([1, 2]))
            case ..<6:
                let key = key()
                return .deleteRange(DeleteRangeRequest(key: key, rangeEnd: end(), prevKV: random.chance(0.5)))
            default: return .txn(txn())
            }
        }
    }

    @Test(
        "Any write comes to the same rows and the same answer in steps as at once, though others write before it is answered",
        arguments: 0..<8)
    func writes(number: Int) throws {
        let seed = testSeed("SteppedExecutionTests \(number)")
        var requests = Requests(random: SeededGenerator(seed: seed))
        var whole = Side(takesSteps: false, seed: seed)
        var stepped = Side(takesSteps: true, seed: seed &+ 1)
        var waiting: [(answer: WriteAnswer, expected: Result<ByteString, EtcdError>)] = []
        for step in 0..<600 {
            let request = requests.next()
            let (rows, wanted) = whole.execute(request)
            let (steppedRows, got) = stepped.execute(request)
            try #require(rows == steppedRows, "step \(step): \(request)")
            #expect(whole.store.committedDigest == stepped.store.committedDigest)
            switch (wanted, got) {
            case (.success(let wanted), .success(let got)): waiting.append((got, whole.finish(wanted)))
            case (.failure(let wanted), .failure(let got)): #expect(wanted == got)
            default: Issue.record("step \(step): \(wanted) and \(got): \(request)")
            }
            if step % 7 == 0 {
                for (answer, expected) in waiting { try #require(stepped.finish(answer) == expected, "before step \(step)") }
                waiting = []
            }
            requests.revision = whole.store.revision
        }
        #expect(stepped.pauses > 100 && stepped.unfinished > 50)
    }

    @Test("A transaction of ranges is answered in steps as at once", arguments: 0..<4)
    func reads(number: Int) throws {
        let seed = testSeed("SteppedExecutionTests, reads \(number)")
        var requests = Requests(random: SeededGenerator(seed: seed))
        var whole = Side(takesSteps: false, seed: seed)
        var stepped = Side(takesSteps: true, seed: seed &+ 1)
        for _ in 0..<200 {
            let request = requests.next()
            _ = whole.execute(request)
            _ = stepped.execute(request)
            requests.revision = whole.store.revision
            let txn = requests.txn(isReadOnly: true)
            func builder(_ store: borrowing Store) -> AnswerBuilder {
                AnswerBuilder(
                    ReadTxn(txn, header: header, revision: store.revision, compactRevision: store.compactRevision),
                    byteLimit: .max)
            }
            let (one, other) = (builder(whole.store), builder(stepped.store))
            try #require(whole.finish(one) == stepped.finish(other), "\(txn)")
        }
    }

    @Test("An answer past the limit is refused, by what is said of it and not by what it did")
    func tooLarge() throws {
        var store = Store()
        store.answerByteLimit = 5_000
        var rows: [LogRow] = []
        let value = ByteString(String(repeating: "v", count: 400))
        for number in 0..<20 {
            _ = try store.execute(
                .put(PutRequest(key: ByteString("k\(number)"), value: value)), header: header, origin: 1, rows: &rows)
        }
        store.commit()
        let delete = DeleteRangeRequest(key: "k", rangeEnd: "l", prevKV: true)
        rows = []
        guard case .refused(let error) = try store.execute(.deleteRange(delete), header: header, origin: 1, rows: &rows) else {
            Issue.record("it was answered")
            return
        }
        #expect(error.code == .resourceExhausted && error.text.hasPrefix("grpc: trying to send message larger than max ("))
        #expect(rows.count == 20)
        store.rollBack()
        rows = []
        let txn = TxnRequest(success: [.txn(TxnRequest(success: [.deleteRange(delete)])), .put(PutRequest(key: "z", value: value))])
        guard case .refused = try store.execute(.txn(txn), header: header, origin: 1, rows: &rows) else {
            Issue.record("it was answered")
            return
        }
        #expect(rows.count == 21)
    }
}

private let header = ResponseHeader(clusterID: 7, memberID: 8, raftTerm: 2)

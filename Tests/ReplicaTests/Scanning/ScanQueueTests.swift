// Owns: checks of the queue of scans alone: whose step is next, and what becomes of it.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import Testing

@testable import Replica

@Suite("Scan queue")
struct ScanQueueTests {
    private let header = ResponseHeader(clusterID: 7, memberID: 8, raftTerm: 2)

    /// A store of keys that all have the same value, in memory or not.
    private func store(keys: Int, value: ByteString = "v", isCold: Bool = false) throws -> Store {
        var store = Store()
        for number in 0..<keys {
            let row = LogRow(
                position: Position(Revision(number + 2), 0), kind: .put, key: ByteString("k\(10_000 + number)"), value: value,
                createRevision: Revision(number + 2), version: 1, origin: 1)
            if isCold { store.applyWithoutValue(row, byteCount: value.count) } else { store.apply(row) }
        }
        store.commit()
        return store
    }

    private func queue(memoryLimit: Int = .max) -> ScanQueue { ScanQueue(keyLimit: 10, byteLimit: 1 << 20, memoryLimit: memoryLimit) }

    private func budget(keys: Int, answerBytes: Int = 1 << 30) -> TurnBudget {
        var configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        configuration.turnKeyLimit = keys
        configuration.turnAnswerByteLimit = answerBytes
        return TurnBudget(configuration)
    }

    private func question(_ request: RangeRequest, _ store: borrowing Store) -> RangeQuestion? {
        RangeQuestion(request, header: header, position: store.committed, digest: store.committedDigest)
    }

    private func task(
        _ id: UInt64, _ store: borrowing Store, _ request: RangeRequest = RangeRequest(key: "k", rangeEnd: "l")
    ) throws -> ScanTask {
        let scan = try RangeScan(request, current: store.revision, compactRevision: store.compactRevision)
        return ScanTask(
            id: CallID(rawValue: id), read: nil, question: question(request, store), key: request.key,
            arrivedAt: Instant(nanoseconds: id), startedAt: Instant(nanoseconds: id),
            answer: AnswerBuilder(scan, header: header, revision: store.revision, byteLimit: .max))
    }

    private func follower(_ id: UInt64, _ request: RangeRequest) -> ScanFollower {
        ScanFollower(
            read: PendingRead(id: CallID(rawValue: id), kind: .range(request), arrivedAt: Instant(nanoseconds: id)), request: request,
            since: Instant(nanoseconds: id))
    }

    /// One turn. Gives whose step came, in order, and who was answered.
    private func turn(
        _ queue: inout ScanQueue, _ store: borrowing Store, _ budget: TurnBudget
    ) -> (steps: [UInt64], answered: [UInt64]) {
        var budget = budget
        var steps: [UInt64] = []
        var answered: [UInt64] = []
        queue.turnBegan()
        while let task = queue.next(budget) {
            steps.append(task.id.rawValue)
            if case .answered = queue.advance(task, store.index, with: [:], &budget) { answered.append(task.id.rawValue) }
        }
        queue.invariants()
        return (steps, answered)
    }

    @Test("Each scan has a step a turn, as far as the turn goes, and those that had theirs come last in the next")
    func roundRobin() throws {
        let store = try store(keys: 25)
        var queue = queue()
        for id in 1...3 as ClosedRange<UInt64> { queue.queue(try task(id, store)) }
        #expect(queue.count == 3 && queue.pinnedRevision == store.revision)
        #expect(turn(&queue, store, budget(keys: 20)).steps == [1, 2])
        #expect(turn(&queue, store, budget(keys: 20)).steps == [3, 1])
        let third = turn(&queue, store, budget(keys: 1_000))
        #expect(third.steps == [2, 3, 1] && third.answered == [1])
        #expect(turn(&queue, store, budget(keys: 1_000)).answered == [2, 3])
        #expect(queue.hasWork == false && queue.pinnedRevision == nil && queue.heldBytes == 0)
        #expect(queue.valueCounts.hits == 75)
    }

    @Test("Where answers take too much memory only the oldest goes on, however little of the turn is left")
    func crowded() throws {
        let store = try store(keys: 40, value: ByteString(String(repeating: "v", count: 1_000)))
        var queue = queue(memoryLimit: 15_000)
        for id in [5, 2, 9] as [UInt64] { queue.queue(try task(id, store)) }
        #expect(turn(&queue, store, budget(keys: 1_000)).steps == [5, 2, 9])
        #expect(queue.heldBytes > 15_000)
        let little = budget(keys: 1_000, answerBytes: 0)
        for _ in 0..<2 { #expect(turn(&queue, store, little).steps == [2]) }
        #expect(queue.isCrowded == true)
        #expect(turn(&queue, store, little).answered == [2])
        #expect(turn(&queue, store, little).steps == [5])
    }

    @Test("One sort job at a time; what was given up meanwhile is not gone on with")
    func sorting() throws {
        let store = try store(keys: 1_200)
        var queue = ScanQueue(keyLimit: 10_000, byteLimit: 1 << 20, memoryLimit: .max)
        let request = RangeRequest(key: "k", rangeEnd: "l", sortOrder: .descend, sortTarget: .mod)
        for id in 1...2 as ClosedRange<UInt64> { queue.queue(try task(id, store, request)) }
        #expect(turn(&queue, store, budget(keys: 10_000)).answered == [])
        #expect(queue.hasWork == false && queue.count == 2 && queue.pinnedRevision == store.revision)
        guard var first = queue.nextSortJob() else { violated("nothing is sorted") }
        #expect(queue.nextSortJob() == nil)
        queue.dropped([CallID(rawValue: 1)])
        first.run()
        queue.sorted(first)
        #expect(queue.hasWork == false)
        guard var second = queue.nextSortJob() else { violated("nothing is sorted") }
        second.run()
        queue.sorted(second)
        #expect(turn(&queue, store, budget(keys: 10_000)).answered == [2])
    }

    @Test("A question that is being answered is followed; one that was answered gets the same bytes while somebody holds them")
    func sharing() throws {
        let store = try store(keys: 20, value: ByteString(String(repeating: "v", count: 8_000)))
        var queue = queue()
        let request = RangeRequest(key: "k", rangeEnd: "l")
        guard let asked = question(request, store) else { violated("the question is too long") }
        #expect(queue.asked(asked, by: follower(2, request)) == .no)
        queue.queue(try task(1, store))
        #expect(queue.asked(asked, by: follower(2, request)) == .follows)
        #expect(queue.takeFollowers().map(\.read.id.rawValue) == [2] && queue.takeFollowers().isEmpty)
        var answer: ByteString?
        var budget = budget(keys: 1_000)
        while answer == nil {
            queue.turnBegan()
            guard let task = queue.next(budget) else { violated("nothing goes on") }
            if case .answered(let message) = queue.advance(task, store.index, with: [:], &budget) { answer = message }
        }
        let message = try #require(answer)
        #expect(queue.asked(asked, by: follower(3, request)) == .answered(message))
    }

    @Test("A scan that lacks values has left the queue, and goes on with them; what a range has shown it needs no more")
    func lacking() throws {
        let store = try store(keys: 25, isCold: true)
        var queue = queue()
        var budget = budget(keys: 1_000)
        var lacking = try task(1, store)
        var values: [Position: ByteString] = [:]
        var lacked = 0
        while true {
            switch queue.advance(lacking, store.index, with: values, &budget) {
            case .answered(let message):
                #expect(try RangeResponse.decode(message).kvs.count == 25 && lacked == 25)
                return
            case .refused(let error): throw error
            case .lacks(let missing, let keepsValues):
                #expect(!keepsValues && queue.count == 0)
                lacked += missing.count
                values = Dictionary(uniqueKeysWithValues: missing.map { ($0.position, "v") })
            case .waits:
                values = [:]
                queue.turnBegan()
                guard let next = queue.next(budget) else { violated("nothing goes on") }
                lacking = next
            }
        }
    }

    @Test("Where the log is loaded anew all are taken out, those that are sorted as well")
    func historyLost() throws {
        let store = try store(keys: 1_200)
        var queue = ScanQueue(keyLimit: 10_000, byteLimit: 1 << 20, memoryLimit: .max)
        queue.queue(try task(1, store, RangeRequest(key: "k", rangeEnd: "l", sortOrder: .descend, sortTarget: .mod)))
        _ = turn(&queue, store, budget(keys: 10_000))
        guard var job = queue.nextSortJob() else { violated("nothing is sorted") }
        queue.queue(try task(2, store))
        #expect(queue.historyLost().map(\.rawValue) == [2, 1])
        #expect(queue.count == 0 && queue.hasWork == false)
        job.run()
        queue.sorted(job)
        #expect(queue.count == 0)
        queue.invariants()
    }
}

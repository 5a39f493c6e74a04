// Owns: a write pipeline over a store and a log that is an array of rows, without a replica: what one does between two events of the log.
// Must never: decide anything itself: what counts is what the pipeline says.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import Testing

@testable import Replica

final class WriteWorld {
    private(set) var pipeline: WritePipeline
    private(set) var store = Store()
    private(set) var actions: [Action] = []
    /// The calls whose writes are in the log, in the order in which they were answered.
    private(set) var answered: [UInt64] = []
    private(set) var refused: [UInt64] = []
    /// Batches that were sent and of which the log has not said anything.
    private(set) var sent: [AppendBatch] = []
    var now = Instant(nanoseconds: 0)
    private(set) var arrivedCount = 0
    private let turnKeyLimit: Int

    init(_ configure: (inout ReplicaConfiguration) -> Void = { _ in }) {
        var configuration = ReplicaConfiguration(origin: 1, memberID: 7)
        configuration.pipelinedWriteLeast = 1
        configure(&configuration)
        turnKeyLimit = configuration.turnKeyLimit
        pipeline = WritePipeline(configuration)
    }

    func check() { pipeline.invariants(committed: store.committed, tip: store.savepoint.tip) }

    func takeActions() -> [Action] {
        defer { actions = [] }
        return actions
    }

    // MARK: Clients

    @discardableResult
    func arrive(_ request: WriteRequest? = nil) -> UInt64 {
        arrivedCount += 1
        let request = request ?? .put(PutRequest(key: ByteString("k\(arrivedCount)"), value: "v"))
        let id = CallID(rawValue: UInt64(arrivedCount))
        let isIn = pipeline.arrived(PendingWrite(id: id, request: request, physical: false, arrivedAt: now))
        if !isIn { refused.append(id.rawValue) }
        return id.rawValue
    }

    func takeOverdue() -> [UInt64] {
        var overdue: [UInt64] = []
        while let write = pipeline.takeOverdue(now) { overdue.append(write.id.rawValue) }
        while let write = pipeline.takeOverdueSent(now) { overdue.append(write.id.rawValue) }
        return overdue
    }

    // MARK: The store

    /// Puts rows into the store whose values stay in the log.
    func load(_ rows: [LogRow], byteCounts: [Int]) {
        for (row, byteCount) in zip(rows, byteCounts) { store.applyWithoutValue(row, byteCount: byteCount) }
        store.commit()
    }

    func setQuota(bytes: Int64) { store.quotaBytes = bytes }

    /// Others have appended before a write that is not executed to its end.
    func abandon() { store.abandon() }

    // MARK: Batches

    func draft(isLocked: Bool = false) -> BatchDraft {
        var draft = BatchDraft(behind: store.savepoint, isLocked: isLocked, visits: turnKeyLimit)
        pipeline.execute(into: &draft, &store, header: ResponseHeader(memberID: 7), origin: 1)
        return draft
    }

    /// Executes and sends what waits, whether it may be sent or not.
    @discardableResult
    func send(isLocked: Bool = false) -> AppendBatch? {
        let draft = draft(isLocked: isLocked)
        guard !draft.rows.isEmpty else { return nil }
        let head = Head(clusterID: 1, position: store.tip, digest: store.tipDigest, epoch: 3, compactRevision: store.tipCompactRevision)
        pipeline.send(draft, newHead: head, end: store.savepoint, now, &actions)
        guard case .log(.appending(.append(let batch))) = actions.last else { return nil }
        sent.append(batch)
        return batch
    }

    /// Sends what waits, if a batch may be sent now.
    func sendIfAllowed() -> Bool {
        guard pipeline.isLockFree, pipeline.areWaiting, !pipeline.areBatchesLost else { return false }
        guard pipeline.hasBatches ? pipeline.canFollow : !pipeline.wantsLock else { return false }
        return send() != nil
    }

    /// The log says that the batch of this number is in it; nil where nobody waits to hear that.
    func hearAppended(_ number: UInt64) -> Batch? {
        guard let done = pipeline.appended(number, now) else { return nil }
        sent.removeAll { $0.number == number }
        store.commit(through: done.end)
        answer(done)
        return done
    }

    /// The first batch is in the log.
    @discardableResult
    func appended() -> Batch? { sent.first.flatMap { hearAppended($0.number) } }

    private func answer(_ batch: Batch) { answered += batch.unanswered.map(\.id.rawValue) }

    /// Another process has appended a row before the first batch.
    @discardableResult
    func conflicted() -> [Batch]? {
        let numbers = sent.map(\.number)
        guard let undone = pipeline.conflicted(numbers[0], now) else { return nil }
        sent = []
        store.rollBack()
        let row = LogRow(
            position: Position(store.tip.revision + 1, 0), kind: .put, key: "other", value: "v", createRevision: store.tip.revision + 1,
            version: 1, origin: 2)
        store.apply(row)
        store.commit()
        // The second one's answer comes when nobody waits for it any more.
        for number in numbers.dropFirst() where pipeline.conflicted(number, now) != nil { return nil }
        return undone
    }

    /// The connection broke while batches were under way. These are they.
    func lose() -> [AppendBatch] {
        defer { sent = [] }
        guard let first = sent.first, pipeline.appendLost(first.number) else { return [] }
        store.rollBack()
        return sent
    }

    /// The log turns out to have the first so many of the lost batches. How many were found.
    func settle(_ lost: [AppendBatch], inserted: Int) -> Int {
        for row in lost.prefix(inserted).flatMap(\.rows) {
            store.apply(row)
            pipeline.rowFolded(at: store.tip, store.tipDigest)
        }
        store.commit()
        let (found, undone) = pipeline.settled()
        for batch in found { answer(batch) }
        return found.count + undone.count == lost.count ? found.count : -1
    }

    /// Answers and sends until no write is left.
    func finish() {
        var rounds = 0
        while pipeline.writeCount > 0, rounds < 1_000 {
            rounds += 1
            if sendIfAllowed() { continue }
            if !sent.isEmpty {
                appended()
                continue
            }
            // After lost races the next batch is made under the lock.
            askForLock()
            _ = grantLock()
            send(isLocked: true)
            useLock()
            check()
        }
    }

    // MARK: The lock

    func askForLock() { pipeline.askForLock(since: store.committed, expiring: nil, &actions) }

    /// The head as it is now, or one that others have moved on.
    func head(revisionsAhead: Int64 = 0) -> Head {
        Head(
            clusterID: 1, position: Position(store.committed.revision + revisionsAhead, 0), digest: store.committedDigest, epoch: 3,
            compactRevision: -1)
    }

    func grantLock(revisionsAhead: Int64 = 0, expired: [LeaseID] = []) -> Position? {
        pipeline.lockGranted(HeadLock.Hold(head: head(revisionsAhead: revisionsAhead), expired: expired))
    }

    func giveLockBack() { pipeline.giveLockBack(&actions) }

    func useLock() {
        if let hold = pipeline.hold { pipeline.lockUsed(hold, &actions) }
    }

    func loadAnew() -> [Batch] {
        let unknown = pipeline.takeUnknown()
        pipeline.loadingBegan(&actions)
        sent = []
        return unknown
    }
}

// Owns: filling a key space before it is measured.
internal import Bytes
internal import EtcdAPI

/// Puts every key of this worker once, a hundred (fewer where they are large) in a transaction.
final class PreloadOperations: Operations {
    let kinds = ["load"]
    private let keys: KeyNames
    private let keyCount: Int
    private let batch: Int
    private var values: ValueSource
    /// The first key of the next batch.
    private var nextKey: Int
    private let step: Int
    private var pending: [Int]

    /// Below etcd's 128 operations and 1.5 MiB a request.
    private static let batchLimit = 100
    private static let batchBytes = 512 << 10

    init(_ plan: BenchPlan, _ share: WorkerShare) {
        keys = KeyNames(plan.dataPrefix)
        keyCount = plan.preloadedKeys
        values = ValueSource(size: plan.valueSize, seed: plan.seed &+ UInt64(share.index) &* 0x51ED)
        batch = max(1, min(Self.batchLimit, Self.batchBytes / (plan.valueSize + 64)))
        nextKey = share.index * batch
        step = share.workers * batch
        pending = Array(repeating: 0, count: share.slots)
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        guard nextKey < keyCount else { return nil }
        let range = nextKey..<min(nextKey + batch, keyCount)
        nextKey += step
        pending[slot] = range.count
        var writer = ByteWriter(capacity: range.count * (values.fieldSize() + keys.keySize + 32))
        for key in range {
            let op = writer.beginMessage(2)
            let put = writer.beginMessage(ResponseOpMember.put.rawValue)
            keys.append(key, to: &writer, field: 1)
            values.append(to: &writer, field: 2, number: key, sentAt: now)
            writer.endMessage(put)
            writer.endMessage(op)
        }
        return OutgoingRequest(method: .txn, kind: 0, message: writer.finish())
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let txn = try TxnView(answer)
        guard txn.succeeded, txn.responses == pending[slot] else {
            throw WrongAnswer("a transaction of \(pending[slot]) puts brought \(txn.responses) responses")
        }
        return AnswerRevision(revision: txn.revision, isWrite: true)
    }
}

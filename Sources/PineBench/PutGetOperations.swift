// Owns: puts and single-key gets of random keys.
internal import Bytes
internal import EtcdAPI

final class PutGetOperations: Operations {
    let kinds: [String]
    private let keys: KeyNames
    private let keyCount: Int
    private let getsOf100: Int
    private var values: ValueSource
    /// The key of each slot's request; puts are its complement.
    private var pending: [Int]

    init(_ plan: BenchPlan, _ share: WorkerShare, getsOf100: Int) {
        kinds = getsOf100 == 0 ? ["put"] : getsOf100 == 100 ? ["get"] : ["get", "put"]
        keys = KeyNames(plan.dataPrefix)
        keyCount = plan.preloadedKeys
        self.getsOf100 = getsOf100
        values = ValueSource(size: plan.valueSize, seed: plan.seed &+ UInt64(share.index) &* 0x9E37)
        pending = Array(repeating: 0, count: share.slots)
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        let key = values.random.below(keyCount)
        let isGet = getsOf100 == 100 || (getsOf100 > 0 && values.random.below(100) < getsOf100)
        if isGet {
            pending[slot] = key
            var writer = ByteWriter(capacity: keys.keySize + 8)
            keys.append(key, to: &writer, field: 1)
            return OutgoingRequest(method: .range, kind: 0, message: writer.finish())
        }
        pending[slot] = ~key
        var writer = ByteWriter(capacity: keys.keySize + values.fieldSize() + 8)
        keys.append(key, to: &writer, field: 1)
        values.append(to: &writer, field: 2, number: key, sentAt: now)
        return OutgoingRequest(method: .put, kind: kinds.count - 1, message: writer.finish())
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let key = pending[slot]
        if key < 0 { return AnswerRevision(revision: try putRevision(answer), isWrite: true) }
        let range = try RangeView(answer) { kv throws(WrongAnswer) in
            guard keys.number(kv.key) == key else { throw WrongAnswer("another key than the one that was asked for") }
            try values.check(kv.value, number: key)
        }
        guard range.kvs == 1, range.count == 1, !range.more else {
            throw WrongAnswer("a get of one key brought \(range.kvs) keys, count \(range.count)")
        }
        return AnswerRevision(revision: range.revision)
    }
}

/// The revision of a PutResponse.
func putRevision(_ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> Revision {
    var scan = WireScan(answer)
    while try scan.next() {
        if scan.field == 1 { return try headerRevision(scan.body) }
    }
    throw WrongAnswer("a put's answer without a header")
}

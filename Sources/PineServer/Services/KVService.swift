// Owns: the KV service: what its requests ask of the engine.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

enum KVService {
    // A put may ask for the value before, which somebody has sent.
    static let methods: [ServedMethod] = [
        .asking(.range, range), .asking(.rangeStream, rangeStream), .asking(.put, answersAreShort: true, put),
        .asking(.deleteRange, deleteRange), .asking(.txn, txn), .asking(.compact, answersAreShort: true, compact),
    ]

    @Sendable private static func range(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let range: RangeRequest = try decode(message)
        try range.validate()
        return .range(range)
    }

    @Sendable private static func rangeStream(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let range: RangeRequest = try decode(message)
        try range.validateForStream()
        return .rangeStream(range)
    }

    @Sendable private static func put(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let put: PutRequest = try decode(message)
        try put.validate()
        try limits.checkSize(message)
        return .write(.put(put))
    }

    @Sendable private static func deleteRange(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let delete: DeleteRangeRequest = try decode(message)
        try delete.validate()
        try limits.checkSize(message)
        return .write(.deleteRange(delete))
    }

    @Sendable private static func txn(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let txn: TxnRequest = try decode(message)
        try txn.validate(maxTxnOps: limits.maxTxnOps)
        if txn.isReadOnly { return .readTxn(txn) }
        try limits.checkSize(message)
        return .write(.txn(txn))
    }

    @Sendable private static func compact(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let compaction: CompactionRequest = try decode(message)
        return .compact(revision: compaction.revision, physical: compaction.physical)
    }
}

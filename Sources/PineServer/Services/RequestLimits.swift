// Owns: what requests are held to before anybody looks at the store: that they can be decoded, and their bounds.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct RequestLimits: Sendable {
    let maxTxnOps: Int
    let maxRequestBytes: Int

    /// The field, the length and the request id that etcd wraps a request in.
    private static let raftEnvelopeBytes = 20

    /// etcd measures the raft entry that holds the request: about this much larger.
    func checkSize(_ message: ByteString) throws(EtcdError) {
        if message.count + Self.raftEnvelopeBytes > maxRequestBytes { throw .requestTooLarge }
    }
}

/// What a client has encoded.
func decode<M: WireMessage>(_ message: ByteString) throws(EtcdError) -> M {
    do throws(DecodeError) {
        return try M.decode(message)
    } catch {
        throw EtcdError(code: .internal, text: "grpc: error unmarshalling request: \(error)")
    }
}

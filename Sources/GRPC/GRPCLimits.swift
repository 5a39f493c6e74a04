// Owns: the bounds on messages and their defaults, which are etcd's where etcd has them.

package struct GRPCLimits: Sendable {
    /// The largest message that we take: etcd's `--max-request-bytes` (1.5 MiB) and what it allows for gRPC on top (512 KiB).
    package var receivedMessageLimit = (1_536 << 10) + (512 << 10)
    /// The largest message that we send: etcd's, and no client of Go's takes more. Its length has to fit into 32 bits.
    package var sentMessageLimit = Int(Int32.max)
    /// Bytes of unfinished messages on one connection above which its streams get no window back, but one at a time.
    package var bufferedSoftLimit = 16 << 20
    /// Above this, streams that send more are refused.
    package var bufferedHardLimit = 64 << 20

    /// What a new call is told while all connections together keep too much and its own more than its share.
    package var overloaded = GRPCStatus(.resourceExhausted, "grpc: too many unread answers on this connection")

    package init() {}
}

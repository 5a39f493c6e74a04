// Owns: the bounds on messages and their defaults, which are etcd's where etcd has them.

package struct GRPCLimits: Sendable {
    /// The largest message that we take: etcd's `--max-request-bytes` (1.5 MiB) and what it allows for gRPC on top (512 KiB).
    package var receivedMessageLimit = (1_536 << 10) + (512 << 10)

    package init() {}
}

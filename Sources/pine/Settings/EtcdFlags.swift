// Owns: which of etcd's flags are accepted although they mean nothing here.
// Must never: accept one that keeps clients out or asks for encryption: ignoring that would be a hole.

/// Flags of etcd that steer what PostgreSQL does for Pine (consensus, disks, peers), or what Pine does not have. An operator who
/// moves from etcd may leave them where they are: they are named in one line of the log, and have no effect.
enum EtcdFlags {
    /// `value` is nil where none was given on the spot.
    static func isIgnored(_ name: String, value: String?) -> Bool {
        // Asks for encryption, unless it is switched off.
        if name == "auto-tls" { return value == "false" }
        return ignored.contains(name) || ignoredPrefixes.contains { name.hasPrefix($0) } && name != "experimental-dump-help"
    }

    /// Peers, their discovery and their certificates; traces, which Pine doesn't send; experiments of one etcd release; the proxy of etcd 2.
    private static let ignoredPrefixes = [
        "initial-", "peer-", "listen-peer-", "discovery", "experimental-", "corrupt-check-", "proxy", "distributed-tracing-",
    ]

    private static let ignored: Set = [
        // Consensus.
        "heartbeat-interval", "election-timeout", "pre-vote", "raft-read-timeout", "raft-write-timeout", "initial-election-tick-advance",
        "strict-reconfig-check", "force-new-cluster", "snapshot-count", "snapshot-catchup-entries", "max-learners",
        "compact-hash-check-enabled", "compact-hash-check-time",
        // Disks.
        "wal-dir", "max-snapshots", "max-wals", "backend-batch-interval", "backend-batch-limit", "backend-bbolt-freelist-type",
        "memory-mlock", "bootstrap-defrag-threshold-megabytes", "unsafe-no-fsync",
        // Traces, and how compaction shares the disk.
        "enable-distributed-tracing", "compaction-batch-limit", "compaction-sleep-interval",
        // The certificate with which etcd's gateway calls etcd.
        "client-cert-file", "client-key-file",
        // Old APIs.
        "enable-v2", "v2-deprecation",
        "downgrade-check-time", "feature-gates", "self-signed-cert-validity", "enable-lease-checkpoint",
        "enable-lease-checkpoint-persist",
        // Its own log and profiles.
        "logger", "log-outputs", "metrics", "warning-apply-duration", "enable-log-rotation", "log-rotation-config-json", "enable-pprof",
        "socket-reuse-port", "socket-reuse-address",
    ]
}

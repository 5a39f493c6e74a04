// Owns: what several threads look at: who we are, and how the replica and the database are.
internal import Changelog
internal import EtcdAPI
internal import Keyspace
internal import Logging
internal import Replica
internal import Synchronization

/// A snapshot of what Status and MemberList say, and the metrics.
struct ServerStatus: Sendable {
    var header = ResponseHeader()
    var counters = ReplicaCounters()
    var gauges = ReplicaGauges()
    var isServing = false
    /// Bytes on disk of the log's tables.
    var databaseBytes: Int64 = 0
    /// Bytes of those that hold what nothing has made free.
    var liveBytes: Int64 = 0
    var alarms = Alarms()
    var members: [Changelog.Member] = []
    /// Whether the database has been asked for members and sizes.
    var knowsMembers = false

    func header(at revision: Revision) -> ResponseHeader {
        var header = header
        header.revision = revision
        return header
    }

    /// Whether there is something to read from. Not so while the log is being loaded.
    var hasFolded: Bool { isServing || gauges.isRecovering }
}

final class SharedState: Sendable {
    private let status = Mutex(ServerStatus())
    let membership: Membership
    private let logger: Logger

    init(logger: Logger) {
        self.logger = logger
        membership = Membership(logger: logger)
    }

    var current: ServerStatus {
        var current = status.withLock { $0 }
        (current.members, current.databaseBytes, current.knowsMembers) = membership.known
        return current
    }

    func update(
        header: ResponseHeader, counters: ReplicaCounters, gauges: ReplicaGauges, isServing: Bool, liveBytes: Int64, alarms: Alarms
    ) {
        status.withLock {
            $0.liveBytes = liveBytes
            $0.alarms = alarms
            $0.header = header
            $0.counters = counters
            $0.gauges = gauges
            $0.isServing = isServing
        }
    }

    /// Somebody asks for a defragmentation: says why there is nothing to do.
    func noteDefragment() {
        logger.info(
            """
            nothing to defragment: PostgreSQL's autovacuum makes the space of deleted rows free for new ones while Pine serves; \
            VACUUM FULL on the tables would give it back to the file system
            """)
    }
}

// Owns: what several threads look at: who we are, and how the replica and the database are.
internal import Changelog
internal import EtcdAPI
internal import Replica
internal import Synchronization

/// A snapshot of what Status and MemberList say.
struct ServerStatus: Sendable {
    var header = ResponseHeader()
    var counters = ReplicaCounters()
    var isServing = false
    /// Bytes on disk of the log's tables.
    var databaseBytes: Int64 = 0
    var members: [Changelog.Member] = []
}

final class SharedState: Sendable {
    private let status = Mutex(ServerStatus())

    var current: ServerStatus { status.withLock { $0 } }

    func update(header: ResponseHeader, counters: ReplicaCounters, isServing: Bool) {
        status.withLock {
            $0.header = header
            $0.counters = counters
            $0.isServing = isServing
        }
    }

    func update(databaseBytes: Int64, members: [Changelog.Member]) {
        status.withLock {
            $0.databaseBytes = databaseBytes
            $0.members = members
        }
    }
}

// Owns: a write from its arrival to its answer, and how often its execution has begun.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

struct PendingWrite {
    var id: CallID
    var request: WriteRequest
    /// Of a compaction: answer once the dead rows are deleted.
    var physical: Bool
    var arrivedAt: Instant
    let principal: Principal
    /// About how much memory the request keeps alive, in bytes.
    let byteCount: Int
    /// Values that were read from the log for it.
    var values: [Position: ByteString] = [:]
    /// How often its execution was begun and took more than a turn.
    var pauseCount = 0

    /// Whether its execution began anew time and again, since others wrote meanwhile: then it is executed under the head's lock.
    var needsLock: Bool { pauseCount >= pauseLimit }

    init(id: CallID, request: WriteRequest, physical: Bool, arrivedAt: Instant, principal: Principal = .anonymous) {
        self.id = id
        self.request = request
        self.physical = physical
        self.arrivedAt = arrivedAt
        self.principal = principal
        byteCount = request.byteCount
    }
}

/// How often a write that takes more than a turn begins anew before it is executed under the head's lock.
private let pauseLimit = 3

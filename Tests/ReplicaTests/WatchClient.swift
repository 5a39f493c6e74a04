// Owns: what a client of a test knows of its watches and of a stream that carries them.
import Bytes
import Calls
import EtcdAPI
import Keyspace

/// What a client did not expect.
struct WatchMistake: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// One watch, from the client's side.
final class ClientWatch {
    let request: WatchCreateRequest
    let range: KeyRange
    /// The first revision whose events are due.
    let start: Revision
    /// Rows of the log up to the next event, and the revision of the last one.
    var rowsPassed = 0
    var lastRevision: Revision?
    /// Whether the last response was a fragment.
    var isInFragments = false
    /// Whether it may ever have been behind: only such a watch can be overtaken by compaction.
    var mayLag: Bool

    init(_ request: WatchCreateRequest, createdAt revision: Revision, isSlow: Bool) {
        self.request = request
        range = KeyRange(key: request.key, rangeEnd: request.rangeEnd)
        start = request.startRevision == 0 ? revision + 1 : request.startRevision
        mayLag = isSlow || start <= revision
    }

    func wants(_ row: LogRow) -> Bool {
        guard row.position.revision >= start, range.contains(row.key) else { return false }
        return switch row.kind {
        case .put: !request.filters.contains(.noPut)
        case .delete: !request.filters.contains(.noDelete)
        default: false
        }
    }
}

/// One watch stream, from the client's side.
final class ClientStream {
    let id: CallID
    /// Create requests that have not been answered, in order; their answers come in this order.
    var asked: [WatchCreateRequest] = []
    var watches: [WatchID: ClientWatch] = [:]
    /// Ids that can't be had any more: compaction ended their watches.
    var spent: Set<WatchID> = []
    /// Cancel requests under way.
    var cancelling: Set<WatchID> = []
    var isStalled = false
    /// Reports that a client that doesn't read keeps waiting, and bytes sent since it last read.
    var withheldReports = 0
    var unreadBytes = 0
    /// Where the log ended when progress was last asked for without an answer since.
    var progressAskedAt: Revision?
    /// An earlier request that may never be answered, since there was no watch at some time; or may be, beside the last.
    var progressOnceAskedAt: Revision?
    var progressAnswers = 0

    init(_ id: CallID) { self.id = id }
}

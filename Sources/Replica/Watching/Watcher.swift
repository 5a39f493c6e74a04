// Owns: what is known of one watch.
// Invariants: a watcher is in exactly one place: the hub `synced`, where it has been sent everything up to the committed
// revision; the hub `catchingUp`, where `nextRevision` is the first revision that it has not been sent whole; or, the same
// but with a client that doesn't take what it was sent, among its stream's `parked`, where it costs nobody anything.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

/// One watch of a client.
final class Watcher {
    enum Place {
        case nowhere
        case synced
        case catchingUp
        case parked
    }

    let key: WatchKey
    /// Each holds the other, until the stream has ended: events may be on their way to a watcher whose stream is gone.
    let stream: WatchStream
    /// What the client calls it; unique in its stream.
    let id: WatchID
    let range: KeyRange
    let skipsPuts: Bool
    let skipsDeletes: Bool
    let wantsPrevKV: Bool
    let wantsProgress: Bool
    let wantsFragments: Bool
    /// What the client asked for; a watcher of the future says nothing before.
    let startRevision: Revision
    /// Of a lagging watcher: the first revision not sent yet. Of a synced one: the lowest that it wants at all.
    var nextRevision: Revision
    var place = Place.nowhere
    var isLagging: Bool { place == .catchingUp || place == .parked }
    /// Whether it has fallen behind for no fault of its client: a value before an event has to be read first, or there were too many
    /// events for all watchers at once.
    var isBlameless = false
    /// Whether it has been sent something since its last progress notification was due.
    var wasBusy = false

    /// Whether `events` are of rows that were just committed, and not of a pass over old ones.
    var isGatheredLive = false
    /// Whether it is in the list of laggards, which it may have left again.
    var isListed = false
    /// The same of its stream's `parked`.
    var isListedAsParked = false
    /// Whether it takes part in the pass over old rows that is under way.
    var isSwept = false
    /// Set for the rest of that pass once its client can't be given more.
    var hasStopped = false
    /// What a long revision comes to for it, while that is measured, in bytes.
    var measuredBytes = 0

    /// Events that are gathered for the next responses, with their revisions. While there are any, it takes part in no other pass.
    var events: [(revision: Revision, bytes: ByteString)] = []

    init(key: WatchKey, stream: WatchStream, id: WatchID, range: KeyRange, request: WatchCreateRequest, nextRevision: Revision) {
        self.key = key
        self.stream = stream
        self.id = id
        self.range = range
        skipsPuts = request.filters.contains(.noPut)
        skipsDeletes = request.filters.contains(.noDelete)
        wantsPrevKV = request.prevKV
        wantsProgress = request.progressNotify
        wantsFragments = request.fragment
        startRevision = request.startRevision
        self.nextRevision = nextRevision
    }

    func wants(_ kind: RowKind) -> Bool {
        kind == .put ? !skipsPuts : !skipsDeletes
    }

    /// Takes gathered events of `revision` and later back. How many there were.
    func takeBackEvents(from revision: Revision = 0) -> Int {
        var count = 0
        while let last = events.last, last.revision >= revision {
            events.removeLast()
            stream.gathered -= last.bytes.count
            nextRevision = min(nextRevision, last.revision)
            count += 1
        }
        return count
    }
}

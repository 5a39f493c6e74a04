// Owns: the snapshots under way, and those that wait to begin.
// Must never: keep compaction from deleting rows for a client that has stopped reading: its snapshot is ended.
//
//   asked ──▶ starting ──settled──▶ ready ──next──▶ its step ─┬──▶ finished, or refused
//                                    ▲                        ├──▶ lacks values: parked until `valuesRead`
//                                    ├──── bound used up ─────┤
//                                    └─────── drained ────────┴──▶ chunks are on their way
//
// Invariants: a call is in here once; at most `limit` snapshots, those that wait included.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct Snapshots {
    private struct Start {
        let id: CallID
        let members: [SnapshotMember]
    }

    /// How many there may be at once: each pins its revision, and holds a list of all records.
    static let limit = 2
    /// How long a client may read nothing.
    static let stallLimitMs = 300_000

    private var starts: [Start] = []
    private var tasks = Deque<SnapshotTask>()
    /// Values that the snapshots asked for.
    var valueCounts = ValueCounts()

    var isEmpty: Bool { starts.isEmpty && tasks.isEmpty }

    /// Whether the store has to be settled for one to begin.
    var areStarting: Bool { !starts.isEmpty }

    /// Whether the next turn has something to do.
    var canGoOn: Bool { tasks.contains { $0.isReady && !$0.isParked } }

    /// The lowest revision whose keys must stay; nil where none must.
    var pinnedRevision: Revision? { tasks.lazy.map(\.pinnedRevision).min() }

    /// False where there are too many.
    mutating func asked(_ id: CallID, _ members: [SnapshotMember]) -> Bool {
        guard starts.count + tasks.count < Self.limit else { return false }
        starts.append(Start(id: id, members: members))
        return true
    }

    /// The store is settled: those that wait begin.
    mutating func settled(_ store: borrowing Store, _ header: ResponseHeader, auth: AuthSnapshot, windowLength: Int, now: Instant) {
        for start in starts {
            tasks.append(
                SnapshotTask(
                    id: start.id, store, header, members: start.members, auth: auth, windowLength: windowLength, now: now))
        }
        starts = []
    }

    /// What was sent to this client has left.
    mutating func drained(_ id: CallID, now: Instant) {
        guard !tasks.isEmpty, let task = tasks.first(where: { $0.id == id }) else { return }
        task.isReady = true
        task.movedAt = now
    }

    /// Takes out the snapshot whose step is next; nil where none can go on. `putBack` or nothing has to follow.
    mutating func next() -> SnapshotTask? {
        guard let index = tasks.firstIndex(where: { $0.isReady && !$0.isParked }) else { return nil }
        return tasks.remove(at: index)
    }

    mutating func putBack(_ task: SnapshotTask) { tasks.append(task) }

    /// What the parked snapshot lacked was read. Takes it out.
    mutating func takeParked(_ id: CallID) -> SnapshotTask? {
        guard let index = tasks.firstIndex(where: { $0.id == id && $0.isParked }) else { return nil }
        let task = tasks.remove(at: index)
        task.isParked = false
        return task
    }

    /// Takes out those whose clients have read nothing for too long.
    mutating func takeStalled(now: Instant) -> [CallID] {
        guard !tasks.isEmpty else { return [] }
        let stalled = tasks.filter { !$0.isReady && $0.movedAt.advanced(byMs: Self.stallLimitMs) <= now }.map(\.id)
        if !stalled.isEmpty { tasks.removeAll { stalled.contains($0.id) } }
        return stalled
    }

    /// Their clients have given up.
    mutating func dropped(_ gone: Set<CallID>) {
        starts.removeAll { gone.contains($0.id) }
        tasks.removeAll { gone.contains($0.id) }
    }

    /// The log is loaded anew. Takes out all, and gives their calls.
    mutating func historyLost() -> [CallID] {
        defer {
            starts = []
            tasks = []
        }
        return starts.map(\.id) + tasks.map(\.id)
    }

    /// Traps where a rule does not hold.
    func invariants() {
        let ids = starts.map(\.id) + tasks.map(\.id)
        invariant(Set(ids).count == ids.count, "a snapshot is in two places")
        invariant(ids.count <= Self.limit, "\(ids.count) snapshots are under way")
    }
}

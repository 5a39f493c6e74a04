// Owns: the newest rows of the log, in order, for watchers that are not far behind.
// Must never: hold more than its bound, whole revisions aside.
// Invariant: every put and delete row with a revision from `firstRevision` on that was committed is here.
internal import Bytes
internal import DequeModule
internal import Keyspace

struct RecentRows {
    private var rows = Deque<LogRow>()
    private var bytes = 0
    private let byteLimit: Int
    /// The first revision that is here whole.
    private(set) var firstRevision: Revision = 1

    init(byteLimit: Int) { self.byteLimit = byteLimit }

    /// Starts empty: what comes is of `revision` or later.
    mutating func restart(at revision: Revision) {
        rows.removeAll()
        bytes = 0
        firstRevision = revision
    }

    mutating func append(_ row: LogRow) {
        rows.append(row)
        bytes += Self.size(row)
    }

    /// Drops the oldest revisions where there are too many rows. Called between revisions.
    mutating func trim() {
        while bytes > byteLimit, let oldest = rows.first {
            let revision = oldest.position.revision
            while let row = rows.first, row.position.revision == revision {
                bytes -= Self.size(row)
                rows.removeFirst()
            }
            firstRevision = revision + 1
        }
    }

    /// The rows of whole revisions from `revision` on: `limit` of them, and the rest of the last one's revision. And whether
    /// these are all.
    func rows(from revision: Revision, limit: Int) -> (rows: [LogRow], areAll: Bool) {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].position.revision < revision { low = middle + 1 } else { high = middle }
        }
        var end = min(low + limit, rows.count)
        while end > low, end < rows.count, rows[end].position.revision == rows[end - 1].position.revision { end += 1 }
        return (Array(rows[low..<end]), end == rows.count)
    }

    /// What a row costs: its bytes and its place in the queue.
    private static func size(_ row: LogRow) -> Int { row.key.count + row.value.count + MemoryLayout<LogRow>.stride }
}

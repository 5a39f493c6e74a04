// Owns: the newest rows of the log, in order: those that synced watchers are still to be sent, and before these others for watchers
// that are not far behind.
// Must never: hold more than its bound, rows that are still to be sent and whole revisions aside; drop a row before it was handed out.
// Invariant: every put and delete row with a revision from `firstRevision` on that was committed is here.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct RecentRows: HandoutRows {
    private var rows = Deque<LogRow>()
    private var bytes = 0
    private let byteLimit: Int
    /// The first revision that is here whole.
    private(set) var firstRevision: Revision = 1
    /// How many of `rows` were handed out to synced watchers, and the bytes of the others.
    private var passedCount = 0
    private var pendingBytes = 0

    init(byteLimit: Int) { self.byteLimit = byteLimit }

    /// Starts empty: what comes is of `revision` or later.
    mutating func restart(at revision: Revision) {
        rows.removeAll()
        bytes = 0
        passedCount = 0
        pendingBytes = 0
        firstRevision = revision
    }

    mutating func append(_ row: LogRow) {
        rows.append(row)
        bytes += Self.size(row)
        pendingBytes += Self.size(row)
    }

    // MARK: Handing out

    var hasPending: Bool { passedCount < rows.count }

    /// A row that is still to be handed out: the next one, or one after it.
    func pending(_ offset: Int) -> LogRow? {
        passedCount + offset < rows.count ? rows[passedCount + offset] : nil
    }

    mutating func passNext() {
        pendingBytes -= Self.size(rows[passedCount])
        passedCount += 1
    }

    mutating func passAll() {
        passedCount = rows.count
        pendingBytes = 0
    }

    /// Whether handing out has fallen so far behind that watchers are better off reading at their own pace.
    var isOverrun: Bool {
        guard pendingBytes > byteLimit + pendingByteLimit, let next = pending(0), let last = rows.last else { return false }
        return next.position.revision != last.position.revision
    }

    // MARK: Room

    /// Whether rows are to be dropped: those handed out, of revisions that were handed out whole.
    var needsTrim: Bool {
        guard bytes > byteLimit, passedCount > 0 else { return false }
        return passedCount == rows.count || rows[passedCount].position.revision != rows[0].position.revision
    }

    /// Drops some of the oldest rows where there are too many; the rest when called again.
    mutating func trim() {
        var left = trimRowLimit
        while left > 0, needsTrim {
            left -= 1
            bytes -= Self.size(rows[0])
            firstRevision = max(firstRevision, rows[0].position.revision + 1)
            rows.removeFirst()
            passedCount -= 1
        }
    }

    /// The rows of whole revisions from `revision` on: `limit` of them, and the rest of the last one's revision. And whether
    /// these are all.
    func rows(from revision: Revision, limit: Int) -> (rows: [LogRow], areAll: Bool) {
        let low = (0..<rows.count).partitioningIndex { rows[$0].position.revision >= revision }
        var end = min(low + limit, rows.count)
        while end > low, end < rows.count, rows[end].position.revision == rows[end - 1].position.revision { end += 1 }
        return (Array(rows[low..<end]), end == rows.count)
    }

    /// What a row costs: its bytes and its place in the queue.
    private static func size(_ row: LogRow) -> Int { row.key.count + row.value.count + MemoryLayout<LogRow>.stride }
}

/// Rows dropped at once.
private let trimRowLimit = 5_000

/// What rows that are still to be handed out may take beyond the bound before synced watchers fall behind, in bytes.
private let pendingByteLimit = 64 << 20

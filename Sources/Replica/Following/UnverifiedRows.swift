// Owns: rows that were read from the log and are not known to come after what was folded.
//
// A tail's rows and its head belong together: one that reaches its head shows by the digest whether its rows come after ours. One
// that a limit has cut does not, and after a failover that lost the log's end its rows may be those of another history. So rows of
// cut tails wait here until a head is reached.
//
//              too many bytes           a head agrees                all points reached
//   keeping ──────────────────▶ passing ─────────────▶ reading again ──────────────────▶ keeping
//
// A process that is so far behind that the rows would take too much memory passes them: it only notes the digest at some points on
// its way. Once a head agrees with the last of these they are known to be right, and the rows are read again, each stretch up to a
// point with which it has to agree.
//
// Must never: hand out rows without the digest that they have to lead to, or a part of a revision.
// Invariants: `rows` are in order, and come after `passed` where that is set; `points` are in order, the last one is `passed`
// while that is set, and otherwise all are known to be on the log's history.
internal import DequeModule
internal import Keyspace

struct UnverifiedRows {
    /// Where a history is told from others by its digest.
    struct Point: Equatable {
        var position: Position
        var digest: Digest
    }

    /// Rows to fold, and where they have to lead to; none where nothing is known yet.
    struct Verdict {
        var rows: [LogRow]
        var end: Point

        /// Whether the rows lead from `folded`, where the store's key is `key`, to `end`.
        func leads(from folded: Point, _ key: DigestKey?) -> Bool {
            var key = key
            return UnverifiedRows.digest(of: rows[...], after: folded, &key) == end
        }
    }

    private(set) var rows: [LogRow] = []
    private var byteCount = 0
    /// Up to here rows were read and forgotten.
    private(set) var passed: Point?
    /// The store's key there.
    private var passedKey: DigestKey?
    private var points = Deque<Point>()

    /// Whether nothing waits here, and nothing is known to come after what was handed out.
    var isEmpty: Bool { rows.isEmpty && points.isEmpty }

    /// Where reading goes on; nil for where folding has come to.
    var end: Position? { rows.last?.position ?? passed?.position }

    /// How far the log is known to go; nil for no further than folding has come.
    var reach: Position? { [rows.last?.position, points.last?.position].compactMap { $0 }.max() }

    /// Takes a tail in, and gives what is known to come after `folded` by now, the tail's head being right. nil where it is of another
    /// history.
    ///
    /// `key`: the store's where folding has come to.
    mutating func take(_ tail: Tail, after folded: Point, key: DigestKey?, byteLimit: Int) -> Verdict? {
        let nothing = Verdict(rows: [], end: folded)
        let start = passed ?? folded
        var key = passed == nil ? key : passedKey
        add(tail.rows, after: start.position)
        let end: Point
        if tail.reachesHead {
            end = Point(position: tail.head.position, digest: tail.head.digest)
        } else if passed == nil, let last = rows.last?.position, let known = points.last(where: { $0.position <= last }) {
            end = known
        } else {
            // Stretches are read again up to a known point, however large.
            if byteCount > byteLimit, passed != nil || points.isEmpty { pass(after: start, key) }
            return nothing
        }
        // It was read before what is here, or before our own last append.
        guard end.position >= start.position else { return nothing }
        guard passed != nil else {
            points.removeAll { $0.position <= end.position }
            return Verdict(rows: takeRows(through: end.position), end: end)
        }
        guard Self.digest(of: rows.prefix { $0.position <= end.position }, after: start, &key) == end else { return nil }
        if end != start { points.append(end) }
        passed = nil
        rows = []
        byteCount = 0
        return nothing
    }

    /// Not every tail was asked for from `end` on: one that came of a lost race repeats some rows, and lacks those that compaction has
    /// deleted since they were read.
    private mutating func add(_ more: [LogRow], after start: Position) {
        let more = more.drop { $0.position <= start }
        let isNext = rows.last.map { last in more.first.map { last.position < $0.position } ?? true } ?? true
        if !isNext {
            let repeated = Set(more.map(\.position))
            rows.removeAll { repeated.contains($0.position) }
        }
        rows.append(contentsOf: more)
        if !isNext { rows.sort { $0.position < $1.position } }
        if let first = rows.first, first.position <= start { rows.removeAll { $0.position <= start } }
        byteCount = isNext ? byteCount + Self.size(more) : Self.size(rows[...])
    }

    /// Forgets all whole revisions.
    private mutating func pass(after start: Point, _ key: DigestKey?) {
        guard let revision = rows.last?.position.revision else { return }
        let whole = rows.prefix { $0.position.revision < revision }
        guard !whole.isEmpty else { return }
        var key = key
        let point = Self.digest(of: whole, after: start, &key)
        passed = point
        passedKey = key
        points.append(point)
        rows.removeFirst(whole.count)
        byteCount = Self.size(rows[...])
    }

    private mutating func takeRows(through end: Position) -> [LogRow] {
        let taken = rows
        rows = []
        byteCount = 0
        guard let last = taken.last, last.position > end else { return taken }
        rows = taken.filter { $0.position > end }
        byteCount = Self.size(rows[...])
        return Array(taken.prefix { $0.position <= end })
    }

    fileprivate static func digest(of rows: ArraySlice<LogRow>, after start: Point, _ key: inout DigestKey?) -> Point {
        var point = start
        for row in rows {
            point.position = row.position
            _ = point.digest.append(row, &key)
        }
        return point
    }

    /// Whether `rows` of a tail and those that wait here, after `folded`, lead to a head.
    func lead(with more: [LogRow], after folded: Point, key: DigestKey?, to head: Head) -> Bool {
        var key = passed == nil ? key : passedKey
        let start = passed ?? folded
        var point = start
        for row in rows + more where row.position > point.position && row.position <= head.position {
            point.position = row.position
            _ = point.digest.append(row, &key)
        }
        return point == Point(position: head.position, digest: head.digest)
    }

    /// What rows cost: their bytes and their places.
    private static func size(_ rows: ArraySlice<LogRow>) -> Int {
        rows.reduce(0) { $0 + $1.key.count + $1.value.count + MemoryLayout<LogRow>.stride }
    }
}

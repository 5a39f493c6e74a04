// Owns: rows that are known to come next, on their way into memory: a bounded number a turn, whole revisions.
// Must never: hand out a part of a revision.
internal import Bytes
internal import Keyspace

/// The rows that come next, and what the tail said that brought the last of them.
struct Folding {
    /// Some of the rows, to fold in one turn.
    struct Piece {
        var rows: [LogRow]
        /// What all rows have to lead to; nil where more pieces follow.
        var end: UnverifiedRows.Point?
    }

    private let rows: [LogRow]
    private var foldedCount = 0
    /// What they have to lead to.
    private let end: UnverifiedRows.Point
    let head: Head
    let reachesHead: Bool
    /// Whether a tail came meanwhile that has to be read again.
    var asksAgain = false

    init(_ known: UnverifiedRows.Verdict, from tail: Tail) {
        rows = known.rows
        end = known.end
        head = tail.head
        reachesHead = tail.reachesHead
    }

    /// Whether nothing of it was handed out.
    var isNew: Bool { foldedCount == 0 }

    /// The next rows, `limit` or as many more as complete a revision.
    mutating func takePiece(limit: Int) -> Piece {
        var next = min(foldedCount + limit, rows.count)
        while next > foldedCount, next < rows.count, rows[next].position.revision == rows[next - 1].position.revision { next += 1 }
        let isLast = next == rows.count
        let piece = foldedCount == 0 && isLast ? rows : Array(rows[foldedCount..<next])
        foldedCount = next
        return Piece(rows: piece, end: isLast ? end : nil)
    }

    /// Traps where it breaks its rules.
    func invariants() {
        invariant(foldedCount <= rows.count, "\(foldedCount) rows were handed out of \(rows.count)")
        invariant(rows.last.map { $0.position <= end.position } ?? true, "rows past \(end.position) are being folded")
    }
}

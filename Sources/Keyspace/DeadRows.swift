// Owns: which rows that are not about keys nothing needs any more: both rows of a lease that is gone, compaction marks, users and roles of
// which a later row says more.
// Must never: give a row up before what made it dead is committed and compacted: above the compact revision the log stays whole.
// Invariant: entries are in the order of the rows that made them dead, which is the log's order.
internal import EtcdAPI

/// Rows of the log on their way out. A lease's grant comes before its revoke, so that whoever folds the log while they are being
/// deleted never meets a grant without its end.
struct DeadRows {
    private struct Entry {
        /// The row that made the other dead; may be the same one.
        var cause: Position
        var row: Position
    }

    private var entries = ChunkedQueue<Entry>()
    /// The compaction marks that may still be the last: one committed, and those after it.
    private var compactions: [Position] = []

    var count: Int { entries.count }

    /// Lease granted at `grant` (nil where that row is gone already) was revoked at `revoke`.
    mutating func revoked(grant: Position?, at revoke: Position) {
        if let grant { entries.append(Entry(cause: revoke, row: grant)) }
        entries.append(Entry(cause: revoke, row: revoke))
    }

    /// The row at `position` says more than `row`.
    mutating func superseded(_ row: Position, at position: Position) { entries.append(Entry(cause: position, row: row)) }

    mutating func compacted(at position: Position) {
        if let last = compactions.last { entries.append(Entry(cause: position, row: last)) }
        compactions.append(position)
    }

    mutating func commit(through position: Position) {
        guard compactions.count > 1, let last = compactions.lastIndex(where: { $0 <= position }) else { return }
        compactions.removeSubrange(..<last)
    }

    mutating func rollBack(after position: Position) {
        while let last = entries.last, last.cause > position { entries.removeLast() }
        while let last = compactions.last, last > position { compactions.removeLast() }
    }

    /// Gives up to `limit` rows whose end is committed at `committed` and no row that compaction to `compactRevision` keeps, and
    /// forgets them.
    mutating func collect(limit: Int, committed: Position, compactRevision: Revision, into dead: inout [Position]) {
        let firstKept = Sweep.firstKept(compactedTo: compactRevision)
        var left = limit
        while left > 0, let first = entries.first, first.cause <= committed, first.cause.revision < firstKept {
            dead.append(first.row)
            entries.removeFirst()
            left -= 1
        }
    }
}

// Owns: rows of the log behind a position, and the head that belongs to them.

/// A stretch of the log and the head row, read in one statement, so that they belong together.
package struct Tail: Hashable, Sendable {
    package var head: Head
    /// In position order, without a gap after the position that was asked for.
    package var rows: [LogRow]
    /// False where a limit cut the rows off before the head.
    package var reachesHead: Bool

    package init(head: Head, rows: [LogRow], reachesHead: Bool) {
        self.head = head
        self.rows = rows
        self.reachesHead = reachesHead
    }
}

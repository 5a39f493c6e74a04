// Owns: the places of rows in the log.
package import EtcdAPI

/// Where a row stands in the log. Only grows; (revision, sub) is the changelog's primary key.
package struct Position: Hashable, Comparable, Sendable {
    package var revision: Revision
    /// The row's number within its revision, from 0.
    package var sub: Int32

    @inlinable
    package init(_ revision: Revision, _ sub: Int32) {
        self.revision = revision
        self.sub = sub
    }

    @inlinable
    package static func < (a: Position, b: Position) -> Bool {
        a.revision != b.revision ? a.revision < b.revision : a.sub < b.sub
    }

    /// The head of a log without rows: revision 1, nothing at it yet.
    package static let start = Position(1, -1)
}

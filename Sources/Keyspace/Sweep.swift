// Owns: how far the dead rows of compacted revisions have been deleted from the log. A plain value, stored in the table `sweep`.

/// The log's rows go in the order in which they died, so that two positions tell what is gone.
package struct Sweep: Hashable, Sendable {
    /// Of this compaction, what is dead beside the keys' superseded rows is gone: rows of ended leases, disarmed alarms and former
    /// compactions, and the tombstones that an earlier compaction kept.
    package var compactRevision: Revision
    /// Every key's row that a row up to here superseded is gone, as far as `compactRevision` makes it dead.
    package var position: Position

    package init(compactRevision: Revision, position: Position) {
        self.compactRevision = compactRevision
        self.position = position
    }

    /// Nothing has been deleted, as far as is known.
    package static let nothing = Sweep(compactRevision: -1, position: Position(0, -1))

    /// No bound: for whoever deletes.
    package static let everything = Sweep(compactRevision: .max, position: Position(.max, .max))

    /// Whether all is gone that was when deleting had come as far as `other` says.
    package func covers(_ other: Sweep) -> Bool { compactRevision >= other.compactRevision && position >= other.position }

    /// Whether all is gone that compacting to `revision` made dead.
    package func covers(_ revision: Revision) -> Bool {
        compactRevision >= revision && position >= Position(revision, .max)
    }
}

// Owns: how far the dead rows of compacted revisions have been deleted from the log. A plain value, stored in the table `sweep`.
package import EtcdAPI

/// The log's rows go in the order in which they died, so that two positions tell what is gone.
package struct Sweep: Hashable, Sendable {
    /// Of this compaction, what is dead beside the keys' superseded rows is gone: rows of ended leases, disarmed alarms and former
    /// compactions, and what earlier compactions kept.
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

    /// All that compacting to `revision` made dead.
    package static func whole(_ revision: Revision) -> Sweep {
        Sweep(compactRevision: revision, position: Position(revision, .max))
    }

    /// Whether all is gone that was when deleting had come as far as `other` says.
    package func covers(_ other: Sweep) -> Bool { compactRevision >= other.compactRevision && position >= other.position }

    /// Whether all is gone that compacting to `revision` made dead.
    package func covers(_ revision: Revision) -> Bool { covers(.whole(revision)) }

    /// All that lies within one of the two, and perhaps more: a compaction makes more dead at the positions that were come to before.
    package mutating func extend(to other: Sweep) {
        compactRevision = max(compactRevision, other.compactRevision)
        position = max(position, other.position)
    }

    /// Takes what is gone by now, unless this says something that `other` does not.
    package mutating func advance(to other: Sweep) {
        if other.covers(self) { self = other }
    }

    /// Compaction to `revision` leaves all rows from this revision on, and makes them dead when a later one comes: who has been served
    /// up to the revision before the compacted one may go on from that, and whether the log is still the one that he was served from is
    /// told by the digest of all rows that came since.
    package static func firstKept(compactedTo revision: Revision) -> Revision { revision - 1 }
}

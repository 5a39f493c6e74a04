// Owns: a point of a history up to which something may have been served.
// Must never: take a log that others have compacted past a mark for a changed one: clients that stand there are told that their place is
// compacted anyway, whatever the history.
package import Keyspace

/// A point of a history up to which something may have been served.
package struct ServedMark: Hashable, Sendable {
    package var clusterID: Int64
    package var position: Position
    package var digest: Digest

    package init(clusterID: Int64, position: Position, digest: Digest) {
        self.clusterID = clusterID
        self.position = position
        self.digest = digest
    }
}

extension ServedMark {
    /// Whether the log that ends at `head` has to be read to know whether it has what was served: not that of another store, nor one
    /// where all who have seen it are told that their place is compacted.
    /// They go on with the revision after it, and that may still be watched where it is the compacted one itself.
    package func isOpen(at head: Head) -> Bool {
        clusterID == head.clusterID && Sweep.firstKept(compactedTo: head.compactRevision) <= position.revision
    }
}

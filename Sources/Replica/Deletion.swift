// Owns: an order to delete rows, and what must be true for it to be carried out.
package import EtcdAPI
package import Keyspace

/// Rows that nothing needs any more.
package struct Deletion: Hashable, Sendable {
    /// Numbers this process's deletions from 1.
    package var number: UInt64
    package var positions: [Position]
    /// The compaction that made them dead. Nothing is deleted from a log that does not know of it: another history, where these may be
    /// other rows.
    package var compactRevision: Revision
    /// What is gone once these rows are, which is told to all.
    package var swept: Sweep
    /// What the log says of all deletions before where it has just those of which this process does not remember the rows; nil where this
    /// process has forgotten rows that others have deleted.
    package var digest: Digest?
    /// Within what all lies that this process does not remember. A log of another digest has to say that so much is gone. One that does
    /// not has lost deletions, as a server does that takes over without them: rows may be back of which this process does not know, or
    /// has forgotten, that they are dead. Then nothing is deleted, least of all what made them dead.
    package var after: Sweep
    /// Nothing is deleted unless the steward's duty is this process's.
    package var holder: Int64
    /// Whether it may take as much of the database's time as writers do: somebody waits for it, or rows die faster than they go.
    package var isUrgent: Bool

    package init(
        number: UInt64, positions: [Position], compactRevision: Revision, swept: Sweep, digest: Digest?, after: Sweep,
        holder: Int64, isUrgent: Bool = false
    ) {
        self.number = number
        self.positions = positions
        self.compactRevision = compactRevision
        self.swept = swept
        self.digest = digest
        self.after = after
        self.holder = holder
        self.isUrgent = isUrgent
    }
}

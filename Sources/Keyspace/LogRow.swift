// Owns: what a row of the log and its head row say. The same fields, in the same order, as the tables in migrations/.
package import Bytes
package import EtcdAPI

/// One row of the changelog, complete in itself: folding it needs no earlier row.
package struct LogRow: Hashable, Sendable {
    package var position: Position
    package var kind: RowKind
    package var key: ByteString
    package var value: ByteString
    package var createRevision: Revision
    package var version: Int64
    package var lease: LeaseID
    /// Which process appended it: a random number that a process draws at its start.
    package var origin: Int64
    /// The hash of all the above, as it was when the row was made; unknown for rows that were read without it.
    package var hash = RowHash.unknown

    package init(
        position: Position, kind: RowKind, key: ByteString = ByteString(), value: ByteString = ByteString(),
        createRevision: Revision = 0, version: Int64 = 0, lease: LeaseID = 0, origin: Int64
    ) {
        self.position = position
        self.kind = kind
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.version = version
        self.lease = lease
        self.origin = origin
    }
}

extension LogRow {
    /// The revision that a compact row compacts to: the column `version` holds it, as the raw value.
    package var compactRevision: Revision { Revision(version) }

    /// Whether it moves the log to a revision past what it has lost.
    package var isRaise: Bool { kind == .compact && createRevision != 0 }
}

/// How far the log is moved past the highest revision that is known to have been served and lost, at the least: far more than
/// other processes can have been ahead. etcd recommends the same number for restoring a snapshot.
package let revisionRaiseMargin: Int64 = 1_000_000_000

/// A head whose compact revision is that far past a compaction was moved there by a raise, after the log had lost a part: the rows that
/// the compaction made dead may be alive in what is left.
package let compactionGapLimit: Int64 = revisionRaiseMargin / 2

// Owns: what a row of the log and its head row say. The same fields, in the same order, as the tables in migrations/.
package import Bytes
package import EtcdAPI

/// What a row did. The raw values are stored; they never change.
package enum RowKind: Int16, Sendable {
    /// A key got a value. All of the row's fields are meaningful.
    case put = 1
    /// A key was deleted. `createRevision`, `version` and `value` are those of nothing: 0, 0 and empty.
    case delete = 2
    /// A lease was granted: `lease` is its id, `version` its TTL in seconds.
    case grant = 3
    /// A lease was revoked or has expired: `lease` is its id. The deletes of its keys are rows of their own.
    case revoke = 4
    /// Everything below revision `version` is compacted. Where the log was moved to that revision, past what it has lost of a
    /// history that clients had seen, `createRevision` is the revision before; else it is 0.
    case compact = 5
    /// An alarm was raised or disarmed: `lease` is the member, `createRevision` etcd's number of the alarm, `version` says which
    /// (see `AlarmChange`).
    case alarm = 6
    /// The store's secret key (see `DigestKey`): rows after this one are hashed under it. `createRevision` and `version` are its halves.
    /// A store has one at most, and it is never deleted. One that had its key from the start has it at revision 0, before all other rows;
    /// a Pine without keys can't read this kind, and so can't append to, or delete from, a store that has one.
    case digestKey = 7
}

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

/// The head row: where the log ends and what its whole history hashes to.
package struct Head: Hashable, Sendable {
    package var clusterID: Int64
    /// The position of the last row.
    package var position: Position
    package var digest: Digest
    /// Raised by whoever must know that no earlier append can still succeed.
    package var epoch: Int64
    package var compactRevision: Revision

    package init(clusterID: Int64, position: Position, digest: Digest, epoch: Int64, compactRevision: Revision) {
        self.clusterID = clusterID
        self.position = position
        self.digest = digest
        self.epoch = epoch
        self.compactRevision = compactRevision
    }

    /// Whether the log knows of a compaction to `revision`, and was not moved far past it since: then what that made dead is dead still.
    package func isCompacted(to revision: Revision) -> Bool {
        compactRevision >= revision && revision.distance(to: compactRevision) < compactionGapLimit
    }
}

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

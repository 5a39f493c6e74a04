// Owns: what the log's head row says.
package import EtcdAPI

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

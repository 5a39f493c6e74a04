// Owns: what the log says of all deletions.
package import EtcdAPI

/// What the log says of deleting: its table `sweep`. A plain value.
package struct SweepState: Hashable, Sendable {
    /// How far all is gone.
    package var swept: Sweep
    /// The newest compaction because of which rows have been deleted.
    package var begun: Revision
    /// A digest of the positions of all rows that were deleted, in order. Where two logs have the same one, the same rows are gone.
    package var digest: Digest

    package init(swept: Sweep, begun: Revision, digest: Digest) {
        self.swept = swept
        self.begun = begun
        self.digest = digest
    }

    /// Nothing has been deleted.
    package static let start = SweepState(swept: .nothing, begun: -1, digest: Digest(rawValue: 0))

    /// Within what all lies that is gone.
    package var reach: Sweep {
        var reach = swept
        if begun >= 0 { reach.extend(to: .whole(begun)) }
        return reach
    }
}

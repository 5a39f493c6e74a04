// Owns: what the index knows about one version of one key. A plain value; it must never refer back into the index.
package import Bytes

/// A key's state between one row that touched it and the next. Metadata is always in memory; the value may not be.
package struct KeyVersion: Hashable, Sendable {
    /// The row that made this version. Its revision is etcd's `mod_revision`.
    package var position: Position
    /// True where the row deleted the key. Then `createRevision`, `version` and `lease` are 0 and `value` is empty.
    package var isTombstone: Bool
    /// Whether somebody has read it since the cache's hand came by. Only kept where values may have to go.
    var wasRead = false
    /// The revision of the put that brought the key to life.
    package var createRevision: Revision
    /// How many puts the key has seen since it came to life, this one included: 1 or more.
    package var version: Int64
    /// The lease that the key is attached to, or 0.
    package var lease: LeaseID
    /// nil where the value is not in memory and has to be fetched from the changelog by `position`.
    package var value: ByteString?
    /// The value's length in bytes, wherever it is.
    package var valueLength: UInt32

    package init(
        position: Position, isTombstone: Bool = false, createRevision: Revision, version: Int64, lease: LeaseID,
        value: ByteString?
    ) {
        self.position = position
        self.isTombstone = isTombstone
        self.createRevision = createRevision
        self.version = version
        self.lease = lease
        self.value = value
        valueLength = UInt32(value?.count ?? 0)
    }

    /// What `row`, a put or a delete, makes of its key.
    package init(_ row: borrowing LogRow) {
        switch row.kind {
        case .put:
            // A value may be a slice of a whole request; what is kept for long must not keep that alive.
            self.init(
                position: row.position, createRevision: row.createRevision, version: row.version, lease: row.lease,
                value: row.value.compacted())
        case .delete:
            self.init(position: row.position, isTombstone: true, createRevision: 0, version: 0, lease: 0, value: ByteString())
        case .grant, .revoke, .compact, .alarm:
            violated("a \(row.kind) row makes no version of a key")
        }
    }
}

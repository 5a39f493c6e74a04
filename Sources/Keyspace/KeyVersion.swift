// Owns: what the index knows about one version of one key. A plain value; it must never refer back into the index.
// Invariant: `storage` is there where the value is in memory and not empty, and holds it from `offset` on.
//
// There are as many of these as the store has versions, so every byte counts: 56 of them. A byte string would repeat the length.
package import Bytes
package import EtcdAPI

/// A key's state between one row that touched it and the next. Metadata is always in memory; the value may not be.
package struct KeyVersion: Sendable {
    /// The row that made this version. Its revision is etcd's `mod_revision`.
    package var position: Position
    /// True where the row deleted the key. Then `createRevision`, `version` and `lease` are 0 and `value` is empty.
    package var isTombstone: Bool
    /// Whether somebody has read it since the cache's hand came by. Only kept where values may have to go.
    var wasRead = false
    /// Whether `offset` holds the checksum of a value that is not in memory.
    private var hasChecksum = false
    /// The revision of the put that brought the key to life.
    package var createRevision: Revision
    /// How many puts the key has seen since it came to life, this one included: 1 or more.
    package var version: Int64
    /// The lease that the key is attached to, or 0.
    package var lease: LeaseID
    // Safe to share: bytes that a byte string has are never written again.
    nonisolated(unsafe) private var storage: ByteStorage?
    /// Where the value begins in its storage. Of a value that is not in memory: its checksum, where `hasChecksum`.
    private var offset: UInt32 = 0
    /// The value's length in bytes, wherever it is.
    package private(set) var valueLength: UInt32

    package init(
        position: Position, isTombstone: Bool = false, createRevision: Revision, version: Int64, lease: LeaseID,
        value: ByteString
    ) {
        self.position = position
        self.isTombstone = isTombstone
        self.createRevision = createRevision
        self.version = version
        self.lease = lease
        valueLength = UInt32(value.count)
        keep(value)
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
        case .grant, .revoke, .compact, .alarm, .digestKey, .user, .role, .authState:
            violated("a \(row.kind) row makes no version of a key")
        }
    }

    // MARK: The value

    /// nil where the value is not in memory and has to be fetched from the changelog by `position`.
    package var value: ByteString? {
        @inline(__always) get {
            guard let storage else { return valueLength == 0 ? ByteString() : nil }
            return ByteString(sharing: storage, from: Int(offset), count: Int(valueLength))
        }
    }

    /// Whether the value is in memory.
    package var hasValue: Bool {
        @inline(__always) get { storage != nil || valueLength == 0 }
    }

    /// Bytes of the value that are in memory: all of them, or none.
    var residentLength: Int { storage == nil ? 0 : Int(valueLength) }

    /// Takes the value in. Its length is what it was; in a copy that nothing is counted by, it may be what the log says now.
    mutating func keep(_ value: ByteString) {
        valueLength = UInt32(value.count)
        storage = value.sharedStorage
        offset = UInt32(value.sharedOffset)
        hasChecksum = false
    }

    /// Gives the value up. Its checksum stays.
    mutating func drop() {
        guard let value else { return }
        storage = nil
        note(checksum: CRC32C(value))
    }

    /// The value, of so many bytes, stays in the log.
    mutating func leaveInLog(byteCount: Int) {
        storage = nil
        offset = 0
        valueLength = UInt32(byteCount)
    }

    /// The value's checksum; nil where the value has to be fetched to know it.
    var checksum: CRC32C? {
        if let value { return CRC32C(value) }
        return hasChecksum ? CRC32C(value: offset) : nil
    }

    /// Keeps what the checksum of a value is that stays in the log.
    mutating func note(checksum: CRC32C) {
        guard !hasValue else { return }
        offset = checksum.value
        hasChecksum = true
    }

    /// Where in a version the reference to its value's storage is, which is nil where there is none.
    private static var storageOffset: Int { MemoryLayout<KeyVersion>.offset(of: \.storage)! }

    /// The bytes of the value of the version at `pointer`, without a reference to their storage: good as long as the version stays
    /// as it is. nil where the value is not in memory.
    @inline(__always)
    static func unretainedValue(at pointer: UnsafePointer<KeyVersion>) -> UnsafeRawBufferPointer? {
        let length = Int(pointer.pointee.valueLength)
        guard let start = valueStorage(at: pointer)?._withUnsafeGuaranteedRef({ $0.base }) else {
            return length == 0 ? UnsafeRawBufferPointer(start: nil, count: 0) : nil
        }
        return UnsafeRawBufferPointer(start: start + Int(pointer.pointee.offset), count: length)
    }

    /// The storage of the value of the version at `pointer`, to look at its memory only.
    @inline(__always)
    static func valueStorage(at pointer: UnsafePointer<KeyVersion>) -> Unmanaged<ByteStorage>? {
        (UnsafeRawPointer(pointer) + storageOffset).load(as: Unmanaged<ByteStorage>?.self)
    }
}

/// What a key's version says beside its value.
package struct KeyMetadata: Hashable, Sendable {
    package let createRevision: Revision
    package let version: Int64
    package let lease: LeaseID

    @inline(__always)
    init(_ version: borrowing KeyVersion) {
        createRevision = version.createRevision
        self.version = version.version
        lease = version.lease
    }
}

extension KeyVersion: Hashable {
    package static func == (a: KeyVersion, b: KeyVersion) -> Bool {
        a.position == b.position && a.isTombstone == b.isTombstone && a.createRevision == b.createRevision && a.version == b.version
            && a.lease == b.lease && a.valueLength == b.valueLength && a.value == b.value
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(position)
        hasher.combine(version)
    }
}

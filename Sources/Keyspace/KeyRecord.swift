// Owns: the memory layout of one key's record: its newest version, its older ones, its bytes, in one allocation.
// Must never: move. Journal and queue point at records; a key whose rows they hold is in the tree.
//
// The allocation is the storage of a byte string, so that the key can be handed out without a copy:
//
//     | object header, capacity | newest version, older versions | key bytes |
//
// Whoever holds the key keeps the allocation alive, but sees the key's bytes only, which never change. The versions belong
// to the index, which ends their life when the key leaves the tree.
internal import Bytes
internal import CPrefetch
internal import EtcdAPI

/// A handle on a key's record, which the tree owns.
struct KeyRecord: Equatable {
    private struct Fields {
        var newest: KeyVersion
        var older: KeyHistory?
    }

    private static var keyOffset: Int { MemoryLayout<Fields>.stride }

    private let storage: Unmanaged<ByteStorage>

    static func == (a: KeyRecord, b: KeyRecord) -> Bool { a.storage.toOpaque() == b.storage.toOpaque() }

    /// A record with one version. `key` is copied.
    init(_ key: ByteString, _ version: consuming KeyVersion) {
        let storage = ByteStorage.allocate(Self.keyOffset + key.count)
        self.storage = .passRetained(storage)
        let base = UnsafeMutableRawPointer(storage.base)
        base.initializeMemory(as: Fields.self, to: Fields(newest: version, older: nil))
        key.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress { (base + Self.keyOffset).copyMemory(from: start, byteCount: bytes.count) }
        }
    }

    @inline(__always) private var base: UnsafeMutableRawPointer {
        storage._withUnsafeGuaranteedRef { UnsafeMutableRawPointer($0.base) }
    }

    @inline(__always) private var fields: UnsafeMutablePointer<Fields> { base.assumingMemoryBound(to: Fields.self) }

    @inline(__always) var keyCount: Int { storage._withUnsafeGuaranteedRef { $0.header } &- Self.keyOffset }

    /// The key's bytes, good as long as the key is in the tree.
    @inline(__always) var keyBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Self.keyOffset, count: keyCount)
    }

    /// The key, sharing the record's allocation.
    @inline(__always) var key: ByteString {
        ByteString(sharing: storage.takeUnretainedValue(), from: Self.keyOffset, count: keyCount)
    }

    /// The newest version, speculative or not, tombstone or not.
    @inline(__always) var newest: UnsafeMutablePointer<KeyVersion> { base.assumingMemoryBound(to: KeyVersion.self) }

    @inline(__always) var older: KeyHistory? {
        get { fields.pointee.older }
        nonmutating set { fields.pointee.older = newValue }
    }

    /// The newest version at or before `bound`, tombstones included.
    @inline(__always)
    func version(at bound: Position) -> UnsafeMutablePointer<KeyVersion>? {
        newest.pointee.position <= bound ? newest : older?.newest(at: bound)
    }

    var versionCount: Int { 1 + (older?.count ?? 0) }

    /// The version at `place`, 0 being the oldest.
    func version(_ place: Int) -> UnsafeMutablePointer<KeyVersion> {
        guard let older, place < older.count else { return newest }
        return older.version(place)
    }

    /// Asks for the record's memory ahead of its use. Records lie all over the heap: a scan that met each of them unprepared
    /// would wait for memory once a key.
    @inline(__always)
    func prefetch() {
        let start = storage.toOpaque()
        pine_prefetch(start)
        pine_prefetch(start + 64)
        pine_prefetch(start + 128)
    }

    /// Asks for the newest value's first bytes; the record should have arrived by now.
    @inline(__always)
    func prefetchValue() {
        guard let start = KeyVersion.valueStorage(at: newest)?.toOpaque() else { return }
        pine_prefetch(start)
        pine_prefetch(start + 64)
    }

    /// Ends the versions' life. Keys that were handed out stay good.
    func destroy() {
        older?.free()
        fields.deinitialize(count: 1)
        // For those who keep the allocation alive: no version has such a revision.
        base.storeBytes(of: 0, as: Revision.self)
        storage.release()
    }

    // MARK: For who points at records that may leave the tree

    /// Keeps the allocation alive until `release`.
    func retained() -> KeyRecord {
        _ = storage.retain()
        return self
    }

    func release() { storage.release() }

    /// Whether the key has left the tree, and its versions are gone.
    var isDestroyed: Bool { base.load(as: Revision.self) == 0 }

    /// What a record takes beside the key's bytes: the object's header, the capacity, the fields, the allocator's own word
    /// and half of its rounding.
    static var overheadBytes: Int { 24 + keyOffset + 16 }
}

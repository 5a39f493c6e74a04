// Owns: the memory layout of the key tree's leaves: header, key heads, entries, in one allocation.
// Must never: know of other nodes. The tree decides when to split, merge and free.
// Invariants: keys ascend; heads[i] is the head of keys[i] after the prefix; all keys that may ever come here share the
// prefix, because the separators on both sides of the leaf do.
internal import Bytes
internal import Glibc

/// A key and its versions. The newest one is inline, since most keys have no other.
struct KeyEntry {
    var key: ByteString
    var newest: KeyVersion
    var older: KeyHistory?

    /// The newest version at or before `bound`, tombstones included.
    @inline(__always)
    static func version(_ entry: UnsafeMutablePointer<KeyEntry>, at bound: Position) -> UnsafeMutablePointer<KeyVersion>? {
        if entry.pointee.newest.position <= bound { return newest(entry) }
        return entry.pointee.older?.newest(at: bound)
    }

    @inline(__always)
    static func newest(_ entry: UnsafeMutablePointer<KeyEntry>) -> UnsafeMutablePointer<KeyVersion> {
        (UnsafeMutableRawPointer(entry) + newestOffset).assumingMemoryBound(to: KeyVersion.self)
    }

    private static var newestOffset: Int { MemoryLayout<KeyEntry>.offset(of: \.newest)! }
}

/// The eight bytes of `key` from `offset` on as a big-endian number, zeros where the key ends: compares as the bytes do,
/// except that equal heads say nothing.
@inline(__always)
func keyHead(_ key: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    let rest = key.count - offset
    if rest >= 8 { return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    if rest <= 0 { return 0 }
    if key.count >= 8 {
        let last = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: key.count - 8, as: UInt64.self))
        return last << UInt64(8 * (8 - rest))
    }
    var head: UInt64 = 0
    for index in offset..<key.count { head |= UInt64(key[index]) << UInt64(56 - 8 * (index - offset)) }
    return head
}

/// Negative, zero or positive as `a` sorts before, with or after `b`, both being equal up to `offset`.
@inline(__always)
func keyOrder(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, from offset: Int) -> Int {
    let common = min(a.count, b.count) - offset
    if common > 0 {
        let order = memcmp(a.baseAddress! + offset, b.baseAddress! + offset, common)
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}

/// How many bytes both start with.
func commonPrefixLength(_ a: ByteString, _ b: ByteString) -> Int {
    a.withUnsafeBytes { x in
        b.withUnsafeBytes { y in
            let common = min(x.count, y.count)
            var length = 0
            while length < common && x[length] == y[length] { length += 1 }
            return length
        }
    }
}

/// The first index of ascending `heads` that is not less than `head`.
@inline(__always)
func lowerBound(_ heads: UnsafeMutablePointer<UInt64>, _ count: Int, _ head: UInt64) -> Int {
    // Without branches on the data: half of them would be mispredicted.
    var low = 0
    var rest = count
    while rest > 1 {
        let half = rest / 2
        low = heads[low + half - 1] < head ? low + half : low
        rest -= half
    }
    return rest == 1 && heads[low] < head ? low + 1 : low
}

/// A handle on a leaf's memory, which the tree owns.
struct KeyLeaf {
    struct Header {
        /// Bit i says that entry i is alive as of the committed position.
        var live: UInt64
        var prefixLength: UInt32
        var count: UInt16
        var capacity: UInt16
    }

    /// The bitmap's width bounds the fan-out.
    static var countLimit: Int { 64 }
    private static var headerBytes: Int { 16 }

    let raw: UnsafeMutableRawPointer

    init(_ raw: UnsafeMutableRawPointer) { self.raw = raw }

    static func bytes(capacity: Int) -> Int {
        headerBytes + capacity * (MemoryLayout<UInt64>.stride + MemoryLayout<KeyEntry>.stride)
    }

    static func allocate(capacity: Int) -> KeyLeaf {
        let leaf = KeyLeaf(.allocate(byteCount: bytes(capacity: capacity), alignment: 16))
        leaf.raw.initializeMemory(as: Header.self, to: Header(live: 0, prefixLength: 0, count: 0, capacity: UInt16(capacity)))
        return leaf
    }

    @inline(__always) var header: UnsafeMutablePointer<Header> { raw.assumingMemoryBound(to: Header.self) }
    @inline(__always) var count: Int { Int(header.pointee.count) }
    @inline(__always) var capacity: Int { Int(header.pointee.capacity) }
    @inline(__always) var prefixLength: Int { Int(header.pointee.prefixLength) }
    @inline(__always) var heads: UnsafeMutablePointer<UInt64> { (raw + Self.headerBytes).assumingMemoryBound(to: UInt64.self) }
    @inline(__always) var entries: UnsafeMutablePointer<KeyEntry> {
        (raw + Self.headerBytes + capacity * MemoryLayout<UInt64>.stride).assumingMemoryBound(to: KeyEntry.self)
    }

    /// The index of the first entry whose key is not less than `key`, and whether it is that key. `key` must belong here:
    /// the tree's descent for it ends in this leaf.
    @inline(__always)
    func search(_ key: UnsafeRawBufferPointer) -> (index: Int, found: Bool) {
        let count = self.count
        let heads = self.heads
        let prefixLength = self.prefixLength
        let head = keyHead(key, prefixLength)
        var low = lowerBound(heads, count, head)
        guard low < count && heads[low] == head else { return (low, false) }
        var high = low + 1
        while high < count && heads[high] == head { high += 1 }
        let entries = self.entries
        while low < high {
            let middle = (low + high) / 2
            let order = entries[middle].key.withUnsafeBytes { keyOrder($0, key, from: prefixLength) }
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return (low, false)
    }

    /// How many of the first `index` entries are alive as of the committed position.
    @inline(__always)
    func liveCount(before index: Int) -> Int {
        index >= 64 ? header.pointee.live.nonzeroBitCount : (header.pointee.live & (1 << UInt64(index) - 1)).nonzeroBitCount
    }

    /// Puts a new entry, not alive yet, at `index`. There must be room.
    func insert(_ entry: consuming KeyEntry, at index: Int) {
        let count = self.count
        invariant(count < capacity, "no room in the leaf")
        let entries = self.entries
        let head = entry.key.withUnsafeBytes { keyHead($0, prefixLength) }
        (heads + index + 1).update(from: heads + index, count: count - index)
        (entries + index + 1).moveInitialize(from: entries + index, count: count - index)
        heads[index] = head
        (entries + index).initialize(to: entry)
        let below = UInt64(1) << UInt64(index) - 1
        let live = header.pointee.live
        header.pointee.live = (live & below) | (live & ~below) << 1
        header.pointee.count += 1
    }

    /// Takes out the entry at `index`, which must not be alive.
    func remove(at index: Int) -> KeyEntry {
        let count = self.count
        let entries = self.entries
        let entry = (entries + index).move()
        (heads + index).update(from: heads + index + 1, count: count - index - 1)
        (entries + index).moveInitialize(from: entries + index + 1, count: count - index - 1)
        let below = UInt64(1) << UInt64(index) - 1
        let live = header.pointee.live
        invariant(live >> UInt64(index) & 1 == 0, "removed a living key")
        header.pointee.live = (live & below) | (live >> 1 & ~below)
        header.pointee.count -= 1
        return entry
    }

    /// Moves the entries of `range` out of `source` to the end of this one. Heads stay to be made; the caller frees `source`
    /// or has moved all that is in it.
    func take(_ range: Range<Int>, of source: KeyLeaf) {
        let count = self.count
        invariant(count + range.count <= capacity, "no room in the leaf")
        (entries + count).moveInitialize(from: source.entries + range.lowerBound, count: range.count)
        (heads + count).update(from: source.heads + range.lowerBound, count: range.count)
        if range.count > 0 {
            let bits = source.header.pointee.live >> UInt64(range.lowerBound) & (UInt64.max >> UInt64(64 - range.count))
            header.pointee.live |= bits << UInt64(count)
        }
        header.pointee.count += UInt16(range.count)
    }

    /// Sets what all keys here have in common, and makes the heads that follow from it.
    func setPrefixLength(_ length: Int) {
        header.pointee.prefixLength = UInt32(length)
        let heads = self.heads
        let entries = self.entries
        for index in 0..<count { heads[index] = entries[index].key.withUnsafeBytes { keyHead($0, length) } }
    }

    /// Releases all entries and the memory.
    func destroy() {
        for index in 0..<count { entries[index].older?.free() }
        entries.deinitialize(count: count)
        raw.deallocate()
    }
}

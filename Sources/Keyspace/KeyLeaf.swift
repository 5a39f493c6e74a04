// Owns: the memory layout of the key tree's leaves (a header, then for each key its head and its record) and the search in it.
// Must never: know of other nodes. The tree decides when to split, merge and free.
// Invariants: keys ascend; heads[i] is the head of keys[i] after the prefix; all keys that may ever come here share the
// prefix, because the separators on both sides of the leaf do.
internal import Bytes
internal import Glibc

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
func commonPrefixLength(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let common = min(a.count, b.count)
    var length = 0
    while length < common && a[length] == b[length] { length += 1 }
    return length
}

func commonPrefixLength(_ a: ByteString, _ b: ByteString) -> Int {
    a.withUnsafeBytes { x in b.withUnsafeBytes { y in commonPrefixLength(x, y) } }
}

/// A handle on a leaf's memory, which the tree owns.
struct KeyLeaf {
    struct Header {
        /// Bit i says that key i is alive as of the committed position.
        var live: UInt64
        var prefixLength: UInt32
        var count: UInt16
        var capacity: UInt16
    }

    /// Side by side, so that the pass over the heads brings the record's address along.
    struct Slot {
        var head: UInt64
        var record: KeyRecord
    }

    /// The bitmap's width bounds the fan-out.
    static var countLimit: Int { 64 }
    private static var headerBytes: Int { 16 }

    let raw: UnsafeMutableRawPointer

    init(_ raw: UnsafeMutableRawPointer) { self.raw = raw }

    static func bytes(capacity: Int) -> Int { headerBytes + capacity * MemoryLayout<Slot>.stride }

    static func allocate(capacity: Int) -> KeyLeaf {
        let leaf = KeyLeaf(.allocate(byteCount: bytes(capacity: capacity), alignment: 16))
        leaf.raw.initializeMemory(as: Header.self, to: Header(live: 0, prefixLength: 0, count: 0, capacity: UInt16(capacity)))
        return leaf
    }

    @inline(__always) var header: UnsafeMutablePointer<Header> { raw.assumingMemoryBound(to: Header.self) }
    @inline(__always) var count: Int { Int(header.pointee.count) }
    @inline(__always) var capacity: Int { Int(header.pointee.capacity) }
    @inline(__always) var prefixLength: Int { Int(header.pointee.prefixLength) }
    @inline(__always) var slots: UnsafeMutablePointer<Slot> { (raw + Self.headerBytes).assumingMemoryBound(to: Slot.self) }

    /// The index of the first key that is not less than `key`, and whether it is that key. `key` must belong here:
    /// the tree's descent for it ends in this leaf.
    @inline(__always)
    func search(_ key: UnsafeRawBufferPointer) -> (index: Int, found: Bool) {
        let count = self.count
        let slots = self.slots
        let prefixLength = self.prefixLength
        let head = keyHead(key, prefixLength)
        let low = lowerBound(head)
        guard low < count && slots[low].head == head else { return (low, false) }
        // Its length is on one line and its key on the next: ask for both at once.
        slots[low].record.prefetch()
        var high = low + 1
        while high < count && slots[high].head == head { high += 1 }
        // No key is there twice: the one that is equal, if any, is the one that is found.
        var found = false
        let index = (low..<high).partitioningIndex {
            let order = keyOrder(slots[$0].record.keyBytes, key, from: prefixLength)
            if order == 0 { found = true }
            return order >= 0
        }
        return (index, found)
    }

    /// How many heads are less than `head`. A leaf is likely not to be in the processor's cache: a binary search would wait
    /// for one miss after the other, while these loads do not depend on each other and touch every line: first the last one
    /// of each four, then within four.
    @inline(__always)
    private func lowerBound(_ head: UInt64) -> Int {
        let count = self.count
        let slots = self.slots
        var at = 0
        var sample = 3
        while sample < count {
            at &+= slots[sample].head < head ? 4 : 0
            sample &+= 4
        }
        let end = min(at &+ 4, count)
        var less = at
        while at < end {
            less &+= slots[at].head < head ? 1 : 0
            at &+= 1
        }
        return less
    }

    /// How many of the first `index` keys are alive as of the committed position.
    @inline(__always)
    func liveCount(before index: Int) -> Int {
        index >= 64 ? header.pointee.live.nonzeroBitCount : (header.pointee.live & (1 << UInt64(index) - 1)).nonzeroBitCount
    }

    /// Puts a new key, not alive yet, at `index`. There must be room.
    func insert(_ record: KeyRecord, at index: Int) {
        let count = self.count
        invariant(count < capacity, "no room in the leaf")
        let slots = self.slots
        (slots + index + 1).update(from: slots + index, count: count - index)
        slots[index] = Slot(head: keyHead(record.keyBytes, prefixLength), record: record)
        let below = UInt64(1) << UInt64(index) - 1
        let live = header.pointee.live
        header.pointee.live = (live & below) | (live & ~below) << 1
        header.pointee.count += 1
    }

    /// Takes out the key at `index`, which must not be alive.
    func remove(at index: Int) -> KeyRecord {
        let count = self.count
        let slots = self.slots
        let record = slots[index].record
        (slots + index).update(from: slots + index + 1, count: count - index - 1)
        let below = UInt64(1) << UInt64(index) - 1
        let live = header.pointee.live
        invariant(live >> UInt64(index) & 1 == 0, "removed a living key")
        header.pointee.live = (live & below) | (live >> 1 & ~below)
        header.pointee.count -= 1
        return record
    }

    /// Adds the keys of `range` of `source`, which is given up afterwards, at the end of this leaf.
    func take(_ range: Range<Int>, of source: KeyLeaf) {
        let count = self.count
        invariant(count + range.count <= capacity, "no room in the leaf")
        (slots + count).update(from: source.slots + range.lowerBound, count: range.count)
        if range.count > 0 {
            let bits = source.header.pointee.live >> UInt64(range.lowerBound) & (UInt64.max >> UInt64(64 - range.count))
            header.pointee.live |= bits << UInt64(count)
        }
        header.pointee.count += UInt16(range.count)
    }

    /// Sets what all keys here have in common, and makes the heads that follow from it.
    func setPrefixLength(_ length: Int) {
        header.pointee.prefixLength = UInt32(length)
        let slots = self.slots
        for index in 0..<count { slots[index].head = keyHead(slots[index].record.keyBytes, length) }
    }

    /// Releases all records and the memory.
    func destroy() {
        for index in 0..<count { slots[index].record.destroy() }
        raw.deallocate()
    }
}

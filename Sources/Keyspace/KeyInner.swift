// Owns: the memory layout of the key tree's inner nodes: header, heads, children, living keys below each, separators.
// Must never: know of other nodes. The tree decides when to split, merge and free.
// Invariants: 2 or more children (1 for a moment while the tree changes); separators ascend; child i holds the keys from
// separator i - 1 on, up to separator i without it; all separators start with the same `prefixLength` bytes,
// which the node holds, too.
internal import Bytes
internal import Glibc

/// How many of ascending `heads` are less than `head`.
@inline(__always)
private func lowerBound(_ heads: UnsafeMutablePointer<UInt64>, _ count: Int, _ head: UInt64) -> Int {
    // First the last one of each eight, then within eight. A binary search would wait for one cache line after the other
    // and be mispredicted half of the time; these loads do not depend on each other.
    var at = 0
    var sample = 7
    while sample < count {
        at &+= heads[sample] < head ? 8 : 0
        sample &+= 8
    }
    let end = min(at &+ 8, count)
    var less = at
    while at < end {
        less &+= heads[at] < head ? 1 : 0
        at &+= 1
    }
    return less
}

/// A handle on an inner node's memory, which the tree owns.
struct KeyInner {
    private struct Header {
        /// How many bytes all separators share, as far as there is room for them in the node.
        var prefixLength: UInt32
        /// Of children; separators are one less.
        var count: UInt16
        var capacity: UInt16
    }

    /// What a node holds, taken out for a change that moves much of it. Such changes are rare.
    struct Contents {
        var children: [UnsafeMutableRawPointer] = []
        var live: [Int] = []
        var keys: [ByteString] = []
    }

    private static var prefixOffset: Int { 8 }
    /// The prefix is kept here: it is compared on every descent, and the separator's own bytes are a cache miss away.
    static var prefixLimit: Int { 56 }
    private static var headerBytes: Int { prefixOffset + prefixLimit }

    let raw: UnsafeMutableRawPointer

    init(_ raw: UnsafeMutableRawPointer) { self.raw = raw }

    static func bytes(capacity: Int) -> Int { headerBytes + capacity * (8 + 8 + 8 + MemoryLayout<ByteString>.stride) }

    static func allocate(capacity: Int) -> KeyInner {
        let inner = KeyInner(.allocate(byteCount: bytes(capacity: capacity), alignment: 16))
        inner.raw.initializeMemory(as: Header.self, to: Header(prefixLength: 0, count: 0, capacity: UInt16(capacity)))
        return inner
    }

    @inline(__always) private var header: UnsafeMutablePointer<Header> { raw.assumingMemoryBound(to: Header.self) }
    @inline(__always) var count: Int { Int(header.pointee.count) }
    @inline(__always) var capacity: Int { Int(header.pointee.capacity) }
    @inline(__always) var prefixLength: Int { Int(header.pointee.prefixLength) }
    @inline(__always) var heads: UnsafeMutablePointer<UInt64> { (raw + Self.headerBytes).assumingMemoryBound(to: UInt64.self) }
    @inline(__always) var children: UnsafeMutablePointer<UnsafeMutableRawPointer> {
        (raw + Self.headerBytes + capacity * 8).assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    }
    /// How many keys below each child are alive as of the committed position.
    @inline(__always) var live: UnsafeMutablePointer<Int> {
        (raw + Self.headerBytes + capacity * 16).assumingMemoryBound(to: Int.self)
    }
    @inline(__always) var keys: UnsafeMutablePointer<ByteString> {
        (raw + Self.headerBytes + capacity * 24).assumingMemoryBound(to: ByteString.self)
    }

    /// The child whose keys `key` belongs to: the number of separators that are not greater.
    @inline(__always)
    func childIndex(_ key: UnsafeRawBufferPointer) -> Int {
        let separators = count - 1
        let prefixLength = self.prefixLength
        if prefixLength > 0 {
            let common = min(prefixLength, key.count)
            let order = common == 0 ? 0 : memcmp(raw + Self.prefixOffset, key.baseAddress!, common)
            if order > 0 || (order == 0 && common < prefixLength) { return 0 }
            if order < 0 { return separators }
        }
        let head = keyHead(key, prefixLength)
        let heads = self.heads
        let low = lowerBound(heads, separators, head)
        guard low < separators && heads[low] == head else { return low }
        var high = low + 1
        while high < separators && heads[high] == head { high += 1 }
        return (low..<high).partitioningIndex { keyOrder(ByteString.unretainedBytes(at: keys + $0), key, from: prefixLength) > 0 }
    }

    func liveCount(before index: Int) -> Int {
        var sum = 0
        let live = self.live
        for child in 0..<index { sum += live[child] }
        return sum
    }

    var liveCount: Int { liveCount(before: count) }

    /// Puts `child` after the child at `index`, divided from it by `separator`. There must be room.
    func insert(_ child: UnsafeMutableRawPointer, live childLive: Int, separator: ByteString, after index: Int) {
        let count = self.count
        invariant(count < capacity, "no room in the inner node")
        let moved = count - index - 1
        (children + index + 2).moveInitialize(from: children + index + 1, count: moved)
        (live + index + 2).moveInitialize(from: live + index + 1, count: moved)
        (keys + index + 1).moveInitialize(from: keys + index, count: moved)
        (children + index + 1).initialize(to: child)
        (live + index + 1).initialize(to: childLive)
        (keys + index).initialize(to: separator)
        header.pointee.count += 1
        makeHeads()
    }

    /// Takes out the child at `index` (1 or more) and the separator before it.
    func remove(at index: Int) {
        let moved = count - index - 1
        (keys + index - 1).deinitialize(count: 1)
        (children + index).moveInitialize(from: children + index + 1, count: moved)
        (live + index).moveInitialize(from: live + index + 1, count: moved)
        (keys + index - 1).moveInitialize(from: keys + index, count: moved)
        header.pointee.count -= 1
        makeHeads()
    }

    func setSeparator(_ key: ByteString, at index: Int) {
        keys[index] = key
        makeHeads()
    }

    /// Empties the node.
    func takeContents() -> Contents {
        let count = self.count
        defer {
            keys.deinitialize(count: max(0, count - 1))
            header.pointee.count = 0
        }
        return Contents(
            children: Array(UnsafeBufferPointer(start: children, count: count)),
            live: Array(UnsafeBufferPointer(start: live, count: count)),
            keys: Array(UnsafeBufferPointer(start: keys, count: max(0, count - 1))))
    }

    /// Fills the empty node with the children of `range` and the separators between them.
    func fill(_ contents: Contents, _ range: Range<Int>) {
        invariant(count == 0 && range.count <= capacity, "an inner node was filled twice or over")
        for (index, source) in range.enumerated() {
            (children + index).initialize(to: contents.children[source])
            (live + index).initialize(to: contents.live[source])
            if index > 0 { (keys + index - 1).initialize(to: contents.keys[source - 1]) }
        }
        header.pointee.count = UInt16(range.count)
        makeHeads()
    }

    /// Releases the separators and the memory, not the children.
    func destroy() {
        keys.deinitialize(count: max(0, count - 1))
        raw.deallocate()
    }

    private func makeHeads() {
        let separators = count - 1
        guard separators > 0 else {
            header.pointee.prefixLength = 0
            return
        }
        // Sorted, so what the first and the last share, all share.
        let length = min(Self.prefixLimit, commonPrefixLength(keys[0], keys[separators - 1]))
        if length > 0 {
            (raw + Self.prefixOffset).copyMemory(from: ByteString.unretainedBytes(at: keys).baseAddress!, byteCount: length)
        }
        header.pointee.prefixLength = UInt32(length)
        let heads = self.heads
        for index in 0..<separators { heads[index] = keyHead(ByteString.unretainedBytes(at: keys + index), length) }
    }
}

// Owns: walking the key tree in order, and the checks that tests run over its shape.
// Must never: change the tree.
internal import Bytes

extension KeyTree {
    /// Visits the keys with start <= key < end in order, until `body` returns false. Without an end, up to the last key.
    borrowing func walk(from start: ByteString, to end: ByteString?, _ body: (KeyRecord) -> Bool) {
        start.withUnsafeBytes { first in
            if let end {
                end.withUnsafeBytes { _ = Self.walk(root, height, first, $0, body) }
            } else {
                _ = Self.walk(root, height, first, nil, body)
            }
        }
    }

    /// How many keys ahead of the one visited memory is asked for.
    private static var prefetchDistance: Int { 8 }

    /// Bounds are nil where the whole node is on the right side of them: inside, nothing is compared.
    private static func walk(
        _ node: UnsafeMutableRawPointer, _ level: Int, _ start: UnsafeRawBufferPointer?, _ end: UnsafeRawBufferPointer?,
        _ body: (KeyRecord) -> Bool
    ) -> Bool {
        if level == 0 {
            let leaf = KeyLeaf(node)
            let slots = leaf.slots
            var index = start.map { leaf.search($0).index } ?? 0
            let stop = end.map { leaf.search($0).index } ?? leaf.count
            for ahead in index..<max(index, min(stop, index + prefetchDistance)) { slots[ahead].record.prefetch() }
            while index < stop {
                if index + prefetchDistance < stop { slots[index + prefetchDistance].record.prefetch() }
                if index + prefetchDistance / 2 < stop { slots[index + prefetchDistance / 2].record.prefetchValue() }
                if !body(slots[index].record) { return false }
                index += 1
            }
            return true
        }
        let inner = KeyInner(node)
        let first = start.map { inner.childIndex($0) } ?? 0
        let last = end.map { inner.childIndex($0) } ?? inner.count - 1
        if first > last { return true }
        for index in first...last {
            let goOn = walk(
                inner.children[index], level - 1, index == first ? start : nil, index == last ? end : nil, body)
            if !goOn { return false }
        }
        return true
    }

    /// Traps where the tree breaks its rules. `isLive` says what the bitmaps should say.
    borrowing func invariants(isLive: (KeyRecord) -> Bool) {
        var seen = Seen()
        _ = check(root, height, nil, nil, &seen, isLive)
        invariant(seen.keys == count, "the tree counts \(count) keys and has \(seen.keys)")
        invariant(seen.bytes == allocatedBytes, "the tree counts \(allocatedBytes) bytes and has \(seen.bytes)")
    }

    private struct Seen {
        var keys = 0
        var bytes = 0
    }

    /// Checks a node whose keys must be in [low, high). Returns how many living keys are below.
    private borrowing func check(
        _ node: UnsafeMutableRawPointer, _ level: Int, _ low: ByteString?, _ high: ByteString?, _ seen: inout Seen,
        _ isLive: (KeyRecord) -> Bool
    ) -> Int {
        if level > 0 { return checkInner(KeyInner(node), level, low, high, &seen, isLive) }
        let leaf = KeyLeaf(node)
        seen.keys += leaf.count
        seen.bytes += KeyLeaf.bytes(capacity: leaf.capacity)
        invariant(leaf.count <= leaf.capacity, "a leaf is over its capacity")
        invariant(leaf.count > 0 || height == 0, "an empty leaf")
        let expected = if let low, let high { commonPrefixLength(low, high) } else { 0 }
        invariant(leaf.prefixLength == expected, "a leaf's prefix is not that of its separators")
        for index in 0..<leaf.count {
            let key = leaf.slots[index].record.key
            invariant(leaf.slots[index].head == key.withUnsafeBytes { keyHead($0, expected) }, "a leaf's head is wrong")
            if index > 0 { invariant(leaf.slots[index - 1].record.key < key, "a leaf is out of order") }
            if let low { invariant(low <= key, "a key is before its leaf") }
            if let high { invariant(key < high, "a key is after its leaf") }
            let marked = leaf.header.pointee.live >> UInt64(index) & 1 == 1
            invariant(marked == isLive(leaf.slots[index].record), "a leaf's bitmap is wrong about \(key)")
        }
        let live = leaf.header.pointee.live
        invariant(leaf.count == 64 || live >> UInt64(leaf.count) == 0, "a leaf's bitmap goes past its keys")
        return live.nonzeroBitCount
    }

    private borrowing func checkInner(
        _ inner: KeyInner, _ level: Int, _ low: ByteString?, _ high: ByteString?, _ seen: inout Seen,
        _ isLive: (KeyRecord) -> Bool
    ) -> Int {
        seen.bytes += KeyInner.bytes(capacity: inner.capacity)
        invariant(inner.count >= 2 && inner.count <= inner.capacity, "an inner node has \(inner.count) children")
        var live = 0
        for index in 0..<inner.count {
            let childLow = index == 0 ? low : inner.keys[index - 1]
            let childHigh = index == inner.count - 1 ? high : inner.keys[index]
            if let childLow, let childHigh { invariant(childLow < childHigh, "separators are out of order") }
            let below = check(inner.children[index], level - 1, childLow, childHigh, &seen, isLive)
            invariant(below == inner.live[index], "an inner node counts \(inner.live[index]) living keys instead of \(below)")
            live += below
            if index > 0 {
                let key = inner.keys[index - 1]
                let length = min(KeyInner.prefixLimit, commonPrefixLength(inner.keys[0], inner.keys[inner.count - 2]))
                invariant(inner.prefixLength == length, "an inner node's prefix is wrong")
                invariant(inner.heads[index - 1] == key.withUnsafeBytes { keyHead($0, length) }, "an inner head is wrong")
            }
        }
        return live
    }
}

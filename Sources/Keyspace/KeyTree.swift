// Owns: the order-statistics B+tree of all keys, its nodes and their memory.
// Must never: know what versions mean; it keeps records, and for each key whether it is alive as of the committed position.
// Invariants: see `invariants()`. A leaf has at most `leafLimit` keys, an inner node at most `innerLimit` children;
// nodes other than the root are at least a quarter full (an appended leaf may start smaller).
//
// Why raw memory: a lookup among a million keys is a handful of cache misses. Class instances would add reference
// counting and exclusivity checks to each step, and arrays a further indirection. All of it stays inside these files.
internal import Bytes

/// The B+tree under `KeyIndex`. Single-threaded, sole owner of its nodes.
struct KeyTree: ~Copyable {
    private struct Step {
        var inner: KeyInner
        /// Which child the descent took.
        var index: Int
    }

    private let leafLimit: Int
    private let innerLimit: Int
    /// Leaves grow and shrink by so many keys: memory beside the records stays near what the keys need.
    private let leafStep: Int
    private(set) var root: UnsafeMutableRawPointer
    /// Levels of inner nodes above the leaves.
    private(set) var height = 0
    private(set) var count = 0
    private(set) var allocatedBytes = 0
    /// The descent of the last `locate`, `height` steps from the root.
    private let path: UnsafeMutablePointer<Step>
    private static var pathLimit: Int { 32 }

    init(leafLimit: Int, innerLimit: Int) {
        invariant(leafLimit >= 4 && leafLimit <= KeyLeaf.countLimit && innerLimit >= 4, "a fan-out that can't work")
        ByteString.checkLayout()
        self.leafLimit = leafLimit
        self.innerLimit = innerLimit
        leafStep = max(1, leafLimit / 8)
        path = .allocate(capacity: Self.pathLimit)
        root = KeyLeaf.allocate(capacity: leafStep).raw
        allocatedBytes = KeyLeaf.bytes(capacity: leafStep)
    }

    deinit {
        Self.destroy(root, height)
        path.deallocate()
    }

    private static func destroy(_ node: UnsafeMutableRawPointer, _ level: Int) {
        if level == 0 {
            KeyLeaf(node).destroy()
            return
        }
        let inner = KeyInner(node)
        for index in 0..<inner.count { destroy(inner.children[index], level - 1) }
        inner.destroy()
    }

    // MARK: Looking up

    /// The record of `key`.
    @inline(__always)
    borrowing func find(_ key: ByteString) -> KeyRecord? {
        key.withUnsafeBytes { bytes in
            var node = root
            var level = height
            while level > 0 {
                let inner = KeyInner(node)
                node = inner.children[inner.childIndex(bytes)]
                level -= 1
            }
            let leaf = KeyLeaf(node)
            let (index, found) = leaf.search(bytes)
            return found ? leaf.slots[index].record : nil
        }
    }

    /// How many living keys are less than `key`.
    borrowing func liveCount(before key: ByteString) -> Int {
        key.withUnsafeBytes { bytes in
            var node = root
            var level = height
            var sum = 0
            while level > 0 {
                let inner = KeyInner(node)
                let index = inner.childIndex(bytes)
                sum += inner.liveCount(before: index)
                node = inner.children[index]
                level -= 1
            }
            let leaf = KeyLeaf(node)
            return sum + leaf.liveCount(before: leaf.search(bytes).index)
        }
    }

    var liveCount: Int { height == 0 ? KeyLeaf(root).liveCount(before: 64) : KeyInner(root).liveCount }

    // MARK: Changing

    /// Where a descent ended: at the key, or at where it would be. Good until the tree changes.
    struct Place {
        fileprivate var leaf: KeyLeaf
        fileprivate var index: Int
        fileprivate var found: Bool

        /// The record of the key, if it is there.
        @inline(__always) var record: KeyRecord? { found ? leaf.slots[index].record : nil }
    }

    /// Descends to `key`, remembering the way for a change that follows.
    mutating func locate(_ key: ByteString) -> Place {
        key.withUnsafeBytes { bytes in
            var node = root
            for depth in 0..<height {
                let inner = KeyInner(node)
                let index = inner.childIndex(bytes)
                path[depth] = Step(inner: inner, index: index)
                node = inner.children[index]
            }
            let leaf = KeyLeaf(node)
            let (index, found) = leaf.search(bytes)
            return Place(leaf: leaf, index: index, found: found)
        }
    }

    /// Adds a key at its place, where it was just not found. It counts as dead until `setLive`.
    mutating func insert(_ record: KeyRecord, at place: Place) {
        invariant(!place.found, "inserted a key twice")
        var (leaf, index) = (place.leaf, place.index)
        if leaf.count == leafLimit {
            split(leaf, appending: index == leaf.count)
            let place = locate(record.key)
            (leaf, index) = (place.leaf, place.index)
        }
        if leaf.count == leaf.capacity { leaf = resize(leaf, leaf.capacity + leafStep) }
        leaf.insert(record, at: index)
        count += 1
    }

    /// Removes a dead key and ends its versions' life.
    mutating func remove(_ record: KeyRecord) {
        let place = locate(record.key)
        invariant(place.record == record, "removed a key that is not there")
        let leaf = place.leaf
        leaf.remove(at: place.index).destroy()
        count -= 1
        if leaf.count * 4 < leafLimit && height > 0 {
            rebalanceLeaf()
        } else if leaf.capacity - leaf.count >= 2 * leafStep && leaf.capacity > leafStep {
            _ = resize(leaf, leaf.capacity - leafStep)
        }
    }

    /// Notes that a key came to life or died as of the committed position.
    mutating func setLive(_ record: KeyRecord, _ isLive: Bool) {
        let bytes = record.keyBytes
        var node = root
        var level = height
        while level > 0 {
            let inner = KeyInner(node)
            let index = inner.childIndex(bytes)
            inner.live[index] += isLive ? 1 : -1
            node = inner.children[index]
            level -= 1
        }
        let leaf = KeyLeaf(node)
        let (index, found) = leaf.search(bytes)
        let bit = UInt64(1) << UInt64(index)
        invariant(found && (leaf.header.pointee.live & bit == 0) == isLive, "a key's life was counted twice")
        leaf.header.pointee.live ^= bit
    }

    // MARK: Shape

    /// The separators on both sides of the child at `index` of the node at `depth` of the path; nil at the tree's edges.
    private func fences(_ depth: Int, _ index: Int) -> (low: ByteString?, high: ByteString?) {
        var low: ByteString?
        var high: ByteString?
        var at = depth
        var index = index
        while at >= 0 && (low == nil || high == nil) {
            let inner = path[at].inner
            if low == nil && index > 0 { low = inner.keys[index - 1] }
            if high == nil && index < inner.count - 1 { high = inner.keys[index] }
            at -= 1
            if at >= 0 { index = path[at].index }
        }
        return (low, high)
    }

    private func setPrefix(_ leaf: KeyLeaf, _ low: ByteString?, _ high: ByteString?) {
        if let low, let high { leaf.setPrefixLength(commonPrefixLength(low, high)) } else { leaf.setPrefixLength(0) }
    }

    private func roundedCapacity(_ count: Int) -> Int { min(leafLimit, (count + leafStep) / leafStep * leafStep) }

    private mutating func allocateLeaf(_ count: Int) -> KeyLeaf {
        let capacity = roundedCapacity(count)
        allocatedBytes += KeyLeaf.bytes(capacity: capacity)
        return KeyLeaf.allocate(capacity: capacity)
    }

    private mutating func freeLeaf(_ leaf: KeyLeaf) {
        allocatedBytes -= KeyLeaf.bytes(capacity: leaf.capacity)
        leaf.raw.deallocate()
    }

    private mutating func allocateInner() -> KeyInner {
        allocatedBytes += KeyInner.bytes(capacity: innerLimit)
        return KeyInner.allocate(capacity: innerLimit)
    }

    private mutating func freeInner(_ inner: KeyInner) {
        allocatedBytes -= KeyInner.bytes(capacity: innerLimit)
        inner.destroy()
    }

    /// Hangs `node` where the path's last step leads.
    private mutating func replaceLeaf(_ node: UnsafeMutableRawPointer) {
        if height == 0 {
            root = node
        } else {
            path[height - 1].inner.children[path[height - 1].index] = node
        }
    }

    private mutating func resize(_ leaf: KeyLeaf, _ capacity: Int) -> KeyLeaf {
        let capacity = min(leafLimit, capacity)
        let resized = KeyLeaf.allocate(capacity: capacity)
        allocatedBytes += KeyLeaf.bytes(capacity: capacity)
        resized.header.pointee.prefixLength = leaf.header.pointee.prefixLength
        resized.take(0..<leaf.count, of: leaf)
        freeLeaf(leaf)
        replaceLeaf(resized.raw)
        return resized
    }

    /// The shortest key that is greater than `left` and not greater than `right`.
    private func separator(_ left: KeyRecord, _ right: KeyRecord) -> ByteString {
        ByteString(
            copying: UnsafeRawBufferPointer(rebasing: right.keyBytes[...commonPrefixLength(left.keyBytes, right.keyBytes)]))
    }

    /// Divides the full leaf at the path's end. Keys that come in order leave full leaves behind.
    private mutating func split(_ leaf: KeyLeaf, appending: Bool) {
        let (low, high) = height == 0 ? (nil, nil) : fences(height - 1, path[height - 1].index)
        let count = leaf.count
        let middle = appending && high == nil ? count - 1 : count / 2
        let left = allocateLeaf(middle)
        let right = allocateLeaf(count - middle)
        left.take(0..<middle, of: leaf)
        right.take(middle..<count, of: leaf)
        freeLeaf(leaf)
        let separator = separator(left.slots[middle - 1].record, right.slots[0].record)
        setPrefix(left, low, separator)
        setPrefix(right, separator, high)
        replaceLeaf(left.raw)
        insertChild(
            right.raw, height - 1, separator: separator, leftLive: left.liveCount(before: 64),
            rightLive: right.liveCount(before: 64))
    }

    /// Hangs `right` beside the child that the path takes at `depth`, splitting inner nodes up to the root as needed.
    private mutating func insertChild(
        _ right: UnsafeMutableRawPointer, _ depth: Int, separator: ByteString, leftLive: Int, rightLive: Int
    ) {
        guard depth >= 0 else {
            let top = allocateInner()
            top.fill(KeyInner.Contents(children: [root, right], live: [leftLive, rightLive], keys: [separator]), 0..<2)
            root = top.raw
            height += 1
            invariant(height < Self.pathLimit, "the key tree is too high")
            return
        }
        let (inner, index) = (path[depth].inner, path[depth].index)
        inner.live[index] = leftLive
        if inner.count < innerLimit {
            inner.insert(right, live: rightLive, separator: separator, after: index)
            return
        }
        let (_, high) = fences(depth, index)
        var contents = inner.takeContents()
        contents.children.insert(right, at: index + 1)
        contents.live.insert(rightLive, at: index + 1)
        contents.keys.insert(separator, at: index)
        let count = contents.children.count
        let middle = high == nil && index == count - 2 ? count - 2 : count / 2
        let sibling = allocateInner()
        inner.fill(contents, 0..<middle)
        sibling.fill(contents, middle..<count)
        insertChild(
            sibling.raw, depth - 1, separator: contents.keys[middle - 1], leftLive: inner.liveCount, rightLive: sibling.liveCount)
    }

    /// The leaf at the path's end has become small: joins it with a neighbour, or shares the neighbour's keys with it.
    private mutating func rebalanceLeaf() {
        let (parent, taken) = (path[height - 1].inner, path[height - 1].index)
        let at = taken < parent.count - 1 ? taken : taken - 1
        let (left, right) = (KeyLeaf(parent.children[at]), KeyLeaf(parent.children[at + 1]))
        let total = left.count + right.count
        let low = fences(height - 1, at).low
        let high = fences(height - 1, at + 1).high
        if total * 4 <= leafLimit * 3 {
            let joined = allocateLeaf(total)
            joined.take(0..<left.count, of: left)
            joined.take(0..<right.count, of: right)
            freeLeaf(left)
            freeLeaf(right)
            setPrefix(joined, low, high)
            parent.children[at] = joined.raw
            parent.live[at] += parent.live[at + 1]
            parent.remove(at: at + 1)
            rebalanceInner(height - 1)
            return
        }
        let middle = total / 2
        let (newLeft, newRight) = (allocateLeaf(middle), allocateLeaf(total - middle))
        newLeft.take(0..<min(middle, left.count), of: left)
        if middle < left.count {
            newRight.take(middle..<left.count, of: left)
            newRight.take(0..<right.count, of: right)
        } else {
            newLeft.take(0..<middle - left.count, of: right)
            newRight.take(middle - left.count..<right.count, of: right)
        }
        freeLeaf(left)
        freeLeaf(right)
        let separator = separator(newLeft.slots[middle - 1].record, newRight.slots[0].record)
        setPrefix(newLeft, low, separator)
        setPrefix(newRight, separator, high)
        parent.children[at] = newLeft.raw
        parent.children[at + 1] = newRight.raw
        parent.live[at] = newLeft.liveCount(before: 64)
        parent.live[at + 1] = newRight.liveCount(before: 64)
        parent.setSeparator(separator, at: at)
    }

    /// The inner node at `depth` of the path has lost a child.
    private mutating func rebalanceInner(_ depth: Int) {
        let inner = path[depth].inner
        if depth == 0 {
            if inner.count == 1 {
                root = inner.children[0]
                height -= 1
                freeInner(inner)
            }
            return
        }
        if inner.count >= max(2, innerLimit / 4) { return }
        let (parent, taken) = (path[depth - 1].inner, path[depth - 1].index)
        let at = taken < parent.count - 1 ? taken : taken - 1
        let (left, right) = (KeyInner(parent.children[at]), KeyInner(parent.children[at + 1]))
        var contents = left.takeContents()
        let rest = right.takeContents()
        contents.children += rest.children
        contents.live += rest.live
        contents.keys += [parent.keys[at]] + rest.keys
        let total = contents.children.count
        if total * 4 <= innerLimit * 3 {
            left.fill(contents, 0..<total)
            freeInner(right)
            parent.live[at] += parent.live[at + 1]
            parent.remove(at: at + 1)
            rebalanceInner(depth - 1)
            return
        }
        let middle = total / 2
        left.fill(contents, 0..<middle)
        right.fill(contents, middle..<total)
        parent.live[at] = left.liveCount
        parent.live[at + 1] = right.liveCount
        parent.setSeparator(contents.keys[middle - 1], at: at)
    }
}

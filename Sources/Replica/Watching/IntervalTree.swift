// Owns: which watchers look at which stretch of keys: an AVL tree of distinct intervals, each with its watchers.
// Must never: let the order in which watchers came, or a hash, reach an output: visits go by interval, then by watcher.
// Invariants (see `invariants()`):
// - Nodes are in order of (low, high), an infinite high being the last; no two are equal; no interval is empty.
// - The heights of a node's two sides differ by at most one.
// - `widest` of a node is the node with the greatest high in its subtree.
internal import Bytes
internal import Glibc

/// Half-open intervals [low, high) over byte strings, where no high means everything from low on.
struct IntervalTree: ~Copyable {
    private struct Node {
        var low: ByteString
        /// nil where the interval has no end.
        var high: ByteString?
        var watchers: WatcherList
        var left: Int32 = none
        var right: Int32 = none
        var widest: Int32
        var height: Int32 = 1
    }

    private static var none: Int32 { -1 }

    /// Nodes point at each other by index. A freed one is in `free`, its fields empty.
    private var nodes: ContiguousArray<Node> = []
    private var free: [Int32] = []
    private var root = none

    init() { ByteString.checkLayout() }

    /// Distinct intervals.
    var count: Int { nodes.count - free.count }

    // MARK: Visiting

    /// Visits the watchers of all intervals that contain `key`, in order of the intervals and then of the watchers.
    borrowing func visit(_ key: ByteString, _ body: (WatchKey) -> Void) {
        if root == Self.none { return }
        key.withUnsafeBytes { bytes in
            nodes.withUnsafeBufferPointer { Self.visit($0.baseAddress!, root, bytes, body) }
        }
    }

    private static func visit(
        _ nodes: UnsafePointer<Node>, _ top: Int32, _ key: UnsafeRawBufferPointer, _ body: (WatchKey) -> Void
    ) {
        var at = top
        while at != none {
            let node = nodes + Int(at)
            // Nothing here reaches as far as the key.
            guard isBeforeEnd(key, nodes + Int(node.pointee.widest)) else { return }
            if node.pointee.left != none { visit(nodes, node.pointee.left, key, body) }
            // Here and to the right everything starts after the key.
            guard order(lowBytes(node), key) <= 0 else { return }
            if isBeforeEnd(key, node) { node.pointee.watchers.visit(body) }
            at = node.pointee.right
        }
    }

    @inline(__always)
    private static func lowBytes(_ node: UnsafePointer<Node>) -> UnsafeRawBufferPointer {
        let low = UnsafeRawPointer(node) + MemoryLayout<Node>.offset(of: \.low)!
        return ByteString.unretainedBytes(at: low.assumingMemoryBound(to: ByteString.self))
    }

    @inline(__always)
    private static func isBeforeEnd(_ key: UnsafeRawBufferPointer, _ node: UnsafePointer<Node>) -> Bool {
        guard node.pointee.high != nil else { return true }
        // An optional byte string that is not nil has the layout of a byte string.
        let high = UnsafeRawPointer(node) + MemoryLayout<Node>.offset(of: \.high)!
        return order(key, ByteString.unretainedBytes(at: high.assumingMemoryBound(to: ByteString.self))) < 0
    }

    @inline(__always)
    private static func order(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let common = min(a.count, b.count)
        if common > 0 {
            let order = memcmp(a.baseAddress!, b.baseAddress!, common)
            if order != 0 { return Int(order) }
        }
        return a.count - b.count
    }

    // MARK: Changing

    /// Adds a watcher to [low, high), which must not be empty.
    mutating func insert(_ watcher: WatchKey, low: ByteString, high: ByteString?) {
        if let high { invariant(low < high, "an empty interval") }
        root = insert(watcher, low, high, under: root)
    }

    /// Takes a watcher off [low, high), where it must be.
    mutating func remove(_ watcher: WatchKey, low: ByteString, high: ByteString?) {
        root = remove(watcher, low, high, under: root)
    }

    /// Negative, zero or positive as [low, high) comes before, is, or comes after the interval of the node at `index`.
    private borrowing func order(_ low: ByteString, _ high: ByteString?, _ index: Int32) -> Int {
        let order = low.order(against: nodes[Int(index)].low)
        return order != 0 ? order : Self.order(high, nodes[Int(index)].high)
    }

    private static func order(_ a: ByteString?, _ b: ByteString?) -> Int {
        switch (a, b) {
        case (nil, nil): 0
        case (nil, _): 1
        case (_, nil): -1
        case (let a?, let b?): a.order(against: b)
        }
    }

    private mutating func insert(_ watcher: WatchKey, _ low: ByteString, _ high: ByteString?, under top: Int32) -> Int32 {
        guard top != Self.none else { return make(watcher, low, high) }
        let order = order(low, high, top)
        if order == 0 {
            nodes[Int(top)].watchers.insert(watcher)
            return top
        }
        if order < 0 {
            let child = insert(watcher, low, high, under: nodes[Int(top)].left)
            nodes[Int(top)].left = child
        } else {
            let child = insert(watcher, low, high, under: nodes[Int(top)].right)
            nodes[Int(top)].right = child
        }
        return balanced(top)
    }

    private mutating func remove(_ watcher: WatchKey, _ low: ByteString, _ high: ByteString?, under top: Int32) -> Int32 {
        invariant(top != Self.none, "removed a watcher from an interval that is not there")
        let order = order(low, high, top)
        if order < 0 {
            let child = remove(watcher, low, high, under: nodes[Int(top)].left)
            nodes[Int(top)].left = child
            return balanced(top)
        }
        if order > 0 {
            let child = remove(watcher, low, high, under: nodes[Int(top)].right)
            nodes[Int(top)].right = child
            return balanced(top)
        }
        if nodes[Int(top)].watchers.remove(watcher) { return top }
        let (left, right) = (nodes[Int(top)].left, nodes[Int(top)].right)
        release(top)
        if left == Self.none { return right }
        if right == Self.none { return left }
        // The next interval in order takes the place.
        let (next, rest) = takeFirst(under: right)
        nodes[Int(next)].left = left
        nodes[Int(next)].right = rest
        return balanced(next)
    }

    /// Cuts the first node out of a subtree: the node, and what is left.
    private mutating func takeFirst(under top: Int32) -> (first: Int32, rest: Int32) {
        let left = nodes[Int(top)].left
        if left == Self.none { return (top, nodes[Int(top)].right) }
        let (first, rest) = takeFirst(under: left)
        nodes[Int(top)].left = rest
        return (first, balanced(top))
    }

    private mutating func make(_ watcher: WatchKey, _ low: ByteString, _ high: ByteString?) -> Int32 {
        if let index = free.popLast() {
            nodes[Int(index)] = Node(low: low, high: high, watchers: WatcherList(watcher), widest: index)
            return index
        }
        let index = Int32(nodes.count)
        nodes.append(Node(low: low, high: high, watchers: WatcherList(watcher), widest: index))
        return index
    }

    private mutating func release(_ index: Int32) {
        nodes[Int(index)].low = ByteString()
        nodes[Int(index)].high = nil
        free.append(index)
    }

    // MARK: Balance

    private borrowing func height(_ index: Int32) -> Int32 { index == Self.none ? 0 : nodes[Int(index)].height }

    /// Computes what the node at `index` says about its subtree from its children.
    private mutating func update(_ index: Int32) {
        let (left, right) = (nodes[Int(index)].left, nodes[Int(index)].right)
        nodes[Int(index)].height = 1 + max(height(left), height(right))
        nodes[Int(index)].widest = wider(left, wider(right, index))
    }

    /// The node with the greater high: `index`, or the widest below `child`, if there is a child.
    private borrowing func wider(_ child: Int32, _ index: Int32) -> Int32 {
        if child == Self.none { return index }
        let widest = nodes[Int(child)].widest
        return Self.order(nodes[Int(widest)].high, nodes[Int(index)].high) > 0 ? widest : index
    }

    /// Makes the subtree at `index` right again after one of its sides has changed by one level; gives back its new top.
    private mutating func balanced(_ index: Int32) -> Int32 {
        let (left, right) = (nodes[Int(index)].left, nodes[Int(index)].right)
        let lean = height(left) - height(right)
        if lean > 1 {
            if height(nodes[Int(left)].left) < height(nodes[Int(left)].right) {
                let top = rotatedLeft(left)
                nodes[Int(index)].left = top
            }
            return rotatedRight(index)
        }
        if lean < -1 {
            if height(nodes[Int(right)].right) < height(nodes[Int(right)].left) {
                let top = rotatedRight(right)
                nodes[Int(index)].right = top
            }
            return rotatedLeft(index)
        }
        update(index)
        return index
    }

    private mutating func rotatedLeft(_ index: Int32) -> Int32 {
        let top = nodes[Int(index)].right
        nodes[Int(index)].right = nodes[Int(top)].left
        nodes[Int(top)].left = index
        update(index)
        update(top)
        return top
    }

    private mutating func rotatedRight(_ index: Int32) -> Int32 {
        let top = nodes[Int(index)].left
        nodes[Int(index)].left = nodes[Int(top)].right
        nodes[Int(top)].right = index
        update(index)
        update(top)
        return top
    }

    // MARK: Checks

    /// Traps where the tree breaks its rules. Visits every node: for tests.
    borrowing func invariants() {
        var seen = 0
        var last: Int32 = Self.none
        _ = check(root, &seen, &last)
        invariant(seen == count, "the tree counts \(count) intervals and has \(seen)")
    }

    /// Checks a subtree; returns its height.
    private borrowing func check(_ index: Int32, _ seen: inout Int, _ last: inout Int32) -> Int32 {
        if index == Self.none { return 0 }
        let node = nodes[Int(index)]
        let left = check(node.left, &seen, &last)
        if last != Self.none { invariant(order(node.low, node.high, last) > 0, "intervals are out of order") }
        if let high = node.high { invariant(node.low < high, "an empty interval") }
        invariant(node.watchers.isValid, "an interval's watchers are out of order")
        seen += 1
        last = index
        let right = check(node.right, &seen, &last)
        invariant(abs(left - right) <= 1 && node.height == 1 + max(left, right), "the tree is out of balance")
        let widest = wider(node.left, wider(node.right, index))
        invariant(Self.order(nodes[Int(node.widest)].high, nodes[Int(widest)].high) == 0, "a node's reach is wrong")
        return node.height
    }
}

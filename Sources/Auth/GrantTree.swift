// Owns: the answer to a question without sense, in etcd's words: may a user read a range that no key can be in?
// Source: etcd's pkg/adt/interval_tree.go, the red-black tree of intervals that its permissions are in, with Visit and Contains.
//
// For a range whose end is not after its start, Contains comes to: is there a permission with the first key, among those that Visit comes by?
// It does not come by all: where a node lies before the first key, it leaves out what is below the node unless the node starts before
// the range's end. So it depends on the tree's shape, and that on the order in which permissions were put in. Nothing can be read or
// written either way; but clients are told "permission denied" or an empty answer, and this gives the same one.
internal import Bytes

struct GrantTree {
    private struct Node {
        var range: KeySet.Interval
        var left = -1
        var right = -1
        var parent = -1
        var isRed = true
    }

    private var nodes: [Node] = []
    private var root = -1

    init(_ ranges: [KeySet.Interval]) {
        for range in ranges { insert(range) }
    }

    /// Whether Visit comes by a range with `key`, asked for [key, end) with an end that is not after the key.
    func visits(key: ByteString, end: ByteString) -> Bool {
        // An array instead of recursion, though the tree is no deeper than twice the logarithm of its size.
        var open = [root]
        while let index = open.popLast() {
            if index < 0 { continue }
            let node = nodes[index]
            if key < node.range.start {
                open.append(node.left)
            } else if node.range.reaches(past: key) {
                return true
            } else if node.range.start < end {
                open += [node.left, node.right]
            }
        }
        return false
    }

    // MARK: Insertion (Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, 13.3)

    private mutating func insert(_ range: KeySet.Interval) {
        let new = nodes.count
        nodes.append(Node(range: range))
        var parent = -1
        var index = root
        while index >= 0 {
            parent = index
            index = range.precedes(nodes[index].range) ? nodes[index].left : nodes[index].right
        }
        nodes[new].parent = parent
        if parent < 0 {
            root = new
        } else if range.precedes(nodes[parent].range) {
            nodes[parent].left = new
        } else {
            nodes[parent].right = new
        }
        balance(new)
        nodes[root].isRed = false
    }

    private mutating func balance(_ new: Int) {
        var index = new
        while isRed(nodes[index].parent) {
            let parent = nodes[index].parent
            // A red node is never the root.
            let grandparent = nodes[parent].parent
            let isLeft = parent == nodes[grandparent].left
            let uncle = isLeft ? nodes[grandparent].right : nodes[grandparent].left
            if isRed(uncle) {
                nodes[uncle].isRed = false
                nodes[parent].isRed = false
                nodes[grandparent].isRed = true
                index = grandparent
                continue
            }
            if index == (isLeft ? nodes[parent].right : nodes[parent].left) {
                index = parent
                rotate(index, left: isLeft)
            }
            nodes[nodes[index].parent].isRed = false
            nodes[grandparent].isRed = true
            rotate(grandparent, left: !isLeft)
        }
    }

    private func isRed(_ index: Int) -> Bool { index >= 0 && nodes[index].isRed }

    /// The child on the other side takes the node's place, and the node becomes its child.
    private mutating func rotate(_ index: Int, left: Bool) {
        let child = left ? nodes[index].right : nodes[index].left
        let inner = left ? nodes[child].left : nodes[child].right
        if left { nodes[index].right = inner } else { nodes[index].left = inner }
        if inner >= 0 { nodes[inner].parent = index }
        let parent = nodes[index].parent
        nodes[child].parent = parent
        if parent < 0 {
            root = child
        } else if nodes[parent].left == index {
            nodes[parent].left = child
        } else {
            nodes[parent].right = child
        }
        if left { nodes[child].left = index } else { nodes[child].right = index }
        nodes[index].parent = child
    }
}

extension KeySet.Interval {
    /// By start, then by end, an open one last.
    fileprivate func precedes(_ other: Self) -> Bool {
        if start != other.start { return start < other.start }
        return !end.isEmpty && (other.end.isEmpty || end < other.end)
    }
}

// Owns: where each page of a bbolt file goes, from the sizes of its keys and values alone.
// Invariant: pages are numbered in the order in which they are written: metas, an empty freelist, the leaf of buckets, then
// of each bucket its leaves and above them its branches, level by level, with its root last.
package import Bytes

/// Tell it every bucket with the sizes of its elements, in key order; then `BoltWriter` takes their bytes in the same order.
/// Keeps 12 bytes a page.
package struct BoltLayout {
    package static let pageSize = 4_096

    /// A page and those that overflow it.
    struct PagePlan {
        var elements: UInt32 = 0
        /// The bytes it takes, its header among them.
        var bytes: UInt32 = UInt32(BoltFormat.pageHeaderSize)
        /// Of its first key.
        var keySize: UInt32 = 0

        var pages: UInt64 { UInt64(BoltLayout.pages(for: Int(bytes))) }

        /// False where the element has to go into a page of its own.
        mutating func add(keySize: Int, size: Int) -> Bool {
            guard elements == 0 || Int(bytes) + BoltFormat.elementSize + size <= BoltLayout.pageSize else { return false }
            if elements == 0 { self.keySize = UInt32(keySize) }
            elements += 1
            bytes += UInt32(BoltFormat.elementSize + size)
            return true
        }
    }

    struct BucketPlan {
        let name: ByteString
        /// The leaves, then the branches above them; the last level is one page, the root.
        var levels: [[PagePlan]] = [[]]
        var firstPage: UInt64 = 0
        var rootPage: UInt64 = 0
    }

    private(set) var buckets: [BucketPlan] = []
    private(set) var pageCount: UInt64 = 0
    private var page = PagePlan()

    package init() {}

    package static func pages(for bytes: Int) -> Int { (bytes + pageSize - 1) / pageSize }

    /// Begins the next bucket; names ascend.
    package mutating func beginBucket(_ name: ByteString) {
        invariant(buckets.last.map { $0.name < name } ?? true, "buckets out of order")
        endLeaf()
        buckets.append(BucketPlan(name: name))
    }

    /// The next element of the bucket that was begun last.
    package mutating func add(keySize: Int, valueSize: Int) {
        if page.add(keySize: keySize, size: keySize + valueSize) { return }
        endLeaf()
        _ = page.add(keySize: keySize, size: keySize + valueSize)
    }

    private mutating func endLeaf() {
        guard page.elements > 0 else { return }
        buckets[buckets.count - 1].levels[0].append(page)
        page = PagePlan()
    }

    /// The size of the whole file in bytes. Nothing may be added after it.
    package mutating func finish() -> Int {
        endLeaf()
        pageCount = 3 + UInt64(Self.pages(for: rootLeafBytes))
        for index in buckets.indices {
            if buckets[index].levels[0].isEmpty { buckets[index].levels[0] = [PagePlan()] }
            while let last = buckets[index].levels.last, last.count > 1 { buckets[index].levels.append(Self.branches(over: last)) }
            buckets[index].firstPage = pageCount
            pageCount += buckets[index].levels.joined().reduce(0) { $0 + $1.pages }
            buckets[index].rootPage = pageCount - buckets[index].levels.last![0].pages
        }
        return Int(pageCount) * Self.pageSize
    }

    /// The branch pages over one level. Each has two children at least where keys are far shorter than pages.
    private static func branches(over level: [PagePlan]) -> [PagePlan] {
        var branches: [PagePlan] = []
        var branch = PagePlan()
        for page in level where !branch.add(keySize: Int(page.keySize), size: Int(page.keySize)) {
            branches.append(branch)
            branch = PagePlan()
            _ = branch.add(keySize: Int(page.keySize), size: Int(page.keySize))
        }
        return branches + [branch]
    }

    var rootLeafBytes: Int {
        buckets.reduce(BoltFormat.pageHeaderSize) { $0 + BoltFormat.elementSize + $1.name.count + BoltFormat.bucketHeaderSize }
    }
}

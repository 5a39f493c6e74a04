// Owns: going through one bucket of a bbolt file in key order.
// Must never: follow pages in a circle, or deeper than a tree can be.
// Invariant: keys strictly ascend, and no more pages are read than the file has.
package import Bytes

/// A bucket inside a file: its root page, or the page that its value holds.
package struct BoltBucket {
    enum Root {
        case page(UInt64)
        /// A leaf page without overflow, inside the leaf on page `within`.
        case inline(ByteString, within: UInt64)
    }
    let root: Root

    /// `value` is what a leaf on `page` holds for the bucket.
    init(_ value: ByteString, page: UInt64, in file: borrowing BoltFile) throws(BoltError) {
        guard value.count >= BoltFormat.bucketHeaderSize else { throw file.damaged(page, "a bucket has \(value.count) bytes only") }
        let rootPage = value.withUnsafeBytes { $0.integer(0, as: UInt64.self) }
        root = rootPage == 0 ? .inline(value.slice(BoltFormat.bucketHeaderSize..<value.count), within: page) : .page(rootPage)
    }

    init(root: Root) { self.root = root }
}

/// What a key of a bucket leads to.
package enum BoltElement {
    case value(ByteString)
    case bucket(BoltBucket)
}

package struct BoltCursor {
    /// Four keys a page are ten levels for a million pages; a bbolt tree is never deeper than this.
    private static let depthLimit = 32

    private struct Level {
        let page: UInt64
        let bytes: ByteString
        let isLeaf: Bool
        let count: Int
        var next = 0
    }
    private var levels: [Level] = []
    private var pagesLeft: UInt64
    private var lastKey: ByteString?

    package init(_ bucket: BoltBucket, in file: borrowing BoltFile) throws(BoltError) {
        pagesLeft = file.highWaterMark
        switch bucket.root {
        case .page(let page): try descend(to: page, in: file)
        case .inline(let bytes, let page): try push(bytes, page: page, in: file, leafOnly: true)
        }
    }

    /// The next key with what it leads to; nil at the end.
    package mutating func next(in file: borrowing BoltFile) throws(BoltError) -> (key: ByteString, element: BoltElement)? {
        while var level = levels.popLast() {
            guard level.next < level.count else { continue }
            let at = BoltFormat.pageHeaderSize + level.next * BoltFormat.elementSize
            level.next += 1
            levels.append(level)
            if level.isLeaf { return try leafElement(level, at: at, in: file) }
            try descend(to: level.bytes.withUnsafeBytes { $0.integer(at + 8, as: UInt64.self) }, in: file)
        }
        return nil
    }

    private mutating func leafElement(
        _ level: Level, at: Int, in file: borrowing BoltFile
    ) throws(BoltError) -> (key: ByteString, element: BoltElement) {
        let (flags, position, keySize, valueSize) = level.bytes.withUnsafeBytes {
            (
                $0.integer(at, as: UInt32.self), Int($0.integer(at + 4, as: UInt32.self)), Int($0.integer(at + 8, as: UInt32.self)),
                Int($0.integer(at + 12, as: UInt32.self))
            )
        }
        let start = at + position
        guard start >= BoltFormat.pageHeaderSize + level.count * BoltFormat.elementSize, start + keySize + valueSize <= level.bytes.count
        else { throw file.damaged(level.page, "a key or value lies outside of it") }
        guard flags <= BoltFormat.bucketElementFlag else { throw file.damaged(level.page, "an element has unknown flags \(flags)") }
        let key = level.bytes.slice(start..<start + keySize)
        if let lastKey, !(lastKey < key) { throw file.damaged(level.page, "its keys are out of order") }
        lastKey = key
        let value = level.bytes.slice(start + keySize..<start + keySize + valueSize)
        guard flags == BoltFormat.bucketElementFlag else { return (key, .value(value)) }
        return (key, .bucket(try BoltBucket(value, page: level.page, in: file)))
    }

    private mutating func descend(to page: UInt64, in file: borrowing BoltFile) throws(BoltError) {
        guard levels.count < Self.depthLimit else { throw file.damaged(page, "the tree is deeper than \(Self.depthLimit) pages") }
        let bytes = try file.pageRun(page)
        let pages = UInt64(bytes.count / file.pageSize)
        guard pages <= pagesLeft else { throw file.damaged(page, "it is reached more than once") }
        pagesLeft -= pages
        try push(bytes, page: page, in: file, leafOnly: false)
    }

    private mutating func push(_ bytes: ByteString, page: UInt64, in file: borrowing BoltFile, leafOnly: Bool) throws(BoltError) {
        guard bytes.count >= BoltFormat.pageHeaderSize else { throw file.damaged(page, "an inline bucket has no page") }
        let (flags, count) = bytes.withUnsafeBytes { ($0.integer(8, as: UInt16.self), Int($0.integer(10, as: UInt16.self))) }
        let isLeaf = flags == BoltFormat.leafFlag
        guard isLeaf || (flags == BoltFormat.branchFlag && !leafOnly) else { throw file.damaged(page, "it is neither leaf nor branch") }
        guard BoltFormat.pageHeaderSize + count * BoltFormat.elementSize <= bytes.count else {
            throw file.damaged(page, "it has \(count) elements, more than fit")
        }
        levels.append(Level(page: page, bytes: bytes, isLeaf: isLeaf, count: count))
    }
}

extension BoltFile {
    /// The bucket that has all others.
    package var root: BoltBucket { BoltBucket(root: .page(rootPage)) }

    /// The bucket of this name in another one, nil where there's none. Goes through all before it: for buckets of buckets.
    package func bucket(_ name: ByteString, in parent: BoltBucket) throws(BoltError) -> BoltBucket? {
        var cursor = try BoltCursor(parent, in: self)
        while let (key, element) = try cursor.next(in: self) {
            if key == name, case .bucket(let bucket) = element { return bucket }
        }
        return nil
    }
}

// Owns: the bytes of a bbolt file, from front to back, at the pages that a layout has given them.
// Must never: hold more than one page with its overflow, and the first key of each page of a bucket.
// Invariant: what is appended has the sizes that the layout was told, in its order.
package import Bytes

package struct BoltWriter: ~Copyable {
    private let layout: BoltLayout
    private var bucket = 0
    private var leaf = 0
    /// Elements of the current leaf, and then their keys and values.
    private var elements: [(keySize: Int, valueSize: Int)] = []
    private var data = ByteWriter()
    private var firstKey = ByteString()
    /// The first key of each page of the current bucket's leaves.
    private var firstKeys: [ByteString] = []
    private var nextPage: UInt64 = 0

    /// `layout` must be finished.
    package init(_ layout: BoltLayout) { self.layout = layout }

    /// The first pages: both metas, the freelist and the leaf with the buckets. `transaction` is 1 at least.
    package mutating func begin(transaction: UInt64, into out: inout ByteWriter) {
        appendMeta(0, transaction: transaction - 1, into: &out)
        appendMeta(1, transaction: transaction, into: &out)
        appendHeader(page: 2, flags: BoltFormat.freelistFlag, count: 0, bytes: 0, into: &out)
        pad(BoltFormat.pageHeaderSize, into: &out)
        appendBuckets(into: &out)
        nextPage = layout.buckets.first?.firstPage ?? layout.pageCount
        endEmptyBuckets(into: &out)
    }

    /// The next element; pages that are full go to `out`.
    package mutating func append(key: ByteString, value: ByteString, into out: inout ByteWriter) {
        invariant(bucket < layout.buckets.count, "an element beyond the layout")
        if elements.isEmpty { firstKey = key }
        elements.append((key.count, value.count))
        data.append(key)
        data.append(value)
        let plan = layout.buckets[bucket].levels[0][leaf]
        guard elements.count == Int(plan.elements) else { return }
        endLeaf(plan, into: &out)
        leaf += 1
        guard leaf == layout.buckets[bucket].levels[0].count else { return }
        endBucket(into: &out)
        endEmptyBuckets(into: &out)
    }

    /// All that the layout has was appended.
    package var isComplete: Bool { bucket == layout.buckets.count && nextPage == layout.pageCount }

    private mutating func appendMeta(_ page: UInt64, transaction: UInt64, into out: inout ByteWriter) {
        appendHeader(page: page, flags: BoltFormat.metaFlag, count: 0, bytes: 0, into: &out)
        var meta = ByteWriter(capacity: BoltFormat.metaSize)
        meta.appendLittleEndian(BoltFormat.magic)
        meta.appendLittleEndian(BoltFormat.version)
        meta.appendLittleEndian(UInt32(BoltLayout.pageSize))
        meta.appendLittleEndian(UInt32(0))
        meta.appendLittleEndian(UInt64(3))  // The root bucket: its page, and its sequence.
        meta.appendLittleEndian(UInt64(0))
        meta.appendLittleEndian(UInt64(2))  // The freelist.
        meta.appendLittleEndian(layout.pageCount)
        meta.appendLittleEndian(transaction)
        meta.appendLittleEndian(meta.withUnsafeBytes { BoltFormat.checksum($0) })
        out.append(meta.finish())
        pad(BoltFormat.pageHeaderSize + BoltFormat.metaSize, into: &out)
    }

    private func appendBuckets(into out: inout ByteWriter) {
        appendHeader(page: 3, flags: BoltFormat.leafFlag, count: layout.buckets.count, bytes: layout.rootLeafBytes, into: &out)
        var position = layout.buckets.count * BoltFormat.elementSize
        for bucket in layout.buckets {
            out.appendLittleEndian(BoltFormat.bucketElementFlag)
            out.appendLittleEndian(UInt32(position))
            out.appendLittleEndian(UInt32(bucket.name.count))
            out.appendLittleEndian(UInt32(BoltFormat.bucketHeaderSize))
            position += bucket.name.count + BoltFormat.bucketHeaderSize - BoltFormat.elementSize
        }
        for bucket in layout.buckets {
            out.append(bucket.name)
            out.appendLittleEndian(bucket.rootPage)
            out.appendLittleEndian(UInt64(0))
        }
        pad(layout.rootLeafBytes, into: &out)
    }

    private mutating func endLeaf(_ plan: BoltLayout.PagePlan, into out: inout ByteWriter) {
        let size = BoltFormat.pageHeaderSize + elements.count * BoltFormat.elementSize + data.count
        invariant(size == Int(plan.bytes), "a leaf of another size than in the layout")
        appendHeader(page: nextPage, flags: BoltFormat.leafFlag, count: elements.count, bytes: size, into: &out)
        var position = elements.count * BoltFormat.elementSize
        for (keySize, valueSize) in elements {
            out.appendLittleEndian(UInt32(0))
            out.appendLittleEndian(UInt32(position))
            out.appendLittleEndian(UInt32(keySize))
            out.appendLittleEndian(UInt32(valueSize))
            position += keySize + valueSize - BoltFormat.elementSize
        }
        data.withUnsafeBytes { out.append($0) }
        pad(size, into: &out)
        elements.removeAll(keepingCapacity: true)
        data = ByteWriter(capacity: BoltLayout.pageSize)
        firstKeys.append(firstKey.compacted())
        nextPage += plan.pages
    }

    /// The branches over the leaves that were written.
    private mutating func endBucket(into out: inout ByteWriter) {
        let levels = layout.buckets[bucket].levels
        var keys = firstKeys
        var page = layout.buckets[bucket].firstPage
        for (below, level) in zip(levels, levels.dropFirst()) {
            var child = 0
            var parents: [ByteString] = []
            for plan in level {
                let children = child..<child + Int(plan.elements)
                parents.append(keys[child])
                page = appendBranch(plan, keys: keys[children], pages: below[children], from: page, into: &out)
                child = children.upperBound
            }
            keys = parents
        }
        invariant(nextPage == layout.buckets[bucket].rootPage + levels.last![0].pages, "a bucket that ends off its layout")
        firstKeys = []
        leaf = 0
        bucket += 1
    }

    /// A branch over `pages`, the first of which is page `first`; answers the page after the last of them.
    private mutating func appendBranch(
        _ plan: BoltLayout.PagePlan, keys: ArraySlice<ByteString>, pages: ArraySlice<BoltLayout.PagePlan>, from first: UInt64,
        into out: inout ByteWriter
    ) -> UInt64 {
        appendHeader(page: nextPage, flags: BoltFormat.branchFlag, count: keys.count, bytes: Int(plan.bytes), into: &out)
        var position = keys.count * BoltFormat.elementSize
        var page = first
        for (key, child) in zip(keys, pages) {
            out.appendLittleEndian(UInt32(position))
            out.appendLittleEndian(UInt32(key.count))
            out.appendLittleEndian(page)
            position += key.count - BoltFormat.elementSize
            page += child.pages
        }
        for key in keys { out.append(key) }
        pad(Int(plan.bytes), into: &out)
        nextPage += plan.pages
        return page
    }

    private mutating func endEmptyBuckets(into out: inout ByteWriter) {
        while bucket < layout.buckets.count, layout.buckets[bucket].levels[0][0].elements == 0 {
            endLeaf(layout.buckets[bucket].levels[0][0], into: &out)
            endBucket(into: &out)
        }
    }

    private func appendHeader(page: UInt64, flags: UInt16, count: Int, bytes: Int, into out: inout ByteWriter) {
        out.appendLittleEndian(page)
        out.appendLittleEndian(flags)
        out.appendLittleEndian(UInt16(count))
        out.appendLittleEndian(UInt32(max(BoltLayout.pages(for: bytes), 1) - 1))
    }

    /// Zeros up to the end of the page after `count` bytes of it.
    private func pad(_ count: Int, into out: inout ByteWriter) {
        let more = BoltLayout.pages(for: count) * BoltLayout.pageSize - count
        out.append(atMost: more) {
            $0.update(repeating: 0, count: more)
            return more
        }
    }
}

extension ByteWriter {
    mutating func appendLittleEndian<I: FixedWidthInteger>(_ value: I) { appendBigEndian(value.byteSwapped) }
}

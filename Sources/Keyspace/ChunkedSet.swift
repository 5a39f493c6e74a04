// Owns: an ordered set in chunks, so that any number of elements can be read a piece a turn, from a copy that costs next to nothing.
// Invariants: elements ascend over all chunks; no chunk is empty, or larger than the bound.
internal import Bytes

/// A set of ascending elements. A copy shares the chunks; a change copies one of them where they are shared.
package struct ChunkedSet<Element: Comparable & Sendable>: Sendable {
    package private(set) var chunks: [ContiguousArray<Element>] = []
    package private(set) var count = 0

    private static var chunkLimit: Int { 512 }

    package init() {}

    package var isEmpty: Bool { count == 0 }

    package func contains(_ element: Element) -> Bool { place(of: element).isThere }

    /// False where it was there already.
    @discardableResult
    package mutating func insert(_ element: Element) -> Bool {
        let (chunk, index, isThere) = place(of: element)
        guard !isThere else { return false }
        count += 1
        guard chunk < chunks.count else {
            // Elements that come in order leave full chunks behind.
            if chunks.isEmpty || chunks[chunk - 1].count >= Self.chunkLimit {
                chunks.append([element])
            } else {
                chunks[chunk - 1].append(element)
            }
            return true
        }
        chunks[chunk].insert(element, at: index)
        if chunks[chunk].count > Self.chunkLimit {
            let half = chunks[chunk].count / 2
            chunks.insert(ContiguousArray(chunks[chunk][half...]), at: chunk + 1)
            chunks[chunk].removeSubrange(half...)
        }
        return true
    }

    /// False where it was not there.
    @discardableResult
    package mutating func remove(_ element: Element) -> Bool {
        // The end of a lease takes its keys in their order: the first is found without a search.
        let isFirst = chunks.first?.first == element
        let (chunk, index, isThere) = isFirst ? (0, 0, true) : place(of: element)
        guard isThere else { return false }
        count -= 1
        chunks[chunk].remove(at: index)
        if chunks[chunk].isEmpty {
            chunks.remove(at: chunk)
        } else if chunk + 1 < chunks.count, chunks[chunk].count + chunks[chunk + 1].count <= Self.chunkLimit / 2 {
            chunks[chunk].append(contentsOf: chunks[chunk + 1])
            chunks.remove(at: chunk + 1)
        }
        return true
    }

    /// Where the element is or would be: after the last chunk, if it is greater than all.
    private func place(of element: Element) -> (chunk: Int, index: Int, isThere: Bool) {
        // No chunk is empty.
        let chunk = chunks.indices.partitioningIndex { chunks[$0][chunks[$0].count - 1] >= element }
        guard chunk < chunks.count else { return (chunk, 0, false) }
        let index = chunks[chunk].indices.partitioningIndex { chunks[chunk][$0] >= element }
        // The chunk's last element is not less.
        return (chunk, index, chunks[chunk][index] == element)
    }
}

extension ChunkedSet: Sequence, Equatable {
    package func makeIterator() -> FlattenSequence<[ContiguousArray<Element>]>.Iterator { chunks.joined().makeIterator() }

    package static func == (a: ChunkedSet, b: ChunkedSet) -> Bool { a.count == b.count && a.elementsEqual(b) }
}

// Owns: a first-in-first-out queue in chunks, so that a backlog of millions never has to be copied to grow.
// Invariants: `head` is an offset into the first chunk, whose elements before it are gone; all chunks but the last are full;
// none is empty, except that an empty queue may keep one for its capacity.
internal import Bytes

/// Short ones, as the journal, which is also popped at its end, and very long ones, as the superseded versions.
struct ChunkedQueue<Element> {
    private static var chunkLimit: Int { 1024 }

    private var chunks: [ContiguousArray<Element>] = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    var first: Element? { count == 0 ? nil : chunks[0][head] }

    var last: Element? { count == 0 ? nil : chunks[chunks.count - 1].last }

    mutating func append(_ element: Element) {
        if chunks.isEmpty || chunks[chunks.count - 1].count == Self.chunkLimit { chunks.append([]) }
        chunks[chunks.count - 1].append(element)
        count += 1
    }

    mutating func removeFirst() {
        invariant(count > 0, "took from an empty queue")
        head += 1
        count -= 1
        if count == 0 {
            clear()
        } else if head == chunks[0].count {
            chunks.removeFirst()
            head = 0
        }
    }

    mutating func removeLast() {
        invariant(count > 0, "took from an empty queue")
        chunks[chunks.count - 1].removeLast()
        count -= 1
        if count == 0 {
            clear()
        } else if chunks[chunks.count - 1].isEmpty {
            chunks.removeLast()
        }
    }

    /// Visits every element, oldest first, until `body` returns false.
    func visit(_ body: (borrowing Element) -> Bool) {
        var at = head
        for chunk in chunks {
            while at < chunk.count {
                if !body(chunk[at]) { return }
                at += 1
            }
            at = 0
        }
    }

    /// How many elements come before the first that `isPast`; it must be so for all after that one. O(log n).
    func count(until isPast: (borrowing Element) -> Bool) -> Int {
        // All chunks but the last are full.
        (head..<(head + count)).partitioningIndex { isPast(chunks[$0 / Self.chunkLimit][$0 % Self.chunkLimit]) } - head
    }

    /// About what the queue itself holds, in bytes.
    var allocatedBytes: Int { chunks.count * Self.chunkLimit * MemoryLayout<Element>.stride }

    /// A queue that fills and empties all the time does not allocate each time.
    private mutating func clear() {
        chunks.removeSubrange(1...)
        chunks[0].removeAll(keepingCapacity: true)
        head = 0
    }
}

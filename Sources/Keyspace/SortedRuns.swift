// Owns: elements that are sorted in runs while they come, and then merged.
// Must never: sort more than a run at once: a step of the engine has to stay short.
internal import Bytes
internal import HeapModule

struct SortedRuns<Element: Comparable & Sendable>: Sendable {
    private struct Head: Comparable, Sendable {
        var element: Element
        var run: Int

        static func < (a: Head, b: Head) -> Bool { a.element < b.element }
    }

    /// Descending, each: what is merged of one has been taken from its end.
    private var runs: [[Element]] = []
    private var current: [Element] = []
    private var heads = Heap<Head>()
    /// How many elements have come and were not taken.
    private(set) var count = 0

    /// Few enough to be sorted in a step.
    private static var runLength: Int { 8_192 }

    mutating func add(_ element: Element) {
        if current.isEmpty { current.reserveCapacity(Self.runLength) }
        current.append(element)
        count += 1
        if current.count == Self.runLength { endRun() }
    }

    private mutating func endRun() {
        guard !current.isEmpty else { return }
        current.sort(by: >)
        runs.append(current)
        current = []
    }

    /// No more elements come.
    mutating func beginMerging() {
        endRun()
        // Those of an earlier merge.
        runs.removeAll(where: \.isEmpty)
        heads = Heap(runs.enumerated().map { Head(element: $0.element[$0.element.count - 1], run: $0.offset) })
    }

    /// The lowest that is left.
    mutating func popMin() -> Element? {
        guard let head = heads.min else { return nil }
        runs[head.run].removeLast()
        count -= 1
        if let next = runs[head.run].last {
            heads.replaceMin(with: Head(element: next, run: head.run))
        } else {
            heads.removeMin()
            runs[head.run] = []
        }
        return head.element
    }
}

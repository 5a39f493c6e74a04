import Bytes
import TestSupport
import Testing

@testable import Replica

@Suite("The interval tree", .ownThreads)
struct IntervalTreeTests {
    private struct Interval: Hashable {
        var low: ByteString
        var high: ByteString?

        func contains(_ key: ByteString) -> Bool {
            guard let high else { return low <= key }
            return low <= key && key < high
        }

        static func < (a: Interval, b: Interval) -> Bool {
            if a.low != b.low { return a.low < b.low }
            guard let high = a.high else { return false }
            return b.high.map { high < $0 } ?? true
        }
    }

    /// What a visit must give: by interval, then by watcher.
    private static func expected(_ all: [WatchKey: Interval], _ key: ByteString) -> [WatchKey] {
        all.filter { $0.value.contains(key) }
            .sorted { $0.value != $1.value ? $0.value < $1.value : $0.key < $1.key }
            .map(\.key)
    }

    private static func visited(_ tree: borrowing IntervalTree, _ key: ByteString) -> [WatchKey] {
        var found: [WatchKey] = []
        tree.visit(key) { found.append($0) }
        return found
    }

    /// Boundaries, what is just after them, and what is between them.
    private static let points: [ByteString] = ["", "a", "a\0", "bb", "c", ByteString([0xFF, 0xFF])]

    @Test("every set of up to four intervals over four boundaries, inserted and removed in every order")
    func exhaustive() {
        let bounds: [ByteString] = ["a", "b", "c"]
        var intervals: [Interval] = []
        for (index, low) in bounds.enumerated() {
            intervals.append(Interval(low: low, high: nil))
            for high in bounds[(index + 1)...] { intervals.append(Interval(low: low, high: high)) }
        }
        #expect(intervals.count == 6)
        var isRight = true
        // Each of four watchers takes one of the intervals; then one after the other goes, in an order of its own.
        let total = 6 * 6 * 6 * 6
        for code in 0..<total {
            var tree = IntervalTree()
            var all: [WatchKey: Interval] = [:]
            var rest = code
            for watcher in 0..<4 {
                let interval = intervals[rest % 6]
                rest /= 6
                let key = WatchKey(UInt64((watcher * 3) % 4))
                tree.insert(key, low: interval.low, high: interval.high)
                all[key] = interval
                tree.invariants()
            }
            isRight = isRight && Self.points.allSatisfy { Self.visited(tree, $0) == Self.expected(all, $0) }
            let removals = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]][code % 4]
            for watcher in removals {
                let key = WatchKey(UInt64(watcher))
                let interval = all.removeValue(forKey: key)!
                tree.remove(key, low: interval.low, high: interval.high)
                tree.invariants()
                isRight = isRight && Self.points.allSatisfy { Self.visited(tree, $0) == Self.expected(all, $0) }
            }
            isRight = isRight && tree.count == 0
            if !isRight {
                Issue.record("set \(code) differs")
                return
            }
        }
    }

    @Test("random intervals come and go", arguments: Array(0..<6) as [UInt64])
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var tree = IntervalTree()
        var all: [WatchKey: Interval] = [:]
        let keys = (0..<60).map { _ in
            ByteString(
                (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                    [0x00, 0x61, 0x62, 0xFF].randomElement(using: &generator)! as UInt8
                })
        }
        for step in 0..<3_000 {
            let grows = step % 1_000 < 600
            if all.isEmpty || Int.random(in: 0..<10, using: &generator) < (grows ? 8 : 2) {
                let (a, b) = (keys.randomElement(using: &generator)!, keys.randomElement(using: &generator)!)
                let interval = a == b ? Interval(low: a, high: nil) : Interval(low: min(a, b), high: max(a, b))
                // Handles that do not come in order, and none twice.
                let watcher = WatchKey(UInt64(step) * 7_919 % 10_007)
                all[watcher] = interval
                tree.insert(watcher, low: interval.low, high: interval.high)
            } else {
                let watcher = all.keys.sorted().randomElement(using: &generator)!
                let interval = all.removeValue(forKey: watcher)!
                tree.remove(watcher, low: interval.low, high: interval.high)
            }
            if step % 10 == 0 {
                tree.invariants()
                let key = keys.randomElement(using: &generator)!
                let (found, expected) = (Self.visited(tree, key), Self.expected(all, key))
                if found != expected {
                    Issue.record("step \(step): \(found) instead of \(expected)")
                    return
                }
            }
        }
    }

    @Test("many nested intervals stay balanced, and a key outside of all visits nothing")
    func nested() {
        var tree = IntervalTree()
        for number in 0..<1_000 {
            tree.insert(WatchKey(UInt64(number)), low: ByteString("k\(1_000 + number)"), high: ByteString("k\(9_000 - number)"))
        }
        tree.invariants()
        let all = Self.visited(tree, "k5000")
        #expect(all == (0..<1_000).map { WatchKey($0) })
        let some = Self.visited(tree, "k1099")
        #expect(some == (0..<100).map { WatchKey($0) })
        #expect(Self.visited(tree, "j").isEmpty && Self.visited(tree, "k9000").isEmpty)
    }
}

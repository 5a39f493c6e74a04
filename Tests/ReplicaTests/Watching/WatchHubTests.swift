import Bytes
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The watch hub", .ownThreads)
struct WatchHubTests {
    private static func matches(_ hub: borrowing WatchHub, _ key: ByteString) -> [UInt64] {
        var found: [UInt64] = []
        hub.matches(key) { found.append($0.rawValue) }
        return found
    }

    @Test("watchers of the key come first, then ranges in order, each in order of handles")
    func order() {
        var hub = WatchHub()
        hub.insert(WatchKey(9), range: KeyRange(single: "b"))
        hub.insert(WatchKey(3), range: KeyRange(single: "b"))
        hub.insert(WatchKey(8), range: .all)
        hub.insert(WatchKey(7), range: KeyRange(key: "a", rangeEnd: "c"))
        hub.insert(WatchKey(6), range: KeyRange(key: "a", rangeEnd: "bb"))
        hub.insert(WatchKey(5), range: KeyRange(key: "a", rangeEnd: "c"))
        hub.insert(WatchKey(4), range: KeyRange(key: "a", rangeEnd: ByteString([0])))
        hub.insert(WatchKey(2), range: KeyRange(key: "c", rangeEnd: "a"))
        hub.insert(WatchKey(1), range: KeyRange(single: "a"))
        hub.invariants()
        let (b, a, c, empty) = (Self.matches(hub, "b"), Self.matches(hub, "a"), Self.matches(hub, "c"), Self.matches(hub, ""))
        #expect(b == [3, 9, 8, 6, 5, 7, 4])
        #expect(a == [1, 8, 6, 5, 7, 4])
        #expect(c == [8, 4])
        #expect(empty == [8])
        #expect(hub.count == 9)
        #expect(hub.range(of: WatchKey(2))?.isEmpty == true)
        for watcher in [9, 8, 7, 6, 5, 4, 3, 2] as [UInt64] {
            let removed = hub.remove(WatchKey(watcher))
            #expect(removed)
            hub.invariants()
        }
        let again = hub.remove(WatchKey(9))
        #expect(!again)
        let left = Self.matches(hub, "a")
        #expect(left == [1] && hub.count == 1)
    }

    @Test("random watchers come and go as in the naive model", arguments: Array(0..<6) as [UInt64])
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var hub = WatchHub()
        var all: [UInt64: KeyRange] = [:]
        let keys = (0..<30).map { ByteString("k\($0 % 10)\(String(repeating: "x", count: $0 / 10))") } + [ByteString([0])]
        var next: UInt64 = 0
        for step in 0..<2_000 {
            let key = keys.randomElement(using: &generator)!
            if all.isEmpty || Int.random(in: 0..<10, using: &generator) < (step % 800 < 500 ? 7 : 3) {
                let end = Bool.random(using: &generator) ? ByteString() : keys.randomElement(using: &generator)!
                let range = KeyRange(key: key, rangeEnd: end)
                next += 1
                hub.insert(WatchKey(next), range: range)
                all[next] = range
            } else {
                let watcher = all.keys.sorted().randomElement(using: &generator)!
                all[watcher] = nil
                hub.remove(WatchKey(watcher))
            }
            let found = Self.matches(hub, key)
            if found.sorted() != all.filter({ $0.value.contains(key) }).map(\.key).sorted() || hub.count != all.count {
                Issue.record("step \(step) differs")
                return
            }
            if step % 50 == 0 { hub.invariants() }
        }
    }

    @Test("ten thousand watches created and cancelled in a loop leave nothing behind")
    func churn() {
        var hub = WatchHub()
        for round in 0..<10_000 {
            let watcher = WatchKey(UInt64(round))
            let key = ByteString("k\(round % 7)")
            hub.insert(watcher, range: round % 2 == 0 ? KeyRange(single: key) : .prefix(key))
            hub.remove(watcher)
        }
        hub.invariants()
        let found = Self.matches(hub, "k1")
        #expect(hub.isEmpty && found.isEmpty)
    }
}

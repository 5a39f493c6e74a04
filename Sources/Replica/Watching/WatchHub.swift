// Owns: which watchers look at a key: those of that key alone by hash, those of ranges by an interval tree.
// Must never: know what a watcher has been sent, or on which stream it is. Dictionary order never reaches a visit.
// Invariants: each watcher is registered once; it is in exactly one place, or nowhere where its range is empty.
package import Bytes
package import Keyspace

/// A handle on a watcher, drawn by whoever registers it. Matches come in ascending order of handles within a range.
package struct WatchKey: Hashable, Comparable, Sendable {
    package var rawValue: UInt64

    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    package static func < (a: WatchKey, b: WatchKey) -> Bool { a.rawValue < b.rawValue }
}

/// Finds the watchers of an event. Watchers of other keys cost nothing, however many there are.
package struct WatchHub: ~Copyable {
    private var singles: [ByteString: WatcherList] = [:]
    private var intervals = IntervalTree()
    private var registered: [WatchKey: KeyRange] = [:]

    package init() {}

    /// Watchers, whatever they look at.
    package var count: Int { registered.count }

    /// Where nobody watches anything, events need not be looked up at all.
    package var isEmpty: Bool { registered.isEmpty }

    /// What the watcher looks at; nil where it is not registered.
    package borrowing func range(of watcher: WatchKey) -> KeyRange? { registered[watcher] }

    /// Registers a watcher, whose handle must be new. An empty range is fine and never matches.
    package mutating func insert(_ watcher: WatchKey, range: KeyRange) {
        // A watch may stay for months: it must not keep the request that asked for it alive.
        let range = range.compacted()
        invariant(registered.updateValue(range, forKey: watcher) == nil, "watcher \(watcher.rawValue) was registered twice")
        if range.isEmpty { return }
        switch range.end {
        case .single:
            if singles[range.start]?.insert(watcher) == nil { singles[range.start] = WatcherList(watcher) }
        case .unbounded: intervals.insert(watcher, low: range.start, high: nil)
        case .before(let end): intervals.insert(watcher, low: range.start, high: end)
        }
    }

    /// Forgets a watcher. False where it is not registered.
    @discardableResult
    package mutating func remove(_ watcher: WatchKey) -> Bool {
        guard let range = registered.removeValue(forKey: watcher) else { return false }
        if range.isEmpty { return true }
        switch range.end {
        case .single:
            if singles[range.start]?.remove(watcher) == false { singles[range.start] = nil }
        case .unbounded: intervals.remove(watcher, low: range.start, high: nil)
        case .before(let end): intervals.remove(watcher, low: range.start, high: end)
        }
        return true
    }

    /// Visits every watcher of `key` once: first those of this key alone, then those of ranges in order of start and end
    /// (no end last); within the same range in ascending order of handles.
    package borrowing func matches(_ key: ByteString, _ visit: (WatchKey) -> Void) {
        if !singles.isEmpty, let watchers = singles[key] { watchers.visit(visit) }
        intervals.visit(key, visit)
    }

    /// Traps where the hub breaks its rules. Visits every watcher: for tests.
    package borrowing func invariants() {
        intervals.invariants()
        for (key, watchers) in singles {
            invariant(watchers.isValid, "the watchers of \(key) are out of order")
            watchers.visit { invariant(registered[$0] == KeyRange(single: key), "a watcher of \(key) is not registered") }
        }
        for (watcher, range) in registered where !range.isEmpty {
            var seen = 0
            matches(range.start) { if $0 == watcher { seen += 1 } }
            invariant(seen == 1, "watcher \(watcher.rawValue) was found \(seen) times at its start")
        }
    }
}

extension KeyRange {
    /// The same range, holding no more memory than it needs.
    fileprivate func compacted() -> KeyRange {
        if case .before(let end) = end { return KeyRange(start: start.compacted(), end: .before(end.compacted())) }
        return KeyRange(start: start.compacted(), end: end)
    }
}

// Owns: the watchers of one key or range, in order.
internal import Bytes
internal import Keyspace

/// The watchers of one key or interval, ascending. Nearly always one: kept without an allocation. Any number may leave, one after the
/// other, and each costs the same on average: those that have left stay marked in the list until they are half of it.
struct WatcherList {
    private struct Entry {
        var watcher: WatchKey
        var hasLeft = false
    }

    private var first: WatchKey
    /// Ascending, all after `first`; those before `head` have left.
    private var rest: [Entry] = []
    private var head = 0
    private var leftCount = 0

    init(_ watcher: WatchKey) { first = watcher }

    mutating func insert(_ watcher: WatchKey) {
        if watcher < first {
            prepend(first)
            first = watcher
            return
        }
        let index = position(of: watcher)
        if index < rest.count, rest[index].watcher == watcher {
            rest[index].hasLeft = false
            leftCount -= 1
        } else {
            rest.insert(Entry(watcher: watcher), at: index)
        }
    }

    /// False where it was the only one: then the list is to be thrown away.
    mutating func remove(_ watcher: WatchKey) -> Bool {
        if watcher == first { return removeFirst() }
        let index = position(of: watcher)
        invariant(
            index < rest.count && rest[index].watcher == watcher && !rest[index].hasLeft,
            "watcher \(watcher.rawValue) is not where it is registered")
        rest[index].hasLeft = true
        leftCount += 1
        tidy()
        return true
    }

    func visit(_ body: (WatchKey) -> Void) {
        body(first)
        for index in head..<rest.count where !rest[index].hasLeft { body(rest[index].watcher) }
    }

    var isValid: Bool {
        var last = first
        return leftCount == rest[head...].count(where: \.hasLeft)
            && rest[head...].allSatisfy { entry in
                defer { last = entry.watcher }
                return last < entry.watcher
            }
    }

    private mutating func prepend(_ watcher: WatchKey) {
        if head < rest.count, rest[head].watcher == watcher {
            rest[head].hasLeft = false
            leftCount -= 1
        } else if head > 0 {
            head -= 1
            rest[head] = Entry(watcher: watcher)
        } else {
            rest.insert(Entry(watcher: watcher), at: 0)
        }
    }

    private mutating func removeFirst() -> Bool {
        while head < rest.count {
            let entry = rest[head]
            head += 1
            if entry.hasLeft {
                leftCount -= 1
            } else {
                first = entry.watcher
                tidy()
                return true
            }
        }
        return false
    }

    private mutating func tidy() {
        guard (head + leftCount) * 2 > rest.count else { return }
        rest = rest[head...].filter { !$0.hasLeft }
        head = 0
        leftCount = 0
    }

    /// The index in `rest` of the first watcher that is not less. Handles grow, so it is mostly the end.
    private func position(of watcher: WatchKey) -> Int {
        if let last = rest.last, last.watcher < watcher { return rest.count }
        return (head..<rest.count).partitioningIndex { rest[$0].watcher >= watcher }
    }
}

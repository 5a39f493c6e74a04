// Owns: simulated time, and what is to happen when.
// Invariants: time never goes back; what is due at the same time happens in the order in which it was planned.
internal import HeapModule

/// Microseconds since the run began: the true time, which nobody in the run can see.
package typealias TrueTime = UInt64

struct Agenda {
    private struct Entry: Comparable {
        let time: TrueTime
        let number: UInt64
        let action: () -> Void

        static func < (a: Entry, b: Entry) -> Bool { a.time != b.time ? a.time < b.time : a.number < b.number }
        static func == (a: Entry, b: Entry) -> Bool { a.number == b.number }
    }

    private var entries = Heap<Entry>()
    private var nextNumber: UInt64 = 0
    private(set) var now: TrueTime = 0

    mutating func plan(after microseconds: Int, _ action: @escaping () -> Void) {
        entries.insert(Entry(time: now + UInt64(max(microseconds, 0)), number: nextNumber, action: action))
        nextNumber += 1
    }

    /// Moves on to what is due next and takes it out; nil where nothing is planned up to `end`.
    mutating func next(until end: TrueTime) -> (() -> Void)? {
        guard let entry = entries.min, entry.time <= end else {
            now = max(now, end)
            return nil
        }
        entries.removeMin()
        now = entry.time
        return entry.action
    }
}

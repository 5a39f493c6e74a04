// Owns: a set of keys, as disjoint ranges in order. To look a key up is one binary search, however many ranges there were.
// Invariant: no range is empty, and between two neighbours there is a key that is in neither: ranges that overlap or touch are one.
package import Bytes
internal import Glibc

/// Sets of keys.
package struct KeySet: Hashable, Sendable {
    package struct Interval: Hashable, Sendable {
        var start: ByteString
        /// The first key that is not inside; empty where all keys from the start on are.
        var end: ByteString

        /// Whether it ends at a key or after it, so that a range from there on joins it.
        func reaches(_ key: ByteString) -> Bool { end.isEmpty || key <= end }

        /// Whether it has a key that is not before its start.
        func reaches(past key: ByteString) -> Bool { end.isEmpty || key < end }
    }

    /// Ascending.
    package private(set) var intervals: [Interval] = []
    /// As they were granted, role by role: see `GrantTree`.
    private var granted: [Interval] = []

    package init() {}

    /// The keys of all `ranges`, in etcd's pairs of key and range end. Ranges without a key in them add nothing.
    package init(_ ranges: [(key: ByteString, rangeEnd: ByteString)]) {
        // `contains` reads the bytes of starts without counting references.
        ByteString.checkLayout()
        var parts: [Interval] = []
        for (key, rangeEnd) in ranges where !key.isEmpty {
            if rangeEnd.isEmpty {
                parts.append(Interval(start: key, end: key.successor))
            } else if rangeEnd.isOpenEnd {
                parts.append(Interval(start: key, end: ByteString()))
            } else if key < rangeEnd {
                parts.append(Interval(start: key, end: rangeEnd))
            }
        }
        granted = parts
        parts.sort { $0.start < $1.start }
        for part in parts {
            guard let last = intervals.last, last.reaches(part.start) else {
                intervals.append(part)
                continue
            }
            if !last.end.isEmpty && (part.end.isEmpty || part.end > last.end) { intervals[intervals.count - 1].end = part.end }
        }
    }

    /// Whether all keys of a range are inside. No range starts at the empty key, so it is in none.
    package func contains(key: ByteString, rangeEnd: ByteString) -> Bool {
        if key.isEmpty { return false }
        if !rangeEnd.isEmpty && rangeEnd <= key && !rangeEnd.isOpenEnd { return GrantTree(granted).visits(key: key, end: rangeEnd) }
        // The last interval that starts at the key or before it, found without a reference count for each comparison.
        let low = key.withUnsafeBytes { key in
            intervals.withUnsafeBufferPointer { intervals in
                (0..<intervals.count).partitioningIndex { index in
                    // An interval begins with its start.
                    let start = UnsafeRawPointer(intervals.baseAddress! + index).assumingMemoryBound(to: ByteString.self)
                    return !isOrdered(ByteString.unretainedBytes(at: start), key)
                }
            }
        }
        guard low > 0 else { return false }
        let last = intervals[low - 1]
        if last.end.isEmpty { return true }
        if rangeEnd.isOpenEnd { return false }
        return last.reaches(past: key) && (rangeEnd.isEmpty || rangeEnd <= last.end)
    }
}

extension ByteString {
    /// The key right after this one.
    fileprivate var successor: ByteString { ByteString(Array(self) + [0]) }

    /// As a range end: everything from the key on.
    fileprivate var isOpenEnd: Bool { count == 1 && self[0] == 0 }
}

/// Whether `a` comes before `b`, or is the same. Neither is empty.
@inline(__always)
private func isOrdered(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    let order = memcmp(a.baseAddress!, b.baseAddress!, min(a.count, b.count))
    return order < 0 || order == 0 && a.count <= b.count
}

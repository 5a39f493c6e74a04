// Owns: where an operation gets values: from memory, or from what was fetched from the log for it; and which of them it lacks.
// Must never: look anything up where the value is in memory, which is nearly always.
//
// An operation that meets a missing value goes on with nothing in its place, to find out what else it lacks. What it makes of that is
// thrown away: its caller is told what is missing, has it fetched, and runs the operation again with that.
package import Bytes

/// A value to fetch from the log by `position`.
package struct MissingValue: Hashable, Sendable {
    package var key: ByteString
    package var position: Position
    /// Its length in bytes.
    package var byteCount: Int

    package init(key: ByteString, position: Position, byteCount: Int) {
        self.key = key
        self.position = position
        self.byteCount = byteCount
    }
}

/// How often values were asked for.
package struct ValueCounts: Sendable, Hashable {
    /// In memory. Where an operation runs again, they count again.
    package fileprivate(set) var hits: UInt64 = 0
    /// Neither in memory nor fetched.
    package fileprivate(set) var misses: UInt64 = 0

    package init() {}

    @inline(__always)
    package static func += (counts: inout ValueCounts, more: ValueCounts) {
        counts.hits &+= more.hits
        counts.misses &+= more.misses
    }
}

/// The values of one operation, or of one step of it.
package struct ValueLookup: ~Copyable {
    private let fetched: [Position: ByteString]
    /// What the operation lacks, in the order in which it was met.
    package private(set) var missing: [MissingValue] = []
    /// What `missing` will take in memory, in bytes.
    package private(set) var missingBytes = 0
    package private(set) var counts = ValueCounts()

    /// - Parameter fetched: the values that were read from the log for the operation.
    @inline(__always)
    package init(_ fetched: [Position: ByteString] = [:]) { self.fetched = fetched }

    package var hasMissing: Bool { !missing.isEmpty }

    /// How many values are missing so far: a point to go back to by `forgetMissing`.
    var missingCount: Int { missing.count }

    /// Forgets what turned out to be missing since there were `count` of them: it will be met again.
    mutating func forgetMissing(after count: Int) {
        missing.removeLast(missing.count - count)
        missingBytes = missing.reduce(0) { $0 + $1.byteCount }
    }

    /// Hands out what is missing, and forgets it.
    package mutating func takeMissing() -> [MissingValue] {
        defer {
            missing = []
            missingBytes = 0
        }
        return missing
    }

    /// The value of a key's version. Where it can't be had: nothing, and it is missing.
    @inline(__always)
    package mutating func value(of version: borrowing KeyVersion, key: @autoclosure () -> ByteString) -> ByteString {
        if let value = version.value {
            counts.hits &+= 1
            return value
        }
        return fetchedValue(of: version, key())
    }

    /// The value of a version; nil where it can't be had now.
    package mutating func find(_ version: borrowing KeyVersion) -> ByteString? {
        if let value = version.value {
            counts.hits &+= 1
            return value
        }
        if let value = fetched[version.position] { return value }
        counts.misses &+= 1
        return nil
    }

    /// Whether the value can be had without fetching it; where it can't, it is missing.
    mutating func has(_ version: borrowing KeyVersion, key: @autoclosure () -> ByteString) -> Bool {
        if version.hasValue || fetched[version.position] != nil { return true }
        lacks(version, key())
        return false
    }

    /// The value that was fetched of the row at `position`.
    func fetchedValue(at position: Position) -> ByteString? { fetched[position] }

    @inline(never)
    private mutating func fetchedValue(of version: borrowing KeyVersion, _ key: ByteString) -> ByteString {
        if let value = fetched[version.position] { return value }
        lacks(version, key)
        return ByteString()
    }

    private mutating func lacks(_ version: borrowing KeyVersion, _ key: ByteString) {
        counts.misses &+= 1
        missing.append(MissingValue(key: key, position: version.position, byteCount: Int(version.valueLength)))
        missingBytes += Int(version.valueLength)
    }
}

// Owns: the values that an operation needs and memory does not hold: which are missing, and those that were fetched for it.
// Must never: be looked at where the value is in memory, which is nearly always.
//
// An operation that meets a missing value goes on with nothing in its place, to find out what else it lacks. Whatever it makes of
// that is thrown away by its caller, who looks at `missing` afterwards, has the values fetched, and runs it again.
package import Bytes

/// A value to fetch from the log by `position`.
package struct MissingValue: Hashable, Sendable {
    package var key: ByteString
    package var position: Position
    /// Its length in bytes.
    package var byteCount: Int
}

package final class ColdValues {
    /// What the operation under way lacks, in the order in which it was met.
    package private(set) var missing: [MissingValue] = []
    /// What was fetched for the operation under way.
    package var fetched: [Position: ByteString] = [:]
    /// Values that were asked for and not in memory, those fetched meanwhile included.
    package private(set) var missCount: UInt64 = 0
    /// Values that were asked for and in memory. Where an operation runs again, they count again.
    package private(set) var hitCount: UInt64 = 0

    init() {}

    package var hasMissing: Bool { !missing.isEmpty }

    /// What the missing values will take in memory, in bytes.
    package private(set) var missingBytes = 0

    /// How many values are missing so far: a point to go back to by `forgetMissing`.
    var missingCount: Int { missing.count }

    /// Forgets what turned out to be missing since there were `count` of them: it will be met again.
    func forgetMissing(after count: Int) {
        missing.removeLast(missing.count - count)
        missingBytes = missing.reduce(0) { $0 + $1.byteCount }
    }

    /// Forgets what is missing, and hands it out.
    package func takeMissing() -> [MissingValue] {
        defer {
            missing.removeAll()
            missingBytes = 0
        }
        return missing
    }

    /// The value of a key's version.
    @inline(__always)
    package func value(of version: borrowing KeyVersion, key: @autoclosure () -> ByteString) -> ByteString {
        if let value = version.value {
            hitCount &+= 1
            return value
        }
        return find(version.position, Int(version.valueLength), key())
    }

    /// Whether the value can be had without fetching it; notes it where it can't.
    func has(_ version: borrowing KeyVersion, key: @autoclosure () -> ByteString) -> Bool {
        if version.hasValue || fetched[version.position] != nil { return true }
        _ = find(version.position, Int(version.valueLength), key())
        return false
    }

    private func find(_ position: Position, _ byteCount: Int, _ key: ByteString) -> ByteString {
        if let value = fetched[position] { return value }
        missCount += 1
        missingBytes += byteCount
        missing.append(MissingValue(key: key, position: position, byteCount: byteCount))
        return ByteString()
    }
}

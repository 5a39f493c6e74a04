// Owns: counting observations by size.
// Must never: allocate while it counts.
// Invariant: there is a count for each bound, and one for what is beyond the last.

package struct Histogram: Sendable, Hashable {
    /// The buckets' upper bounds, each of which belongs to its bucket, ascending.
    package let bounds: [Double]
    /// Not cumulative.
    package private(set) var counts: [UInt64]
    package private(set) var sum = 0.0

    package init(_ bounds: [Double]) {
        self.bounds = bounds
        counts = [UInt64](repeating: 0, count: bounds.count + 1)
    }

    /// One that was counted elsewhere.
    package init(_ bounds: [Double], counts: [UInt64], sum: Double) {
        self.init(bounds)
        for (index, count) in counts.prefix(self.counts.count).enumerated() { self.counts[index] = count }
        self.sum = sum
    }

    package var count: UInt64 { counts.reduce(0, +) }

    package mutating func observe(_ value: Double) {
        var index = 0
        while index < bounds.count && value > bounds[index] { index += 1 }
        counts[index] += 1
        sum += value
    }

    /// Counts what another with the same bounds has counted.
    package mutating func add(_ other: Histogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        sum += other.sum
    }

    /// `count` bounds, each `factor` times the one before.
    package static func exponential(_ first: Double, _ factor: Double, _ count: Int) -> [Double] {
        var bounds: [Double] = []
        var bound = first
        for _ in 0..<count {
            bounds.append(bound)
            bound *= factor
        }
        return bounds
    }

    /// In seconds: etcd's for its disk, from 1 ms on, with finer ones before them, since a round trip to a near PostgreSQL takes
    /// less.
    package static let roundTripBounds = [0.000_125, 0.000_25, 0.000_5] + exponential(0.001, 2, 14)
    /// In seconds: those of Go's gRPC middleware, which etcd's gRPC metrics have.
    package static let callBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
}

// Owns: points in time as the replica knows them.
// Must never: come from a clock in here: the replica is told the time.

/// A point on a monotonic clock, in nanoseconds since some start that all instants of a process share. The replica is told
/// the time; it never asks.
package struct Instant: Hashable, Comparable, Sendable {
    package var nanoseconds: UInt64

    /// Never.
    package static let distantFuture = Instant(nanoseconds: .max)

    @inlinable
    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    @inlinable
    package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    @inlinable
    package func advanced(byMs milliseconds: Int) -> Instant {
        Instant(nanoseconds: nanoseconds &+ UInt64(milliseconds) &* 1_000_000)
    }
}

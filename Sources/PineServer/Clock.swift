// Owns: asking what time it is. Only the threads of the server do; the replica is told.
internal import Glibc
package import Replica

package enum Clock {
    /// The monotonic clock.
    package static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}

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

    /// The time of day, in milliseconds since 1970: what tokens expire by, which other processes look at as well.
    static var unixMs: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(max(time.tv_sec, 0)) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
    }
}

// Owns: a moment on the monotonic clock by which something must be done.

struct Deadline: Comparable {
    let instant: ContinuousClock.Instant

    static func after(_ duration: Duration) -> Deadline { Deadline(instant: .now.advanced(by: duration)) }

    static func < (one: Deadline, other: Deadline) -> Bool { one.instant < other.instant }

    var hasPassed: Bool { ContinuousClock.now >= instant }

    /// What poll(2) takes: milliseconds, rounded up so that a wake-up is never early; 0 once the deadline has passed.
    var pollTimeoutMs: Int32 {
        ContinuousClock.now.duration(to: instant).pollTimeoutMs
    }
}

extension Duration {
    var pollTimeoutMs: Int32 {
        guard self > .zero else { return 0 }
        let (seconds, attoseconds) = components
        guard seconds < 1_000_000 else { return 1_000_000_000 }
        return Int32(seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }

    /// As SQL takes a setting in milliseconds.
    var wholeMs: Int64 { Int64(pollTimeoutMs) }
}

// Owns: the decision that a peer sends too much of what costs it little.
// Must never: read a clock; the caller passes the time.

/// A bucket of `burst` tokens that fills up by `perSecond`.
struct TokenBucket: Equatable {
    private var tokens: Double
    private let burst: Double
    private let perSecond: Double
    private var filledAt: UInt64

    /// `now` in nanoseconds of any clock that doesn't go back.
    init(burst: Int, perSecond: Int, now: UInt64) {
        tokens = Double(burst)
        self.burst = Double(burst)
        self.perSecond = Double(perSecond)
        filledAt = now
    }

    /// Takes `count` tokens. False where there are not that many; then the bucket is empty.
    mutating func take(_ count: Int, now: UInt64) -> Bool {
        let elapsed = now > filledAt ? Double(now - filledAt) / 1e9 : 0
        filledAt = max(now, filledAt)
        tokens = min(burst, tokens + elapsed * perSecond)
        tokens -= Double(count)
        if tokens >= 0 { return true }
        tokens = 0
        return false
    }
}

/// Watches one connection for floods of frames that carry nothing, and of streams that come to nothing.
struct FloodGuard {
    private var idleFrames: TokenBucket
    private var resets: TokenBucket
    /// Counted, but not weighed yet: reading the clock for every frame would cost more than most floods.
    private var pendingIdleFrames = 0
    private static let weighAt = 64
    /// Frames that what we sent has paid for. A client that takes a long backlog of small messages may give back window for each
    /// of them much later.
    private var earned = 0
    private static let earnedLimit = 1 << 20

    init(limits: HTTP2Limits, now: UInt64) {
        idleFrames = TokenBucket(
            burst: limits.controlFrameBurstLimit, perSecond: limits.controlFramesPerSecondLimit, now: now)
        resets = TokenBucket(burst: limits.resetBurstLimit, perSecond: limits.resetsPerSecondLimit, now: now)
    }

    /// Counts what came (and what content we sent) since the last call. False: the peer floods us.
    mutating func permits(idleFrames idle: Int, resets reset: Int, contentFramesSent: Int, now: () -> UInt64) -> Bool {
        pendingIdleFrames += idle
        earned = min(earned + contentFramesSent, FloodGuard.earnedLimit)
        if reset == 0 && pendingIdleFrames < FloodGuard.weighAt { return true }
        let time = now()
        let paid = min(earned, pendingIdleFrames)
        earned -= paid
        let isCalm = idleFrames.take(pendingIdleFrames - paid, now: time)
        pendingIdleFrames = 0
        return (reset == 0 || resets.take(reset, now: time)) && isCalm
    }
}

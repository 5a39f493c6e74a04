// Owns: the decision how much of its time an event loop gives to handshakes.
// Must never: read a clock; the caller passes the time.

/// Handshakes are worked on for a slice of time; then the loop rests from them for as long as they took. So a flood of
/// handshakes, each of which costs a signature, takes half of the loop's time and no more, and a few wait for nothing.
struct HandshakePace: Equatable {
    /// Nanoseconds.
    private let slice: UInt64
    private var debt: UInt64 = 0
    private var updatedAt: UInt64 = 0

    init(sliceUs: UInt64) { slice = sliceUs * 1_000 }

    /// How many nanoseconds to wait before the next handshake may be worked on; 0 where it may now.
    mutating func wait(now: UInt64) -> UInt64 {
        settle(now)
        return debt <= slice ? 0 : debt - slice
    }

    /// A handshake was worked on for `nanoseconds`, until `now`.
    mutating func worked(_ nanoseconds: UInt64, now: UInt64) {
        settle(now)
        // Twice, since the time of working counts as rest, too.
        debt += 2 * nanoseconds
    }

    private mutating func settle(_ now: UInt64) {
        if now > updatedAt {
            debt -= min(debt, now - updatedAt)
            updatedAt = now
        }
    }
}

// Owns: how long to wait before trying again: exponential, with full jitter, so that processes don't come back in step.
internal import Glibc

struct Backoff {
    private let first: Duration
    private let most: Duration
    private var current: Duration

    init(first: Duration, most: Duration) {
        self.first = first
        self.most = most
        current = first
    }

    /// The next pause: a random part of a bound that doubles each time up to the most.
    mutating func next() -> Duration {
        let bound = current
        current = min(current * 2, most)
        return bound * Double.random(in: 0.1...1)
    }

    mutating func reset() { current = first }

    /// Waits for `next()` on this thread.
    mutating func pause() {
        let (seconds, attoseconds) = next().components
        var left = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        var rest = timespec()
        while nanosleep(&left, &rest) != 0 && errno == EINTR { left = rest }
    }
}

// Owns: how many streams and watchers there are.

/// How much is kept for watches: for metrics, and for tests that look for leaks.
package struct WatchCounts: Sendable, Hashable {
    package var streams = 0
    package var watchers = 0
    /// Watchers that are catching up, those of clients that don't read included.
    package var lagging = 0

    package var isEmpty: Bool { self == WatchCounts() }
}

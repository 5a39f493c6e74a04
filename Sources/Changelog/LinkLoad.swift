// Owns: what the connections of a process know together of the way to the server: how many bytes are in flight on it, and how fast it is.
//
// A silence has to be judged by what is in flight: behind 1 MiB on a link of 400 KiB/s no answer can come for 2.6 s, on whatever
// connection, though nothing is wrong. The kernel tells how much of that its peer has not acknowledged, but a proxy on the way may
// acknowledge much more than it has passed on. So the time is computed from bytes and the rate that was measured.
//
// Must never: make anybody wait for longer where little is in flight.
internal import Synchronization

final class LinkLoad: Sendable {
    private struct State {
        var inFlightBytes = 0
        /// Of bulk statements from their start to their answer; nil before the first.
        var bytesPerSecond: Double?
    }

    /// Statements from this size on tell how fast the link is; smaller ones how far away the server is.
    static let bulkBytes = 64 << 10
    /// Assumed before anything is measured, in bytes per second.
    private static let assumedRate = 512.0 * 1024
    /// What is in flight may take as many times longer than at the measured rate.
    private static let margin = 2.0
    /// However much is in flight, and however slow it was.
    private static let transferTimeLimit = Duration.seconds(60)

    private let state = Mutex(State())

    /// Bytes per second.
    var rate: Double { state.withLock { $0.bytesPerSecond ?? Self.assumedRate } }

    func sent(_ bytes: Int) {
        guard bytes > 0 else { return }
        state.withLock { $0.inFlightBytes += bytes }
    }

    /// These bytes are not in flight any more: answered, or their connection is gone.
    func settled(_ bytes: Int) {
        guard bytes > 0 else { return }
        state.withLock { $0.inFlightBytes -= bytes }
    }

    /// A statement of so many bytes was answered after `time`.
    func measured(_ bytes: Int, in time: Duration) {
        guard bytes >= Self.bulkBytes else { return }
        let sample = Double(bytes) / max(time.seconds, 0.001)
        state.withLock { state in
            guard let known = state.bytesPerSecond else {
                state.bytesPerSecond = sample
                return
            }
            // Slower is believed sooner: patience costs less than a connection.
            state.bytesPerSecond = sample < known ? (known + sample) / 2 : known + (sample - known) / 8
        }
    }

    /// How long so many bytes may take at the rate that was measured; no time where none was.
    func time(forBytes bytes: Int) -> Duration {
        guard let rate = state.withLock({ $0.bytesPerSecond }) else { return .zero }
        return .seconds(min(Self.margin * Double(bytes) / max(rate, 1), Self.transferTimeLimit.seconds))
    }

    /// How long what is in flight may take to get through, beyond the time that an answer takes otherwise.
    var transferTime: Duration {
        state.withLock { state in
            guard state.inFlightBytes > 0 else { return .zero }
            let seconds = Self.margin * Double(state.inFlightBytes) / max(state.bytesPerSecond ?? Self.assumedRate, 1)
            return seconds < Self.transferTimeLimit.seconds ? .seconds(seconds) : Self.transferTimeLimit
        }
    }
}

// Owns: what is counted while requests are sent: latencies by kind, events, errors.
internal import Histogram

typealias Latencies = Histogram<UInt64>

/// Nanoseconds, from one microsecond to ten minutes, to three digits.
func makeLatencies() -> Latencies {
    Latencies(lowestDiscernibleValue: 1_000, highestTrackableValue: 600_000_000_000, numberOfSignificantValueDigits: .three)
}

struct Tally: Sendable {
    var latencies: [Latencies]
    /// From the start of a write to its event's arrival at one watcher.
    var eventLatencies = makeLatencies()
    var requests = 0
    var events = 0
    var bytesReceived = 0
    /// How often which error came.
    var errors: [String: Int] = [:]
    /// Monotonic, in nanoseconds; 0 where nothing was sent.
    var began: UInt64 = 0
    var ended: UInt64 = 0
    /// When the last event had come; 0 without watchers.
    var eventsEnded: UInt64 = 0

    /// Texts that are told apart; the rest is counted together.
    private static let errorLimit = 20

    init(kinds: Int) { latencies = (0..<kinds).map { _ in makeLatencies() } }

    mutating func count(_ error: String) {
        let isKnown = errors[error] != nil || errors.count < Self.errorLimit
        errors[isKnown ? error : "other errors", default: 0] += 1
    }

    mutating func add(_ other: Tally) {
        for index in latencies.indices { latencies[index].add(other.latencies[index]) }
        eventLatencies.add(other.eventLatencies)
        requests += other.requests
        events += other.events
        bytesReceived += other.bytesReceived
        for (error, count) in other.errors { errors[error, default: 0] += count }
        if other.began != 0 { began = began == 0 ? other.began : min(began, other.began) }
        ended = max(ended, other.ended)
    }

    var errorCount: Int { errors.values.reduce(0, +) }
    var eventSeconds: Double { eventsEnded > began ? Double(eventsEnded - began) / 1e9 : 0 }
    var seconds: Double { ended > began ? Double(ended - began) / 1e9 : 0 }
}

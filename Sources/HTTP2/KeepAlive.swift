// Owns: when to ping a silent peer, when to give it up, and when its own pings are too many.
// Must never: read a clock or a socket: time goes in, decisions come out.

/// The server's side of gRPC's keep-alive. The defaults are etcd's.
package struct KeepAlivePolicy: Sendable {
    /// Ping a peer that was silent for this long. 0: never.
    package var intervalMs: Int64 = 2 * 60 * 60 * 1000
    /// Close the connection when the ping isn't answered, by any frame, within this time.
    package var timeoutMs: Int64 = 20_000
    /// The least time between two pings of the peer's.
    package var enforcedMinTimeMs: Int64 = 5_000
    /// Whether a peer may ping while it has no stream open.
    package var permitsWithoutStream = false

    package init() {}
}

struct KeepAlive {
    private let policy: KeepAlivePolicy
    /// Nanoseconds, of the caller's clock.
    private var lastHeardAt: UInt64
    private var pingSentAt: UInt64?
    private var lastPingReceivedAt: UInt64?
    private var strikes = 0
    /// As many pings too early are forgiven.
    private static let strikesLimit = 2
    /// Without a stream a peer has no reason to ping more often.
    private static let idlePingMinTime: UInt64 = 2 * 60 * 60 * 1_000_000_000

    enum Action: Equatable {
        case none
        case ping
        case close
    }

    init(policy: KeepAlivePolicy, now: UInt64) {
        self.policy = policy
        lastHeardAt = now
    }

    /// Looks at the clock. `heard`: whether any frame came since the last call.
    mutating func tick(now: UInt64, heard: Bool) -> Action {
        if heard {
            lastHeardAt = now
            pingSentAt = nil
        }
        guard policy.intervalMs > 0 else { return .none }
        if let pingSentAt {
            return now &- pingSentAt >= UInt64(policy.timeoutMs) * 1_000_000 ? .close : .none
        }
        if now &- lastHeardAt >= UInt64(policy.intervalMs) * 1_000_000 {
            pingSentAt = now
            return .ping
        }
        return .none
    }

    /// The peer has pinged. `contentSent`: whether we sent HEADERS or DATA since its last ping, which excuses this one.
    /// False: it pings too much.
    mutating func pingReceived(now: UInt64, contentSent: Bool, hasStreams: Bool) -> Bool {
        defer { lastPingReceivedAt = now }
        if contentSent {
            strikes = 0
            return true
        }
        guard let last = lastPingReceivedAt else { return true }
        let minTime =
            hasStreams || policy.permitsWithoutStream
            ? UInt64(policy.enforcedMinTimeMs) * 1_000_000 : KeepAlive.idlePingMinTime
        if now &- last < minTime { strikes += 1 }
        return strikes <= KeepAlive.strikesLimit
    }
}

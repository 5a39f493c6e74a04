// Owns: how the handshakes came out.

/// What became of a connection's handshake.
package enum TLSOutcome: String, CaseIterable, Sendable {
    case done
    /// Not by our rules, or not TLS at all.
    case refused
    /// It took too long.
    case timedOut = "timed_out"
    /// It had to go for others, as too many were under way.
    case crowdedOut = "crowded_out"
    /// The peer went away.
    case abandoned
}

/// Totals of one event loop.
package struct TLSCounters: Sendable, Equatable {
    /// Handshakes that have ended, by outcome. The sum of these and `underWay` is that of all connections.
    package var ended: [TLSOutcome: UInt64] = [:]
    package var underWay = 0

    package init() {}

    /// Counts what another loop has counted.
    package mutating func add(_ other: TLSCounters) {
        ended.merge(other.ended, uniquingKeysWith: +)
        underWay += other.underWay
    }
}

// Owns: the totals of the log's threads, as they are shown.
package import Metrics

/// Totals since the start.
package struct LogCounters: Sendable {
    /// What PostgreSQL was asked, by kind: how long the round trips took that were answered, in seconds.
    package var roundTrips: [LogOperation: Histogram] = [:]
    /// Rows of each append that PostgreSQL has committed.
    package var appendRows = Histogram([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000])
    /// Bytes of their keys and values.
    package var appendedBytes: UInt64 = 0
    /// Operations that failed, connection attempts included.
    package var failures: [LogOperation: UInt64] = [:]
    /// Statements of the chores that PostgreSQL refused with an error of its own.
    package var refusals: [Refusal: UInt64] = [:]
    package var connectionsMade: UInt64 = 0
    /// Outages, and how long those lasted that are over, in seconds.
    package var outages: UInt64 = 0
    package var outageSeconds = 0.0
    /// Whether PostgreSQL is away now, and why.
    package var away: String?
    package var slowStatements: UInt64 = 0
    /// Whether the server's settings let acknowledged writes vanish, as far as is known.
    package var isUnsafe = false
    /// Whether commits wait for a standby; nil until the server was asked.
    package var isReplicated: Bool?
    /// How often the log's rows were compared with their hashes, by loading or apart, and what was found the last time.
    package var rowChecks: UInt64 = 0
    package var rowFinding = RowFinding()

    package init() {
        for operation in LogOperation.allCases {
            roundTrips[operation] = Histogram(Histogram.roundTripBounds)
            failures[operation] = 0
        }
    }
}

// Owns: what the log's threads count and time, for whoever shows it.
// Must never: hold its lock for longer than a few additions.
package import Metrics
internal import Synchronization

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

package struct Refusal: Hashable, Sendable {
    package var operation: LogOperation
    /// SQLSTATE.
    package var state: String
}

/// The kinds of things that PostgreSQL is asked.
package enum LogOperation: String, CaseIterable, Sendable {
    case connect
    case append
    case lockHead = "lock_head"
    case recover
    case readHead = "read_head"
    case readTail = "read_tail"
    case readHistory = "read_history"
    case readValues = "read_values"
    case deleteRows = "delete_rows"
    case lease
    case ask
}

final class LogMetrics: Sendable {
    private let state = Mutex(LogCounters())

    var counters: LogCounters { state.withLock { $0 } }

    func answered(_ operation: LogOperation, since start: ContinuousClock.Instant) {
        let seconds = start.duration(to: .now).seconds
        state.withLock { $0.roundTrips[operation]!.observe(seconds) }
    }

    func appended(rows: Int, bytes: Int, since start: ContinuousClock.Instant) {
        let seconds = start.duration(to: .now).seconds
        state.withLock {
            $0.roundTrips[.append]!.observe(seconds)
            $0.appendRows.observe(Double(rows))
            $0.appendedBytes += UInt64(bytes)
        }
    }

    func failed(_ operation: LogOperation) {
        state.withLock { $0.failures[operation]! += 1 }
    }

    func refused(_ operation: LogOperation, state sqlState: String) {
        state.withLock {
            $0.failures[operation]! += 1
            $0.refusals[Refusal(operation: operation, state: sqlState), default: 0] += 1
        }
    }

    func connected(since start: ContinuousClock.Instant) {
        answered(.connect, since: start)
        state.withLock { $0.connectionsMade += 1 }
    }

    func outageBegan(_ reason: String) {
        state.withLock {
            $0.outages += 1
            $0.away = reason
        }
    }

    /// Why it lasts, if that is not why it began.
    func outageGoesOn(_ reason: String) {
        state.withLock { if $0.away != nil { $0.away = reason } }
    }

    func outageEnded(after duration: Duration) {
        state.withLock {
            $0.outageSeconds += duration.seconds
            $0.away = nil
        }
    }

    func looked(isUnsafe: Bool, isReplicated: Bool) {
        state.withLock {
            $0.isUnsafe = isUnsafe
            $0.isReplicated = isReplicated
        }
    }

    func foundUnsafe() { state.withLock { $0.isUnsafe = true } }

    func checked(_ finding: RowFinding) {
        state.withLock {
            $0.rowChecks += 1
            $0.rowFinding = finding
        }
    }

    func statementWasSlow() { state.withLock { $0.slowStatements += 1 } }
}

extension Duration {
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}

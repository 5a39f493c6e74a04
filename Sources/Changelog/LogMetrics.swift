// Owns: what the log's threads count and time, for whoever shows it.
// Must never: hold its lock for longer than a few additions.
internal import Metrics
internal import Synchronization

package struct Refusal: Hashable, Sendable {
    package var operation: LogOperation
    /// SQLSTATE.
    package var state: String
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

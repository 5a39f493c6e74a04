// Owns: what an operator hears of chores that PostgreSQL refuses while it serves everything else: one line for each chore and SQLSTATE, and
// one now and then while it lasts.
internal import Logging
internal import Synchronization

final class Refusals: Sendable {
    private struct Told {
        var at: ContinuousClock.Instant
        /// Since that line.
        var unlogged = 0
    }

    private struct Key: Hashable {
        var chore: String
        var state: String
    }

    private static let reminderInterval = Duration.seconds(60)

    private let told = Mutex<[Key: Told]>([:])
    private let logger: Logger
    private let metrics: LogMetrics

    init(logger: Logger, metrics: LogMetrics) {
        self.logger = logger
        self.metrics = metrics
    }

    func note(_ operation: LogOperation, chore: String, state: String, _ error: LogError) {
        metrics.refused(operation, state: state)
        let now = ContinuousClock.now
        let unlogged = told.withLock { told -> Int? in
            let key = Key(chore: chore, state: state)
            if let last = told[key], last.at.duration(to: now) < Self.reminderInterval {
                told[key]?.unlogged += 1
                return nil
            }
            defer { told[key] = Told(at: now) }
            return told[key]?.unlogged ?? 0
        }
        guard let unlogged else { return }
        var metadata: Logger.Metadata = ["chore": "\(chore)", "sqlstate": "\(state)", "reason": "\(error)"]
        if unlogged > 0 { metadata["not_logged_before"] = "\(unlogged)" }
        logger.error("PostgreSQL refused a background task; retrying", metadata: metadata)
    }
}

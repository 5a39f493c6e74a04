// Owns: what the operator hears of the server's settings on which durability rests, as they change while Pine runs, and the metrics of
// that. Settings with which nothing may be served are errors of a session instead, and told by `Outage`.
// Must never: tell the same twice.
internal import Logging
internal import Synchronization

final class Durability: Sendable {
    private let last = Mutex<ServerState?>(nil)
    private let logger: Logger
    private let metrics: LogMetrics

    init(logger: Logger, metrics: LogMetrics) {
        self.logger = logger
        self.metrics = metrics
    }

    /// The server was looked at.
    func note(_ state: ServerState) {
        metrics.looked(isUnsafe: !state.unsafeSettings.isEmpty, isReplicated: !state.standbyNames.isEmpty)
        let before = last.withLock { last in
            defer { last = state }
            return last
        }
        if state.unsafeSettings != before?.unsafeSettings ?? [] {
            if state.unsafeSettings.isEmpty {
                logger.notice("PostgreSQL's settings are durable again")
            } else {
                logger.warning(
                    "acknowledged writes may vanish in a crash of PostgreSQL: served nevertheless, because of --allow-unsafe-durability",
                    metadata: ["off": "\(state.unsafeSettings.joined(separator: ", "))"])
            }
        }
        guard let before, before.standbyNames != state.standbyNames else { return }
        let metadata: Logger.Metadata = ["before": "\(before.standbyNames)", "now": "\(state.standbyNames)"]
        if state.standbyNames.isEmpty {
            logger.warning(
                "synchronous replication was switched off: a failover may lose acknowledged writes until synchronous_standby_names is set again",
                metadata: metadata)
        } else if before.standbyNames.isEmpty {
            logger.notice("synchronous replication was switched on", metadata: metadata)
        } else {
            logger.info("the synchronous standbys changed", metadata: metadata)
        }
    }
}

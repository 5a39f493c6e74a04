// Owns: what the operator hears of a database that is away: one line when the first connection is lost, one when all are back.
internal import Logging
internal import Synchronization

final class Outage: Sendable {
    private struct State {
        var away: Set<String> = []
        var since: ContinuousClock.Instant?
    }

    private let state = Mutex(State())
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// `worker` can't work. What does not pass by itself is told to the operator as an error.
    func lost(_ worker: String, _ error: LogError) {
        let isFirst = state.withLock { state in
            state.away.insert(worker)
            guard state.since == nil else { return false }
            state.since = .now
            return true
        }
        guard isFirst else {
            logger.debug("PostgreSQL is still away", metadata: ["connection": "\(worker)", "reason": "\(error)"])
            return
        }
        logger.log(
            level: error.passesByItself ? .warning : .error, "PostgreSQL is away",
            metadata: ["connection": "\(worker)", "reason": "\(error)"])
    }

    /// `worker` works again.
    func back(_ worker: String) {
        let since = state.withLock { state -> ContinuousClock.Instant? in
            guard state.away.remove(worker) != nil, state.away.isEmpty else { return nil }
            defer { state.since = nil }
            return state.since
        }
        guard let since else { return }
        logger.notice("PostgreSQL is back", metadata: ["after": "\(since.duration(to: .now))"])
    }
}

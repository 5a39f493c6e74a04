// Owns: what an operator hears of statements that took long: one line each, and not more of them than he can read.
// Must never: log a parameter: keys and values are the users'.
internal import Bytes
internal import Logging
internal import Synchronization

final class SlowStatements: Sendable {
    private struct State {
        var windowBegan: ContinuousClock.Instant?
        var logged = 0
        var unlogged = 0
    }

    private let threshold: Duration
    private let logger: Logger
    private let metrics: LogMetrics
    private let state = Mutex(State())
    /// So many lines in each window.
    private static let linesLimit = 5
    private static let window = Duration.seconds(10)

    init(threshold: Duration, logger: Logger, metrics: LogMetrics) {
        self.threshold = threshold
        self.logger = logger
        self.metrics = metrics
    }

    /// A statement on this worker's connection was answered, or failed with `error`.
    func note(_ statement: @autoclosure () -> String, since start: ContinuousClock.Instant, error: LogError? = nil) {
        let now = ContinuousClock.now
        let took = start.duration(to: now)
        guard took >= threshold else { return }
        metrics.statementWasSlow()
        let unlogged = state.withLock { state -> Int? in
            if let began = state.windowBegan, began.duration(to: now) < Self.window {
                guard state.logged < Self.linesLimit else {
                    state.unlogged += 1
                    return nil
                }
            } else {
                state.windowBegan = now
                state.logged = 0
            }
            state.logged += 1
            defer { state.unlogged = 0 }
            return state.unlogged
        }
        guard let unlogged else { return }
        var metadata: Logger.Metadata = ["took": "\(took.brief)", "statement": "\(Self.summary(statement()))"]
        if let error { metadata["error"] = "\(error)" }
        if unlogged > 0 { metadata["not_logged_before"] = "\(unlogged)" }
        logger.warning("slow SQL: PostgreSQL took long to answer", metadata: metadata)
    }

    /// The statement in one line, without its end where it is long.
    private static func summary(_ text: String) -> String {
        let line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return line.count > 120 ? line.prefix(120) + "..." : line
    }
}

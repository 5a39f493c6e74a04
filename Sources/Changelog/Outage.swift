// Owns: what the operator hears of a database that is away: one line when the first connection is lost, and where it doesn't pass
// soon, one for each other reason that turns up and one now and then while it lasts; one when all are back.
internal import Bytes
internal import Logging
internal import Synchronization

final class Outage: Sendable {
    private struct State {
        var away: Set<String> = []
        var since: ContinuousClock.Instant?
        /// The reasons that were told in this outage, and when the last was.
        var told: Set<String> = []
        var lastTold: ContinuousClock.Instant?
    }

    private enum News {
        case nothing
        case begun
        case otherReason
        case stillAway(Duration)
    }

    /// Texts may differ each time, by a process id for example: so many are told at most.
    private static let reasonLimit = 4
    /// A restart is over by then.
    private static let quietTime = Duration.seconds(1)
    private static let reminderInterval = Duration.seconds(60)

    private let state = Mutex(State())
    private let logger: Logger
    private let metrics: LogMetrics
    let hiddenPooler: HiddenPooler
    let timelines = Timelines()
    /// Hears of workers that can't work because there is no place for their connection.
    private let crowded = Mutex<(@Sendable (LogError) -> Void)?>(nil)

    init(logger: Logger, metrics: LogMetrics) {
        self.logger = logger
        self.metrics = metrics
        hiddenPooler = HiddenPooler(logger: logger)
    }

    func whenCrowded(_ body: @escaping @Sendable (LogError) -> Void) { crowded.withLock { $0 = body } }

    /// `worker` can't work. What does not pass by itself is told to the operator as an error.
    func lost(_ worker: String, _ error: LogError) {
        let reason = "\(error)"
        if error.isUnsafe { metrics.foundUnsafe() }
        if error.isCrowded { crowded.withLock { $0 }?(error) }
        let news = state.withLock { state -> News in
            state.away.insert(worker)
            let now = ContinuousClock.now
            guard let since = state.since else {
                state.since = now
                state.told = [reason]
                state.lastTold = now
                return .begun
            }
            // Connections break for the same cause in many words; why none can be made, or what the server says, is what matters.
            let lasts = since.duration(to: now) >= Self.quietTime
            if lasts || error.isUnsafe, !error.isLoss, state.told.count < Self.reasonLimit, state.told.insert(reason).inserted {
                state.lastTold = now
                return .otherReason
            }
            guard let lastTold = state.lastTold, lastTold.duration(to: now) >= Self.reminderInterval else { return .nothing }
            state.lastTold = now
            return .stillAway(since.duration(to: now))
        }
        var metadata: Logger.Metadata = ["connection": "\(worker)", "reason": "\(reason)"]
        let level: Logger.Level = error.passesByItself ? .warning : .error
        if case .begun = news { metrics.outageBegan(reason) }
        if case .otherReason = news { metrics.outageGoesOn(reason) }
        switch news {
        case .nothing: logger.debug("PostgreSQL is still away", metadata: metadata)
        case .begun, .otherReason: logger.log(level: level, error.headline, metadata: metadata)
        case .stillAway(let time):
            metadata["after"] = "\(time.brief)"
            logger.log(level: level, error.isUnsafe ? error.headline : "PostgreSQL is still away", metadata: metadata)
        }
    }

    /// `worker` works again.
    func back(_ worker: String) {
        let since = state.withLock { state -> ContinuousClock.Instant? in
            guard state.away.remove(worker) != nil, state.away.isEmpty else { return nil }
            defer { state.since = nil }
            return state.since
        }
        guard let since else { return }
        metrics.outageEnded(after: since.duration(to: .now))
        logger.notice("PostgreSQL is back", metadata: ["after": "\(since.duration(to: .now).brief)"])
    }
}

extension LogError {
    fileprivate var isLoss: Bool { if case .lost = self { true } else { false } }

    fileprivate var isUnsafe: Bool { if case .unsafeDurability = self { true } else { false } }

    /// What happened, before the reason.
    fileprivate var headline: Logger.Message {
        isUnsafe ? "stopped serving: PostgreSQL may lose acknowledged writes" : "PostgreSQL is away"
    }
}

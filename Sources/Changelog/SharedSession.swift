// Owns: what happens where PostgreSQL has fewer connections for this process than it has threads: appends and head reads keep theirs, and
// everything else runs on the head reads' session, on that session's thread.
// Must never: leave whoever waits for a turn there waiting once the log is closed.
// Invariant: an own connection is tried again only `retryInterval` after PostgreSQL last had none to give.
internal import Bytes
internal import Glibc
internal import Logging
internal import Synchronization

/// The places for connections, as far as this process knows.
final class SharedSession: Sendable {
    typealias Guest = @Sendable (Result<LogSession, LogError>) -> Void

    private struct State {
        var crowdedUntil: ContinuousClock.Instant?
        /// When others were last asked for their places.
        var lastYield: ContinuousClock.Instant?
    }

    private let state = Mutex(State())
    /// Hands a guest to the thread of the head reads.
    private let host: @Sendable (@escaping Guest) -> Void
    /// Asks the workers that can do without a connection to give theirs up.
    private let yieldOthers: @Sendable () -> Void
    private let wire: TripWire
    private let logger: Logger
    private static let retryInterval = Duration.seconds(30)
    private static let yieldInterval = Duration.seconds(10)

    init(
        wire: TripWire, logger: Logger, host: @escaping @Sendable (@escaping Guest) -> Void,
        yieldOthers: @escaping @Sendable () -> Void
    ) {
        self.wire = wire
        self.logger = logger
        self.host = host
        self.yieldOthers = yieldOthers
    }

    /// Whether PostgreSQL had no connection to give, a while ago at most.
    var isCrowded: Bool { state.withLock { $0.crowdedUntil.map { .now < $0 } ?? false } }

    /// A worker got no connection. True where that is for want of places. `isEssential`: it can't do without.
    func noteFailure(_ error: LogError, isEssential: Bool) -> Bool {
        guard error.isCrowded else { return false }
        let now = ContinuousClock.now
        let (isNews, yields) = state.withLock { state in
            let isNews = state.crowdedUntil.map { $0.advanced(by: Self.retryInterval) < now } ?? true
            state.crowdedUntil = now.advanced(by: Self.retryInterval)
            let yields = isEssential && state.lastYield.map { $0.advanced(by: Self.yieldInterval) < now } ?? true
            if yields { state.lastYield = now }
            return (isNews, yields)
        }
        if isNews {
            logger.warning(
                "PostgreSQL has too few connections: background tasks and rare reads share that of the head reads. Let Pine's role and its database have at least six for each member",
                metadata: ["reason": "\(error)"])
        }
        if yields { yieldOthers() }
        return true
    }

    /// Runs `work` with the session of the head reads, on its thread, and waits for what it gives.
    func run<R: Sendable>(_ work: @escaping @Sendable (LogSession) throws(LogError) -> R) throws(LogError) -> R {
        let (box, end) = (Outcome<R>(), TripWire())
        host { session in
            let result: Result<R, LogError>
            do throws(LogError) {
                result = .success(try work(try session.get()))
            } catch {
                result = .failure(error)
            }
            box.result.withLock { $0 = result }
            end.trip()
        }
        var entries = [wire.descriptor, end.descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while poll(&entries, 2, -1) < 0 && errno == EINTR {}
        guard entries[1].revents != 0, let result = box.result.withLock({ $0 }) else { throw LogError.closed }
        return try result.get()
    }

    private final class Outcome<R: Sendable>: Sendable {
        let result = Mutex<Result<R, LogError>?>(nil)
    }
}

extension LogError {
    /// Whether there was no place for another connection: of the server, the database, or the role.
    var isCrowded: Bool { if case .rejected(SQLState.tooManyConnections, _) = self { true } else { false } }
}

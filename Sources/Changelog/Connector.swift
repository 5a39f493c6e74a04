// Owns: the attempts to make one connection, and how often the threads of a process begin one while none is answered.
//
// A network that swallows what is sent may have healed a moment after an attempt began, which is none the wiser, and a server that is slow
// must be given time nevertheless. So the next attempt is begun beside one that has no answer yet. Something in between may hand all
// of them on to a server that waits for more, and has only so many places: while nothing is answered, the threads of a process
// begin one attempt an interval together, and all of them at once when one has an answer.
//
// Must never: begin attempts faster than that while others are under way, or have more than a few.
internal import Bytes
internal import Logging
internal import Synchronization

struct Connector {
    private let pace: ConnectPace
    /// Those that have not been taken, oldest first.
    private var attempts: [ConnectAttempt] = []
    /// How long the attempt took that made the last connection.
    private(set) var connectTime = Duration.zero
    /// What libpq said of the last attempt that nobody answered, since there was a connection: it names the host.
    private var lastTimeout: LogError?

    /// As many as begin at the default interval until the first has ended.
    private static let attemptLimit = 5
    /// How often is looked whether an attempt may begin that others stand in the way of.
    private static let lookInterval = Duration.milliseconds(50)

    init(pace: ConnectPace) { self.pace = pace }

    /// A new connection. What is still under way after `limit` goes on, for the next call.
    mutating func connect(
        _ settings: LogSettings, within limit: Duration, interrupt: Int32, logger: Logger
    ) throws(LogError) -> PostgresConnection {
        let start = ContinuousClock.now
        let end = Deadline(instant: start.advanced(by: limit))
        while true {
            if let connection = try takeEnded(since: start, interrupt: interrupt, logger: logger) { return connection }
            if end.hasPassed {
                throw lastTimeout ?? .unreachable("timeout expired: no answer to an attempt to connect within \(limit.brief)")
            }
            if attempts.count < Self.attemptLimit,
                pace.begin(after: attempts.last?.startedAt, interval: settings.limits.connectInterval)
            {
                attempts.append(try ConnectAttempt(conninfo: try settings.currentConninfo(), limit: limit))
            }
            try ConnectAttempt.wait(for: attempts, interrupt: interrupt, min(.after(Self.lookInterval), end))
        }
    }

    /// The first connection that has been made, after which nobody needs the others. What the newest attempt failed with is thrown
    /// where it began after `start`: older ones tell how it was.
    private mutating func takeEnded(
        since start: ContinuousClock.Instant, interrupt: Int32, logger: Logger
    ) throws(LogError) -> PostgresConnection? {
        while let index = attempts.firstIndex(where: \.hasEnded) {
            let isNewest = index == attempts.count - 1
            let attempt = attempts.remove(at: index)
            do throws(LogError) {
                let connection = try PostgresConnection(of: attempt, prepares: false, interrupt: interrupt, logger: logger)
                connectTime = attempt.startedAt.duration(to: .now)
                pace.ended(attempt.startedAt, hasAnswer: true)
                attempts = []
                lastTimeout = nil
                return connection
            } catch {
                lastTimeout = error.isTimeout ? error : nil
                pace.ended(attempt.startedAt, hasAnswer: !error.isTimeout)
                if isNewest, attempt.startedAt >= start { throw error }
            }
        }
        return nil
    }
}

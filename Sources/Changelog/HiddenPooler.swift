// Owns: whether a connection pooler was found out by what it did to prepared statements, which outlive no transaction behind it. One that
// gives its own process ids is found on connecting; one that passes the server's on looks like the server itself.
// Invariant: once found it is there for good.
internal import Logging
internal import Synchronization

final class HiddenPooler: Sendable {
    private let wasFound = Atomic(false)
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    var isFound: Bool { wasFound.load(ordering: .acquiring) }

    /// True where it is this error that gives a pooler away: the session it came from is of no more use.
    func isGivenAway(by error: LogError) -> Bool {
        guard case .refused(let state, let message) = error, SQLState.tellsOfPooler(state) else { return false }
        if !wasFound.exchange(true, ordering: .acquiringAndReleasing) {
            logger.warning(
                "found a connection pooler that passes itself off as PostgreSQL: sending statements unprepared from now on (--no-prepared-statements)",
                metadata: ["sqlstate": "\(state)", "reason": "\(message)"])
        }
        return true
    }
}

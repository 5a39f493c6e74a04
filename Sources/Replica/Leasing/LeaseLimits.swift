// Owns: how much the replica does about leases at once, and how often.

/// Limits and intervals of everything about leases.
package struct LeaseLimits: Sendable {
    /// Questions about leases that wait, before "too many requests".
    package var questionLimit = 200_000
    /// Deadlines that one round sets, and questions that it answers.
    package var roundLimit = 4_000
    /// Rounds that nobody waits for a moment for: so many at once, and then one each interval.
    package var roundBurst = 10
    package var roundIntervalMs = 100
    /// The interval after a round with very many questions: the more there are to collect, the fewer statements.
    package var roundIntervalMaxMs = 250
    /// How long a process holds the steward's duty without renewing it, and how often it does renew.
    package var dutyTermMs = 6_000
    package var dutyIntervalMs = 2_000
    /// How often it asks how far the steward has come with deleting while a client waits for that.
    package var sweptIntervalMs = 100
    /// When the log was out of reach for this long, clients may have been unable to keep their leases alive; not where it always takes so
    /// long: then the deadlines' slack allows for it.
    package var outageMs = 1_000
    /// A deadline lies this far behind what the client is told, so that it is right even if the answer takes so long. More where
    /// answers are slow.
    package var slackMinMs = 200
    package var slackMaxMs = 5_000
    /// Leases, and rows, that one append expires at most; one lease may have more rows.
    package var expiryLeaseLimit = 500
    package var expiryRowLimit = 1_000
    /// The steward looks for leases that are due no more often than this, and at least this often while there are any.
    package var dueIntervalMinMs = 50
    package var dueIntervalMaxMs = 5_000
    /// How often the steward makes sure that every lease has a deadline.
    package var sweepIntervalMs = 30_000
    /// After a failure.
    package var retryMs = 200

    package init() {}
}

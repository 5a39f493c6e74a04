// Owns: the log on its way into memory: what it is compared with meanwhile, whether its rows add up, and when a damaged log is loaded again.
// Must never: let a log be served whose rows don't add up to its digest, as far as that can be told.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct Loading {
    /// What a log that was read to its end is worth.
    enum Outcome: Equatable {
        /// Its rows don't add up: it is loaded again after so long, in case that somebody has mended it.
        case damaged(retryMs: Int)
        /// It lacks what was served: `Revision` is the highest of that.
        case lost(Revision)
        case whole
    }

    private(set) var history: ServedHistory
    /// Whether every row was loaded with its value, so that the digest is known without being told.
    private var hasAllValues = true
    /// When to load the log again that was damaged.
    private var retryAt: Instant?
    /// How long the next wait is: somebody has to mend the log first.
    private var pauseMs = firstReloadPauseMs

    init(_ history: ServedHistory) { self.history = history }

    mutating func rowsLoaded(_ rows: [LogRow]) { history.passed(rows) }

    /// Rows whose values stay in the log. None of them is past what was served.
    mutating func rowsLoadedWithoutValues(_ rows: [LogRow]) {
        hasAllValues = false
        history.passed(rows.filter { $0.kind == .digestKey })
    }

    /// The rows come again from the start.
    mutating func restarted() {
        hasAllValues = true
        history.loadingBegan()
    }

    /// All rows up to `head` were loaded, and have led to `end`.
    mutating func finished(_ head: Head, at end: UnverifiedRows.Point, now: Instant) -> Outcome {
        // Before the first compaction nothing has been removed, so the rows must add up to the digest.
        if head.compactRevision < 0, hasAllValues, end != UnverifiedRows.Point(position: head.position, digest: head.digest) {
            defer { pauseMs = min(pauseMs * 2, reloadPauseLimitMs) }
            retryAt = now.advanced(byMs: pauseMs)
            return .damaged(retryMs: pauseMs)
        }
        pauseMs = firstReloadPauseMs
        return history.lostRevision(from: head).map { .lost($0) } ?? .whole
    }

    /// True, once, where it is time to load a damaged log again.
    mutating func isRetryDue(_ now: Instant) -> Bool {
        guard let retryAt, now >= retryAt else { return false }
        self.retryAt = nil
        return true
    }

    /// Traps where it breaks its rules.
    func invariants() {
        invariant((firstReloadPauseMs...reloadPauseLimitMs).contains(pauseMs), "a damaged log is loaded again after \(pauseMs) ms")
        invariant(retryAt == nil || pauseMs > firstReloadPauseMs, "a log is to be loaded again that was not damaged")
    }
}

private let firstReloadPauseMs = 1_000
private let reloadPauseLimitMs = 60_000

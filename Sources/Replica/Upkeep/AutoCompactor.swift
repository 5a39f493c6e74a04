// Owns: when a compaction is due that nobody asks for, since the retention of revisions is over.
// Must never: compact where another process is the steward. All count the time, one acts.
// Source: server/etcdserver/api/v3compactor/{periodic,revision}.go of etcd, whose rhythm this keeps.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// `--auto-compaction-mode` and `--auto-compaction-retention`.
package enum AutoCompaction: Sendable, Hashable {
    case off
    /// What is older than this may go.
    case periodic(retentionMs: Int)
    /// All but the newest so many revisions may go.
    case revision(retention: Int64)

    /// How often it is looked whether a compaction is due: a tenth of the period, of an hour at most.
    fileprivate var tickMs: Int? {
        switch self {
        case .off: nil
        case .periodic(let retentionMs): max(min(retentionMs, hourMs) / 10, 1)
        case .revision: 300_000
        }
    }
}

private let hourMs = 3_600_000

struct AutoCompactor {
    private let mode: AutoCompaction
    /// The revisions at the last ticks, as many as lie in a period.
    private var revisions = Deque<Revision>()
    private var nextTick: Instant?
    /// The revision of the last compaction that was due, and when that was done, by whomever; or when counting began.
    private var lastRevision: Revision = 0
    private var lastDoneAt = Instant(nanoseconds: 0)
    /// The first compaction waits for the whole period, later ones for an hour at most.
    private var isFirst = true
    /// What this process is compacting to.
    private var compacting: Revision?

    init(_ mode: AutoCompaction) { self.mode = mode }

    /// When `tick` is to be called at the latest.
    func deadline(_ now: Instant) -> Instant { mode == .off ? .distantFuture : nextTick ?? now }

    /// The revision to compact to, where that is due and this process's to do: `compacted` or `failed` has to follow.
    mutating func tick(_ now: Instant, revision: Revision, compactRevision: Revision, isSteward: Bool) -> Revision? {
        guard let tickMs = mode.tickMs else { return nil }
        guard let tick = nextTick else {
            lastDoneAt = now
            revisions = [revision]
            nextTick = now.advanced(byMs: tickMs)
            return nil
        }
        guard now >= tick else { return nil }
        nextTick = now.advanced(byMs: tickMs)
        guard let due = due(now, revision, tickMs: tickMs), due > 0, due != lastRevision, compacting == nil else { return nil }
        isFirst = false
        if due <= compactRevision {
            done(due, now)
        } else if isSteward {
            compacting = due
        }
        return compacting
    }

    private mutating func due(_ now: Instant, _ revision: Revision, tickMs: Int) -> Revision? {
        switch mode {
        case .off: return nil
        case .revision(let retention): return revision - retention
        case .periodic(let retentionMs):
            let intervalMs = isFirst ? retentionMs : min(retentionMs, hourMs)
            let due = now >= lastDoneAt.advanced(byMs: intervalMs) ? revisions.first : nil
            revisions.append(revision)
            while revisions.count > retentionMs / tickMs + 1 { revisions.removeFirst() }
            return due
        }
    }

    /// It is done, by this process or, meanwhile, by another. The revision; nil where nothing was asked for.
    mutating func compacted(_ now: Instant) -> Revision? {
        guard let revision = compacting else { return nil }
        compacting = nil
        done(revision, now)
        return revision
    }

    /// It could not be done, and is tried again at the next tick. False where nothing was asked for.
    mutating func failed() -> Bool {
        defer { compacting = nil }
        return compacting != nil
    }

    private mutating func done(_ revision: Revision, _ now: Instant) {
        lastRevision = revision
        lastDoneAt = now
    }

    /// Traps where the compactor breaks its rules.
    func invariants() {
        invariant(mode != .off || nextTick == nil && compacting == nil, "compaction is off and due")
        invariant(compacting != lastRevision || compacting == nil, "a compaction is done twice")
    }
}

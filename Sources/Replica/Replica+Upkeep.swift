// Owns: what a store needs that nobody asks for: compaction when its retention is over, alarms as the quota is used up and freed.
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

/// The chores that are neither leases' nor the collector's.
struct Upkeep {
    /// The revisions at the last ticks, as many as lie in a period.
    var revisions = Deque<Revision>()
    var nextTick: Instant?
    /// The revision of the last compaction that was due, and when that was done, by whomever; or when counting began.
    var lastRevision: Revision = 0
    var lastDoneAt = Instant(nanoseconds: 0)
    /// The first compaction waits for the whole period, later ones for an hour at most.
    var isFirst = true
    /// What this process is compacting to.
    var compacting: Revision?

    /// A write was refused for want of space: the alarm is to be raised.
    var wasRefusedForSpace = false
    var isChangingAlarm = false
    /// An alarm is not lifted before.
    var nextLift = Instant(nanoseconds: 0)
}

extension RequestID {
    /// Requests that the replica makes of itself. No call has such an id: its first byte is an event loop's number.
    static let ownCompaction = RequestID(rawValue: .max)
    static let ownAlarm = RequestID(rawValue: .max - 1)

    var isOwn: Bool { rawValue >= RequestID.ownAlarm.rawValue }
}

extension Replica {
    var upkeepDeadline: Instant {
        let tick = configuration.autoCompaction == .off ? .distantFuture : upkeep.nextTick ?? now
        return store.committedAlarms.isEmpty || store.quotaBytes <= 0
            ? tick : min(tick, max(upkeep.nextLift, now.advanced(byMs: liftIntervalMs)))
    }

    mutating func tendUpkeep() {
        tickAutoCompaction()
        tendAlarms()
    }

    mutating func upkeepAnswered(_ id: RequestID, _ answer: Result<ByteString, EtcdError>) {
        if id == .ownAlarm {
            upkeep.isChangingAlarm = false
            upkeep.nextLift = now.advanced(byMs: liftIntervalMs)
            return
        }
        guard let revision = upkeep.compacting else { return }
        upkeep.compacting = nil
        switch answer {
        case .success:
            counters.autoCompactions += 1
            actions.append(.note(.autoCompacted(revision: revision)))
            autoCompactionDone(revision)
        case .failure(.compacted): autoCompactionDone(revision)
        case .failure(let error): actions.append(.note(.autoCompactionFailed(error)))
        }
    }

    // MARK: Compaction

    private mutating func tickAutoCompaction() {
        guard let tickMs = configuration.autoCompaction.tickMs else { return }
        guard let tick = upkeep.nextTick else {
            upkeep.lastDoneAt = now
            upkeep.revisions = [store.revision]
            upkeep.nextTick = now.advanced(byMs: tickMs)
            return
        }
        guard now >= tick else { return }
        upkeep.nextTick = now.advanced(byMs: tickMs)
        switch configuration.autoCompaction {
        case .off: break
        case .revision(let retention): autoCompact(to: store.revision - retention)
        case .periodic(let retentionMs):
            let intervalMs = upkeep.isFirst ? retentionMs : min(retentionMs, hourMs)
            if now >= upkeep.lastDoneAt.advanced(byMs: intervalMs), let oldest = upkeep.revisions.first {
                autoCompact(to: oldest)
            }
            upkeep.revisions.append(store.revision)
            while upkeep.revisions.count > retentionMs / tickMs + 1 { upkeep.revisions.removeFirst() }
        }
    }

    private mutating func autoCompact(to revision: Revision) {
        guard revision > 0, revision != upkeep.lastRevision, upkeep.compacting == nil else { return }
        upkeep.isFirst = false
        if revision <= store.compactRevision {
            autoCompactionDone(revision)
        } else if isSteward {
            upkeep.compacting = revision
            enqueue(PendingWrite(id: .ownCompaction, request: .compact(revision: revision), physical: false, arrivedAt: now))
        }
    }

    private mutating func autoCompactionDone(_ revision: Revision) {
        upkeep.lastRevision = revision
        upkeep.lastDoneAt = now
    }

    // MARK: The quota

    private mutating func tendAlarms() {
        if upkeep.wasRefusedForSpace {
            upkeep.wasRefusedForSpace = false
            if !store.alarms.contains(.noSpace), !upkeep.isChangingAlarm {
                actions.append(.note(.spaceExceeded(bytes: store.liveBytes, quota: store.quotaBytes)))
                changeAlarm(AlarmChange(.raiseForQuota, member: configuration.memberID, alarm: .noSpace))
            }
        }
        guard !store.committedAlarms.isEmpty, store.quotaBytes > 0, store.hasSpace, now >= upkeep.nextLift, !upkeep.isChangingAlarm
        else { return }
        // The member that raised it may be gone.
        let own = configuration.memberID
        guard let freed = store.committedAlarms.raised.first(where: { $0.isOfQuota && (isSteward || $0.member == own) }) else { return }
        actions.append(.note(.spaceFreed(bytes: store.liveBytes, quota: store.quotaBytes)))
        changeAlarm(AlarmChange(.disarm, member: freed.member, alarm: freed.alarm))
    }

    private mutating func changeAlarm(_ change: AlarmChange) {
        upkeep.isChangingAlarm = true
        enqueue(PendingWrite(id: .ownAlarm, request: .alarm(change), physical: false, arrivedAt: now))
    }
}

/// An alarm stands for at least this long, so that a client that goes on at the quota's edge does not fill the log with alarms.
private let liftIntervalMs = 1_000

// Owns: what the machines of upkeep are told, and what becomes of what they want: sweeping, compaction that nobody asks for, the quota's
// alarm.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

extension CallID {
    /// Requests that the replica makes of itself. No call has such an id: its first byte is an event loop's number.
    static let ownCompaction = CallID(rawValue: .max)
    static let ownAlarm = CallID(rawValue: .max - 1)

    var isOwn: Bool { rawValue >= CallID.ownAlarm.rawValue }
}

extension Replica {
    var upkeepDeadline: Instant {
        let tick = autoCompactor.deadline(now)
        return store.committedAlarms.isEmpty || store.quotaBytes <= 0 ? tick : min(tick, quotaAlarm.deadline(now))
    }

    mutating func tendUpkeep() {
        if let revision = autoCompactor.tick(
            now, revision: store.revision, compactRevision: store.compactRevision, isSteward: isSteward)
        {
            enqueue(
                PendingWrite(
                    id: .ownCompaction, request: .compact(revision: revision), physical: false, arrivedAt: now, principal: .process))
        }
        let hasSpace = store.quotaBytes > 0 ? store.hasSpace : nil
        if let change = quotaAlarm.change(
            now, alarms: store.alarms, committedAlarms: store.committedAlarms, hasSpace: hasSpace, isSteward: isSteward)
        {
            let (bytes, quota) = (store.liveBytes, store.quotaBytes)
            actions.append(
                .note(change.action == .disarm ? .spaceFreed(bytes: bytes, quota: quota) : .spaceExceeded(bytes: bytes, quota: quota)))
            enqueue(PendingWrite(id: .ownAlarm, request: .alarm(change), physical: false, arrivedAt: now, principal: .process))
        }
    }

    mutating func upkeepAnswered(_ id: CallID, _ answer: Result<ByteString, EtcdError>) {
        if id == .ownAlarm { return quotaAlarm.changed(now) }
        switch answer {
        case .success:
            guard let revision = autoCompactor.compacted(now) else { return }
            counters.autoCompactions += 1
            actions.append(.note(.autoCompacted(revision: revision)))
        case .failure(.compacted): _ = autoCompactor.compacted(now)
        case .failure(let error): if autoCompactor.failed() { actions.append(.note(.autoCompactionFailed(error))) }
        }
    }

    // MARK: Sweeping

    /// Removes dead versions from memory, a bounded number a turn. The steward deletes their rows behind them; everybody else
    /// follows it.
    mutating func collectGarbage() {
        guard let reach = sweeper.reach(isSteward: isSteward) else { return }
        var dead: [Position] = []
        let swept = store.collect(
            limit: configuration.deletedRowLimit, keepingReadersAt: oldestRead, within: reach, visitLimit: configuration.sweptRowLimit,
            into: &dead)
        turnWork.visits += dead.count
        var collected = Sweeper.Collected(
            dead: dead, swept: swept, isCut: store.index.isCollectCut, compactRevision: store.index.compactRevision,
            backlog: store.index.compactedCount)
        if isSteward {
            sweeper.collected(collected, holder: configuration.origin, &actions)
        } else {
            collected.isCut = collected.isCut || dead.count == configuration.deletedRowLimit
            sweeper.followed(collected, &actions)
        }
    }

    /// The lowest revision that a long scan, a hash or a snapshot is at, whether it waits for values or not.
    private var oldestRead: Revision? {
        let oldest = min(
            fetcher.pinnedRevision ?? .max, scans.pinnedRevision ?? .max, hashing.pinnedRevision ?? .max, snapshots.pinnedRevision ?? .max)
        return oldest == .max ? nil : oldest
    }

    mutating func rowsDeleted(_ number: UInt64, _ count: Int, _ digest: Digest) {
        let isOurs = sweeper.deleted(
            number, count, digest, compactRevision: store.index.compactRevision, backlog: store.index.compactedCount, now: now, &actions)
        if isOurs { counters.rowsDeleted += UInt64(count) }
    }

    mutating func deletionRefused(_ number: UInt64) {
        guard sweeper.refused(number) else { return }
        actions.append(.note(.deletionsLost))
        loadAnew(after: .unknownRows)
    }

    mutating func deletionLeft(_ number: UInt64) {
        guard sweeper.left(number) else { return }
        giveUpDuty()
        hurryDuty()
    }

    mutating func waitForSweep(_ waiter: PhysicalWaiter) {
        // The steward is asked more often while somebody waits.
        hurryDuty()
        sweeper.waits(waiter, &actions)
    }
}

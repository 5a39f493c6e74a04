// Owns: what compaction has made dead, on its way out of memory and of the log.
// Must never: forget a dead row before the log has lost it, so that any process can go on where a steward stopped.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct Collector {
    /// How far the log has been swept, by this process as the steward or by another.
    var swept = Sweep.nothing
    /// Within what all lies of which memory does not know that it is dead: forgotten, or deleted before memory was loaded.
    fileprivate(set) var forgotten = Sweep.nothing
    /// What the log says of all deletions where it has just those of which memory does not know the rows; nil where memory has forgotten
    /// others.
    fileprivate(set) var digest: Digest?
    var nextNumber: UInt64 = 1
    var inFlight: (number: UInt64, swept: Sweep)?
    var hasMoreWork = false
    /// Compactions with `physical`, whose answers wait for the rows to be gone.
    var physicalWaiters: [PhysicalWaiter] = []
    /// The last compaction that was seen, and how many rows were to be looked at then.
    var lastCompaction: (revision: Revision, backlog: Int)?
    /// Whether the rows of that one came on top of others, and there were more than the time before.
    var isFallingBehind = false
    /// Rows deleted since the last time that none was left, and when that was last told.
    var deleted = 0
    var toldAt: Instant?

    init(nextNumber: UInt64 = 1) { self.nextNumber = nextNumber }

    /// Memory is that of a log of which so much had been deleted.
    mutating func loaded(_ deleted: SweepState) {
        swept = deleted.swept
        forgotten = deleted.reach
        digest = deleted.digest
    }
}

/// A client that waits until what its compaction made dead is gone.
struct PhysicalWaiter {
    var id: RequestID
    var revision: Revision
    var message: ByteString
}

extension Replica {
    /// Removes dead versions from memory, a bounded number a turn. The steward deletes their rows behind them; everybody else
    /// follows it.
    mutating func collectGarbage() {
        guard collector.inFlight == nil else { return }
        var dead: [Position] = []
        let swept = store.collect(
            limit: configuration.deletedRowLimit, keepingReadersAt: oldestRead, within: isSteward ? .everything : collector.swept,
            visitLimit: configuration.sweptRowLimit, into: &dead)
        turnWork.visits += dead.count
        let before = collector.forgotten
        guard isSteward else {
            collector.forgotten.extend(to: collector.swept)
            if !dead.isEmpty { collector.digest = nil }
            collector.hasMoreWork = dead.count == configuration.deletedRowLimit || store.index.isCollectCut
            answerSwept()
            return
        }
        // In the middle of a compaction no sweep says how much of it is forgotten.
        collector.forgotten.extend(to: dead.isEmpty ? swept : .whole(store.index.compactRevision))
        // So far nothing was dead: there is nothing to delete, or to tell, before all was looked at.
        collector.hasMoreWork = dead.isEmpty && store.index.isCollectCut
        guard !collector.hasMoreWork else { return }
        guard !dead.isEmpty || swept != collector.swept else { return }
        noteBacklog()
        let deletion = Deletion(
            number: collector.nextNumber, positions: dead, compactRevision: store.index.compactRevision, swept: swept,
            digest: collector.digest, after: before, holder: configuration.origin,
            isUrgent: collector.isFallingBehind || !collector.physicalWaiters.isEmpty)
        collector.nextNumber += 1
        collector.inFlight = (deletion.number, swept)
        actions.append(.log(.deleteRows(deletion)))
    }

    private mutating func noteBacklog() {
        let revision = store.index.compactRevision
        guard revision != collector.lastCompaction?.revision else { return }
        let backlog = store.index.compactedCount
        if let last = collector.lastCompaction {
            collector.isFallingBehind = !collector.swept.covers(last.revision) && backlog > last.backlog
        }
        collector.lastCompaction = (revision, backlog)
    }

    /// The lowest revision that a long scan or a hash is at, whether it waits for values or not.
    private var oldestRead: Revision? {
        let oldestScan = self.oldestScan
        guard let pinned = hashing.pinnedRevision else { return oldestScan }
        return min(oldestScan ?? .max, pinned)
    }

    private var oldestScan: Revision? {
        let parkedScan = parked.oldestScan
        guard !scans.isEmpty || !sorting.isEmpty else { return parkedScan }
        return (scans + sorting.tasks).reduce(parkedScan ?? .max) { min($0, $1.revision) }
    }

    mutating func rowsDeleted(_ number: UInt64, _ count: Int, _ digest: Digest) {
        // One that was sent before the history changed says nothing about this one.
        guard let done = collector.inFlight, done.number == number else { return }
        collector.inFlight = nil
        collector.swept = done.swept
        collector.digest = digest
        collector.deleted += count
        counters.rowsDeleted += UInt64(count)
        tellOfSweep()
        answerSwept()
    }

    /// What the log has lost is not known here any more: it is loaded anew, and what is dead found again.
    mutating func deletionRefused(_ number: UInt64) {
        guard collector.inFlight?.number == number else { return }
        actions.append(.note(.deletionsLost))
        loadAnew()
    }

    /// What memory has forgotten of it is deleted by the steward that there is.
    mutating func deletionLeft(_ number: UInt64) {
        guard collector.inFlight?.number == number else { return }
        collector.inFlight = nil
        collector.digest = nil
        giveUpDuty()
        leases.steward.nextAsk = now
    }

    private mutating func tellOfSweep() {
        guard collector.deleted > 0 else { return }
        if collector.swept.covers(store.index.compactRevision) {
            // Most are small, and as many as there are compactions.
            if collector.toldAt != nil || collector.deleted >= toldRowLimit {
                actions.append(.note(.swept(deleted: collector.deleted, compactRevision: collector.swept.compactRevision)))
            }
            collector.deleted = 0
            collector.toldAt = nil
        } else if collector.toldAt.map({ $0.advanced(byMs: tellingIntervalMs) <= now }) ?? (collector.deleted >= toldRowLimit) {
            collector.toldAt = now
            actions.append(.note(.sweeping(deleted: collector.deleted, left: store.index.compactedCount)))
        }
    }

    // MARK: Who waits for it

    mutating func waitForSweep(_ waiter: PhysicalWaiter) {
        collector.physicalWaiters.append(waiter)
        // The steward is asked more often while somebody waits.
        leases.steward.nextAsk = min(leases.steward.nextAsk, now)
        answerSwept()
    }

    private mutating func answerSwept() {
        guard collector.physicalWaiters.contains(where: { collector.swept.covers($0.revision) }) else { return }
        for waiter in collector.physicalWaiters where collector.swept.covers(waiter.revision) {
            actions.append(.respond(waiter.id, waiter.message))
        }
        collector.physicalWaiters.removeAll { collector.swept.covers($0.revision) }
    }
}

/// Rows from which on a sweep is worth a line in the log, and how often it is then told how far it is.
private let toldRowLimit = 100_000
private let tellingIntervalMs = 10_000

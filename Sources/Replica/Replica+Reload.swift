// Owns: giving the memory up and loading the log anew: what is failed, what waits on, what every machine forgets.
// Must never: serve from a memory that isn't the log's any more; leave a request without an answer that rested on it.
//
// Requests that wait for the head, for their batch, or for a lease round go on once the log is loaded. What was begun on the old memory can't:
// its batches' outcomes are unknown, its values and scans are of another memory.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

/// Why the log is loaded anew.
enum ReloadCause {
    /// The log isn't the one that was folded: a failover lost its end, or a backup was restored.
    case changedHistory
    /// It is, and memory lacks some of what was in it, or knows too much: rows were deleted that it never folded, or are back that it has
    /// forgotten.
    case unknownRows
    /// Others were first with the append that raises the revision, or its outcome is unknown.
    case failedRaise
    /// Its rows don't add up. It is loaded again some time later.
    case damage
}

extension Replica {
    /// The log isn't the one that we folded. Nothing may be served from this memory; what is in flight has no outcome that could be known.
    mutating func historyChanged() {
        actions.append(.note(.historyChanged(at: store.committed)))
        loadAnew(after: .changedHistory)
    }

    /// Rows that this process never folded may be deleted: what its memory lacks can't be folded into it any more. Nobody can tell whether the
    /// history is the same one, and nobody has to: watches stay, and those that would miss events, which are all that had caught up, are told
    /// that their place is compacted, as etcd tells the watchers of a member that is sent a snapshot.
    mutating func overtaken() {
        actions.append(.note(.overtaken(at: store.committed)))
        loadAnew(after: .unknownRows)
    }

    /// Begins anew with an empty memory.
    mutating func loadAnew(after cause: ReloadCause) {
        failAllBegun(.leaderChanged)
        switch cause {
        case .changedHistory:
            endWatches()
            forgetUpkeep()
        case .unknownRows: holdWatchers()
        case .failedRaise, .damage: break
        }
        forgetMemory()
        if cause != .damage { actions.append(.load) }
    }

    /// Fails every request that was begun on this memory, one machine after the other.
    private mutating func failAllBegun(_ error: EtcdError) {
        counters.writes.failed += UInt64(failSentWrites(error))
        failLacking(error)
        failScans(error)
        failHashes(error)
        failSnapshots(error)
        for waiter in sweeper.loadingBegan() { actions.append(.fail(waiter.id, error)) }
        leaseListings.loadingBegan(&actions)
    }

    /// What the old history's revisions had us do.
    private mutating func forgetUpkeep() {
        writes.historyLost()
        autoCompactor = AutoCompactor(configuration.autoCompaction)
        quotaAlarm = QuotaAlarm(member: configuration.memberID)
    }

    /// Empties the store, and everything that is about what it holds.
    private mutating func forgetMemory() {
        phase.loadingBegan(after: served.map { [$0] } ?? [])
        emptyStore()
        trail = Trail()
        writes.loadingBegan(&actions)
        headReader.loadingBegan(earlier: readyReads.loadingBegan(), later: scans.takeFollowers().map(\.read))
        follower.loadingBegan()
        restartLeases()
    }
}

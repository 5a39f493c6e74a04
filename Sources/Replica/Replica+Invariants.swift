// Owns: the rules that hold between turns, for tests and the simulator.
internal import Bytes
internal import Keyspace

extension Replica {
    /// Traps where a part breaks its rules. Looks at every watcher: for tests and the simulator, after each turn.
    package func invariants() {
        phase.invariants()
        headReader.invariants()
        follower.invariants()
        writes.invariants(committed: store.committed, tip: store.savepoint.tip)
        watches.invariants()
        fetcher.invariants()
        scans.invariants()
        streams.invariants()
        hashing.invariants()
        snapshots.invariants()
        sweeper.invariants()
        autoCompactor.invariants()
        leaseRounds.invariants()
        leaseListings.invariants()
        stewardship.invariants()
        between()
    }

    /// What one part may count on of another.
    private func between() {
        invariant(writes.areBatchesLost == phase.isRecovering, "batches are lost, and the log is not asked for them")
        invariant(
            writes.isAppending || store.isPaused || store.isSettled || phase.isRaising, "the store is ahead of the log without a batch")
        guard !isLoaded else { return }
        invariant(!writes.hasBatches && writes.isLockFree, "a batch is under way on a memory that is not loaded")
        let hasScans = scans.count > 0 || scans.hasWork || streams.count > 0
        invariant(
            fetcher.isEmpty && readyReads.isEmpty && hashing.isEmpty && snapshots.isEmpty && !hasScans,
            "a memory that is not loaded is being read")
        invariant(!follower.isReading && !follower.isBehind, "the tail is read of a log that is being loaded")
    }
}

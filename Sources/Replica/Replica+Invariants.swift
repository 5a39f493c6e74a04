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
        let areQueuesEmpty = fetcher.isEmpty && scans.count == 0 && streams.count == 0 && readyReads.isEmpty && hashing.isEmpty
        invariant(!writes.hasBatches && writes.isLockFree && areQueuesEmpty, "something was begun on a memory that is not loaded")
        invariant(!follower.isReading && !follower.isBehind, "the tail is read of a log that is being loaded")
    }
}

// Owns: the rules that hold between turns, for tests and the simulator.
internal import Bytes
internal import Keyspace

extension Replica {
    /// Traps where a part breaks its rules. Looks at every watcher: for tests and the simulator, after each turn.
    package func invariants() {
        writes.invariants(committed: store.committed, tip: store.savepoint.tip)
        invariant(writes.areBatchesLost == (phase == .recovering), "batches are lost, and the log is not asked for them")
        invariant(
            writes.isAppending || store.isPaused || store.isSettled || phase == .raising, "the store is ahead of the log without a batch")
        watches.invariants()
        sweeper.invariants()
        autoCompactor.invariants()
        leaseRounds.invariants()
        leaseListings.invariants()
        stewardship.invariants()
    }
}

// Owns: the rules that hold between turns, for tests and the simulator.

extension Replica {
    /// Traps where a part breaks its rules. Looks at every watcher: for tests and the simulator, after each turn.
    package func invariants() {
        watches.invariants()
        sweeper.invariants()
        autoCompactor.invariants()
        leaseRounds.invariants()
        leaseListings.invariants()
        stewardship.invariants()
    }
}

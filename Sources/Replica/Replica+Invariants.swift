// Owns: the rules that hold between turns, for tests and the simulator.

extension Replica {
    /// Traps where a part breaks its rules. Looks at every watcher: for tests and the simulator, after each turn.
    package func invariants() {
        watches.invariants()
        fetcher.invariants()
        scans.invariants()
        streams.invariants()
        sweeper.invariants()
        autoCompactor.invariants()
    }
}

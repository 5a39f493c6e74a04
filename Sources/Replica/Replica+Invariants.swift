// Owns: the rules that hold between turns, for tests and the simulator.
internal import Bytes

extension Replica {
    /// Traps where a part breaks its rules. Looks at every watcher: for tests and the simulator, after each turn.
    package func invariants() {
        phase.invariants()
        headReader.invariants()
        follower.invariants()
        watches.invariants()
        sweeper.invariants()
        autoCompactor.invariants()
        between()
    }

    /// What one part may count on of another.
    private func between() {
        invariant(!phase.isRecovering || !batches.isEmpty, "the log is asked what became of batches that are not there")
        guard !isLoaded else { return }
        let isIdle = batches.isEmpty && headLock == .none && parked.isEmpty && scans.isEmpty && streams.isEmpty && readyReads.isEmpty
        invariant(isIdle && hashing.isEmpty, "something was begun on a memory that is not loaded")
        invariant(!follower.isReading && !follower.isBehind, "the tail is read of a log that is being loaded")
    }
}

// Owns: how often the log's threads may connect, all together.
internal import Synchronization

/// What the threads of a process know together of whether attempts to connect are answered.
final class ConnectPace: Sendable {
    private struct State {
        /// Whether the last that was heard is that an attempt has no answer.
        var isSilent = false
        var lastBegun: ContinuousClock.Instant?
        /// When the newest attempt began that was answered.
        var lastAnswered: ContinuousClock.Instant?
    }

    private let state = Mutex(State())

    /// Whether another attempt may begin now; where it may, it is counted as begun. `newest` is when the caller's own newest one began
    /// that is still under way.
    func begin(after newest: ContinuousClock.Instant?, interval: Duration) -> Bool {
        let now = ContinuousClock.now
        return state.withLock { state in
            if let newest {
                // An answer to a later one is a reason to try again at once.
                let isOutdated = state.lastAnswered.map { newest < $0 } ?? false
                if !isOutdated {
                    guard newest.advanced(by: interval) <= now else { return false }
                    state.isSilent = true
                }
            }
            if state.isSilent, let last = state.lastBegun, last.advanced(by: interval) > now { return false }
            state.lastBegun = now
            return true
        }
    }

    /// An attempt that began at `start` has ended.
    func ended(_ start: ContinuousClock.Instant, hasAnswer: Bool) {
        state.withLock { state in
            // How it was before another was answered is of no interest.
            let isNews = state.lastAnswered.map { start >= $0 } ?? true
            if hasAnswer || isNews { state.isSilent = !hasAnswer }
            if hasAnswer, isNews { state.lastAnswered = start }
        }
    }
}

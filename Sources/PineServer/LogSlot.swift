// Owns: the way from the engine to the log, which the engine may use before there is one: clients are told in time that the
// database is not there yet.
internal import Changelog
internal import Replica
internal import Synchronization

final class LogSlot: Sendable {
    private struct State {
        var workers: LogWorkers?
        /// What to do with the workers once they are there: the engine has asked for the log.
        var load: (@Sendable (LogWorkers) -> Void)?
    }

    private let state = Mutex(State())

    var workers: LogWorkers? { state.withLock { $0.workers } }

    /// Before there is a log, the engine asks for nothing but to have it loaded; what it gives back at a stop needs no log.
    func submit(_ command: LogCommand) { workers?.submit(command) }

    func load(_ load: @escaping @Sendable (LogWorkers) -> Void) {
        let workers = state.withLock { state in
            if state.workers == nil { state.load = load }
            return state.workers
        }
        if let workers { load(workers) }
    }

    func fill(_ workers: LogWorkers) {
        let load = state.withLock { state in
            state.workers = workers
            defer { state.load = nil }
            return state.load
        }
        load?(workers)
    }
}

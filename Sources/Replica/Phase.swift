// Owns: where the replica stands with the log, with what belongs to each phase, and every way from one to another.
// Must never: serve a log that was not loaded to its end, that does not add up, or that lacks what was served.
//
//            loadFinished                            appendLost
//   loading ─────────────────────────────▶ serving ─────────────▶ recovering
//    │ │ ▲   │                               ▲ │ ▲                    │ │
//    │ │ │   │ it lacks what was served      │ │ └──── recovered ─────┘ │
//    │ │ │   ▼                               │ │                        │
//    │ │ │  raising ──────── raised ─────────┘ │                        │
//    │ │ │   │ raise failed                    │ another history, or a  │
//    │ │ └───┴─────── loadingBegan ────────────┴─ gap in our own ───────┘
//    │ └ damaged: it is loaded again
//    └ loadRestarted: its rows come again
//
// Invariants (see `invariants()`): those of what is being loaded.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

enum Phase: ~Copyable {
    case loading(Loading)
    case serving
    /// An append's outcome is unknown; the log is being asked.
    case recovering(Recovery)
    /// The log is loaded and lacks what was served: its revision is being moved past that.
    case raising(RevisionRaise)

    /// `served`: what earlier lives are known to have served.
    init(served: [ServedMark]) { self = .loading(Loading(ServedHistory(served))) }

    /// Whether the memory is that of the log, as far as is known.
    var isLoaded: Bool {
        switch self {
        case .serving: true
        case .recovering: true
        default: false
        }
    }

    var isServing: Bool {
        switch self {
        case .serving: true
        default: false
        }
    }

    var isLoading: Bool {
        switch self {
        case .loading: true
        default: false
        }
    }

    /// Whether an append's outcome is unknown.
    var isRecovering: Bool {
        switch self {
        case .recovering: true
        default: false
        }
    }

    /// Whether the log's revision is being moved.
    var isRaising: Bool {
        switch self {
        case .raising: true
        default: false
        }
    }

    /// What the log is compared with while it is loaded.
    var comparedMarks: [ServedMark] {
        switch self {
        case .loading(let loading): loading.history.served
        case .raising(let raise): raise.history.served
        default: []
        }
    }

    // MARK: Loading

    mutating func rowsLoaded(_ rows: [LogRow]) { load { $0.rowsLoaded(rows) } }

    mutating func rowsLoadedWithoutValues(_ rows: [LogRow]) { load { $0.rowsLoadedWithoutValues(rows) } }

    /// The connection was lost: the rows come again from the start.
    mutating func loadRestarted() { load { $0.restarted() } }

    /// True, once, where it is time to load a damaged log again.
    mutating func isRetryDue(_ now: Instant) -> Bool {
        guard isLoading else { return false }
        return load { $0.isRetryDue(now) }
    }

    /// All rows up to `head` were loaded, and have led to `end`. Where something is lost, `raiseSent` has to follow.
    mutating func loadFinished(_ head: Head, at end: UnverifiedRows.Point, now: Instant) -> Loading.Outcome {
        let outcome = load { $0.finished(head, at: end, now: now) }
        // From here on the memory itself is the mark: nothing served before lies past it.
        if outcome == .whole { self = .serving }
        return outcome
    }

    private mutating func load<Result>(_ event: (inout Loading) -> Result) -> Result {
        switch consume self {
        case .loading(var loading):
            let result = event(&loading)
            self = .loading(loading)
            return result
        default: violated("something was loaded while nothing is")
        }
    }

    // MARK: Raising

    /// The append `number` is on its way, which moves the log past what it lacks.
    mutating func raiseSent(_ number: UInt64, from revision: Revision) {
        switch consume self {
        case .loading(let loading): self = .raising(RevisionRaise(number: number, from: revision, history: loading.history))
        default: violated("the revision is raised of a log that is served")
        }
    }

    /// Whether the append `number` is the one that raises the revision.
    func isRaising(by number: UInt64) -> Bool {
        switch self {
        case .raising(let raise): raise.number == number
        default: false
        }
    }

    /// The log was moved. Gives the revision at which it ended before.
    mutating func raised() -> Revision {
        switch consume self {
        case .raising(let raise):
            self = .serving
            return raise.from
        default: violated("the revision was raised that nobody raises")
        }
    }

    // MARK: Recovering

    /// It is not known whether the append is in the log; `committed` is what was in it before.
    mutating func appendLost(since committed: Position) {
        invariant(isServing, "an append was lost of a log that is not served")
        self = .recovering(Recovery(since: committed))
    }

    /// No lost append can get into the log any more, whose epoch was raised. Gives what was committed when it was lost; nil where none is.
    mutating func epochRaised(to epoch: Int64) -> Position? {
        switch consume self {
        case .recovering(var recovery):
            recovery.raisedEpoch = epoch
            self = .recovering(recovery)
            return recovery.since
        case .loading(let loading): self = .loading(loading)
        case .serving: self = .serving
        case .raising(let raise): self = .raising(raise)
        }
        return nil
    }

    /// Whether a log of this epoch, once folded to its end, has the lost append or never will. One that was read before the epoch was raised
    /// doesn't tell: the append may come after it.
    func isSettled(at epoch: Int64) -> Bool {
        switch self {
        case .recovering(let recovery): recovery.raisedEpoch.map { epoch >= $0 } ?? false
        default: false
        }
    }

    /// It is known what became of the lost append.
    mutating func recovered() {
        invariant(isRecovering, "an append was found that was not lost")
        self = .serving
    }

    // MARK: Loading anew

    /// The memory is given up, and the log loaded from its start. `served`: what was served of this memory.
    mutating func loadingBegan(after served: [ServedMark]) {
        switch consume self {
        case .loading(var loading):
            // What was damaged is waited for all the same.
            loading.restarted()
            self = .loading(loading)
        case .serving: self = .loading(Loading(ServedHistory(served)))
        case .recovering: self = .loading(Loading(ServedHistory(served)))
        case .raising(let raise):
            var history = raise.history
            history.loadingBegan()
            self = .loading(Loading(history))
        }
    }

    /// Traps where what is being loaded breaks its rules.
    func invariants() {
        switch self {
        case .loading(let loading): loading.invariants()
        default: break
        }
    }
}

/// Asking the log what became of an append.
struct Recovery {
    /// What was committed when it was lost.
    let since: Position
    /// The epoch that was raised so that it can't get into the log any more.
    var raisedEpoch: Int64?
}

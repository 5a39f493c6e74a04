// Owns: the RangeStreams under way, each of which sends its next chunk once the one before has left.
// Must never: keep anybody from compacting: a stream whose client reads slowly is ended.
//
//   started ──▶ ready ──next──▶ its step ─┬──▶ finished, or refused
//                 ▲                       ├──▶ lacks values: leaves, and comes back by `advance`
//                 ├──── bound used up ────┤
//                 └─────── drained ───────┴──▶ a chunk is on its way
//
// Invariant: a stream is in here once.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI
internal import Keyspace

struct RangeStreams: ~Copyable {
    /// What comes of a stream's step.
    enum Outcome {
        /// It goes on in a later turn.
        case waits
        /// To be sent. The stream goes on when `drained` says that it has left.
        case chunk(ByteString)
        case last(ByteString)
        case refused(EtcdError)
        /// It has left until it has these.
        case lacks([MissingValue])
    }

    private var tasks = Deque<StreamTask>()
    /// How many of `tasks` have not been looked at in this turn.
    private var stepsLeft = 0
    /// Values that the streams asked for.
    private(set) var valueCounts = ValueCounts()
    private let keyLimit: Int
    private let chunkBytes: Int

    /// - Parameters:
    ///   - keyLimit: how many keys a step looks at.
    ///   - chunkBytes: about how large a chunk is.
    init(keyLimit: Int, chunkBytes: Int) {
        self.keyLimit = keyLimit
        self.chunkBytes = chunkBytes
    }

    init(_ configuration: ReplicaConfiguration) {
        self.init(keyLimit: configuration.scanKeyLimit, chunkBytes: configuration.streamChunkBytes)
    }

    /// Streams under way, without those that wait for values.
    var count: Int { tasks.count }

    /// Whether the next turn has something to do.
    var hasWork: Bool { tasks.contains(where: \.isReady) }

    mutating func started(_ task: StreamTask) { tasks.append(task) }

    /// What was sent to this client has left.
    mutating func drained(_ id: CallID) {
        tasks.first { $0.id == id }?.isReady = true
    }

    /// A turn begins: each stream that is ready may have a step in it.
    mutating func turnBegan() { stepsLeft = hasWork ? tasks.count : 0 }

    /// Takes out the stream whose step is next; nil where no more have one in this turn.
    mutating func next() -> StreamTask? {
        while stepsLeft > 0, let task = tasks.popFirst() {
            stepsLeft -= 1
            if task.isReady { return task }
            tasks.append(task)
        }
        return nil
    }

    /// Takes a stream that is not in here, and whose client wants more, a step further.
    /// - Parameter values: what was fetched for it.
    mutating func advance(
        _ task: StreamTask, _ index: borrowing KeyIndex, compactRevision: Revision, with values: [Position: ByteString]
    ) -> Outcome {
        if task.revision < compactRevision { return .refused(.compacted) }
        var visits = keyLimit
        var lookup = ValueLookup(values)
        let step = task.step(index, &lookup, visits: &visits, chunkBytes: chunkBytes)
        valueCounts += lookup.counts
        switch step {
        case .unfinished:
            tasks.append(task)
            return .waits
        case .chunk(let message):
            task.isReady = false
            tasks.append(task)
            return .chunk(message)
        case .last(let message): return .last(message)
        case .lacks(let missing): return .lacks(missing)
        }
    }

    /// Their clients have given up.
    mutating func dropped(_ gone: Set<CallID>) { tasks.removeAll { gone.contains($0.id) } }

    /// The log is loaded anew. Takes out all, and gives their calls.
    mutating func historyLost() -> [CallID] {
        defer {
            tasks = []
            stepsLeft = 0
        }
        return tasks.map(\.id)
    }

    /// Traps where a stream is in here twice. For tests and the simulator, after each turn.
    borrowing func invariants() {
        invariant(Set(tasks.map(\.id)).count == tasks.count, "a stream is in two places")
        invariant(stepsLeft == 0, "\(stepsLeft) streams have not had their step in this turn")
    }
}

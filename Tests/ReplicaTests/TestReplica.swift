// Owns: one replica with its own clock, driven by hand over a log in memory, and the answers of its calls.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica

/// One replica with its own clock, driven by hand.
final class TestReplica {
    private var host: ReplicaHost
    let log: MemoryLog
    /// Its session at the log.
    private let session: SessionID
    private(set) var answers: [CallID: Result<ByteString, EtcdError>] = [:]
    private(set) var sent: [CallID: [ByteString]] = [:]
    private(set) var notes: [Note] = []
    private(set) var now = Instant(nanoseconds: 0)
    private var nextID: UInt64 = 1
    /// Answers of the log that have not been handed in yet.
    private var pending: [LogEvent] = []
    /// What the log is asked for again before each turn.
    private var postponed: [LogCommand] = []
    var holdsAnswers = false
    /// The same for those to appends alone, and what comes behind one of them on its connection.
    var holdsAppends = false
    /// What is to be sorted, where that is held.
    private(set) var sortJobs: [SortJob] = []
    var holdsSortJobs = false
    /// Bytes that were answered since `forgetSizes`.
    private(set) var answeredBytes = 0
    /// Whether clients take what they are sent.
    var clientsRead = true
    /// Whether values stay in the log at start-up.
    private let loadsWithoutValues: Bool

    init(_ log: MemoryLog, origin: Int64 = 1, loadsWithoutValues: Bool = false, configure: (inout ReplicaConfiguration) -> Void = { _ in })
    {
        self.log = log
        self.loadsWithoutValues = loadsWithoutValues
        var configuration = ReplicaConfiguration(origin: origin, memberID: UInt64(origin))
        configure(&configuration)
        session = SessionID(origin)
        host = ReplicaHost(configuration)
        settle()
    }

    var replica: Replica { _read { yield host.replica } }

    func start(_ request: Request) -> CallID {
        let id = CallID(rawValue: nextID)
        nextID += 1
        host.step(.requestArrived(id, request), now: now)
        return id
    }

    func keepAlive(_ lease: LeaseID, on id: CallID) { host.step(.requestArrived(id, .lease(.keepAlive(lease))), now: now) }

    func endKeepAlives(on id: CallID) { host.step(.requestArrived(id, .lease(.keepAliveEnd)), now: now) }

    func stop() { host.step(.stopping, now: now) }

    func tell(_ event: ReplicaEvent) { host.step(event, now: now) }

    func newStream() -> CallID {
        defer { nextID += 1 }
        return CallID(rawValue: nextID)
    }

    func cancel(_ id: CallID) { host.step(.requestCancelled(id), now: now) }

    /// At least 1: nothing that is due now has been left.
    var untilNextDeadlineMs: Int {
        let deadline = replica.nextDeadline
        guard deadline > now else { return 1 }
        return Int(clamping: (deadline.nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }

    /// As when clients have taken their answers.
    func forgetAnswers() { answers = [:] }

    func forgetSizes() { answeredBytes = 0 }

    private func takeSortJobs() -> [SortJob] {
        defer { sortJobs = [] }
        return sortJobs.map { job in
            var job = job
            job.run()
            return job
        }
    }

    func advance(ms: Int) { now = now.advanced(byMs: ms) }

    /// Runs until nothing moves.
    func settle() {
        while turn() {}
    }

    /// One turn. False where nothing happened.
    func turn() -> Bool {
        let held = pending.filter { holdsAnswers || (holdsAppends && $0.isOfAppender) }
        let arrived = pending.filter { !(holdsAnswers || (holdsAppends && $0.isOfAppender)) }
        pending = held
        for event in arrived { host.step(.log(event), now: now) }
        if !holdsSortJobs { for job in takeSortJobs() { host.step(.sorted(job), now: now) } }
        let again = postponed
        postponed = []
        for command in again { asked(command) }
        let actions = host.turn(now: now)
        perform(actions)
        return !arrived.isEmpty || !actions.isEmpty || replica.hasMoreWork || (!holdsSortJobs && !sortJobs.isEmpty)
    }

    // MARK: Whole calls

    func call(_ request: Request) throws -> ByteString {
        let id = start(request)
        settle()
        guard let answer = answers[id] else { throw NoAnswer() }
        return try answer.get()
    }

    func put(_ key: ByteString, _ value: ByteString) throws -> PutResponse {
        try PutResponse.decode(try call(.write(.put(PutRequest(key: key, value: value)))))
    }

    func get(_ key: ByteString, revision: Revision = 0) throws -> RangeResponse {
        try RangeResponse.decode(try call(.range(RangeRequest(key: key, revision: revision))))
    }

    func range(_ request: RangeRequest) throws -> RangeResponse {
        try RangeResponse.decode(try call(.range(request)))
    }
}

extension TestReplica: ReplicaSurroundings {
    func answered(_ id: CallID, _ result: Result<ByteString, EtcdError>) {
        answers[id] = result
        if case .success(let message) = result { answeredBytes += message.count }
    }

    func sent(_ id: CallID, _ message: ByteString, reportDrained: Bool) {
        sent[id, default: []].append(message)
        if reportDrained, clientsRead { tell(.streamDrained(id)) }
    }

    func asked(_ command: LogCommand) {
        if let event = log.answer(command, by: session) {
            pending.append(event)
        } else if case .chore(.deleteRows) = command {
            postponed.append(command)
        }
    }

    func load() { for event in log.load(keptValues: loadsWithoutValues ? 0 : .max) { tell(event) } }

    func sort(_ job: SortJob) { sortJobs.append(job) }

    func noted(_ note: Note) { notes.append(note) }
}

extension LogEvent {
    fileprivate var isOfAppender: Bool {
        switch self {
        case .appended, .conflicted, .appendLost, .headLocked, .lockFailed, .recovered: true
        default: false
        }
    }
}

struct NoAnswer: Error {}

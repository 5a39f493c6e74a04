// Owns: the replica's turns: each takes what loops and log have said since the last one, and hands out what the replica wants.
//
// Turns are taken by the engine's thread. A thread of the log that has an answer takes one itself where few requests are under way and
// nobody else is at it: to wake the engine's thread for it would take longer than the turn. Where many are, that takes more of them
// at once. A loop never does: it must hand over and go on.
//
// Must never: be blocked by a client, a loop or the database: whoever is at a turn waits for nothing.
// Invariant: one thread at a time has the replica.
internal import Bytes
internal import Calls
internal import Changelog
internal import EtcdAPI
internal import Keyspace
internal import Mailboxes
internal import Replica
internal import Synchronization

internal import struct Logging.Logger

/// What the engine is told.
enum EngineMessage: Sendable {
    case event(ReplicaEvent)
    /// Somebody wants to know whether the thread lives.
    case ping(@Sendable () -> Void)
    case stop
}

/// Where what a turn brings goes.
struct EngineOutlets: Sendable {
    /// Each caller's batch.
    let deliver: @Sendable (_ caller: Int, [CallAnswer]) -> Void
    let log: @Sendable (LogCommand) -> Void
    let load: @Sendable ([ServedMark]) -> Void
    let sort: @Sendable (SortJob) -> Void
}

/// What is kept from turn to turn.
struct EngineRun: ~Copyable {
    fileprivate(set) var replica: Replica
    /// By the caller's index.
    fileprivate var answers: [[CallAnswer]] = []
    fileprivate var messages: [EngineMessage] = []
    /// The most key versions since freed memory was given back to the system.
    fileprivate var versionPeak = 0
    /// Until when to wait for messages.
    var deadline = Instant(nanoseconds: 0)
    fileprivate var isStopped = false

    init(_ configuration: ReplicaConfiguration) { replica = Replica(configuration: configuration) }
}

final class Engine: Sendable {
    let mailbox: EngineMailbox<EngineMessage>
    /// Those who ask.
    let callers = Callers()
    /// Nil before the start.
    private let turns = Mutex<EngineTurns?>(nil)
    private let shared: SharedState
    private let configuration: ReplicaConfiguration
    private let marks: ServedMarks?
    let logger: Logger

    /// `marks` hears of everything that is served.
    init(_ configuration: ReplicaConfiguration, shared: SharedState, marks: ServedMarks? = nil, logger: Logger) {
        self.configuration = configuration
        self.shared = shared
        self.marks = marks
        self.logger = logger
        mailbox = EngineMailbox(limit: configuration.waitingLimit * 4)
    }

    // MARK: From any thread

    /// Hands a loop's batch over and empties it. What doesn't fit is left in it.
    func post(_ batch: inout [EngineMessage]) {
        mailbox.post(&batch)
    }

    /// Hands over what must not be lost.
    func post(_ event: ReplicaEvent) {
        mailbox.force(.event(event))
    }

    /// Hands over what a loop can't drop.
    func force(_ message: EngineMessage) { mailbox.force(message) }

    func stop() { mailbox.force(.stop) }

    /// Hands over the log's answer on a thread of the log, and takes the turn for it where few wait for it and nobody else is at one.
    func hear(_ event: LogEvent) {
        guard let turns = turns.withLock({ $0 }), turns.fewAreUnderWay else { return mailbox.force(.event(.log(event))) }
        mailbox.leave(.event(.log(event)))
        // Whoever is at a turn looks at the mailbox afterwards.
        if let deadline = turns.takeIfFree(self) { mailbox.wake(before: deadline) }
    }

    // MARK: Turns

    /// Runs the replica until `stop`. `log` gets what the replica wants of the log.
    func start(
        log: @escaping @Sendable (LogCommand) -> Void, load: @escaping @Sendable ([ServedMark]) -> Void
    ) -> WorkerThread {
        let sorter = Sorter()
        let sorting = sorter.start { [self] job in post(.sorted(job)) }
        let turns = EngineTurns(
            EngineRun(configuration),
            outlets: EngineOutlets(
                deliver: { [callers] caller, answers in callers.deliver(answers, to: caller) }, log: log, load: load,
                sort: { sorter.sort($0) }))
        self.turns.withLock { $0 = turns }
        return WorkerThread(name: "pine-engine") { [self] in
            while let deadline = turns.take(self) { mailbox.wait(until: deadline) }
            sorter.stop()
            sorting.join()
        }
    }

    /// Does all that there is to do. Nothing once it was told to stop.
    func turn(
        _ run: inout EngineRun, deliver: (_ caller: Int, [CallAnswer]) -> Void, log: (LogCommand) -> Void, load: ([ServedMark]) -> Void,
        sort: (SortJob) -> Void
    ) {
        guard !run.isStopped else { return }
        mailbox.take(into: &run.messages)
        // Whoever has asked has been given an index before.
        while run.answers.count < callers.count { run.answers.append([]) }
        let now = Clock.now
        for message in run.messages {
            switch message {
            case .event(let event): run.replica.step(event, now: now)
            case .ping(let answer): answer()
            case .stop:
                run.isStopped = true
                run.deadline = Instant(nanoseconds: 0)
                return
            }
        }
        run.messages.removeAll(keepingCapacity: true)
        for action in run.replica.endTurn(now: now) {
            switch action {
            case .answer(let call, let answer): run.answers[call.caller].append((call, answer))
            case .log(let command): log(command)
            case .load: load(run.replica.comparedMarks)
            case .sort(let job): sort(job)
            case .note(let note): report(note)
            }
        }
        // Before anybody hears of it.
        if let marks, let served = run.replica.served { marks.note(served) }
        for caller in run.answers.indices where !run.answers[caller].isEmpty {
            deliver(caller, run.answers[caller])
            run.answers[caller] = []
        }
        let gauges = run.replica.gauges
        run.versionPeak = max(run.versionPeak, gauges.keyVersions)
        // After a large compaction the allocator would keep it, in pieces.
        if gauges.sweepBacklog == 0, run.versionPeak - gauges.keyVersions > max(gauges.keyVersions / 4, trimVersionLimit) {
            run.versionPeak = gauges.keyVersions
            ServerMemory.giveBack()
        }
        shared.update(
            header: run.replica.header, counters: run.replica.counters, gauges: gauges, isServing: run.replica.isServing,
            liveBytes: run.replica.store.liveBytes, alarms: run.replica.store.committedAlarms)
        run.deadline = run.replica.hasMoreWork ? Instant(nanoseconds: 0) : run.replica.nextDeadline
    }
}

/// The replica in the hands of one thread at a time, and where its turns' results go.
private final class EngineTurns: Sendable {
    private let run: Mutex<EngineRun>
    private let requestsUnderWay = Atomic(0)
    private let outlets: EngineOutlets

    /// Whether few requests were under way at the end of the last turn.
    var fewAreUnderWay: Bool { requestsUnderWay.load(ordering: .relaxed) <= fewRequests }

    init(_ run: consuming sending EngineRun, outlets: EngineOutlets) {
        self.run = Mutex(run)
        self.outlets = outlets
    }

    /// Takes a turn, after the one that another thread is at. Gives until when the next one can wait for messages; nil once the
    /// engine was stopped.
    func take(_ engine: Engine) -> Instant? {
        run.withLock { run in
            turn(engine, &run)
            return run.isStopped ? nil : run.deadline
        }
    }

    /// The same, unless another thread is at a turn: then nil. The engine's thread finds out by itself that it was stopped.
    func takeIfFree(_ engine: Engine) -> Instant? {
        run.withLockIfAvailable { run in
            turn(engine, &run)
            return run.deadline
        }
    }

    private func turn(_ engine: Engine, _ run: inout EngineRun) {
        engine.turn(&run, deliver: outlets.deliver, log: outlets.log, load: outlets.load, sort: outlets.sort)
        requestsUnderWay.store(run.replica.requestsUnderWay, ordering: .relaxed)
    }
}

/// Up to so many requests the turn of one is shorter than the way to the engine's thread. With a thousand under way that thread takes
/// hundreds at once, and turns in between cost a fifth more a put.
private let fewRequests = 8

/// It takes about this many versions less for memory to be given back.
private let trimVersionLimit = 200_000

// Owns: the replica, and who moves it: the engine's thread, which takes what loops and log say in batches and hands out what the
// replica wants; or, while that sleeps, a loop or a thread of the log that has little to say, since to do a small thing oneself
// takes less time than to wake somebody who does it.
// Must never: be blocked by a client, a loop or the database: the thread waits for its mailbox and for a visitor's turn, a visitor
// for nobody.
// Invariant: what one sender says is heard in its order, and what a loop is told reaches it in the order in which the replica
// said it. A visitor is let in only once all that was posted has been dealt with, and a loop only when nothing is on its way to it.
internal import Bytes
internal import Changelog
internal import EtcdAPI
internal import Keyspace
internal import Replica
internal import Synchronization

internal import struct Logging.Logger

/// What a loop is to do for one of its calls.
enum Outgoing: Sendable {
    case respond(RequestID, ByteString)
    case fail(RequestID, EtcdError)
    case send(RequestID, ByteString, reportDrained: Bool)
    case sendParts(RequestID, [ByteString], reportDrained: Bool)
    case finish(RequestID)
    case revision(RequestID, Revision)
    /// Something to log of a call whose answer follows.
    case slow(RequestID, SlowRequest)

    var id: RequestID {
        switch self {
        case .respond(let id, _), .fail(let id, _), .send(let id, _, _), .sendParts(let id, _, _), .finish(let id),
            .revision(let id, _), .slow(let id, _):
            id
        }
    }
}

/// What the engine's thread is told.
enum EngineMessage: Sendable {
    case event(ReplicaEvent)
    /// Somebody wants to know whether the thread lives.
    case ping(@Sendable () -> Void)
    case stop
}

/// Where what the replica wants goes.
struct EngineOutlets: Sendable {
    /// A loop's batch, or what answers probes as that of a loop beyond the last.
    var deliver: @Sendable (_ loop: Int, [Outgoing]) -> Void
    /// Whether nothing that was delivered is still on its way to the loop. Asked on that loop.
    var hasReached: @Sendable (_ loop: Int) -> Bool
    var log: @Sendable (LogCommand) -> Void
    /// `LogWorkers.submitAtOnce`.
    var logAtOnce: @Sendable (LogCommand) -> Void
    var load: @Sendable ([ServedMark]) -> Void
}

/// What is kept from turn to turn.
struct EngineRun: ~Copyable {
    fileprivate(set) var replica: Replica
    fileprivate var outgoing: [[Outgoing]]
    fileprivate var messages: [EngineMessage] = []
    /// The most key versions since freed memory was given back to the system.
    fileprivate var versionPeak = 0
    /// Until when to wait for messages.
    var deadline = Instant(nanoseconds: 0)

    init(_ configuration: ReplicaConfiguration, loopCount: Int) {
        replica = Replica(configuration: configuration)
        // One more than there are loops: what answers probes.
        outgoing = [[Outgoing]](repeating: [], count: loopCount + 1)
    }
}

final class Engine: Sendable {
    let mailbox: EngineMailbox<EngineMessage>
    private let shared: SharedState
    private let configuration: ReplicaConfiguration
    private let marks: ServedMarks?
    let logger: Logger
    /// Nobody's until the thread is started.
    private let hosted = Mutex<HostedRun?>(nil)
    /// What a loop may have to say to be let in, and how many requests may be under way: many are sooner done by a thread that
    /// does nothing else, beside those that bring them.
    fileprivate static let visitLimit = 4

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

    /// Hands over what must not be lost: the log's answers.
    func post(_ event: ReplicaEvent) {
        mailbox.force(.event(event))
    }

    /// Hands over what a loop can't drop.
    func force(_ message: EngineMessage) { mailbox.force(message) }

    func stop() { mailbox.force(.stop) }

    // MARK: The thread

    /// Runs the replica until `stop`.
    func start(loopCount: Int, _ outlets: EngineOutlets) -> WorkerThread {
        hosted.withLock { $0 = HostedRun(run: EngineRun(configuration, loopCount: loopCount), outlets: outlets) }
        return WorkerThread(name: "pine-engine") { [self] in
            var messages: [EngineMessage] = []
            var deadline: Instant? = Instant(nanoseconds: 0)
            while let until = deadline {
                mailbox.take(into: &messages, until: until)
                deadline = hosted.withLock { hosted in hosted?.move(self, &messages) }
            }
        }
    }

    // MARK: Visitors

    /// Hears a loop's batch on that loop, does what it leads to, empties it, and gives what is for the loop, which it is to take in at
    /// once; nil where the batch is for the thread, and untouched.
    func visit(_ batch: inout [EngineMessage], from loop: Int) -> [Outgoing]? {
        guard batch.count <= Self.visitLimit, mailbox.isAtRest,
            case .some(.some(let visit)) = hosted.withLockIfAvailable({ hosted in hosted?.host(self, &batch, loop: loop) })
        else { return nil }
        mailbox.hurry(visit.deadline)
        return visit.answers
    }

    /// Hears what the log says, on the log's thread where that is quicker.
    func hear(_ event: LogEvent) {
        var batch = [EngineMessage.event(.log(event))]
        if event.isSoonHeard, mailbox.isAtRest,
            case .some(.some(let visit)) = hosted.withLockIfAvailable({ hosted in hosted?.host(self, &batch, loop: nil) })
        {
            mailbox.hurry(visit.deadline)
        } else {
            mailbox.force(.event(.log(event)))
        }
    }

    // MARK: Turns

    /// Waits for messages, or until there is something to do without, and does it all. False once it was told to stop.
    func turn(
        _ run: inout EngineRun, deliver: (_ loop: Int, [Outgoing]) -> Void, log: (LogCommand) -> Void, load: ([ServedMark]) -> Void
    ) -> Bool {
        mailbox.take(into: &run.messages, until: run.deadline)
        return move(&run, deliver: deliver, log: log, load: load)
    }

    /// Hears the run's messages, and does all that can be done without waiting. False once it was told to stop.
    fileprivate func move(
        _ run: inout EngineRun, deliver: (_ loop: Int, [Outgoing]) -> Void, log: (LogCommand) -> Void, load: ([ServedMark]) -> Void
    ) -> Bool {
        let now = Clock.now
        for message in run.messages {
            switch message {
            case .event(let event): run.replica.step(event, now: now)
            case .ping(let answer): answer()
            case .stop: return false
            }
        }
        run.messages.removeAll(keepingCapacity: true)
        for action in run.replica.endTurn(now: now) {
            switch action {
            case .respond(let id, let message): run.outgoing[id.loop].append(.respond(id, message))
            case .fail(let id, let error): run.outgoing[id.loop].append(.fail(id, error))
            case .send(let id, let message, let report):
                run.outgoing[id.loop].append(.send(id, message, reportDrained: report))
            case .sendParts(let id, let parts, let report):
                run.outgoing[id.loop].append(.sendParts(id, parts, reportDrained: report))
            case .finish(let id): run.outgoing[id.loop].append(.finish(id))
            case .reportRevision(let id, let revision): run.outgoing[id.loop].append(.revision(id, revision))
            case .log(let command): log(command)
            case .load: load(run.replica.comparedMarks)
            case .note(.slow(let id, let request)): run.outgoing[id.loop].append(.slow(id, request))
            case .note(let note): report(note)
            }
        }
        // Before anybody hears of it.
        if let marks, let served = run.replica.served { marks.note(served) }
        for loop in run.outgoing.indices where !run.outgoing[loop].isEmpty {
            deliver(loop, run.outgoing[loop])
            run.outgoing[loop] = []
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
        return true
    }
}

/// The run of a started engine, for whoever holds its lock.
private struct HostedRun: ~Copyable {
    var run: EngineRun
    let outlets: EngineOutlets

    /// The thread's turn. Gives until when to sleep; nil once it was told to stop.
    mutating func move(_ engine: Engine, _ messages: inout [EngineMessage]) -> Instant? {
        // Either way round, so that both keep their room.
        swap(&run.messages, &messages)
        defer { swap(&run.messages, &messages) }
        return engine.move(&run, deliver: outlets.deliver, log: outlets.log, load: outlets.load) ? run.deadline : nil
    }

    /// A visitor's turn: of a loop, or of one of the log's threads.
    mutating func host(_ engine: Engine, _ messages: inout [EngineMessage], loop: Int?) -> Visit? {
        guard run.replica.requestsUnderWay <= Engine.visitLimit else { return nil }
        if let loop, !outlets.hasReached(loop) { return nil }
        var answers: [Outgoing] = []
        swap(&run.messages, &messages)
        let goesOn = engine.move(
            &run, deliver: { if $0 == loop { answers = $1 } else { outlets.deliver($0, $1) } },
            // A thread of the log has its own commands next.
            log: loop == nil ? outlets.log : outlets.logAtOnce, load: outlets.load)
        invariant(goesOn, "only the thread is told to stop")
        swap(&run.messages, &messages)
        return Visit(answers: answers, deadline: run.deadline)
    }
}

/// What a visitor takes along.
private struct Visit {
    let answers: [Outgoing]
    /// When the thread is to come by at the latest.
    let deadline: Instant
}

extension LogEvent {
    /// Whether it says little: no rows to fold.
    fileprivate var isSoonHeard: Bool {
        switch self {
        case .appended, .headRead: true
        default: false
        }
    }
}

/// It takes about this many versions less for memory to be given back.
private let trimVersionLimit = 200_000

extension RequestID {
    /// Which loop the call lives on: the top byte, as in `CallID`.
    var loop: Int { Int(rawValue >> 56) }
}

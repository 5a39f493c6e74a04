// Owns: the thread that owns the replica: takes what loops and log say, in batches, and hands out what the replica wants.
// Must never: be blocked by a client, a loop or the database; it waits for its mailbox and nothing else.
internal import Bytes
internal import Changelog
internal import EtcdAPI
internal import Keyspace
internal import Logging
internal import Replica
internal import Synchronization

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

/// What the engine's thread keeps from turn to turn.
struct EngineRun: ~Copyable {
    fileprivate(set) var replica: Replica
    fileprivate var outgoing: [[Outgoing]]
    fileprivate var messages: [EngineMessage] = []
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
    private let logger: Logger

    init(_ configuration: ReplicaConfiguration, shared: SharedState, logger: Logger) {
        self.configuration = configuration
        self.shared = shared
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

    /// Runs the replica until `stop`. `deliver` gets each loop's batch, and what answers probes as that of a loop beyond the
    /// last; `log` gets what the replica wants of the log.
    func start(
        loopCount: Int, deliver: @escaping @Sendable (_ loop: Int, [Outgoing]) -> Void,
        log: @escaping @Sendable (LogCommand) -> Void, load: @escaping @Sendable () -> Void
    ) -> WorkerThread {
        WorkerThread(name: "pine-engine") { [self] in
            var run = EngineRun(configuration, loopCount: loopCount)
            while turn(&run, deliver: deliver, log: log, load: load) {}
        }
    }

    /// Waits for messages, or until there is something to do without, and does it all. False once it was told to stop.
    func turn(
        _ run: inout EngineRun, deliver: (_ loop: Int, [Outgoing]) -> Void, log: (LogCommand) -> Void, load: () -> Void
    ) -> Bool {
        mailbox.take(into: &run.messages, until: run.deadline)
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
            case .load: load()
            case .note(.slow(let id, let request)): run.outgoing[id.loop].append(.slow(id, request))
            case .note(let note): report(note)
            }
        }
        for loop in run.outgoing.indices where !run.outgoing[loop].isEmpty {
            deliver(loop, run.outgoing[loop])
            run.outgoing[loop] = []
        }
        shared.update(
            header: run.replica.header, counters: run.replica.counters, gauges: run.replica.gauges, isServing: run.replica.isServing,
            liveBytes: run.replica.store.liveBytes, alarms: run.replica.store.committedAlarms)
        run.deadline = run.replica.hasMoreWork ? Instant(nanoseconds: 0) : run.replica.nextDeadline
        return true
    }

    private func report(_ note: Note) {
        switch note {
        case .slow: break
        case .serving(let revision, let keys):
            logger.info("serving", metadata: ["revision": "\(revision)", "keys": "\(keys)"])
        case .appendLost(let reason):
            logger.warning(
                "lost the connection during an append; asking the log whether it was committed", metadata: ["reason": "\(reason)"])
        case .appendRecovered(let committed):
            logger.info("the lost append \(committed ? "was committed" : "was not committed and is done again")")
        case .historyChanged(let position):
            logger.error(
                "the log's history changed under us (a failover that lost its end, or a restored backup): loading it anew",
                metadata: ["revision": "\(position.revision)"])
        case .becameSteward(let leases):
            logger.info("this process does the chores: all leases start anew", metadata: ["leases": "\(leases)"])
        case .revisionRaised(let from, let to):
            logger.notice(
                """
                the log lacked what had been served: its revision was raised past that, and everything before is compacted, so that \
                clients list again instead of missing what is different
                """, metadata: ["from": "\(from)", "to": "\(to)"])
        case .overtaken(let position):
            logger.warning(
                "others have compacted past what this process has read of the log: loading it anew",
                metadata: ["revision": "\(position.revision)"])
        case .autoCompacted(let revision):
            logger.info("compacted: the retention is over", metadata: ["revision": "\(revision)"])
        case .autoCompactionFailed(let error):
            logger.warning("could not compact; trying again later", metadata: ["reason": "\(error)"])
        case .sweeping(let deleted, let left):
            logger.info(
                "deleting what compaction made dead", metadata: ["deleted": "\(deleted)", "left": "about \(left) superseded rows"])
        case .swept(let deleted, let revision):
            logger.info(
                "deleted what compaction made dead; PostgreSQL's autovacuum makes the space free",
                metadata: ["deleted": "\(deleted)", "compacted": "\(revision)"])
        case .spaceExceeded(let bytes, let quota):
            logger.warning(
                "the quota is used up: refusing writes until keys are deleted and compacted",
                metadata: ["bytes": "\(bytes)", "quota": "\(quota)"])
        case .spaceFreed(let bytes, let quota):
            logger.info("there is space again: writes are served", metadata: ["bytes": "\(bytes)", "quota": "\(quota)"])
        case .readFailed(let reason):
            logger.warning("could not read the log", metadata: ["reason": "\(reason)"])
        case .logDamaged(let position):
            logger.critical(
                """
                the log's rows do not add up to its digest: the tables were changed by other hands or are damaged. Not \
                serving; restore a backup
                """, metadata: ["revision": "\(position.revision)"])
        }
    }
}

extension RequestID {
    /// Which loop the call lives on: the top byte, as in `CallID`.
    var loop: Int { Int(rawValue >> 56) }
}

// Owns: the services as one caller has them: a call begins by its method's index, what it asks goes to the engine in batches, and what the
// engine says becomes the call's answers.
// Must never: block, look at the store, or be used off the caller's event loop.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import NIOCore
internal import Passwords
internal import Replica

internal import struct Logging.Logger

final class Services: GRPCHandler {
    // What the services share.
    let caller: any Caller
    let shared: SharedState
    let limits: RequestLimits
    /// What the store may take in the database; 0 for no bound.
    let quotaBytes: Int64
    /// Calls that are more than a question and its answer.
    var streams = OpenStreams()
    var watchGate = WatchRequestGate()

    // Services with something of their own.
    let health: HealthService
    let auth: AuthService
    private(set) lazy var coordination = CoordinationRunner(self)

    private let engine: Engine
    private var clients: ClientIdentification
    private let failedLogins: RejectionLog
    /// By the method's index.
    private let messageHandlings = ServedMethod.all.map(\.message)
    private var slowRequests: SlowRequestLog
    /// Collected during a turn of the loop.
    private var batch: [EngineMessage] = []
    /// Calls that wait for a revision, to make the rest of their answer here.
    private var awaitingRevision: [CallID: (Services, Revision) -> Void] = [:]

    /// The engine gets to know `caller`. To be called on the caller's event loop.
    init(
        _ caller: any Caller, engine: Engine, shared: SharedState, health: Health, passwords: PasswordThreads,
        configuration: ServerConfiguration, logger: Logger
    ) {
        self.caller = caller
        self.engine = engine
        self.shared = shared
        limits = RequestLimits(maxTxnOps: configuration.maxTxnOps, maxRequestBytes: configuration.maxRequestBytes)
        quotaBytes = configuration.quotaBackendBytes
        self.health = HealthService(health, for: caller)
        auth = AuthService(configuration.auth, passwords: passwords)
        clients = ClientIdentification(configuration.auth.tokens)
        failedLogins = RejectionLog("refused a login", logger: logger)
        slowRequests = SlowRequestLog(logger: logger)
        // The engine outlives its callers, and must not keep them.
        let eventLoop = caller.eventLoop
        let bound = NIOLoopBound(WeakServices(services: self), eventLoop: eventLoop)
        caller.callerIndex = engine.callers.register { answers in
            eventLoop.execute {
                guard let services = bound.value.services else { return }
                services.caller.atOnce { services.deliver(answers) }
            }
        }
    }

    // MARK: What the caller says

    func callStarted(_ call: CallID, method: MethodIndex) {
        ServedMethod.all[method.rawValue].started?(self, call)
    }

    func messageReceived(_ call: CallID, method: MethodIndex, message: ByteString) {
        do throws(EtcdError) {
            switch messageHandlings[method.rawValue] {
            case .asks(let question): ask(call, try question(message, limits))
            case .isHandled(let handler): try handler(self, call, message)
            }
        } catch {
            if forget(call) { tell(.requestCancelled(call)) }
            caller.finish(call, GRPCStatus(error))
        }
    }

    func inputEnded(_ call: CallID, method: MethodIndex) {
        ServedMethod.all[method.rawValue].inputEnded?(self, call)
    }

    func callCancelled(_ call: CallID) {
        awaitingRevision[call] = nil
        forget(call)
        coordination.cancelled(call)
        tell(.requestCancelled(call))
    }

    func callWritable(_ call: CallID) {
        for _ in 0..<streams.drained(call) { tell(.streamDrained(call)) }
        coordination.writable(call)
    }

    func turnEnded() {
        guard !batch.isEmpty else { return }
        engine.post(&batch)
        refuse(&batch)
    }

    func shutdownBegan() {
        coordination.shutDown()
        for call in streams.endless {
            tell(.requestCancelled(call))
            streams.closed(call)
            caller.finish(call, GRPCStatus(.stopped))
        }
        health.stop()
    }

    /// The call is over. True where it would not have ended by itself.
    @discardableResult
    private func forget(_ call: CallID) -> Bool {
        health.forget(call)
        auth.forget(call)
        return streams.closed(call)
    }

    /// What the engine had no room for: it is further behind than it can make good, and etcd says the same when its backlog is
    /// too long. What it must hear of waits for the next turn.
    private func refuse(_ rest: inout [EngineMessage]) {
        guard !rest.isEmpty else { return }
        var kept: [EngineMessage] = []
        for message in rest {
            switch message {
            case .event(.requestArrived(let call, _, _)), .event(.watchOpened(let call, _)), .event(.watchRequested(let call, _)):
                // There are as many as calls of theirs are open, which have a bound of their own.
                guard !call.isOfCoordination else {
                    kept.append(message)
                    continue
                }
                awaitingRevision[call] = nil
                if forget(call) { kept.append(.event(.requestCancelled(call))) }
                caller.finish(call, GRPCStatus(.tooManyRequests))
            case .event, .ping, .stop: kept.append(message)
            }
        }
        for message in kept { engine.force(message) }
        rest.removeAll(keepingCapacity: true)
    }

    // MARK: What the services ask

    /// The engine is to be told at the turn's end.
    func tell(_ event: consuming ReplicaEvent) { batch.append(.event(event)) }

    /// The engine is asked; its answer goes to the call.
    func ask(_ call: CallID, _ request: consuming Request) {
        batch.append(.event(.requestArrived(call, request, by: principal(of: call))))
    }

    /// Who makes a call.
    func principal(of call: CallID) -> Principal { clients.principal(of: caller.credentials(of: call)) }

    /// The engine is asked for the newest revision; `then` makes the answer. It must not keep the services.
    func askRevision(_ call: CallID, linearizable: Bool, needs need: AccessNeed, then: @escaping (Services, Revision) -> Void) {
        awaitingRevision[call] = then
        ask(call, .revision(linearizable: linearizable, needs: need))
    }

    /// Ends the call with what `answer` makes of what is known once `ready` is there.
    func respond(_ call: CallID, after ready: EventLoopFuture<Void>, _ answer: @escaping (ServerStatus) -> ByteString) {
        ready.assumeIsolated().whenSuccess { [self] in
            caller.atOnce { caller.respond(call, answer(shared.current)) }
        }
    }

    /// For other threads: runs `then` on the caller's event loop, if the services are still there by then.
    func callback<Value: Sendable>(_ then: @escaping (Services, Value) -> Void) -> @Sendable (Value) -> Void {
        let eventLoop = caller.eventLoop
        let bound = NIOLoopBound((services: WeakServices(services: self), then: then), eventLoop: eventLoop)
        return { value in
            eventLoop.execute {
                guard let services = bound.value.services.services else { return }
                services.caller.atOnce {
                    bound.value.then(services, value)
                    services.turnEnded()
                }
            }
        }
    }

    /// Runs `then` on the caller's event loop once the engine has taken all that it was told so far.
    func whenTaken(_ then: @escaping @Sendable (Services) -> Void) {
        let eventLoop = caller.eventLoop
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        batch.append(
            .ping {
                eventLoop.execute { bound.value.caller.atOnce { then(bound.value) } }
            })
    }

    // MARK: What the engine says

    func deliver(_ answers: [CallAnswer]) {
        for (call, answer) in answers {
            if call.isOfCoordination {
                coordination.heard(call, answer)
                continue
            }
            switch answer {
            case .respond(let message): caller.respond(call, message)
            case .fail(let error):
                forget(call)
                caller.finish(call, GRPCStatus(error))
            case .send(let message, let reportDrained):
                let hasRoom = caller.send(call, message)
                if streams.answeringCount > 0, streams.sent(call, hasRoom: hasRoom) { caller.resumeInput(call) }
                if reportDrained { self.reportDrained(call, hasRoom: hasRoom) }
            case .sendParts(let parts, let reportDrained):
                let hasRoom = caller.send(call, parts)
                if reportDrained { self.reportDrained(call, hasRoom: hasRoom) }
            case .finish:
                forget(call)
                caller.finish(call, .ok)
            case .revision(let revision): awaitingRevision.removeValue(forKey: call)?(self, revision)
            case .auth(let answer): auth.heard(self, call, answer)
            case .slow(let request): noteSlow(request, call)
            }
        }
        turnEnded()
    }

    func noteSlow(_ request: SlowRequest, _ call: CallID) {
        if let (path, peer) = caller.describe(call) { slowRequests.note(request, path: path, peer: peer) }
    }

    func noteFailedLogin(_ user: ByteString, _ error: EtcdError, _ call: CallID) {
        failedLogins.note(peer: caller.describe(call)?.peer ?? "unknown", "\(error.text)", user: user)
    }

    /// The engine wants to hear once what was sent on a stream so far has left, or nearly: at once where the client keeps up.
    private func reportDrained(_ call: CallID, hasRoom: Bool) {
        guard caller.isOpen(call) else { return }
        if streams.reportDue(call, hasRoom: hasRoom) { tell(.streamDrained(call)) }
    }
}

private struct WeakServices {
    weak var services: Services?
}

// Owns: a caller that is not gRPC, as a gateway would be: it hands encoded messages in and keeps what comes back; and a whole server
// beneath it on one thread, over a log in memory.
import Bytes
import Calls
import EtcdAPI
import GRPC
import Keyspace
import LogModel
import Logging
import Mailboxes
import NIOCore
import NIOEmbedded
import Passwords
import Replica

@testable import PineServer

final class PlainCaller: Caller {
    struct Outcome: Equatable {
        var messages: [ByteString] = []
        var status: GRPCStatus?
    }

    let eventLoop: any EventLoop
    var callerIndex = 0
    /// By call, of every call that was ever begun.
    private(set) var outcomes: [CallID: Outcome] = [:]
    private(set) var paused: Set<CallID> = []
    /// Whether its clients read.
    var hasRoom = true
    var credentials: CallCredentials?
    private var nextNumber: UInt32 = 0

    init(on eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func newCall() -> CallID {
        nextNumber += 1
        let call = CallID(rawValue: UInt64(callerIndex) << 56 | UInt64(nextNumber))
        outcomes[call] = Outcome()
        return call
    }

    /// The client of the call is gone.
    func drop(_ call: CallID) { outcomes[call]?.status = .ok }

    func respond(_ call: CallID, _ message: ByteString) {
        guard isOpen(call) else { return }
        outcomes[call]?.messages.append(message)
        outcomes[call]?.status = .ok
    }

    func send(_ call: CallID, _ message: ByteString) -> Bool {
        guard isOpen(call) else { return true }
        outcomes[call]?.messages.append(message)
        return hasRoom
    }

    func send(_ call: CallID, _ parts: [ByteString]) -> Bool { send(call, ByteString(parts.joined())) }

    func finish(_ call: CallID, _ status: GRPCStatus) {
        if isOpen(call) { outcomes[call]?.status = status }
    }

    func pauseInput(_ call: CallID) { paused.insert(call) }
    func resumeInput(_ call: CallID) { paused.remove(call) }
    func isOpen(_ call: CallID) -> Bool { outcomes[call]?.status == nil && outcomes[call] != nil }
    func isFlagged(_ call: CallID) -> Bool { false }
    func credentials(of call: CallID) -> CallCredentials? { credentials }
    func describe(_ call: CallID) -> (path: String, peer: String)? { nil }
    func atOnce(_ body: () -> Void) { body() }
}

final class PlainServer {
    let eventLoop = EmbeddedEventLoop()
    let caller: PlainCaller
    let services: Services
    let engine: Engine
    private var run: EngineRun
    private let log = MemoryLog()
    private var isMoving = false

    init(_ configure: (inout ReplicaConfiguration) -> Void = { _ in }) {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let shared = SharedState(logger: logger)
        var replica = ReplicaConfiguration(origin: 1, memberID: 1)
        configure(&replica)
        engine = Engine(replica, shared: shared, logger: logger)
        run = EngineRun(replica)
        caller = PlainCaller(on: eventLoop)
        services = Services(
            caller, engine: engine, shared: shared, health: Health(shared: shared, probes: Probes(engine: engine), log: LogSlot()),
            passwords: PasswordThreads(threads: 0, waitingLimit: 0), configuration: ServerConfiguration(listenURLs: []), logger: logger)
    }

    /// Begins a call of a method and hands its first message in.
    func begin(_ method: EtcdMethod, _ message: some WireMessage) -> CallID {
        guard let index = MethodIndex(method) else { fatalError("\(method) is not served") }
        let call = caller.newCall()
        if method.kind == .bidirectional { services.callStarted(call, method: index) }
        services.messageReceived(call, method: index, message: message.encoded())
        services.turnEnded()
        return call
    }

    /// Hands a further message in.
    func send(_ call: CallID, _ method: EtcdMethod, _ message: some WireMessage) {
        guard let index = MethodIndex(method) else { fatalError("\(method) is not served") }
        services.messageReceived(call, method: index, message: message.encoded())
        services.turnEnded()
    }

    /// One call from its begin to its end.
    func call(_ method: EtcdMethod, _ message: some WireMessage) -> PlainCaller.Outcome {
        let call = begin(method, message)
        settle()
        return caller.outcomes[call]!
    }

    /// What the engine has been told and has not taken.
    func takeEvents() -> [ReplicaEvent] {
        var messages: [EngineMessage] = []
        engine.mailbox.take(into: &messages)
        return messages.compactMap { if case .event(let event) = $0 { event } else { nil } }
    }

    /// Lets the engine do all that it can do without waiting.
    func settle() {
        repeat {
            isMoving = false
            engine.turn(
                &run,
                deliver: { caller, answers in
                    isMoving = true
                    engine.callers.deliver(answers, to: caller)
                    eventLoop.run()
                },
                log: { if let event = log.answer($0) { post(.log(event)) } },
                load: { _ in for event in log.load() { post(event) } },
                sort: { job in
                    var job = job
                    job.run()
                    post(.sorted(job))
                })
        } while isMoving || run.replica.hasMoreWork
    }

    private func post(_ event: ReplicaEvent) {
        isMoving = true
        engine.post(event)
    }
}

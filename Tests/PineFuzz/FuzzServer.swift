// Owns: a whole server on one thread, from the bytes of one connection to the replica and back, for the fuzzer and the replay of
// its seeds: the production connection, calls, services and replica, over a log in memory.
// Must never: decide anything by a clock or by chance: one input takes one way through the code.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import HTTP1
internal import Keyspace
internal import LogModel
internal import Mailboxes
internal import NIOCore
internal import NIOEmbedded
import Replica

internal import struct Logging.Logger
internal import struct Logging.SwiftLogNoOpLogHandler

@testable internal import GRPC
@testable internal import HTTP2
@testable internal import Passwords
@testable internal import PineServer

final class FuzzServer {
    private let eventLoop = EmbeddedEventLoop()
    private let http2: HTTP2Loop
    private let calls: GRPCLoop
    private let services: Services
    private let gateway: JSONGateway
    private let http1: HTTP1Loop
    private let channel: EmbeddedChannel
    private let engine: Engine
    private let shared = SharedState(logger: FuzzServer.logger)
    private var host: ReplicaHost
    private let log = MemoryLog()
    private var now = Instant(nanoseconds: 1_000_000_000)

    private static let logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
    private static let methods = MethodTable(ServedMethod.grpcMethods, GRPCFields())
    private static let routes = GatewayRoutes()

    /// `isSecure`: JSON is spoken over HTTP/2 as well.
    init(isSecure: Bool) {
        var limits = HTTP2Limits()
        limits.concurrentStreamsLimit = 100
        // Little is enough to make requests wait for answers to be read, and to be too much for all together.
        limits.connectionKeptHighWaterMark = 24 << 10
        limits.connectionKeptLowWaterMark = 4 << 10
        limits.clientBytesLimit = 96 << 10
        limits.expectedAnswerBytes = 4 << 10
        limits.expectedAnswerMinBytes = 1 << 10
        var configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        configuration.scanKeyLimit = 3
        configuration.batchRowLimit = 4
        configuration.waitingLimit = 50
        configuration.watchStreamBufferMinBytes = 256
        configuration.watchBufferBytes = 1_024
        configuration.historyRowLimit = 2
        configuration.watcherLimit = 20
        host = ReplicaHost(configuration)
        engine = Engine(configuration, shared: shared, logger: Self.logger)
        let pages: Pages = { _, eventLoop in eventLoop.makeSucceededFuture(.notFound) }
        let acceptor = HTTP1Acceptor(isSecure: { _ in isSecure }, pages: pages)
        http2 = HTTP2Loop(
            index: 0, eventLoop: eventLoop, limits: limits, keepAlive: KeepAlivePolicy(), http1: acceptor, logger: Self.logger)
        calls = GRPCLoop(http2: http2, methods: Self.methods, limits: GRPCLimits(), pages: nil)
        let (engine, shared) = (engine, shared)
        func services(_ caller: any Caller) -> Services {
            Services(
                caller, engine: engine, shared: shared,
                health: Health(shared: shared, probes: Probes(engine: engine), log: LogSlot()),
                passwords: PasswordThreads(threads: 0, waitingLimit: 0),
                configuration: ServerConfiguration(listenURLs: ["http://127.0.0.1:0"]),
                logger: Self.logger)
        }
        self.services = services(calls)
        gateway = JSONGateway(eventLoop, routes: Self.routes, messageLimit: 64 << 10, logger: Self.logger)
        gateway.services = services(gateway)
        http1 = acceptor.prepare(eventLoop, memory: http2.clientMemory)
        http1.service = gateway
        calls.handler = self.services
        http2.handler = calls
        channel = EmbeddedChannel(handler: nil, loop: eventLoop)
        violatedIfThrown {
            try channel.pipeline.syncOperations.addHandler(HTTP2Connection(loop: http2))
            channel.connect(to: try SocketAddress(unixDomainSocketPath: "/fuzz"), promise: nil)
        }
    }

    /// What the client sends.
    func receive(_ bytes: ByteBuffer) {
        // Once the server has closed the connection, what comes then is nobody's.
        guard channel.isActive else { return }
        // Errors of the channel are how the connection says that it ended.
        _ = try? channel.writeInbound(bytes)
        drop()
    }

    /// Whether the client takes what the server sends.
    func setWritable(_ isWritable: Bool) {
        guard channel.isActive else { return }
        channel.isWritable = isWritable
        channel.pipeline.fireChannelWritabilityChanged()
    }

    func passTime(ms: Int) {
        now = now.advanced(byMs: ms)
        log.nowMs += Int64(ms)
    }

    func expireLeases() { log.endLeases() }

    /// Lets the engine take what has come, at most `turns` times. True where it has come to rest.
    @discardableResult
    func work(turns: Int) -> Bool {
        for _ in 0..<turns {
            eventLoop.run()
            var messages: [EngineMessage] = []
            engine.mailbox.take(into: &messages)
            let isIdle = messages.isEmpty && !host.hasPosted
            for message in messages {
                switch message {
                case .event(let event): host.step(event, now: now)
                case .ping(let answer): answer()
                case .stop: break
                }
            }
            let actions = host.turn(now: now)
            perform(actions)
            drop()
            if isIdle, actions.isEmpty, !host.hasWork { return true }
        }
        return false
    }

    /// The client goes away; nothing may be left of it.
    func close() {
        setWritable(true)
        if channel.isActive { channel.close(promise: nil) }
        work(turns: 100)
        invariant(http2.openConnectionCount == 0 && http2.openStreamCount == 0, "a closed connection leaves streams behind")
        invariant(services.streams.isEmpty && gateway.openCount == 0, "a closed connection leaves calls behind")
        invariant(gateway.services?.streams.isEmpty == true && calls.exchanges.isEmpty, "a closed connection leaves calls behind")
        invariant(http1.keptBytes == 0, "a closed connection leaves memory behind")
        invariant(http2.keptByteCount == 0 && calls.heldInput.isEmpty, "a closed connection leaves memory behind")
        http1.endShutdown()
        // The three hold each other, as they do for as long as a real server lives.
        http2.handler = nil
        calls.handler = nil
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    private func perform(_ actions: [Action]) {
        var answers: [CallAnswer] = []
        var answersInJSON: [CallAnswer] = []
        for action in actions {
            switch action {
            case .answer(let call, let answer) where call.caller == calls.callerIndex: answers.append((call, answer))
            case .answer(let call, let answer) where call.caller == gateway.callerIndex: answersInJSON.append((call, answer))
            case .answer: break
            case .log(let command): if let answer = log.answer(command) { host.post(.log(answer)) }
            case .load: for event in log.load() { host.post(event) }
            case .sort(var job):
                job.run()
                host.post(.sorted(job))
            case .note: break
            }
        }
        if !answersInJSON.isEmpty { gateway.atOnce { gateway.services?.deliver(answersInJSON) } }
        guard !answers.isEmpty else { return }
        http2.beginBatch()
        services.deliver(answers)
        services.turnEnded()
        http2.endBatch()
    }

    /// The client reads and forgets.
    private func drop() {
        while let bytes = try? channel.readOutbound(as: ByteBuffer.self) { _ = bytes }
    }
}

private func violatedIfThrown(_ body: () throws -> Void) {
    do { try body() } catch { violated("\(error)") }
}

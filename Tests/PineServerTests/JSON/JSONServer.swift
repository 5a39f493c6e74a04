// Owns: a server whose clients speak JSON over real sockets: one event loop, and an engine with its thread over a log in memory.
import Bytes
import Changelog
import EtcdAPI
import GRPC
import HTTP1
import HTTP2
import LogModel
import Mailboxes
import NIOCore
import Replica
import Synchronization
import TestSupport
import Testing

import struct Logging.Logger
import struct Logging.SwiftLogNoOpLogHandler

@testable import Passwords
@testable import PineServer

final class JSONServer: Sendable {
    private let grpc: GRPCServer
    private let engine: Engine
    private let thread: WorkerThread
    let http1: HTTP1Acceptor
    let loop: NIOLoopBound<HTTP1Loop>
    let gateway: NIOLoopBound<JSONGateway>
    let port: Int

    /// Runs `body` with a server, and stops it.
    static func with(
        _ limits: HTTP1Limits = HTTP1Limits(), access: AccessRules = AccessRules(), memoryLimit: Int? = nil, isSecure: Bool = false,
        _ body: (JSONServer) async throws -> Void
    ) async throws {
        let server = try await JSONServer(limits, access, memoryLimit, isSecure)
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private init(_ limits: HTTP1Limits, _ access: AccessRules, _ memoryLimit: Int?, _ isSecure: Bool) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let configuration = ServerConfiguration(listenURLs: [])
        let shared = SharedState(logger: logger)
        let engine = Engine(ReplicaConfiguration(origin: 1, memberID: 1), shared: shared, logger: logger)
        let health = Health(shared: shared, probes: Probes(engine: engine), log: LogSlot())
        let pages: Pages = { request, eventLoop in
            eventLoop.makeSucceededFuture(request.path == "/page" ? PageResponse(status: 200, body: "page\n") : .notFound)
        }
        let http1 = HTTP1Acceptor(limits: limits, access: access, isSecure: { _ in isSecure }, pages: pages)
        var http2 = HTTP2Configuration(addresses: [.tcp(host: "127.0.0.1", port: 0)], loopCount: 1)
        http2.http1 = http1
        if let memoryLimit { http2.limits.clientBytesLimit = memoryLimit }
        let parts = Mutex<(NIOLoopBound<HTTP1Loop>, NIOLoopBound<JSONGateway>)?>(nil)
        grpc = try await GRPCServer.start(http2, methods: ServedMethod.grpcMethods, logger: logger) { loop in
            func services(_ caller: any Caller) -> Services {
                Services(
                    caller, engine: engine, shared: shared, health: health, passwords: PasswordThreads(threads: 0, waitingLimit: 0),
                    configuration: configuration, logger: logger)
            }
            let gateway = JSONGateway(
                loop.eventLoop, routes: GatewayRoutes(), messageLimit: configuration.grpcLimits.receivedMessageLimit, logger: logger)
            gateway.services = services(gateway)
            let http1Loop = http1.prepare(loop.eventLoop, memory: loop.clientMemory)
            http1Loop.service = gateway
            let bound = (NIOLoopBound(http1Loop, eventLoop: loop.eventLoop), NIOLoopBound(gateway, eventLoop: loop.eventLoop))
            parts.withLock { $0 = bound }
            return services(loop)
        }
        let bound = try #require(parts.withLock { $0 })
        (loop, gateway) = bound
        self.http1 = http1
        self.engine = engine
        port = try #require(grpc.boundAddresses.first?.port)
        let log = SharedLog()
        thread = engine.start(
            log: { command in if let event = log.answer(command) { engine.post(.log(event)) } },
            load: { _ in for event in log.load() { engine.post(event) } })
    }

    func stop() async {
        await grpc.shutdown(graceMs: 2_000)
        engine.stop()
        await onThread { self.thread.join() }
    }

    /// Lets calls end, for up to `graceMs`, and closes all connections.
    func shutDown(graceMs: Int64) async { await grpc.shutdown(graceMs: graceMs) }

    // MARK: Looking inside

    func keptBytes() async throws -> Int { try await loop.eventLoop.submit { self.loop.value.keptBytes }.get() }

    /// Calls of the gateway that are open, and streams that the services know.
    func openCount() async throws -> Int {
        try await gateway.eventLoop.submit {
            self.gateway.value.openCount + (self.gateway.value.services?.streams.isEmpty == false ? 1 : 0)
        }.get()
    }

    // MARK: Clients

    func client() throws -> HTTPClient { try HTTPClient(port: port) }

    /// One POST on a connection of its own.
    func post(_ path: String, _ body: String, fields: String = "") throws -> HTTPAnswer {
        let client = try client()
        try client.send(request(path, body, fields: fields))
        return try client.answer()
    }
}

func request(_ path: String, _ body: String, method: String = "POST", fields: String = "") -> String {
    "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
}

/// A part of a body that is sent in chunks.
func chunk(_ text: String) -> String { "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n" }

/// The log's memory, which only the thread uses that is at a turn.
private final class SharedLog: @unchecked Sendable {
    private let lock = Mutex(())
    private let log = MemoryLog()

    func answer(_ command: LogCommand) -> LogEvent? { lock.withLock { _ in log.answer(command) } }
    func load() -> [ReplicaEvent] { lock.withLock { _ in log.load() } }
}

// Owns: a gRPC server for tests, on a free port, whose handler does what the method's name says and keeps a diary.
internal import Bytes
internal import Calls
internal import HTTP2
internal import Logging
internal import NIOCore
internal import RawHTTP2
internal import Synchronization
internal import Testing

@testable import GRPC

/// What the handlers of all loops heard, in the order in which it came.
final class Diary: Sendable {
    private let entries = Mutex<[String]>([])
    func note(_ entry: String) { entries.withLock { $0.append(entry) } }
    var all: [String] { entries.withLock { $0 } }
    func count(_ entry: String) -> Int { all.count { $0 == entry } }

    /// Waits until `entry` was noted `times` times.
    func expect(_ entry: String, times: Int = 1) async throws {
        for _ in 0..<2_000 {
            if count(entry) >= times { return }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("\(entry) × \(times) never came: \(all)")
    }
}

final class EchoHandler: GRPCHandler {
    static let methods = [
        GRPCMethod("/test.Echo/Unary", .unary), GRPCMethod("/test.Echo/Thrice", .serverStreaming),
        GRPCMethod("/test.Echo/Bidi", .bidirectional), GRPCMethod("/test.Echo/Fail", .unary),
        GRPCMethod("/test.Echo/Never", .unary), GRPCMethod("/test.Echo/Large", .unary),
        GRPCMethod("/test.Echo/Flood", .serverStreaming), GRPCMethod("/test.Echo/Parts", .bidirectional),
        GRPCMethod("/test.Echo/Late", .unary), GRPCMethod("/test.Echo/Paced", .bidirectional),
    ]

    unowned let loop: GRPCLoop
    let diary: Diary
    private var batch: [(CallID, ByteString)] = []
    /// Calls to `Late`, which are answered at the turn's end.
    private var late: [CallID] = []
    static let lateCount = 256 << 10
    /// Messages of calls to `Paced`, which take one a turn, and which of these calls send no more.
    private var paced: [(call: CallID, message: ByteString)] = []
    private var pacedEnds: Set<CallID> = []
    private var bidirectional: Set<CallID> = []
    /// Calls to `Flood`, and how many messages each still owes.
    private var floods: [CallID: Int] = [:]
    static let floodCount = 200
    static let largeMessage = ByteString([UInt8](repeating: 0x4C, count: 8 << 20))
    static let floodMessage = ByteString(repeatElement(UInt8(0x46), count: 64 << 10))

    init(_ loop: GRPCLoop, _ diary: Diary) {
        self.loop = loop
        self.diary = diary
    }

    func callStarted(_ call: CallID, method: MethodIndex) {
        bidirectional.insert(call)
        diary.note(loop.isFlagged(call) ? "started flagged" : "started")
    }

    func messageReceived(_ call: CallID, method: MethodIndex, message: ByteString) {
        diary.note("message \(message.count)")
        switch method.rawValue {
        case 0: batch.append((call, message))
        case 1:
            for _ in 0..<3 { _ = loop.send(call, message) }
            loop.finish(call, .ok)
        case 2: _ = loop.send(call, message)
        case 3: loop.finish(call, GRPCStatus(.failedPrecondition, "50 % käse\n"))
        case 5: loop.respond(call, EchoHandler.largeMessage)
        case 6:
            floods[call] = EchoHandler.floodCount
            callWritable(call)
        case 9:
            if paced.contains(where: { $0.call == call }) { diary.note("too early") }
            loop.pauseInput(call)
            paced.append((call, message))
        case 8: late.append(call)
        case 7: _ = loop.send(call, [message, message])
        default: break
        }
    }

    func inputEnded(_ call: CallID, method: MethodIndex) {
        diary.note("ended")
        if paced.contains(where: { $0.call == call }) {
            pacedEnds.insert(call)
            return
        }
        bidirectional.remove(call)
        loop.finish(call, .ok)
    }

    func callCancelled(_ call: CallID) {
        diary.note("cancelled")
        bidirectional.remove(call)
        floods[call] = nil
    }

    func callWritable(_ call: CallID) {
        diary.note("writable")
        while let owed = floods[call] {
            if owed == 0 {
                floods[call] = nil
                loop.finish(call, .ok)
                return
            }
            floods[call] = owed - 1
            if !loop.send(call, EchoHandler.floodMessage) { return }
        }
    }

    func turnEnded() {
        for (call, message) in batch { loop.respond(call, message) }
        batch.removeAll()
        // Each of its own memory.
        for call in late { loop.respond(call, ByteString([UInt8](repeating: 0x4C, count: EchoHandler.lateCount))) }
        late.removeAll()
        let paced = paced
        self.paced = []
        for (call, message) in paced {
            _ = loop.send(call, message)
            loop.resumeInput(call)
            if pacedEnds.remove(call) != nil {
                bidirectional.remove(call)
                loop.finish(call, .ok)
            }
        }
    }

    func shutdownBegan() {
        diary.note("shutdown")
        for call in bidirectional { loop.finish(call, GRPCStatus(.unavailable, "etcdserver: server stopped")) }
    }
}

/// Runs `body` beside a server, then stops it.
func withEchoServer(
    limits: HTTP2Limits = HTTP2Limits(), messages: GRPCLimits = GRPCLimits(), keepAlive: KeepAlivePolicy = KeepAlivePolicy(),
    loopCount: Int = 1, configure: (inout HTTP2Configuration) -> Void = { _ in },
    _ body: (_ server: GRPCServer, _ port: Int, _ diary: Diary) async throws -> Void
) async throws {
    var configuration = HTTP2Configuration(addresses: [.tcp(host: "127.0.0.1", port: 0)], loopCount: loopCount)
    configuration.limits = limits
    configuration.keepAlive = keepAlive
    configure(&configuration)
    let diary = Diary()
    var logger = Logger(label: "test")
    logger.logLevel = .error
    let server = try await GRPCServer.start(
        configuration, limits: messages, methods: EchoHandler.methods,
        fields: GRPCFields(flag: "x-flag", counted: "x-version", token: "x-token"),
        logger: logger
    ) { EchoHandler($0, diary) }
    do {
        try await body(server, server.boundAddresses[0].port!, diary)
    } catch {
        await server.shutdown(graceMs: 0)
        throw error
    }
    await server.shutdown(graceMs: 0)
}

/// What is true of one loop now.
func look<T: Sendable>(_ server: GRPCServer, _ loop: Int = 0, _ body: @escaping @Sendable (GRPCLoop) -> T) async throws -> T {
    try await server.loops[loop].eventLoop.submit { body(server.loops[loop]) }.get()
}

/// Waits until `condition` holds on the server's first loop.
func eventually(_ server: GRPCServer, _ condition: @escaping @Sendable (GRPCLoop) -> Bool) async throws -> Bool {
    for _ in 0..<2_000 {
        if try await look(server, 0, condition) { return true }
        try await Task.sleep(for: .milliseconds(5))
    }
    return false
}

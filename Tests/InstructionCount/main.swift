// Owns: a server in one thread and a client of it, for valgrind to count what the server executes: scripts/count-instructions.
// Must never: depend on time, chance, or another thread. Only what happens inside `counted` is counted, but not the log's part in it.
import Bytes
import EtcdAPI
import GRPC
import HTTP2
import Logging
import NIOCore
import NIOEmbedded
import PineServer

/// Where the counting is switched on: callgrind knows it by its mangled name.
@inline(never)
func counted(_ world: UnsafeMutableRawPointer) {
    Unmanaged<World>.fromOpaque(world).takeUnretainedValue().serve()
}

/// One client's connection to one server, and the bytes between them.
final class World: GRPCCallReceiver {
    private let serverChannel = EmbeddedChannel()
    private let clientChannel = EmbeddedChannel()
    private let log = UncountedLog()
    private let server: ThreadlessServer
    private let client = GRPCClientConnection(limits: HTTP2Limits(), messageLimit: 1 << 30)
    private let methods: [GRPCClientMethod]
    private var toServer: [ByteBuffer] = []
    private(set) var answers = 0
    private(set) var messages = 0

    init() throws {
        server = ThreadlessServer(
            on: serverChannel.eventLoop, logger: Logger(label: "count") { _ in SwiftLogNoOpLogHandler() }, log: log.answer,
            load: log.load)
        methods = EtcdMethod.allCases.map {
            GRPCClientMethod(path: $0.path, scheme: "http", authority: "localhost", userAgent: "count")
        }
        try serverChannel.pipeline.syncOperations.addHandler(server.makeConnection())
        try clientChannel.pipeline.syncOperations.addHandler(client.connection)
        for channel in [serverChannel, clientChannel] {
            try channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }
        exchange(isCounted: false)
    }

    func messageReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer) { messages += 1 }

    func callEnded(_ tag: Int, _ status: GRPCStatus) {
        guard status == .ok else { fatalError("a call failed: \(status)") }
        answers += 1
    }

    /// Sends these requests at once, and waits for all that they bring.
    func call(_ method: EtcdMethod, _ requests: [ByteString], isCounted: Bool) {
        client.connection.beginBatch()
        for request in requests {
            guard client.unary(methods[Int(method.rawValue)], request, self, tag: 0) else { fatalError("no stream") }
        }
        client.connection.endBatch()
        exchange(isCounted: isCounted)
    }

    func watch(_ prefix: ByteString) {
        guard let stream = client.start(methods[Int(EtcdMethod.watch.rawValue)], self, tag: 0) else { fatalError("no stream") }
        let request = WatchCreateRequest(key: prefix, rangeEnd: prefix.prefixSuccessor())
        client.send(stream, WatchRequest.create(request).encoded())
        exchange(isCounted: false)
    }

    /// Carries bytes to and fro until there are none.
    private func exchange(isCounted: Bool) {
        clientChannel.embeddedEventLoop.run()
        repeat {
            while let buffer = try? clientChannel.readOutbound(as: ByteBuffer.self) { toServer.append(buffer) }
            log.isCounting = isCounted
            if isCounted { counted(Unmanaged.passUnretained(self).toOpaque()) } else { serve() }
            while let buffer = try? serverChannel.readOutbound(as: ByteBuffer.self) {
                _ = try? clientChannel.writeInbound(buffer)
            }
            clientChannel.embeddedEventLoop.run()
        } while hasOutput
    }

    private var hasOutput: Bool {
        guard let buffer = try? clientChannel.readOutbound(as: ByteBuffer.self) else { return false }
        toServer.append(buffer)
        return true
    }

    /// The server's part: reads what has come, and answers.
    fileprivate func serve() {
        for buffer in toServer { _ = try? serverChannel.writeInbound(buffer) }
        toServer.removeAll(keepingCapacity: true)
        serverChannel.embeddedEventLoop.run()
        server.settle()
        serverChannel.embeddedEventLoop.run()
    }
}

func key(_ number: Int) -> ByteString { ByteString("/registry/count/\(String(number + 1_000_000))") }

func put(_ number: Int) -> ByteString {
    PutRequest(key: key(number), value: ByteString((0..<512).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) })).encoded()
}

/// Sends `requests` requests in batches of 100, after a first round that isn't counted.
func run(_ scenario: String, requests: Int) throws {
    let world = try World()
    let batch = 100
    for start in stride(from: 0, to: 1_000, by: batch) {
        world.call(.put, (start..<(start + batch)).map { put($0) }, isCounted: false)
    }
    let loaded = world.answers
    guard loaded == 1_000 else { fatalError("only \(loaded) of 1000 keys were loaded") }
    func batches(_ method: EtcdMethod, size: Int, _ request: (Int) -> ByteString) {
        for isCounted in [false, true] {
            for start in stride(from: 0, to: requests, by: size) {
                world.call(method, (start..<(start + size)).map(request), isCounted: isCounted)
            }
        }
        guard world.answers == loaded + 2 * requests else { fatalError("not every request was answered") }
    }
    switch scenario {
    case "put": batches(.put, size: batch) { put($0 % 1_000) }
    case "get": batches(.range, size: batch) { RangeRequest(key: key($0 % 1_000)).encoded() }
    case "list":
        let prefix: ByteString = "/registry/count/"
        // No two alike, so that none gets the bytes of another's answer.
        batches(.range, size: 1) { RangeRequest(key: prefix, rangeEnd: prefix.prefixSuccessor(), limit: Int64(1_001 + $0)).encoded() }
    case "event":
        for _ in 0..<100 { world.watch("/registry/count/") }
        let before = world.messages
        batches(.put, size: 1) { put($0 % 1_000) }
        guard world.messages == before + 2 * requests * 101 else { fatalError("not every watcher has seen every event") }
    default: fatalError("there is no scenario \(scenario)")
    }
}

guard CommandLine.arguments.count == 3, let requests = Int(CommandLine.arguments[2]) else {
    fatalError("usage: instruction-count put|get|list|event REQUESTS")
}
try run(CommandLine.arguments[1], requests: requests)

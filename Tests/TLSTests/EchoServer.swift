// Owns: a TLS server for tests, on a free port, that sends back what it gets, and what it heard of refused connections.
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TLS
import TestSupport

/// Lines, from any thread.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    func note(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

/// Keeps messages with their metadata.
struct LineKeeper: LogHandler {
    let lines: Lines
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).map { "\($0)=\($1)" }.sorted().joined(separator: " ")
        lines.note("\(event.level) \(event.message) \(fields)")
    }
}

/// Echoes; a read `!N\n` makes it write N bytes instead, in one flush, or as much as is taken where N is `flood`.
private final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let server: EchoServer
    private var isFlooding = false

    init(_ server: EchoServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        // Random data may begin as a command does.
        let text = buffer.readableBytes <= 16 ? String(buffer: buffer) : ""
        if text == "!flood\n" {
            isFlooding = true
            flood(context)
        } else if text.hasPrefix("!"), text.hasSuffix("\n"), let count = Int(text.dropFirst().dropLast()) {
            // Two writes, one flush.
            let half = context.channel.allocator.buffer(repeating: 0x61, count: count / 2)
            context.write(wrapOutboundOut(half), promise: nil)
            context.writeAndFlush(wrapOutboundOut(half), promise: nil)
        } else {
            context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(buffer: buffer)), promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { flood(context) }

    private func flood(_ context: ChannelHandlerContext) {
        guard isFlooding else { return }
        while context.channel.isWritable {
            let piece = context.channel.allocator.buffer(repeating: 0x62, count: 64 << 10)
            server.flooded.withLock { $0 += piece.readableBytes }
            context.writeAndFlush(wrapOutboundOut(piece), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

final class EchoServer: Sendable {
    let port: Int
    /// What was said of refused connections.
    let rejections = Lines()
    let log = Lines()
    /// Bytes that floods have written.
    let flooded = Mutex(0)
    private let channel: any Channel
    private let acceptor: TLSAcceptor

    init(
        _ settings: TLSSettings, limits: TLSLimits = TLSLimits(), speaks protocols: ApplicationProtocols = ApplicationProtocols(["h2"])
    ) async throws {
        let log = log
        let rejections = rejections
        let acceptor = try TLSAcceptor(
            settings, limits: limits, logger: Logger(label: "test") { _ in LineKeeper(lines: log) },
            plainTextReply: { $0.first == UInt8(ascii: "G") ? Array("use TLS\n".utf8) : nil },
            rejected: { _, reason in rejections.note(reason) })
        self.acceptor = acceptor
        let server = Mutex<EchoServer?>(nil)
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton.next())
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try acceptor.add(to: channel, speaks: protocols)
                    try channel.pipeline.syncOperations.addHandler(EchoHandler(server.withLock { $0! }))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress!.port!
        server.withLock { $0 = self }
    }

    func stop() async throws { try await channel.close() }

    var counters: TLSCounters {
        get async throws {
            let acceptor = acceptor
            let eventLoop = channel.eventLoop
            return try await eventLoop.submit { acceptor.counters(on: eventLoop) }.get()
        }
    }

    /// What `openssl s_client` says after its handshake and one line that the server echoes.
    func greet(_ arguments: [String] = []) throws -> CommandResult {
        try runCommand(
            try CertificateAuthority.program(), ["s_client", "-connect", "127.0.0.1:\(port)", "-servername", "localhost"] + arguments,
            input: Array("hello\n".utf8))
    }
}

extension CommandResult {
    /// Whether the handshake was completed.
    var isConnected: Bool { status == 0 && !stdout.contains("Cipher is (NONE)") }
}

/// Runs `body` beside an echo server.
func withEchoServer<R>(
    _ settings: TLSSettings, limits: TLSLimits = TLSLimits(), speaks protocols: ApplicationProtocols = ApplicationProtocols(["h2"]),
    _ body: (EchoServer) async throws -> R
) async throws -> R {
    let server = try await EchoServer(settings, limits: limits, speaks: protocols)
    do {
        let result = try await body(server)
        try await server.stop()
        return result
    } catch {
        try? await server.stop()
        throw error
    }
}

/// Runs Python with the modules `socket`, `ssl`, `sys` and the variable `port`.
func python(_ port: Int, _ script: String) throws -> CommandResult {
    try runCommand(
        try TestEnvironment.python(), ["-c", "import socket, ssl, sys, time\nport = \(port)\n" + pythonHelpers + script])
}

private let pythonHelpers = """
    def context(ca=None, cert=None, key=None):
        it = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        it.check_hostname = False
        it.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
        if ca: it.load_verify_locations(ca)
        if cert: it.load_cert_chain(cert, key)
        return it

    def connect(it):
        return it.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")

    def read(connection, count):
        got = b""
        while len(got) < count:
            piece = connection.recv(65536)
            if not piece: break
            got += piece
        return got


    """

// Tests what a client does about servers that don't shake hands.
import NIOCore
import NIOPosix
import TLS
import Testing

@Suite("TLS, the client's side")
struct TLSConnectorTests {
    /// How the handshake with a server that does `answer` to each connection ends.
    private func handshake(
        timeoutMs: Int64, _ answer: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) async throws -> TLSError? {
        let group = MultiThreadedEventLoopGroup.singleton
        let server = try await ServerBootstrap(group: group).childChannelInitializer(answer).bind(host: "127.0.0.1", port: 0).get()
        var settings = TLSClientSettings()
        settings.handshakeTimeoutMs = timeoutMs
        let connector = try TLSConnector(settings)
        let promise = group.next().makePromise(of: Void.self)
        let client = try await ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try connector.add(to: channel, host: "localhost").cascade(to: promise) }
        }.connect(to: server.localAddress!).get()
        var failure: TLSError?
        do {
            try await promise.futureResult.get()
        } catch {
            failure = error as? TLSError
        }
        try await client.closeFuture.get()
        try await server.close()
        return failure
    }

    @Test("A server that says nothing is given up when the time is up, one that closes or speaks no TLS at once")
    func noHandshake() async throws {
        let silent = try await handshake(timeoutMs: 100) { $0.eventLoop.makeSucceededVoidFuture() }
        #expect(silent?.message == "the handshake took too long")
        let gone = try await handshake(timeoutMs: 60_000) { channel in
            channel.eventLoop.execute { channel.close(promise: nil) }
            return channel.eventLoop.makeSucceededVoidFuture()
        }
        #expect(gone != nil)
        let plain = try await handshake(timeoutMs: 60_000) { channel in
            channel.eventLoop.execute { channel.writeAndFlush(ByteBuffer(string: "220 hello\r\n"), promise: nil) }
            return channel.eventLoop.makeSucceededVoidFuture()
        }
        #expect(plain?.message == "wrong version number")
    }
}

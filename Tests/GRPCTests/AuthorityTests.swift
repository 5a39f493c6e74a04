internal import Bytes
internal import Foundation
internal import HTTP2
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import RawHTTP2
internal import TLS
internal import TestSupport
internal import Testing

@testable import GRPC

/// What gRPC's clients send as `:authority`, Go's above all: what they were told to dial, which RFC 3986 may not allow. nil: no such field.
private let authorities: [String?] = [
    "127.0.0.1:2379", "localhost", "#initially=[https://example.com:2379]",
    "#initially=[http://10.0.0.1:2379;http://10.0.0.2:2379]", "etcd-endpoints:///0xc0001/127.0.0.1:2379", "http://127.0.0.1:2379",
    "user@host:1", "[::1]:2379", "[fe80::1%25eth0]:2379", "under_score.example.com", "run%2Fpine.sock", "/run/pine/pine.sock",
    "pine.sock:0", "a b", "", nil,
]

// The clients block their threads, so one at a time.
@Suite("Whatever :authority says", .serialized, .ownThreads)
struct AuthorityTests {
    private func call(_ client: RawClient, _ stream: Int32, _ authority: String?) throws -> RawResponse {
        var fields = RawFrame.request("/test.Echo/Unary").filter { $0.0 != ":authority" }
        if let authority { fields.insert((":authority", authority), at: 3) }
        try client.send(.headers(stream, fields), .data(stream, RawFrame.message([7]), endStream: true))
        return try client.response(stream)
    }

    @Test("Calls are answered over TCP and over unix sockets")
    func plain() async throws {
        let folder = try TemporaryFolder()
        let path = folder.file("socket")
        func configure(_ configuration: inout HTTP2Configuration) { configuration.addresses.append(.unix(path: path)) }
        try await withEchoServer(configure: configure) { _, port, _ in
            for client in [try RawClient(port: port), try RawClient(unixPath: path)] {
                try client.sendPreface()
                for (index, authority) in authorities.enumerated() {
                    let response = try call(client, Int32(index * 2 + 1), authority)
                    #expect(response["grpc-status"] == "0" && response.body == RawFrame.message([7]), "\(authority ?? "absent")")
                }
                // What HTTP doesn't allow in any field is another matter.
                #expect(try call(client, 1_001, "a\nb").resetCode == 1)
                #expect(try call(client, 1_003, "host")["grpc-status"] == "0")
            }
        }
    }

    @Test("Calls are answered over TLS")
    func secure() async throws {
        let authority = try CertificateAuthority()
        let pair = try authority.issue("server", subject: "/CN=pine", names: ["DNS:localhost"])
        let acceptor = try TLSAcceptor(
            TLSSettings(certificateFile: pair.certificate, keyFile: pair.key), logger: Logger(label: "test"),
            plainTextReply: { _ in nil }, rejected: { _, _ in })
        let connector = try TLSConnector(TLSClientSettings(trustedCAFile: authority.certificate))
        func configure(_ configuration: inout HTTP2Configuration) {
            configuration.prepareChannel = { channel, _ in try acceptor.add(to: channel, speaks: ApplicationProtocols(["h2"])) }
        }
        try await withEchoServer(configure: configure) { _, port, _ in
            let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
            let client = try await eventLoop.submit {
                NIOLoopBound(GRPCClientConnection(limits: HTTP2Limits(), messageLimit: 1 << 20), eventLoop: eventLoop)
            }.get()
            let channel = try await ClientBootstrap(group: eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        _ = try connector.add(to: channel, host: "localhost")
                        try channel.pipeline.syncOperations.addHandler(client.value.connection)
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
            for authority in authorities {
                let status = try await eventLoop.flatSubmit {
                    let ended = eventLoop.makePromise(of: GRPCStatus.self)
                    let method = GRPCClientMethod(
                        path: "/test.Echo/Unary", scheme: "https", authority: authority, userAgent: "test")
                    let isStarted = client.value.unary(method, "hello", Receiver(ended), tag: 0)
                    if !isStarted { ended.succeed(GRPCStatus(.unavailable, "not connected")) }
                    return ended.futureResult
                }.get()
                #expect(status == .ok, "\(authority ?? "absent")")
            }
            try await channel.close()
        }
    }
}

private final class Receiver: GRPCCallReceiver {
    private let ended: EventLoopPromise<GRPCStatus>

    init(_ ended: EventLoopPromise<GRPCStatus>) { self.ended = ended }

    func messageReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer) {}
    func callEnded(_ tag: Int, _ status: GRPCStatus) { ended.succeed(status) }
}

// Owns: the few of a member's metrics that `pine status` shows, read from its /metrics page.
// Must never: be needed. A member whose page can't be had, behind a proxy for example, is shown without them.
import EtcdClient
import NIOCore
import NIOPosix
import TLS

struct MemberMetrics: Sendable {
    private let values: [Substring: Double]

    /// More than any member says.
    private static let pageLimit = 8 << 20

    /// A gauge or counter without labels.
    subscript(_ name: String) -> Double? { values[name[...]] }

    /// Asks over a connection of its own; nil where no page comes within the limit.
    static func read(_ endpoint: Endpoint, _ tls: TLSConnector?, within limit: Duration) async -> MemberMetrics? {
        do {
            let channel = try await connect(to: endpoint, tls)
            // Reading ends with the connection.
            let timer = Task {
                try await Task.sleep(for: limit)
                try await channel.channel.close()
            }
            defer { timer.cancel() }
            let page = try await channel.executeThenClose { inbound, outbound in
                let request = "GET /metrics HTTP/1.1\r\nHost: \(endpoint.authority)\r\nConnection: close\r\n\r\n"
                try await outbound.write(ByteBuffer(string: request))
                var page = ByteBuffer()
                for try await part in inbound {
                    page.writeImmutableBuffer(part)
                    if page.readableBytes > pageLimit { break }
                }
                return String(buffer: page)
            }
            return page.hasPrefix("HTTP/1.1 200 ") ? MemberMetrics(page) : nil
        } catch {
            return nil
        }
    }

    private init(_ page: String) {
        var values: [Substring: Double] = [:]
        for line in page.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let parts = line.split(separator: " ")
            if parts.count == 2, let value = Double(parts[1]) { values[parts[0]] = value }
        }
        self.values = values
    }

    private static func connect(
        to endpoint: Endpoint, _ tls: TLSConnector?
    ) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        @Sendable func wrap(_ channel: any Channel) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
            channel.eventLoop.makeCompletedFuture {
                // Should the handshake fail, the connection closes, which is all that matters here.
                if endpoint.isSecure { _ = try tls?.add(to: channel, host: endpoint.certifiedName) }
                return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
            }
        }
        switch endpoint.address {
        case .host(let host, let port): return try await bootstrap.connect(host: host, port: port, channelInitializer: wrap)
        case .unixSocket(let path): return try await bootstrap.connect(unixDomainSocketPath: path, channelInitializer: wrap)
        }
    }
}

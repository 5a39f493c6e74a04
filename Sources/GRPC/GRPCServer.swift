// Owns: a gRPC server: the HTTP/2 server below it and its loops.
internal import Calls
package import HTTP1
package import HTTP2
package import Logging
package import NIOCore

package final class GRPCServer: Sendable {
    private let http2: HTTP2Server
    /// By their index among the event loops.
    package let loops: [GRPCLoop]

    /// The addresses that were bound, in the order of the configuration.
    package var boundAddresses: [SocketAddress] { http2.boundAddresses }
    package var boundHTTP1Addresses: [SocketAddress] { http2.boundHTTP1Addresses }
    /// Connections of all kinds: now, since the start, and how often accepting had to wait for one to close.
    package var connectionCounts: (open: Int, opened: Int, holds: Int) { http2.connectionCounts }

    /// What all connections keep in memory for their clients.
    package var clientMemory: ClientMemory { http2.clientMemory }

    private init(http2: HTTP2Server, loops: [GRPCLoop]) {
        self.http2 = http2
        self.loops = loops
    }

    /// Listens, with `methods`, and the pages of the configuration's `http1`. `makeHandler` is called once for each loop, on it.
    package static func start(
        _ configuration: HTTP2Configuration, limits: GRPCLimits = GRPCLimits(), methods: [GRPCMethod],
        fields: GRPCFields = GRPCFields(), logger: Logger,
        makeHandler: @escaping @Sendable (GRPCLoop) -> any GRPCHandler
    ) async throws -> GRPCServer {
        let table = MethodTable(methods, fields)
        let pages = configuration.http1?.pages
        let http2 = try await HTTP2Server.start(configuration, logger: logger) { loop in
            let calls = GRPCLoop(http2: loop, methods: table, limits: limits, pages: pages)
            calls.handler = makeHandler(calls)
            return calls
        }
        var loops: [GRPCLoop] = []
        for bound in http2.loops {
            let loop = try await bound.eventLoop.submit { bound.value.handler as! GRPCLoop }.get()
            loops.append(loop)
        }
        return GRPCServer(http2: http2, loops: loops)
    }

    /// Stops accepting and tells clients and handlers (`shutdownBegan`); calls may finish until `graceMs` have passed, then
    /// everything is closed.
    package func shutdown(graceMs: Int64) async {
        await http2.shutdown(graceMs: graceMs) { loop in (loop.handler as! GRPCLoop).beginShutdown() }
    }
}

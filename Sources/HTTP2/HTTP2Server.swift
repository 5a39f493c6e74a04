// Owns: the listening sockets, the event loops, and the order of start-up and shutdown.
// Must never: take part in the data path.
internal import Glibc
package import HTTP1
package import Logging
package import NIOCore
internal import NIOPosix
internal import Synchronization

/// Where to listen.
package enum ListenAddress: Sendable, Hashable {
    /// Port 0 takes a free one.
    case tcp(host: String, port: Int)
    /// A socket that an earlier process left there is replaced.
    case unix(path: String)
}

package final class HTTP2Server: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let listeners: [any Channel]
    private let gate: ConnectionGate
    private let http1: HTTP1Acceptor?
    /// What all connections keep for their clients.
    package let clientMemory: ClientMemory
    private let isShutDown = Mutex(false)
    /// The loops; each may be looked into on its own event loop only.
    package let loops: [NIOLoopBound<HTTP2Loop>]
    /// The addresses that were bound, in the order of the configuration.
    package let boundAddresses: [SocketAddress]
    package let boundHTTP1Addresses: [SocketAddress]

    private init(
        group: MultiThreadedEventLoopGroup, listeners: [any Channel], http1Listeners: [any Channel],
        loops: [NIOLoopBound<HTTP2Loop>], gate: ConnectionGate, http1: HTTP1Acceptor?, clientMemory: ClientMemory
    ) {
        self.http1 = http1
        self.group = group
        self.listeners = listeners + http1Listeners
        self.loops = loops
        self.gate = gate
        self.clientMemory = clientMemory
        boundAddresses = listeners.compactMap { $0.localAddress }
        boundHTTP1Addresses = http1Listeners.compactMap { $0.localAddress }
    }

    /// Connections of all kinds: now, since the start, and how often accepting had to wait for one to close.
    package var connectionCounts: (open: Int, opened: Int, holds: Int) { gate.counts }

    /// Starts the loops and listens. `makeHandler` is called once for each loop, on it.
    package static func start(
        _ configuration: HTTP2Configuration, logger: Logger,
        makeHandler: @escaping @Sendable (HTTP2Loop) -> any HTTP2StreamHandler
    ) async throws -> HTTP2Server {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.loopCount)
        let gate = ConnectionGate(limit: configuration.connectionsLimit, logger: logger)
        let clientMemory = ClientMemory(limit: configuration.limits.clientBytesLimit)
        var listeners: [any Channel] = []
        var http1Listeners: [any Channel] = []
        do {
            var loops: [NIOLoopBound<HTTP2Loop>] = []
            for (index, eventLoop) in group.makeIterator().enumerated() {
                let loop = try await eventLoop.submit {
                    let loop = HTTP2Loop(
                        index: index, eventLoop: eventLoop, limits: configuration.limits,
                        keepAlive: configuration.keepAlive, http1: configuration.http1, clientMemory: clientMemory, logger: logger)
                    loop.rejected = configuration.rejected
                    loop.handler = makeHandler(loop)
                    return NIOLoopBound(loop, eventLoop: eventLoop)
                }.get()
                loops.append(loop)
            }
            let indexes = Dictionary(uniqueKeysWithValues: group.makeIterator().enumerated().map { (ObjectIdentifier($1), $0) })
            for (index, address) in configuration.addresses.enumerated() {
                let bootstrap = makeBootstrap(configuration, address: index, group: group, gate: gate) { [loops] channel in
                    let loop = loops[indexes[ObjectIdentifier(channel.eventLoop)]!].value
                    try channel.pipeline.syncOperations.addHandler(HTTP2Connection(loop: loop))
                }
                listeners.append(try await bind(bootstrap, address, group))
            }
            if let http1 = configuration.http1 {
                for (index, address) in configuration.http1Addresses.enumerated() {
                    let bootstrap = makeBootstrap(
                        configuration, address: configuration.addresses.count + index, group: group, gate: gate
                    ) { try http1.install(on: $0, pagesAlone: true) }
                    http1Listeners.append(try await bind(bootstrap, address, group))
                }
            }
            return HTTP2Server(
                group: group, listeners: listeners, http1Listeners: http1Listeners, loops: loops, gate: gate, http1: configuration.http1,
                clientMemory: clientMemory)
        } catch {
            for listener in listeners + http1Listeners { try? await listener.close() }
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static func bind(
        _ bootstrap: ServerBootstrap, _ address: ListenAddress, _ group: any EventLoopGroup
    ) async throws -> any Channel {
        switch address {
        case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
        case .unix(let path):
            // A file that nobody listens at is what a killed server has left. Taking a living one's would leave it deaf.
            if let other = try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get() {
                try? await other.close()
                throw IOError(errnoCode: EADDRINUSE, reason: "bind to \(path)")
            }
            return try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        }
    }

    /// `serve` adds what speaks to the peer to the pipeline of each connection.
    private static func makeBootstrap(
        _ configuration: HTTP2Configuration, address: Int, group: MultiThreadedEventLoopGroup, gate: ConnectionGate,
        serve: @escaping @Sendable (any Channel) throws -> Void
    ) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: configuration.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptHandler(gate: gate))
                }
            }
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 << 10))
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 256 << 10))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if channel.localAddress?.protocol != .unix {
                        try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
                    }
                    try configuration.prepareChannel?(channel, address)
                    try serve(channel)
                }
            }
    }

    /// Stops accepting, tells the peers, lets streams finish, closes what is left after `graceMs`, and ends the loops.
    /// `began` is called for each loop, on it, once its peers are told. A second shutdown does nothing.
    package func shutdown(graceMs: Int64, began: @escaping @Sendable (HTTP2Loop) -> Void = { _ in }) async {
        let isSecond = isShutDown.withLock { wasShutDown in
            defer { wasShutDown = true }
            return wasShutDown
        }
        if isSecond { return }
        for listener in listeners { try? await listener.close() }
        await withTaskGroup(of: Void.self) { tasks in
            for bound in loops {
                tasks.addTask { [http1] in
                    let eventLoop = bound.eventLoop
                    let emptied = eventLoop.flatSubmit {
                        let emptied = bound.value.beginShutdown()
                        began(bound.value)
                        guard let http1 else { return emptied }
                        return emptied.and(http1.beginShutdown(eventLoop, graceMs: graceMs)).map { _ in }
                    }
                    let deadline = eventLoop.scheduleTask(in: .milliseconds(graceMs)) { bound.value.closeAll() }
                    try? await emptied.get()
                    deadline.cancel()
                    try? await eventLoop.submit {
                        http1?.endShutdown(eventLoop)
                        bound.value.handler = nil
                    }.get()
                }
            }
        }
        try? await group.shutdownGracefully()
    }
}

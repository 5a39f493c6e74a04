// Owns: the network between a client and a server, with faults on command.
// Must never: decide by itself to break something: a test says what breaks and when.
// Invariant: bytes that are delivered are delivered in order, and nothing is delivered behind bytes that were lost.
package import NIOCore
internal import NIOPosix

/// What a proxy does to what a client sends on one connection. Lives on the proxy's event loop.
package protocol ProxyFilter {
    /// Takes in a piece of what the client sent; gives what the server is to get now.
    mutating func filter(_ bytes: ByteBuffer) -> ByteBuffer
}

/// A TCP proxy on a free port of 127.0.0.1 in front of one port there. It ends with its object. Methods block until they have
/// taken effect.
package final class FaultyProxy: Sendable {
    package enum Traffic: Sendable, Equatable {
        case flowing
        /// Everything arrives this much later, in order.
        case delayed(Duration)
        /// So many bytes arrive a second in each direction, of all connections together. The proxy reads no more of a connection while it
        /// has `bufferBytes` of it that have not arrived: what it does have, its sender's kernel takes for delivered.
        case limited(bytesPerSecond: Int, bufferBytes: Int = 32 << 10)
        /// Nothing arrives until traffic flows again; then everything does, as after a short break of a real network.
        case stalled
        /// Whatever is sent vanishes, and nobody is told. Connections that this meets stay dead after it, as after a firewall
        /// has forgotten them.
        case swallowed
        /// Connections are reset, new ones as soon as they are made.
        case refused
    }

    package enum Side: Sendable {
        case client
        case server
    }

    package let port: Int
    private let group: MultiThreadedEventLoopGroup
    private let links: Links

    package init(to target: Int, filter: (@Sendable () -> any ProxyFilter)? = nil) throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let links = Links(group.next(), target: target, filter: filter)
        self.links = links
        let listener = try ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try links.accept(channel) }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        port = listener.localAddress?.port ?? 0
    }

    deinit {
        links.loop.execute { [links] in links.set(.refused) }
        group.shutdownGracefully { _ in }
    }

    /// How many connections there are, dead ones included.
    package var connectionCount: Int { get throws { try run { $0.all.count } } }

    package func set(_ traffic: Traffic) throws { try run { $0.set(traffic) } }

    /// Resets every connection; new ones can be made.
    package func cut() throws { try run { $0.cut() } }

    /// Ends the direction towards `side` of every connection: it reads the end of the stream, while what it sends still arrives.
    package func halfClose(towards side: Side) throws { try run { $0.halfClose(towards: side) } }

    private func run<R: Sendable>(_ body: @escaping @Sendable (Links) -> R) throws -> R {
        try links.loop.submit { [links] in body(links) }.wait()
    }
}

/// The connections of one proxy. Sendable because only the event loop touches what is in it.
private final class Links: @unchecked Sendable {
    let loop: any EventLoop
    private let target: Int
    private let makeFilter: (@Sendable () -> any ProxyFilter)?
    private(set) var traffic = FaultyProxy.Traffic.flowing
    /// When what was last sent towards a side has arrived there, where the rate is limited.
    private var busyUntil: [FaultyProxy.Side: NIODeadline] = [:]
    private(set) var all: [ObjectIdentifier: Link] = [:]

    init(_ loop: any EventLoop, target: Int, filter: (@Sendable () -> any ProxyFilter)?) {
        self.loop = loop
        self.target = target
        makeFilter = filter
    }

    func accept(_ client: any Channel) throws {
        let link = Link(self, filter: makeFilter?())
        all[ObjectIdentifier(link)] = link
        link.ends[.client] = client
        try client.pipeline.syncOperations.addHandler(LinkHandler(link, .client))
        guard traffic != .refused else {
            link.reset()
            return
        }
        link.isDead = traffic == .swallowed
        ClientBootstrap(group: loop)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LinkHandler(link, .server))
                }
            }
            .connect(host: "127.0.0.1", port: target)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let server): link.connected(server)
                case .failure: if !link.isDead { link.reset() }
                }
            }
    }

    func set(_ traffic: FaultyProxy.Traffic) {
        self.traffic = traffic
        for link in all.values {
            switch traffic {
            case .flowing: link.isDead ? link.bury() : link.release()
            case .delayed, .limited: link.release()
            case .stalled: break
            case .swallowed: link.die()
            case .refused: link.reset()
            }
        }
    }

    func cut() { for link in all.values { link.reset() } }

    /// When these bytes have arrived at `side`, behind all that are on their way there.
    func arrival(of count: Int, at side: FaultyProxy.Side, bytesPerSecond: Int) -> NIODeadline {
        let start = max(.now(), busyUntil[side] ?? .now())
        let end = start + .nanoseconds(Int64(Double(count) / Double(bytesPerSecond) * 1e9))
        busyUntil[side] = end
        return end
    }

    func halfClose(towards side: FaultyProxy.Side) {
        for link in all.values where !link.isDead { link.ends[side]?.close(mode: .output, promise: nil) }
    }

    func forget(_ link: Link) { all[ObjectIdentifier(link)] = nil }
}

/// One connection: its two ends and what is on its way between them.
private final class Link: @unchecked Sendable {
    private let links: Links
    private var filter: (any ProxyFilter)?
    var ends: [FaultyProxy.Side: any Channel] = [:]
    var isDead = false
    private var isReset = false
    /// What has not arrived yet, by where it goes, oldest first; without bytes it is the end of the stream.
    private var underWay: [FaultyProxy.Side: [(due: NIODeadline, bytes: ByteBuffer?)]] = [.client: [], .server: []]

    init(_ links: Links, filter: (any ProxyFilter)?) {
        self.links = links
        self.filter = filter
    }

    func connected(_ server: any Channel) {
        if isReset {
            server.close(promise: nil)
            return
        }
        ends[.server] = server
        deliver(to: .server)
    }

    /// `side` has sent bytes, or has ended its stream (nil).
    func sent(_ side: FaultyProxy.Side, _ bytes: ByteBuffer?) {
        // Nobody hears of an end that has ended a dead connection.
        if isDead, bytes == nil { ends[side]?.close(promise: nil) }
        guard !isDead, !isReset else { return }
        var bytes = bytes
        if side == .client, let piece = bytes { bytes = filter?.filter(piece) ?? piece }
        if let bytes, bytes.readableBytes == 0 { return }
        let other: FaultyProxy.Side = side == .client ? .server : .client
        var due = NIODeadline.now()
        switch links.traffic {
        case .delayed(let delay): due = due + TimeAmount(delay)
        case .limited(let rate, _): due = links.arrival(of: bytes?.readableBytes ?? 0, at: other, bytesPerSecond: rate)
        case .stalled: due = .distantFuture
        default: break
        }
        if let last = underWay[other]?.last?.due { due = max(due, last) }
        underWay[other]?.append((due, bytes))
        deliver(to: other)
        pace(side)
    }

    /// Reads what `side` sends only as far as there is room for it.
    private func pace(_ side: FaultyProxy.Side) {
        let other: FaultyProxy.Side = side == .client ? .server : .client
        var hasRoom = true
        if case .limited(_, let bufferBytes) = links.traffic {
            hasRoom = (underWay[other] ?? []).reduce(0) { $0 + ($1.bytes?.readableBytes ?? 0) } < bufferBytes
        }
        guard let channel = ends[side] as? any SocketOptionProvider & Channel else { return }
        channel.setOption(.autoRead, value: hasRoom).whenFailure { _ in }
    }

    /// Everything under way arrives now.
    func release() {
        for side in [FaultyProxy.Side.client, .server] {
            let now = NIODeadline.now()
            underWay[side] = underWay[side]?.map { (min($0.due, now), $0.bytes) }
            deliver(to: side)
            pace(side)
        }
    }

    private func deliver(to side: FaultyProxy.Side) {
        guard !isDead, let channel = ends[side] else { return }
        while let first = underWay[side]?.first {
            guard first.due <= .now() else {
                guard first.due != .distantFuture else { break }
                links.loop.assumeIsolated().scheduleTask(deadline: first.due) { self.deliver(to: side) }
                break
            }
            underWay[side]?.removeFirst()
            pace(side == .client ? .server : .client)
            if let bytes = first.bytes {
                channel.write(bytes, promise: nil)
            } else {
                channel.flush()
                channel.close(mode: .output, promise: nil)
            }
        }
        channel.flush()
    }

    /// From now on nothing arrives any more, not even that an end has gone.
    func die() {
        isDead = true
        underWay = [.client: [], .server: []]
    }

    /// The network works again: a dead connection whose client has gone is found out by the server's side.
    func bury() {
        guard ends[.client]?.isActive != true else { return }
        ends[.server]?.close(promise: nil)
    }

    func closed(_ side: FaultyProxy.Side) {
        ends[side] = nil
        if isDead {
            if links.traffic == .flowing { bury() }
        } else if !isReset {
            // Both directions have ended, or the end was broken off: the other end hears of it, after what is under way.
            sent(side, nil)
            if links.traffic != .stalled, let other = ends.values.first, underWay.values.allSatisfy(\.isEmpty) {
                other.close(promise: nil)
            }
        }
        if ends.isEmpty { links.forget(self) }
    }

    func reset() {
        guard !isReset else { return }
        isReset = true
        for channel in ends.values {
            // Lingering for no time makes the kernel send RST instead of FIN.
            (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in
                channel.close(promise: nil)
            }
        }
        if ends.isEmpty { links.forget(self) }
    }
}

private final class LinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let link: Link
    private let side: FaultyProxy.Side

    init(_ link: Link, _ side: FaultyProxy.Side) {
        self.link = link
        self.side = side
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { link.sent(side, unwrapInboundIn(data)) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { link.sent(side, nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { link.closed(side) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

// Owns: turning a connection that speaks HTTP/1.1 into one that is served, and how many of them there are.
// Must never: know what the pages say.
internal import Glibc
package import NIOCore
internal import NIOHTTP1
internal import Synchronization

package final class HTTP1Acceptor: Sendable {
    package let limits: HTTP1Limits
    package let pages: Pages
    /// Who is let in on addresses that serve more than pages.
    package let access: AccessRules
    /// Whether a connection is encrypted.
    package let isSecure: @Sendable (any Channel) -> Bool
    private let loops = Mutex<[ObjectIdentifier: NIOLoopBound<HTTP1Loop>]>([:])
    private let opened = Atomic(0)
    private let closed = Atomic(0)
    private let refused = Atomic(0)

    package init(
        limits: HTTP1Limits = HTTP1Limits(), access: AccessRules = AccessRules(),
        isSecure: @escaping @Sendable (any Channel) -> Bool = { _ in false }, pages: @escaping Pages
    ) {
        self.limits = limits
        self.access = access
        self.isSecure = isSecure
        self.pages = pages
    }

    /// Connections now.
    package var openCount: Int { opened.load(ordering: .relaxed) - closed.load(ordering: .relaxed) }
    /// Connections since the start, and those beyond the limit.
    package var openedCount: Int { opened.load(ordering: .relaxed) }
    package var refusedCount: Int { refused.load(ordering: .relaxed) }

    /// Whether a connection that begins with `byte` may be HTTP/1.1: a method's first letter.
    package static func mayBeRequest(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") }

    // MARK: Loops

    /// What the connections on `eventLoop` share, whose service may be set before the first. On that event loop.
    package func prepare(_ eventLoop: any EventLoop, memory: ClientMemory) -> HTTP1Loop {
        let loop = HTTP1Loop(eventLoop, limits: limits, memory: memory)
        let bound = NIOLoopBound(loop, eventLoop: eventLoop)
        loops.withLock { $0[ObjectIdentifier(eventLoop)] = bound }
        return loop
    }

    private func loop(_ eventLoop: any EventLoop) -> HTTP1Loop {
        if let loop = loops.withLock({ $0[ObjectIdentifier(eventLoop)] }) { return loop.value }
        let loop = HTTP1Loop(eventLoop, limits: limits, memory: nil)
        let bound = NIOLoopBound(loop, eventLoop: eventLoop)
        loops.withLock { $0[ObjectIdentifier(eventLoop)] = bound }
        return loop
    }

    /// Ends the connections of one event loop, which we are on, within `graceMs`.
    package func beginShutdown(_ eventLoop: any EventLoop, graceMs: Int64) -> EventLoopFuture<Void> {
        loop(eventLoop).beginShutdown(graceMs: graceMs)
    }

    /// No connection of that event loop is left, of either HTTP.
    package func endShutdown(_ eventLoop: any EventLoop) { loop(eventLoop).endShutdown() }

    /// What takes requests that are no pages. On that event loop.
    package func service(on eventLoop: any EventLoop) -> (any ExchangeService)? { loop(eventLoop).service }

    // MARK: Connections

    /// Puts what serves HTTP/1.1 at the end of the channel's pipeline. On the channel's event loop. `pagesAlone`: with no look at the
    /// access rules, and without exchanges.
    package func install(on channel: any Channel, pagesAlone: Bool = false) throws {
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = limits.headerListSizeLimit
        decoding.maxHeaderListSize = limits.headerListSizeLimit
        decoding.maxHeaderFieldCount = limits.headerFieldCountLimit
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            position: .last, withPipeliningAssistance: true, withServerUpgrade: nil, withErrorHandling: false,
            // What goes out is ours, and the parts of it that are a client's are escaped or on a list.
            withOutboundHeaderValidation: false, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoding)
        keepAlive(channel)
        let count = opened.add(1, ordering: .relaxed).newValue - closed.load(ordering: .relaxed)
        channel.closeFuture.whenComplete { _ in self.closed.add(1, ordering: .relaxed) }
        let isOverLimit = count > limits.connectionsLimit
        if isOverLimit { refused.add(1, ordering: .relaxed) }
        let connection = HTTP1Connection(
            acceptor: self, loop: loop(channel.eventLoop), isOverLimit: isOverLimit, pagesAlone: pagesAlone, isSecure: isSecure(channel))
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    /// Has the system look after peers that are silent, since HTTP/1.1 can't: a watch may have nothing to say to a client that is long gone.
    /// As often as Go does. Where it can't be had, as on a Unix socket, nothing is lost.
    private func keepAlive(_ channel: any Channel) {
        guard let options = channel.syncOptions, channel.remoteAddress?.port != nil else { return }
        try? options.setOption(.socketOption(.so_keepalive), value: 1)
        for (name, value) in [(TCP_KEEPIDLE, Int32(15)), (TCP_KEEPINTVL, 15), (TCP_KEEPCNT, 9)] {
            try? options.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: name)), value: ChannelOptions.Types.SocketOption.Value(value))
        }
    }
}

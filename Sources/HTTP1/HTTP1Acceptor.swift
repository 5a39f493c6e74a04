// Owns: turning a connection that speaks HTTP/1.1 into one that is served, and how many of them there are.
// Must never: know what the pages say.
package import NIOCore
internal import NIOHTTP1
internal import Synchronization

package final class HTTP1Acceptor: Sendable {
    package let limits: HTTP1Limits
    package let pages: Pages
    private let opened = Atomic(0)
    private let closed = Atomic(0)
    private let refused = Atomic(0)

    package init(limits: HTTP1Limits = HTTP1Limits(), pages: @escaping Pages) {
        self.limits = limits
        self.pages = pages
    }

    /// Connections now.
    package var openCount: Int { opened.load(ordering: .relaxed) - closed.load(ordering: .relaxed) }
    /// Connections since the start, and those beyond the limit.
    package var openedCount: Int { opened.load(ordering: .relaxed) }
    package var refusedCount: Int { refused.load(ordering: .relaxed) }

    /// Whether a connection that begins with `byte` may be HTTP/1.1: a method's first letter.
    package static func mayBeRequest(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") }

    /// Puts what serves HTTP/1.1 at the end of the channel's pipeline. On the channel's event loop.
    package func install(on channel: any Channel) throws {
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = limits.headerListSizeLimit
        decoding.maxHeaderListSize = limits.headerListSizeLimit
        decoding.maxHeaderFieldCount = limits.headerFieldCountLimit
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            position: .last, withPipeliningAssistance: true, withServerUpgrade: nil, withErrorHandling: false,
            withOutboundHeaderValidation: true, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoding)
        let count = opened.add(1, ordering: .relaxed).newValue - closed.load(ordering: .relaxed)
        channel.closeFuture.whenComplete { _ in self.closed.add(1, ordering: .relaxed) }
        let isOverLimit = count > limits.connectionsLimit
        if isOverLimit { refused.add(1, ordering: .relaxed) }
        try channel.pipeline.syncOperations.addHandler(HTTP1Connection(acceptor: self, isOverLimit: isOverLimit))
    }
}

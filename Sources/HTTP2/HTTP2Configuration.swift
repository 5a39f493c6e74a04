// Owns: the bounds and times of HTTP/2 connections.
package import HTTP1
package import NIOCore

package struct HTTP2Configuration: Sendable {
    package var addresses: [ListenAddress]
    /// Event loops, each a thread.
    package var loopCount: Int
    package var limits = HTTP2Limits()
    package var keepAlive = KeepAlivePolicy()
    package var backlog: Int32 = 1_024
    /// Connections at once, over all addresses.
    package var connectionsLimit = Int.max
    /// Serves peers that begin with HTTP/1.1.
    package var http1: HTTP1Acceptor?
    /// Further addresses, where nothing but `http1` is served.
    package var http1Addresses: [ListenAddress] = []
    /// Puts handlers (TLS) before ours into the pipeline of each accepted connection, by the address that accepted it (its
    /// place in `addresses`, after which come those of `http1Addresses`). Runs on the connection's event loop.
    package var prepareChannel: (@Sendable (any Channel, _ address: Int) throws -> Void)?
    /// Called on an event loop with each connection that speaks TLS to an address without it, or whose client leaves too much unread.
    package var rejected: (@Sendable (SocketAddress?, String) -> Void)?

    package init(addresses: [ListenAddress], loopCount: Int) {
        self.addresses = addresses
        self.loopCount = loopCount
    }
}

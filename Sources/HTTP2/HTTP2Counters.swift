// Owns: the totals of one event loop's connections.

/// Totals of one loop.
package struct HTTP2Counters: Sendable, Equatable {
    package var connectionsOpened = 0
    package var connectionsClosed = 0
    package var bytesReceived = 0
    package var bytesSent = 0
    /// Connections that we ended because of what the peer did.
    package var connectionsRefused = 0
    /// Of these, the ones whose clients left too much unread.
    package var connectionsUnread = 0

    package init() {}
}

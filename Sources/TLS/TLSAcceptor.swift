// Owns: TLS for the listeners of a process: its files, its bounds, and a handler for each connection.
// Must never: know what is spoken inside.
package import Logging
package import NIOCore
internal import Synchronization

package final class TLSAcceptor: Sendable {
    let files: TLSFiles
    private let limits: TLSLimits
    /// What to answer to somebody who doesn't speak TLS, by the first bytes; nil for nothing.
    let plainTextReply: @Sendable (UnsafeRawBufferPointer) -> [UInt8]?
    /// Called on an event loop with each connection that is refused, and why.
    let rejected: @Sendable (SocketAddress?, String) -> Void
    private let loops = Mutex<[ObjectIdentifier: NIOLoopBound<TLSLoop>]>([:])

    /// Reads the files. They are read again when they change.
    package init(
        _ settings: TLSSettings, limits: TLSLimits = TLSLimits(), logger: Logger,
        plainTextReply: @escaping @Sendable (UnsafeRawBufferPointer) -> [UInt8]?,
        rejected: @escaping @Sendable (SocketAddress?, String) -> Void
    ) throws(TLSError) {
        files = try TLSFiles(settings, logger: logger)
        self.limits = limits
        self.plainTextReply = plainTextReply
        self.rejected = rejected
    }

    /// Puts TLS at the end of the pipeline of a connection that was just accepted, inside which one of `protocols` is spoken. Runs
    /// on its event loop.
    package func add(to channel: any Channel, speaks protocols: ApplicationProtocols) throws {
        try channel.pipeline.syncOperations.addHandler(
            TLSHandler(loop: loop(of: channel.eventLoop), acceptor: self, protocols: protocols))
    }

    /// How handshakes came out on `eventLoop`, which must be the one that asks.
    package func counters(on eventLoop: any EventLoop) -> TLSCounters { loop(of: eventLoop).counters }

    private func loop(of eventLoop: any EventLoop) -> TLSLoop {
        loops.withLock { loops in
            let key = ObjectIdentifier(eventLoop)
            if let bound = loops[key] { return bound }
            let bound = NIOLoopBound(TLSLoop(eventLoop: eventLoop, limits: limits), eventLoop: eventLoop)
            loops[key] = bound
            return bound
        }.value
    }
}

// Owns: asking a connection whether it is encrypted.
package import NIOCore

extension TLSAcceptor {
    /// Whether `channel` speaks TLS. On its event loop.
    package static func isIn(_ channel: any Channel) -> Bool {
        (try? channel.pipeline.syncOperations.handler(type: TLSHandler.self)) != nil
    }
}

// Owns: TLS towards servers: whom to trust, which certificate to show, and a handler for each connection.
// Must never: speak to a server whose certificate isn't for the host that was asked for, unless that was asked for as well.
internal import COpenSSL
package import NIOCore

/// What a client is told.
package struct TLSClientSettings: Sendable, Equatable {
    /// PEM: the servers' authorities; nil for those of the system.
    package var trustedCAFile: String?
    /// PEM, both or neither: what to show to a server that asks.
    package var certificateFile: String?
    package var keyFile: String?
    /// False only where the operator said that anybody may be the server.
    package var verifiesServer = true
    /// ALPN: what is spoken inside.
    package var speaks = ApplicationProtocols(["h2"])
    /// From the connection to the end of its handshake.
    package var handshakeTimeoutMs: Int64 = 10_000

    package init(trustedCAFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil) {
        self.trustedCAFile = trustedCAFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

package final class TLSConnector: @unchecked Sendable {
    // Sendable: OpenSSL allows the use of a context from many threads as long as nobody changes it.
    let handle: OpaquePointer
    private let handshakeTimeoutMs: Int64

    /// Reads the files.
    package init(_ settings: TLSClientSettings) throws(TLSError) {
        guard let handle = SSL_CTX_new(TLS_client_method()) else {
            throw TLSError("OpenSSL can't start: \(OpenSSLError.take().text)")
        }
        self.handle = handle
        handshakeTimeoutMs = settings.handshakeTimeoutMs
        // From here on `deinit` frees it, whatever is thrown.
        _ = pine_ssl_ctx_set_min_version(handle, TLS1_2_VERSION)
        SSL_CTX_set_verify(handle, settings.verifiesServer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
        SSL_CTX_set_alpn_protos(handle, settings.speaks.wire, UInt32(settings.speaks.wire.count))
        if let path = settings.trustedCAFile {
            try checkReadable(path)
            guard SSL_CTX_load_verify_locations(handle, path, nil) == 1 else {
                throw TLSError("\(path) holds no certificates in PEM form: \(OpenSSLError.take().text)")
            }
            X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(handle), UInt(X509_V_FLAG_PARTIAL_CHAIN))
        } else {
            SSL_CTX_set_default_verify_paths(handle)
        }
        if let certificate = settings.certificateFile, let key = settings.keyFile {
            _ = try TLSContext.loadCertificate(handle, TLSSettings(certificateFile: certificate, keyFile: key))
        }
    }

    deinit { SSL_CTX_free(handle) }

    /// Puts TLS at the end of the pipeline of a connection to `host`, a name or an address. Runs on its event loop. The future
    /// says how the handshake went: it fails with `TLSError`.
    package func add(to channel: any Channel, host: String) throws -> EventLoopFuture<Void> {
        let promise = channel.eventLoop.makePromise(of: Void.self)
        let handler = TLSClientHandler(TLSSession(self, host: host), handshake: promise)
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
        } catch {
            promise.fail(error)
            throw error
        }
        let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        let timer = channel.eventLoop.scheduleTask(in: .milliseconds(handshakeTimeoutMs)) {
            bound.value.giveUp("the handshake took too long")
        }
        promise.futureResult.whenComplete { _ in timer.cancel() }
        return promise.futureResult
    }
}

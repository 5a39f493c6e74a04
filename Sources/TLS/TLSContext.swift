// Owns: one SSL_CTX: certificate, key, authorities, revocations and rules, as the files said when it was made.
// Must never: be changed once it is made; handshakes on many threads use it.
// Invariant: it lives as long as any session that was made of it, since OpenSSL holds it unretained for its callbacks.
internal import COpenSSL
internal import Glibc

final class TLSContext: @unchecked Sendable {
    // Sendable: OpenSSL allows the use of a context from many threads as long as nobody changes it.
    let handle: OpaquePointer
    let certificate: CertificateSummary
    private let allowedHostnames: [String]
    private let revocationLists: RevocationLists?

    /// A chain of certificates of this size is longer than anybody has.
    private static let certificateListLimit = 48 << 10
    /// What HTTP/2 allows (RFC 9113 appendix A): forward secrecy and authenticated encryption.
    private static let defaultCipherList = "ECDHE+AESGCM:ECDHE+CHACHA20"

    init(_ settings: TLSSettings) throws(TLSError) {
        guard let handle = SSL_CTX_new(TLS_server_method()) else {
            throw TLSError("OpenSSL can't start: \(OpenSSLError.take().text)")
        }
        // Constants until all is well: an object that is complete when its initialiser throws would free the handle again.
        let lists: RevocationLists?
        let summary: CertificateSummary
        do throws(TLSError) {
            lists = try settings.revocationListFile.map { path throws(TLSError) in try RevocationLists(path: path) }
            try TLSContext.setVersionsAndCiphers(handle, settings)
            summary = try TLSContext.loadCertificate(handle, settings)
            try TLSContext.loadAuthorities(handle, settings)
        } catch {
            SSL_CTX_free(handle)
            throw error
        }
        self.handle = handle
        certificate = summary
        revocationLists = lists
        allowedHostnames = settings.allowedHostnames
        TLSContext.setModes(handle)
        let unretained = Unmanaged.passUnretained(self).toOpaque()
        SSL_CTX_set_alpn_select_cb(handle, chooseProtocol, nil)
        if settings.asksForCertificates {
            SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
            SSL_CTX_set_cert_verify_callback(handle, verifyClient, unretained)
        }
    }

    deinit { SSL_CTX_free(handle) }

    // MARK: Setting up

    private static func setModes(_ handle: OpaquePointer) {
        // No resumption: each connection is judged by the certificates and lists of its time.
        pine_ssl_ctx_set_server_options(handle)
        SSL_CTX_set_num_tickets(handle, 0)
        pine_ssl_ctx_set_no_session_cache(handle)
        // An idle connection holds no record buffers. The chain is what the file has, without the clients' authorities.
        pine_ssl_ctx_set_mode(handle, Int(SSL_MODE_RELEASE_BUFFERS) | Int(SSL_MODE_NO_AUTO_CHAIN))
        pine_ssl_ctx_set_read_ahead(handle)
        pine_ssl_ctx_set_max_cert_list(handle, certificateListLimit)
    }

    private static func setVersionsAndCiphers(_ handle: OpaquePointer, _ settings: TLSSettings) throws(TLSError) {
        if let maxVersion = settings.maxVersion {
            guard settings.minVersion <= maxVersion else {
                throw TLSError("min version (\(settings.minVersion.rawValue)) is greater than max version (\(maxVersion.rawValue))")
            }
            _ = pine_ssl_ctx_set_max_version(handle, maxVersion == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION)
        }
        _ = pine_ssl_ctx_set_min_version(handle, settings.minVersion == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION)
        if settings.cipherSuites.isEmpty {
            SSL_CTX_set_cipher_list(handle, defaultCipherList)
            return
        }
        if settings.minVersion == .tls13 { throw TLSError("cipher suites cannot be configured when only TLS1.3 is enabled") }
        var names: [String] = []
        for suite in settings.cipherSuites {
            let standard = suite.hasSuffix("_CHACHA20_POLY1305") ? suite + "_SHA256" : suite
            let name = String(cString: OPENSSL_cipher_name(standard))
            // TLS 1.3 has its own suites, which always are on: naming one changes nothing.
            if name == standard && name.hasPrefix("TLS_") { continue }
            guard name != "(NONE)", SSL_CTX_set_cipher_list(handle, name) == 1 else {
                ERR_clear_error()
                throw TLSError("unexpected TLS cipher suite \"\(suite)\"")
            }
            names.append(name)
        }
        guard !names.isEmpty else {
            throw TLSError("no cipher suite for TLS1.2 among \(settings.cipherSuites.joined(separator: ","))")
        }
        SSL_CTX_set_cipher_list(handle, names.joined(separator: ":"))
    }

    static func loadCertificate(_ handle: OpaquePointer, _ settings: TLSSettings) throws(TLSError) -> CertificateSummary {
        try checkReadable(settings.certificateFile)
        try checkReadable(settings.keyFile)
        // OpenSSL would ask on the terminal.
        SSL_CTX_set_default_passwd_cb(handle) { _, _, _, _ in -1 }
        guard SSL_CTX_use_certificate_chain_file(handle, settings.certificateFile) == 1 else {
            throw TLSError("\(settings.certificateFile) holds no certificate in PEM form: \(OpenSSLError.take().text)")
        }
        let mismatch = TLSError("the key in \(settings.keyFile) is not that of the certificate in \(settings.certificateFile)")
        guard SSL_CTX_use_PrivateKey_file(handle, settings.keyFile, SSL_FILETYPE_PEM) == 1 else {
            let error = OpenSSLError.take()
            if error.isKeyMismatch { throw mismatch }
            throw TLSError("\(settings.keyFile) holds no key in PEM form without a passphrase: \(error.text)")
        }
        // A key of another kind than the certificate's is found out only here.
        guard SSL_CTX_check_private_key(handle) == 1 else {
            ERR_clear_error()
            throw mismatch
        }
        return CertificateSummary(SSL_CTX_get0_certificate(handle))
    }

    /// Whose certificates clients may have.
    private static func loadAuthorities(_ handle: OpaquePointer, _ settings: TLSSettings) throws(TLSError) {
        guard let path = settings.trustedCAFile else {
            // As Go does where it is told to ask for certificates but not whose.
            if settings.asksForCertificates { SSL_CTX_set_default_verify_paths(handle) }
            return
        }
        try checkReadable(path)
        guard SSL_CTX_load_verify_locations(handle, path, nil) == 1, let names = SSL_load_client_CA_file(path) else {
            throw TLSError("\(path) holds no certificates in PEM form: \(OpenSSLError.take().text)")
        }
        SSL_CTX_set_client_CA_list(handle, names)
        // Any certificate in the file is an anchor, be it signed by another or by itself.
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(handle), UInt(X509_V_FLAG_PARTIAL_CHAIN))
    }

    // MARK: Handshakes

    /// Whether the client may come in; where not, `store` gets the reason, from which OpenSSL makes the alert.
    fileprivate func admits(_ store: OpaquePointer) -> Bool {
        guard X509_verify_cert(store) == 1 else { return false }
        if let revocationLists, let chain = X509_STORE_CTX_get0_chain(store) {
            for index in 0..<pine_chain_count(chain) {
                guard let certificate = pine_chain_certificate(chain, index), revocationLists.contain(certificate) else { continue }
                X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED)
                return false
            }
        }
        guard !allowedHostnames.isEmpty, let certificate = X509_STORE_CTX_get0_cert(store) else { return true }
        if allowedHostnames.contains(where: { isFor($0, certificate) }) { return true }
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH)
        return false
    }

    private func isFor(_ name: String, _ certificate: OpaquePointer) -> Bool {
        let address = name.hasPrefix("[") && name.hasSuffix("]") ? String(name.dropFirst().dropLast()) : name
        if X509_check_ip_asc(certificate, address, 0) == 1 { return true }
        let flags = UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
        return X509_check_host(certificate, name, name.utf8.count, flags, nil) == 1
    }
}

private func verifyClient(_ store: OpaquePointer?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let store, let context else { return 0 }
    if Unmanaged<TLSContext>.fromOpaque(context)._withUnsafeGuaranteedRef({ $0.admits(store) }) { return 1 }
    TLSSession.noteRefusal(store)
    return 0
}

private func chooseProtocol(
    _ ssl: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ chosenCount: UnsafeMutablePointer<UInt8>?,
    _ offered: UnsafePointer<UInt8>?, _ offeredCount: UInt32, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    guard let ssl, let offered, let chosen, let chosenCount else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    let names = UnsafeBufferPointer(start: offered, count: Int(offeredCount))
    guard let name = TLSSession.protocols(of: ssl).choose(names) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    chosen.pointee = name.baseAddress
    chosenCount.pointee = UInt8(name.count)
    return SSL_TLSEXT_ERR_OK
}

/// Throws the system's reason, which OpenSSL would hide.
func checkReadable(_ path: String) throws(TLSError) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw TLSError("can't read \(path): \(String(cString: strerror(errno)))") }
    close(file)
}

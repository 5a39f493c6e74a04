// Owns: bringing TLS to the addresses that want it, and the combinations of settings that can't be meant.
internal import HTTP2
internal import Logging
internal import TLS

extension ServerConfiguration {
    /// Hangs TLS into the pipelines of the secure addresses among `listenURLs` and `metricsURLs`, which are those of `http2`, in
    /// that order. Where there are but pages, HTTP/2 is not spoken. Returns what
    /// does the handshakes, if any address is secure.
    func setUpTLS(
        of http2: inout HTTP2Configuration, for listenURLs: [ListenURL], metricsURLs: [ListenURL], logger: Logger
    ) throws(ServerError) -> TLSAcceptor? {
        let rejections = RejectionLog("rejected a connection", logger: logger)
        http2.rejected = { rejections.note($0, $1) }
        let secure = (listenURLs + metricsURLs).map(\.isSecure)
        guard let index = secure.firstIndex(of: true) else {
            guard let tls else { return nil }
            if tls.asksForCertificates {
                throw ServerError("clients' certificates are asked for on https:// addresses only; --listen-client-urls has none")
            }
            logger.warning("--cert-file is not used: there is no https:// address among --listen-client-urls")
            return nil
        }
        guard let tls else {
            throw ServerError("\((self.listenURLs + self.metricsURLs)[index]) needs --cert-file and --key-file")
        }
        let acceptor: TLSAcceptor
        do {
            acceptor = try TLSAcceptor(
                tls, logger: logger, plainTextReply: { WrongProtocol.replyToPlainText($0) }, rejected: { rejections.note($0, $1) })
        } catch {
            throw ServerError(error.message)
        }
        if tls.asksForCertificates, tls.trustedCAFile == nil {
            logger.warning(
                "clients with a certificate of any authority that this system trusts can come in; --trusted-ca-file says whose alone")
        }
        if tls.asksForCertificates, let open = zip(self.listenURLs, listenURLs).first(where: { !$1.isSecure && $1.isTCP }) {
            logger.warning("clients without a certificate can come in by \(open.0)")
        }
        let (calls, pages) = (ApplicationProtocols(["h2", "http/1.1"]), ApplicationProtocols(["http/1.1"]))
        let callCount = listenURLs.count
        http2.prepareChannel = { channel, address in
            if secure[address] { try acceptor.add(to: channel, speaks: address < callCount ? calls : pages) }
        }
        return acceptor
    }
}

extension ListenURL {
    fileprivate var isTCP: Bool {
        if case .tcp = address { true } else { false }
    }
}

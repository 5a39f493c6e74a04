// Owns: bringing TLS to the addresses that want it, and the combinations of settings that can't be meant.
internal import HTTP2
internal import Logging
internal import TLS

extension ServerConfiguration {
    /// Hangs TLS into the pipelines of the secure addresses among `listenURLs` and `metricsURLs`, which are those of `http2`, in
    /// that order. Where there are but pages, HTTP/2 is not spoken.
    func setUpTLS(
        of http2: inout HTTP2Configuration, for listenURLs: [ListenURL], metricsURLs: [ListenURL], logger: Logger
    ) throws(ServerError) {
        let rejections = RejectionLog(logger: logger)
        http2.rejected = { rejections.note($0, $1) }
        let all = listenURLs + metricsURLs
        let secure = all.map(\.isSecure)
        guard let index = secure.firstIndex(of: true) else {
            guard let tls else { return }
            if tls.trustedCAFile != nil {
                throw ServerError("clients' certificates are asked for on https:// addresses only; --listen-client-urls has none")
            }
            logger.warning("--cert-file is not used: there is no https:// address among --listen-client-urls")
            return
        }
        guard let tls else {
            throw ServerError("\((self.listenURLs + self.metricsURLs)[index]) needs --cert-file and --key-file")
        }
        func acceptor(_ protocols: [String]) throws(ServerError) -> TLSAcceptor {
            var tls = tls
            tls.applicationProtocols = protocols
            do {
                return try TLSAcceptor(
                    tls, logger: logger, plainTextReply: { WrongProtocol.replyToPlainText($0) },
                    rejected: { rejections.note($0, $1) })
            } catch {
                throw ServerError(error.message)
            }
        }
        let calls = try acceptor(["h2", "http/1.1"])
        let pages = metricsURLs.contains(where: \.isSecure) ? try acceptor(["http/1.1"]) : calls
        let callCount = listenURLs.count
        if tls.trustedCAFile != nil, let open = zip(self.listenURLs, listenURLs).first(where: { !$1.isSecure && $1.isTCP }) {
            logger.warning("clients without a certificate can come in by \(open.0)")
        }
        http2.prepareChannel = { channel, address in
            if secure[address] { try (address < callCount ? calls : pages).add(to: channel) }
        }
    }
}

extension ListenURL {
    fileprivate var isTCP: Bool {
        if case .tcp = address { true } else { false }
    }
}

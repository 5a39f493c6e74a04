// Owns: the flags of TLS towards clients, by etcd's names and rules, and which of them make no sense without others.
import ArgumentParser
import TLS

struct TLSOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "For https:// and unixs:// addresses: the server's certificate, and those between it and its authority, in PEM form. "
                + "Read again when it changes, as all of these files.", valueName: "file"))
    var certFile: String?

    @Option(help: ArgumentHelp("The key of --cert-file, in PEM form, without a passphrase.", valueName: "file"))
    var keyFile: String?

    @Option(
        help: ArgumentHelp(
            "The authorities of clients' certificates, in PEM form. With it every client of an https:// address must have one.",
            valueName: "file"))
    var trustedCaFile: String?

    @Flag(
        help: ArgumentHelp(
            "Let only clients with a certificate in: of --trusted-ca-file, which asks for one already; without it of any authority that "
                + "the system trusts."))
    var clientCertAuth = false

    @Option(
        help: ArgumentHelp("Revoked certificates, in PEM or DER form: clients with one are refused.", valueName: "file"))
    var clientCrlFile: String?

    @Option(
        help: ArgumentHelp(
            "Comma-separated: a client's certificate must be for one of these host names or addresses, by its SANs.",
            valueName: "names"))
    var clientCertAllowedHostname: String?

    @Option(help: ArgumentHelp("The oldest TLS that is spoken: TLS1.2 or TLS1.3.", valueName: "version"))
    var tlsMinVersion = TLSVersion.tls12

    @Option(help: ArgumentHelp("The newest TLS that is spoken: TLS1.2 or TLS1.3. The default is the newest.", valueName: "version"))
    var tlsMaxVersion: TLSVersion?

    @Option(
        help: ArgumentHelp(
            "Comma-separated: cipher suites for TLS 1.2, for example TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, the preferred one "
                + "first. The default is all with forward secrecy and authenticated encryption.", valueName: "names"))
    var cipherSuites: String?

    func validate() throws {
        switch (certFile, keyFile) {
        case (.some, nil): throw ValidationError("--cert-file needs --key-file")
        case (nil, .some): throw ValidationError("--key-file needs --cert-file")
        case (nil, nil):
            if trustedCaFile != nil { throw ValidationError("--trusted-ca-file needs --cert-file and --key-file") }
            if clientCertAuth { throw ValidationError("--client-cert-auth needs --cert-file and --key-file") }
        case (.some, .some): break
        }
        guard trustedCaFile == nil, !clientCertAuth else { return }
        if clientCrlFile != nil { throw ValidationError("--client-crl-file needs --trusted-ca-file") }
        if clientCertAllowedHostname != nil { throw ValidationError("--client-cert-allowed-hostname needs --trusted-ca-file") }
    }

    var settings: TLSSettings? {
        guard let certFile, let keyFile else { return nil }
        var settings = TLSSettings(certificateFile: certFile, keyFile: keyFile)
        settings.trustedCAFile = trustedCaFile
        settings.requiresClientCertificate = clientCertAuth
        settings.revocationListFile = clientCrlFile
        settings.allowedHostnames = TLSOptions.names(clientCertAllowedHostname)
        settings.minVersion = tlsMinVersion
        settings.maxVersion = tlsMaxVersion
        settings.cipherSuites = TLSOptions.names(cipherSuites)
        return settings
    }

    private static func names(_ list: String?) -> [String] {
        (list ?? "").split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
    }
}

extension TLSVersion: ExpressibleByArgument {}

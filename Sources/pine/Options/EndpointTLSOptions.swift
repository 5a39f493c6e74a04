// Owns: the flags of commands that call servers over TLS, by etcdctl's names.
import ArgumentParser
import EtcdClient
import TLS

struct EndpointTLSOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "For https:// and unixs:// endpoints: their authority, in PEM form. The default is the system's.", valueName: "file"))
    var cacert: String?

    @Option(help: ArgumentHelp("The certificate to show to them, in PEM form.", valueName: "file"))
    var cert: String?

    @Option(help: ArgumentHelp("The key of --cert, in PEM form.", valueName: "file"))
    var key: String?

    @Flag(help: "Believe any certificate of theirs. Whoever is in between can read and change everything.")
    var insecureSkipTlsVerify = false

    func validate() throws {
        if (cert == nil) != (key == nil) { throw ValidationError("--cert and --key go together") }
    }

    private var isGiven: Bool { cacert != nil || cert != nil || insecureSkipTlsVerify }

    /// The endpoint that `text` names. One without a scheme speaks TLS where any of these flags is given, as etcdctl has it.
    func endpoint(_ text: String) throws -> Endpoint {
        guard let endpoint = Endpoint(text, isSecureByDefault: isGiven) else {
            throw UsageError("\(text) is not an endpoint, as http://127.0.0.1:2379, https://pine-1:2379 or unix:///run/pine.sock")
        }
        return endpoint
    }

    /// What `endpoints` want; nil where none of them speaks TLS. `pages` asks for HTTP/1.1 inside, and not for HTTP/2.
    func connector(for endpoints: [Endpoint], pages: Bool = false) throws -> TLSConnector? {
        // Files that can't be read are a mistake even where nobody needs them.
        guard isGiven || endpoints.contains(where: \.isSecure) else { return nil }
        var settings = TLSClientSettings(trustedCAFile: cacert, certificateFile: cert, keyFile: key)
        settings.verifiesServer = !insecureSkipTlsVerify
        if pages { settings.speaks = ApplicationProtocols(["http/1.1"]) }
        do {
            return try TLSConnector(settings)
        } catch {
            throw UsageError(error.message)
        }
    }
}

// Owns: checks of the commands that call servers over TLS and over sockets: status, bench, and beside them etcdctl and curl.
import Foundation
import TestSupport
import Testing

@Suite("Over TLS and sockets, from the client's side", .ownThreads)
struct ClientTLSTests {
    let authority: CertificateAuthority
    let server: CertificateAuthority.Pair
    let client: CertificateAuthority.Pair
    let folder: TemporaryFolder

    init() throws {
        authority = try CertificateAuthority()
        // As etcd's clients have it, the server behind a unixs:// address is the one named as the socket's file.
        server = try authority.issue("server", subject: "/CN=pine", names: ["DNS:localhost", "IP:127.0.0.1", "DNS:secure.sock"])
        client = try authority.issue("client", subject: "/CN=ops", usage: "clientAuth")
        folder = try TemporaryFolder()
    }

    private var trust: [String] { ["--cacert", authority.certificate] }
    private var files: [String] { trust + ["--cert", client.certificate, "--key", client.key] }

    /// One that listens at `urls` and wants certificates of the authority's clients.
    private func pine(_ urls: [String]) throws -> PineProcess {
        try PineProcess([
            "--postgres", try PostgresServer.shared().newDatabase(), "--listen-client-urls", urls.joined(separator: ","), "--cert-file",
            server.certificate, "--key-file", server.key, "--trusted-ca-file", authority.certificate, "--client-cert-auth",
        ])
    }

    private func endpoints(_ result: CommandResult) throws -> [[String: Any]] {
        let all = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
        return try #require(all?["endpoints"] as? [[String: Any]], "\(result.stderr)")
    }

    @Test("pine status speaks TLS: with the right files it shows a member whole, metrics included; with others it says what is wrong")
    func status() throws {
        let socket = folder.file("secure.sock")
        let port = try freePort()
        let pine = try pine(["https://127.0.0.1:\(port)", "unixs://\(socket)"])
        try eventuallyBlocking("service") {
            try PineProcess.run(["status", "--endpoints", "https://127.0.0.1:\(port)"] + files).status == 0
        }
        let strangers = try CertificateAuthority("Strangers")
        let stranger = try strangers.issue("stranger", subject: "/CN=mallory")
        func ask(_ url: String, _ flags: [String]) throws -> (result: CommandResult, member: [String: Any]) {
            let result = try PineProcess.run(["status", "--endpoints", url, "--output=json"] + flags)
            return (result, try #require(try endpoints(result).first))
        }
        // Without a scheme, flags of TLS mean that TLS is spoken.
        for url in ["https://127.0.0.1:\(port)", "https://localhost:\(port)", "localhost:\(port)", "unixs://\(socket)"] {
            let (result, member) = try ask(url, files)
            #expect(result.status == 0, "\(url): \(result.stderr)")
            #expect(member["revision"] as? Int == 1 && member["lag_revisions"] as? Int == 0, "\(url): \(member)")
            #expect(member["is_steward"] is Bool && member["resident_bytes"] as? Int ?? 0 > 1_000_000, "\(url): \(member)")
        }
        let unverified = ["--insecure-skip-tls-verify", "--cert", client.certificate, "--key", client.key]
        #expect(try ask("https://127.0.0.2:\(port)", unverified).result.status == 2, "nobody listens there")
        #expect(try ask("https://127.0.0.1:\(port)", unverified).result.status == 0)
        let link = folder.file("other.sock")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: socket)
        let mistakes: [(String, [String], String?)] = [
            ("https://127.0.0.1:\(port)", [], "certificate verify failed: unable to get local issuer certificate"),
            ("https://127.0.0.1:\(port)", ["--cacert", strangers.certificate], "certificate verify failed"),
            ("https://127.0.0.1:\(port)", trust, "certificate required"),
            (
                "https://127.0.0.1:\(port)", trust + ["--cert", stranger.certificate, "--key", stranger.key],
                "unknown ca"
            ),
            ("unixs://\(link)", files, "certificate verify failed: hostname mismatch"),
            ("http://127.0.0.1:\(port)", [], nil),
        ]
        for (url, flags, reason) in mistakes {
            let (result, member) = try ask(url, flags)
            #expect(result.status == 2 && result.stderr == "pine: no answer from \(url)\n", "\(result.stderr)")
            let error = try #require(member["error"] as? String, "\(url) \(flags)")
            #expect(reason.map { error.contains($0) } ?? !error.isEmpty, "\(url) \(flags): \(error)")
        }
        // Mistakes that need no server.
        let own: [([String], String)] = [
            (["--cert", client.certificate], "--cert and --key go together"),
            (["--cacert", "/nonexistent"], "can't read /nonexistent: No such file or directory"),
            (["--cert", client.certificate, "--key", server.key], "is not that of the certificate in"),
        ]
        for (flags, reason) in own {
            for command in [["status"], ["bench", "put"]] {
                let result = try PineProcess.run(command + flags)
                #expect(result.status == 2 && result.stderr.contains(reason), "\(command) \(flags): \(result.stderr)")
                #expect(result.stderr.split(separator: "\n").count == 1, "\(result.stderr)")
            }
        }
        withExtendedLifetime((pine, strangers)) {}
    }

    @Test("pine bench measures an etcd and a Pine over TLS, and a Pine over both kinds of sockets")
    func bench() throws {
        let port = try freePort()
        let (secure, plain) = (folder.file("secure.sock"), folder.file("plain.sock"))
        let pine = try pine(["https://127.0.0.1:\(port)", "unixs://\(secure)", "unix://\(plain)"])
        let etcd = try EtcdServer(tls: server, clientAuthority: authority.certificate)
        let urls = ["https://127.0.0.1:\(port)", "unixs://\(secure)", "unix://\(plain)", "https://127.0.0.1:\(etcd.port)"]
        for url in urls {
            let result = try PineProcess.run(
                [
                    "bench", "mixed", "watch:watchers=3", "--endpoints", url, "--connections", "2", "--streams", "5", "--keys", "50",
                    "--requests", "100", "--warm-up", "0", "--output", "json", "--quiet",
                ] + files, timeout: .seconds(120))
            #expect(result.status == 0, "\(url): \(result.stderr)\(result.stdout)")
            let results = try #require(try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [[String: Any]])
            #expect(results.map { $0["requests"] as? Int } == [100, 100], "\(url)")
        }
        let compared = try PineProcess.run(
            [
                "bench", "compare", "put", "--endpoint", "etcd=\(urls[3])", "--endpoint", "pine=\(urls[0])", "--requests", "50", "--rounds",
                "1", "--warm-up", "0", "--clients", "4", "--connections", "2", "--quiet",
            ] + files, timeout: .seconds(120))
        #expect(compared.status == 0 && compared.stdout.contains("pine / etcd"), "\(compared.stderr)")
        let stranger = try PineProcess.run(["bench", "put", "--endpoints", urls[0], "--quiet"])
        #expect(
            stranger.status == 1
                && stranger.stderr.hasPrefix("pine bench: can't connect to \(urls[0]): certificate verify failed"), "\(stranger.stderr)")
        withExtendedLifetime(pine) {}
    }

    @Test("etcdctl and curl reach Pine over unix and unixs sockets, calls and pages alike")
    func sockets() throws {
        let (secure, plain) = (folder.file("secure.sock"), folder.file("plain.sock"))
        let pine = try pine(["https://127.0.0.1:0", "unix://\(plain)", "unixs://\(secure)"])
        let etcdctlFiles = ["--cacert=\(authority.certificate)", "--cert=\(client.certificate)", "--key=\(client.key)"]
        try eventuallyBlocking("service") {
            try EtcdServer.etcdctl("put", "greeting", "hello", "--command-timeout=2s", endpoint: "unix://\(plain)").status == 0
        }
        let answer = try EtcdServer.etcdctl(etcdctlFiles + ["get", "greeting"], endpoint: "unixs://\(secure)")
        #expect(answer.stdout == "greeting\nhello\n", "\(answer.stderr)")
        // The wrong one of both kinds is an error at once, not a hang.
        let wrong = try EtcdServer.etcdctl(["--command-timeout=2s", "get", "greeting"], endpoint: "unix://\(secure)")
        #expect(wrong.status != 0)

        let curl = try findExecutable("curl", install: "apt-get install curl")
        func get(_ arguments: String...) throws -> CommandResult { try runCommand(curl, ["--silent", "--show-error"] + arguments) }
        let pages = [("/readyz", "ok\n"), ("/health", "{\"health\":\"true\",\"reason\":\"\"}")]
        for (page, text) in pages {
            let open = try get("--unix-socket", plain, "http://localhost\(page)")
            #expect(open.stdout == text, "\(open)")
            // HTTP/2 where curl has it, as ALPN offers it first.
            for version in ["--http1.1", "--http2"] {
                let closed = try get(
                    version, "--unix-socket", secure, "--cacert", authority.certificate, "--cert", client.certificate, "--key", client.key,
                    "https://localhost\(page)")
                #expect(closed.stdout == text, "\(version): \(closed)")
            }
        }
        #expect(try get("--unix-socket", plain, "http://localhost/metrics").stdout.contains("\npine_serving 1\n"))
        let refused = try get("--unix-socket", secure, "--cacert", authority.certificate, "https://localhost/health")
        #expect(refused.status != 0)

        // Who restarts finds its socket's file from before, and takes it over.
        pine.kill(SIGKILL)
        try pine.waitForExit()
        let next = try self.pine(["https://127.0.0.1:0", "unix://\(plain)", "unixs://\(secure)"])
        try eventuallyBlocking("service again") { try get("--unix-socket", plain, "http://localhost/readyz").stdout == "ok\n" }
        let second = try PineProcess.run(["serve", "--postgres", "postgres://127.0.0.1:1/none", "--listen-client-urls", "unix://\(plain)"])
        #expect(second.status == 2 && second.stderr.contains("can't listen on unix://\(plain)"), "\(second.stderr)")
        #expect(try get("--unix-socket", plain, "http://localhost/readyz").stdout == "ok\n")
        next.kill(SIGTERM)
        try next.waitForExit()
        #expect(!FileManager.default.fileExists(atPath: plain), "a socket's file goes with its listener")
    }
}

// Owns: checks of Pine's TLS with etcdctl, and of libpq's towards a PostgreSQL that wants it.
import Foundation
import TestSupport
import Testing

@Suite("TLS, from etcdctl to PostgreSQL", .ownThreads)
struct TLSTests {
    let authority: CertificateAuthority
    let server: CertificateAuthority.Pair
    let client: CertificateAuthority.Pair

    init() throws {
        authority = try CertificateAuthority()
        server = try authority.issue("server", subject: "/CN=pine", names: ["DNS:localhost", "IP:127.0.0.1"])
        client = try authority.issue("client", subject: "/CN=ops", usage: "clientAuth")
    }

    private func etcdctl(
        _ endpoint: String, _ pair: CertificateAuthority.Pair?, _ arguments: String...
    ) throws -> CommandResult {
        let files = pair.map { ["--cert=\($0.certificate)", "--key=\($0.key)"] } ?? []
        return try EtcdServer.etcdctl(
            ["--cacert=\(authority.certificate)", "--command-timeout=2s"] + files + arguments, endpoint: endpoint)
    }

    @Test("https, http, unix and unixs addresses side by side serve one store; strangers get a prompt error and the log a line")
    func addresses() throws {
        let strangers = try CertificateAuthority("Strangers")
        let stranger = try strangers.issue("stranger", subject: "/CN=mallory")
        let folder = try TemporaryFolder()
        let (secure, plain) = (try freePort(), try freePort())
        let database = try PostgresServer.shared().newDatabase()
        let urls = [
            "https://127.0.0.1:\(secure)", "http://127.0.0.1:\(plain)", "unix://\(folder.file("plain"))",
            "unixs://\(folder.file("secure"))",
        ]
        let pine = try PineProcess([
            "--postgres", database, "--listen-client-urls", urls.joined(separator: ","), "--cert-file", server.certificate,
            "--key-file", server.key, "--trusted-ca-file", authority.certificate, "--client-cert-auth",
        ])
        try eventuallyBlocking("service") { try etcdctl(urls[0], client, "put", "greeting", "hello").status == 0 }
        #expect(try etcdctl(urls[0], client, "get", "greeting").stdout == "greeting\nhello\n")
        #expect(try etcdctl(urls[1], nil, "get", "greeting").stdout == "greeting\nhello\n")
        // Given an authority, etcdctl speaks TLS to unix sockets of either kind.
        #expect(try EtcdServer.etcdctl("get", "greeting", endpoint: urls[2]).stdout == "greeting\nhello\n")
        let overSocket = try runCommand(
            CertificateAuthority.program(),
            [
                "s_client", "-unix", folder.file("secure"), "-alpn", "h2", "-cert", client.certificate, "-key", client.key,
                "-CAfile", authority.certificate, "-verify_return_error",
            ])
        #expect(overSocket.stdout.contains("ALPN protocol: h2"), "\(overSocket.stderr)")
        #expect(try etcdctl(urls[0], client, "member", "list").stdout.contains("https://127.0.0.1:\(secure)"))

        // Each of these is told at once; etcdctl goes on trying until its time is up.
        #expect(try etcdctl(urls[0], nil, "get", "a").stderr.contains("handshake failure"))
        #expect(try etcdctl(urls[0], stranger, "get", "a").stderr.contains("unknown certificate authority"))
        #expect(
            try etcdctl(urls[1].replacing("http:", with: "https:"), client, "get", "a").stderr.contains("first record does not look like"))
        #expect(try etcdctl(urls[0].replacing("https:", with: "http:"), nil, "get", "a").status != 0)
        for line in [
            "peer did not return a certificate", "CN=mallory is refused", "it speaks TLS where there is none", "it speaks no TLS",
        ] { try eventuallyBlocking("the line \(line)") { pine.log.contains(line) } }
        #expect(pine.log.contains("clients without a certificate can come in by http://127.0.0.1:\(plain)"))
        withExtendedLifetime(strangers) {}
    }

    @Test("Flags that make no sense together end Pine with status 2 and one line")
    func flags() throws {
        let https = ["--listen-client-urls", "https://127.0.0.1:0"]
        let pair = ["--cert-file", server.certificate, "--key-file", server.key]
        let cases: [([String], String)] = [
            (https, "needs --cert-file and --key-file"),
            (https + ["--cert-file", server.certificate], "--cert-file needs --key-file"),
            (https + ["--client-cert-auth"], "--client-cert-auth needs --cert-file and --key-file"),
            (pair + ["--client-cert-auth"], "https:// addresses only"),
            (https + pair + ["--client-crl-file", "x"], "--client-crl-file needs --trusted-ca-file"),
            (https + pair + ["--client-cert-allowed-hostname", "x"], "--client-cert-allowed-hostname needs --trusted-ca-file"),
            (pair + ["--trusted-ca-file", authority.certificate], "https:// addresses only"),
            (https + pair + ["--tls-min-version", "TLS1.1"], "TLS1.2"),
            (https + pair + ["--cipher-suites", "TLS_NONSENSE"], "unexpected TLS cipher suite \"TLS_NONSENSE\""),
            (https + ["--cert-file", "/nonexistent", "--key-file", server.key], "can't read /nonexistent: No such file or directory"),
        ]
        for (arguments, line) in cases {
            let result = try PineProcess.run(["serve", "--postgres", "postgres://127.0.0.1:1/none"] + arguments)
            #expect(result.status == 2, "\(arguments)")
            let said = result.stderr.split(separator: "\n").filter { $0.hasPrefix("pine: ") }
            #expect(said.count == 1 && said[0].contains(line), "\(result.stderr)")
        }
    }

    @Test("--client-cert-auth without --trusted-ca-file lets in whom the system trusts, as etcd does, and says so")
    func systemAuthorities() throws {
        // What the system trusts is what this variable names, to OpenSSL as to Go.
        let trust = ["SSL_CERT_FILE": authority.certificate]
        let strangers = try CertificateAuthority("Strangers")
        let stranger = try strangers.issue("stranger", subject: "/CN=mallory")
        let port = try freePort()
        let endpoint = "https://127.0.0.1:\(port)"
        let pine = try PineProcess(
            [
                "--postgres", try PostgresServer.shared().newDatabase(), "--listen-client-urls", endpoint, "--listen-metrics-urls",
                "https://127.0.0.1:0", "--cert-file", server.certificate, "--key-file", server.key, "--client-cert-auth",
            ], environment: trust)
        try eventuallyBlocking("service") { try etcdctl(endpoint, client, "put", "a", "1").status == 0 }
        #expect(try etcdctl(endpoint, nil, "get", "a").status != 0)
        #expect(try etcdctl(endpoint, stranger, "get", "a").stderr.contains("unknown certificate authority"))
        try eventuallyBlocking("the line of who is refused") { pine.log.contains("CN=mallory is refused") }
        #expect(pine.log.contains("any authority that this system trusts can come in"))
        #expect(pine.log.matches(of: /serving TLS/).count == 1, "\(pine.log)")

        // How they came out is counted.
        let curl = try findExecutable("curl", install: "apt-get install curl")
        let metrics = try runCommand(
            curl,
            [
                "--silent", "--show-error", "--cacert", authority.certificate, "--cert", client.certificate, "--key", client.key,
                "https://127.0.0.1:\(try #require(pine.metricsPort))/metrics",
            ])
        let text = try PrometheusText(metrics.stdout)
        func count(_ outcome: String) throws -> Double {
            try #require(try text.value("pine_tls_handshakes_total", ["outcome": outcome]), "\(metrics.stderr)")
        }
        #expect(try count("done") >= 2 && count("refused") >= 2 && count("timed_out") == 0 && count("crowded_out") == 0)
        #expect(try #require(try text.value("pine_tls_handshakes_under_way")) <= 1)
        withExtendedLifetime(strangers) {}
    }

    // MARK: Towards PostgreSQL

    /// A PostgreSQL that takes TLS connections only: `ops` by certificate, others by password.
    private func securePostgres() throws -> PostgresServer {
        let postgres = try PostgresServer(start: false)
        let host = try authority.issue("postgres", subject: "/CN=postgres", names: ["DNS:localhost"])
        let user = try UnprivilegedUser.whenRoot()
        for (name, source) in [("tls.pem", host.certificate), ("tls.key", host.key), ("tls-ca.pem", authority.certificate)] {
            let path = "\(postgres.dataFolder)/\(name)"
            try contents(of: source).write(toFile: path, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            try user?.own(path)
        }
        let rules = """
            local all all trust
            hostssl all postgres 127.0.0.1/32 trust
            hostssl all ops 127.0.0.1/32 cert
            hostssl all clerk 127.0.0.1/32 scram-sha-256

            """
        let file = try #require(FileHandle(forWritingAtPath: "\(postgres.dataFolder)/pg_hba.conf"))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: Data(rules.utf8))
        try file.close()
        postgres.set(["ssl": "on", "ssl_cert_file": "tls.pem", "ssl_key_file": "tls.key", "ssl_ca_file": "tls-ca.pem"])
        try postgres.start()
        for role in ["ops login superuser", "clerk login superuser password 'secret'"] { try postgres.psql("create role \(role)") }
        return postgres
    }

    @Test("Every way of libpq to a PostgreSQL that wants TLS: sslmode, client certificates, password and service files")
    func towardsPostgres() throws {
        let postgres = try securePostgres()
        let folder = try TemporaryFolder()
        let passwords = folder.file("passwords")
        try "localhost:\(postgres.port):*:clerk:secret\n".write(toFile: passwords, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: passwords)
        let services = folder.file("services")
        try """
        [store]
        host=localhost
        port=\(postgres.port)
        dbname=postgres
        user=ops
        sslmode=verify-full
        sslrootcert=\(authority.certificate)
        sslcert=\(client.certificate)
        sslkey=\(client.key)

        """.write(toFile: services, atomically: true, encoding: .utf8)
        func migrate(_ url: String, _ environment: [String: String] = [:]) throws -> CommandResult {
            try PineProcess.run(["migrate", "--postgres", url], environment: environment)
        }
        let clerk = "postgres://clerk@localhost:\(postgres.port)/postgres"
        let ops = "postgres://ops@localhost:\(postgres.port)/postgres?sslcert=\(client.certificate)&sslkey=\(client.key)"
        let roots = "sslrootcert=\(authority.certificate)"
        let good: [(String, [String: String])] = [
            ("\(clerk)?sslmode=require", ["PGPASSFILE": passwords]),
            ("\(clerk)?sslmode=verify-ca&\(roots)&passfile=\(passwords)", [:]),
            ("\(ops)&sslmode=verify-full&\(roots)", [:]),
            ("postgres://?service=store", ["PGSERVICEFILE": services]),
            ("service=store", ["PGSERVICEFILE": services]),
        ]
        for (url, environment) in good {
            let result = try migrate(url, environment)
            #expect(result.status == 0, "\(url): \(result.stderr)")
        }
        let strangers = try CertificateAuthority("Strangers")
        let bad: [(String, String)] = [
            ("\(clerk)?sslmode=disable&passfile=\(passwords)", "no encryption"),
            ("\(ops)&sslmode=verify-full&sslrootcert=\(strangers.certificate)", "certificate verify failed"),
            // The certificate is for localhost.
            (
                "\(ops.replacing("localhost", with: "127.0.0.1"))&sslmode=verify-full&\(roots)",
                "does not match host name \"127.0.0.1\""
            ),
            ("postgres://ops@localhost:\(postgres.port)/postgres?sslmode=require", "requires a valid client certificate"),
        ]
        for (url, reason) in bad {
            let result = try migrate(url)
            #expect(result.status == 2)
            #expect(result.stderr.contains(reason), "\(url): \(result.stderr)")
        }
        let pine = try PineProcess(["--postgres", "service=store"], environment: ["PGSERVICEFILE": services])
        try eventuallyBlocking("service") { try pine.etcdctl("put", "a", "1", "--command-timeout=2s").status == 0 }
        #expect(
            try postgres.psql("select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'ops'") == "t")
    }
}

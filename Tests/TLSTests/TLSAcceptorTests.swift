// Owns: checks of TLS with OpenSSL's and Python's clients: what is spoken, who is let in, what is sent.
import Foundation
import TLS
import TestSupport
import Testing

@Suite("TLS towards clients", .ownThreads)
struct TLSAcceptorTests {
    let authority: CertificateAuthority
    let settings: TLSSettings

    init() throws {
        authority = try CertificateAuthority()
        let server = try authority.issue("server", subject: "/CN=pine", names: ["DNS:localhost", "IP:127.0.0.1"])
        settings = TLSSettings(certificateFile: server.certificate, keyFile: server.key)
    }

    private func with(_ change: (inout TLSSettings) -> Void) -> TLSSettings {
        var settings = settings
        change(&settings)
        return settings
    }

    // MARK: What is spoken

    @Test("TLS 1.2 and 1.3 are spoken, older versions are not, and the certificate is the server's")
    func versions() async throws {
        try await withEchoServer(settings) { server async throws in
            for version in ["tls1_2", "tls1_3"] {
                let result = try server.greet(["-\(version)", "-CAfile", authority.certificate, "-verify_return_error"])
                #expect(result.isConnected, "\(result.stderr)")
                #expect(result.stdout.contains("Verify return code: 0 (ok)"))
            }
            let old = try server.greet(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
            #expect(!old.isConnected)
            #expect(old.stderr.contains("alert protocol version"))
        }
        for (only, other) in [(TLSVersion.tls12, "tls1_3"), (.tls13, "tls1_2")] {
            let settings = with {
                $0.minVersion = only
                $0.maxVersion = only
            }
            try await withEchoServer(settings) { server async throws in
                #expect(try server.greet().stdout.contains(only == .tls12 ? "New, TLSv1.2" : "New, TLSv1.3"))
                #expect(try server.greet(["-\(other)"]).stderr.contains("alert protocol version"))
            }
        }
    }

    @Test("ALPN takes the first of ours that the client has; a client without any of them is told so, one without ALPN is served")
    func alpn() async throws {
        try await withEchoServer(settings, speaks: ApplicationProtocols(["h2", "http/1.1"])) { server async throws in
            #expect(try server.greet(["-alpn", "http/1.1,h2"]).stdout.contains("ALPN protocol: h2"))
            #expect(try server.greet(["-alpn", "spdy/3,http/1.1"]).stdout.contains("ALPN protocol: http/1.1"))
            #expect(try server.greet(["-alpn", "h2c,h"]).stderr.contains("no application protocol"))
            #expect(try server.greet().stdout.contains("No ALPN negotiated"))
        }
    }

    @Test("Suites without forward secrecy or authenticated encryption are refused; named suites replace the default, in their order")
    func cipherSuites() async throws {
        try await withEchoServer(settings) { server async throws in
            for bad in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"] {
                #expect(try server.greet(["-tls1_2", "-cipher", bad]).stderr.contains("alert handshake failure"), "\(bad)")
            }
        }
        let named = with {
            $0.cipherSuites = [
                "TLS_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            ]
        }
        try await withEchoServer(named) { server async throws in
            let chosen = try server.greet(["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"])
            #expect(chosen.stdout.contains("Cipher is ECDHE-ECDSA-CHACHA20-POLY1305"))
            let unnamed = try server.greet(["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"])
            #expect(!unnamed.isConnected)
            #expect(try server.greet(["-tls1_3"]).isConnected)
        }
    }

    @Test(
        "What can't be meant is one clear line",
        arguments: [
            "unexpected TLS cipher suite \"TLS_NONSENSE\"", "cipher suites cannot be configured when only TLS1.3 is enabled",
            "min version (TLS1.3) is greater than max version (TLS1.2)", "no cipher suite for TLS1.2 among TLS_AES_128_GCM_SHA256",
            "can't read /nonexistent: No such file or directory", "is not that of the certificate", "holds no certificate in PEM form",
            "holds no key in PEM form", "holds no certificates in PEM form", "holds no certificate revocation list",
        ])
    func mistakes(line: String) async throws {
        let other = try authority.issue("other", subject: "/CN=other")
        let noise = authority.folder.file("noise")
        try "noise".write(toFile: noise, atomically: true, encoding: .utf8)
        let wrong = with { settings in
            switch line {
            case let line where line.hasPrefix("unexpected"): settings.cipherSuites = ["TLS_NONSENSE"]
            case let line where line.hasPrefix("cipher suites"):
                settings.cipherSuites = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
                settings.minVersion = .tls13
            case let line where line.hasPrefix("min version"):
                settings.minVersion = .tls13
                settings.maxVersion = .tls12
            case let line where line.hasPrefix("no cipher suite"): settings.cipherSuites = ["TLS_AES_128_GCM_SHA256"]
            case let line where line.hasPrefix("can't read"): settings.trustedCAFile = "/nonexistent"
            case let line where line.hasPrefix("is not that"): settings.keyFile = other.key
            case let line where line.hasSuffix("certificate in PEM form"): settings.certificateFile = noise
            case let line where line.hasSuffix("key in PEM form"): settings.keyFile = noise
            case let line where line.hasSuffix("certificates in PEM form"): settings.trustedCAFile = noise
            default: settings.revocationListFile = noise
            }
        }
        await #expect {
            try await withEchoServer(wrong) { _ in }
        } throws: {
            let message = ($0 as? TLSError)?.message ?? ""
            return message.contains(line) && !message.contains("\n")
        }
    }

    // MARK: Who is let in

    /// How `s_client` fares with the certificate, in both versions.
    private func expect(
        _ server: EchoServer, _ pair: CertificateAuthority.Pair?, alert: String?, _ comment: Comment
    ) throws {
        for version in ["-tls1_2", "-tls1_3"] {
            let client = pair.map { ["-cert", $0.certificate, "-key", $0.key] } ?? []
            // Without a certificate TLS 1.2 knows a general alert only.
            let expected = alert == "certificate required" && version == "-tls1_2" ? "handshake failure" : alert
            // In TLS 1.3 the client has finished before the server looks: it hears on reading, if it waits that long.
            let result = try server.greet([version, "-ign_eof"].dropLast(expected == nil ? 1 : 0) + client)
            if let expected {
                #expect(result.stderr.contains("alert \(expected)"), "\(comment) \(version): \(result.stderr)")
            } else {
                #expect(result.isConnected, "\(comment) \(version): \(result.stderr)")
            }
        }
    }

    @Test("With an authority every client needs a certificate of it; others get an alert and the log the reason")
    func clientCertificates() async throws {
        let strangers = try CertificateAuthority("Strangers")
        defer { withExtendedLifetime(strangers) {} }
        let stranger = try strangers.issue("mallory", subject: "/CN=mallory")
        let alice = try authority.issue("alice", subject: "/O=ops/CN=alice", usage: "clientAuth")
        let expired = try authority.issue("late", subject: "/CN=late", days: 0)
        let serverOnly = try authority.issue("host", subject: "/CN=host", usage: "serverAuth")
        try await withEchoServer(with { $0.trustedCAFile = authority.certificate }) { server async throws in
            try expect(server, alice, alert: nil, "alice")
            try expect(server, nil, alert: "certificate required", "nobody")
            try expect(server, stranger, alert: "unknown ca", "stranger")
            try expect(server, serverOnly, alert: "unsupported certificate", "a server's")
            // Valid until the second in which it was made.
            try await eventually("the certificate's end") {
                try runCommand(
                    CertificateAuthority.program(), ["x509", "-in", expired.certificate, "-checkend", "0"]
                ).status != 0
            }
            try expect(server, expired, alert: "certificate expired", "expired")
            try await eventually("ten lines") { server.rejections.all.count >= 8 }
            let reasons = Set(server.rejections.all)
            #expect(
                reasons.isSuperset(of: [
                    "peer did not return a certificate (asked for localhost)",
                    "the certificate of CN=mallory is refused: unable to get local issuer certificate (asked for localhost)",
                    "the certificate of CN=late is refused: certificate has expired (asked for localhost)",
                    "the certificate of CN=host is refused: unsuitable certificate purpose (asked for localhost)",
                ]), "\(reasons)")
        }
    }

    @Test("Revoked certificates are refused, from lists in either form, and from a list that was replaced", arguments: [false, true])
    func revocation(der: Bool) async throws {
        let alice = try authority.issue("alice", subject: "/CN=alice")
        let bob = try authority.issue("bob", subject: "/CN=bob")
        let list = try authority.revocationList(of: [alice.certificate], der: der)
        let settings = with {
            $0.trustedCAFile = authority.certificate
            $0.revocationListFile = list
        }
        try await withEchoServer(settings) { server async throws in
            try expect(server, alice, alert: "certificate revoked", "alice")
            try expect(server, bob, alert: nil, "bob")
            _ = try authority.revocationList(of: [bob.certificate], der: der)
            try expect(server, bob, alert: "certificate revoked", "bob, later")
        }
    }

    @Test("Allowed host names are looked for among the SANs: names, wildcards, addresses; the CN does not count")
    func allowedHostnames() async throws {
        func issue(_ name: String, _ names: [String]) throws -> CertificateAuthority.Pair {
            try authority.issue(name, subject: "/CN=api.pine.example", names: names)
        }
        let settings = with {
            $0.trustedCAFile = authority.certificate
            $0.allowedHostnames = ["api.pine.example", "10.1.2.3"]
        }
        let byName = try issue("name", ["DNS:other.example", "DNS:api.pine.example"])
        let byWildcard = try issue("wildcard", ["DNS:*.pine.example"])
        let byAddress = try issue("address", ["IP:10.1.2.3"])
        let byCN = try issue("cn", [])
        let other = try issue("other", ["DNS:www.api.pine.example", "IP:10.1.2.4"])
        try await withEchoServer(settings) { server async throws in
            for pair in [byName, byWildcard, byAddress] { try expect(server, pair, alert: nil, "\(pair.certificate)") }
            for pair in [byCN, other] { try expect(server, pair, alert: "bad certificate", "\(pair.certificate)") }
            #expect(server.rejections.all.contains { $0.contains("CN=api.pine.example is refused: hostname mismatch") })
        }
    }

    // MARK: Changed files

    @Test("Changed certificates are served to the next client, while connections stay; useless ones are not, and named in the log")
    func reload() async throws {
        let certificate = authority.folder.file("live.pem")
        let key = authority.folder.file("live.key")
        func put(_ pair: CertificateAuthority.Pair) throws {
            // As tools do it: write beside, then rename.
            for (source, target) in [(pair.certificate, certificate), (pair.key, key)] {
                try contents(of: source).write(toFile: target, atomically: true, encoding: .utf8)
            }
        }
        func subject(_ server: EchoServer) throws -> String {
            let output = try server.greet().stdout
            return output.split(separator: "\n").first { $0.hasPrefix("subject=") }.map(String.init) ?? output
        }
        try put(try authority.issue("first", subject: "/CN=first"))
        let next = try authority.issue("next", subject: "/CN=next")
        try await withEchoServer(TLSSettings(certificateFile: certificate, keyFile: key)) { server async throws in
            #expect(try subject(server) == "subject=CN = first")
            let held = try HeldConnection(server.port)
            #expect(try held.exchange("one\n") == "one\n")
            try put(next)
            #expect(try subject(server) == "subject=CN = next")
            #expect(try held.exchange("two\n") == "two\n")
            // Half of a change, as a tool may leave it for a moment.
            try contents(of: settings.keyFile).write(toFile: key, atomically: true, encoding: .utf8)
            #expect(try subject(server) == "subject=CN = next")
            #expect(try subject(server) == "subject=CN = next")
            #expect(server.log.all.filter { $0.contains("can't be used") && $0.contains("is not that of") }.count == 1)
            try FileManager.default.removeItem(atPath: certificate)
            #expect(try subject(server) == "subject=CN = next")
            try put(try authority.issue("last", subject: "/CN=last"))
            #expect(try subject(server) == "subject=CN = last")
            #expect(try held.exchange("three\n") == "three\n")
            #expect(server.log.all.filter { $0.contains("were read again") }.count == 2, "\(server.log.all)")
        }
    }

    @Test("The log says at the start until when the certificate is good, and warns where that is soon")
    func expiry() async throws {
        try await withEchoServer(settings) { server async throws in
            #expect(server.log.all.count == 1)
            #expect(server.log.all[0].contains("info serving TLS certificate=CN=pine expires=20"))
        }
        let brief = try authority.issue("brief", subject: "/CN=brief", days: 3)
        try await withEchoServer(TLSSettings(certificateFile: brief.certificate, keyFile: brief.key)) { server async throws in
            #expect(server.log.all.contains { $0.hasPrefix("warning the certificate expires soon") })
        }
    }
}

/// A connection of `openssl s_client` that stays open, driven through two named pipes.
private final class HeldConnection {
    private let folder: TemporaryFolder
    private let process: ChildProcess
    private let input: FileHandle

    init(_ port: Int) throws {
        folder = try TemporaryFolder()
        let pipe = folder.file("input")
        guard mkfifo(pipe, 0o600) == 0 else { throw TestSupportError("can't make \(pipe)") }
        process = try ChildProcess(
            "/bin/sh", ["-c", "exec \(CertificateAuthority.program()) s_client -quiet -connect 127.0.0.1:\(port) <\(pipe) 2>/dev/null"],
            outputPath: folder.file("output"))
        input = try FileHandle(forWritingTo: URL(fileURLWithPath: pipe))
    }

    /// Sends `text` and waits for as much more output.
    func exchange(_ text: String) throws -> String {
        let before = contents(of: folder.file("output")).count
        try input.write(contentsOf: Data(text.utf8))
        var answer = ""
        try eventuallyBlocking("the echo of \(text)") {
            answer = String(contents(of: folder.file("output")).dropFirst(before))
            return answer.count >= text.count
        }
        return answer
    }
}

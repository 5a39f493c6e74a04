// Owns: a running `pine`, the real program. Must never: survive its object or the test process.
internal import Foundation
package import Glibc

/// The `pine` that was built with the tests, in a process of its own. Methods block.
package final class PineProcess: Sendable {
    /// Where Pine listens, from its ready line; 0 where `init` was told not to wait.
    package let port: Int
    /// `http://127.0.0.1:PORT`
    package var endpoint: String { "http://127.0.0.1:\(port)" }
    private let process: ChildProcess
    private let folder: TemporaryFolder

    /// Starts `pine serve` with `arguments` after it and waits until it says where it listens. `--listen-client-urls` with
    /// port 0 and `--data-dir` in a temporary folder are added where they are missing. Variables are added to ours.
    package init(
        _ arguments: [String] = [], environment: [String: String] = [:], waitReady: Bool = true,
        timeout: Duration = .seconds(60)
    ) throws {
        let folder = try TemporaryFolder()
        let given = Set(arguments.map { $0.prefix { $0 != "=" } })
        var all = ["serve"] + arguments
        if !given.contains("--listen-client-urls") { all += ["--listen-client-urls", "http://127.0.0.1:0"] }
        if !given.contains("--data-dir") { all += ["--data-dir", folder.file("data")] }
        let process = try ChildProcess(
            try TestEnvironment.product("pine"), all, environment: Self.merged(environment), workingDirectory: folder.path,
            outputPath: folder.file("log"))
        self.folder = folder
        self.process = process
        guard waitReady else {
            port = 0
            return
        }
        var port: Int?
        try eventuallyBlocking("the ready line of pine", timeout: timeout) {
            let log = contents(of: folder.file("log"))
            port = Self.listeningPort(log)
            if port == nil, let status = process.exitStatus { throw TestSupportError("pine \(status):\n\(log)") }
            return port != nil
        }
        self.port = port!
    }

    /// Runs `pine` with exactly these arguments to its end.
    package static func run(
        _ arguments: [String], environment: [String: String] = [:], timeout: Duration = .seconds(60)
    ) throws -> CommandResult {
        try runCommand(
            try TestEnvironment.product("pine"), arguments, environment: merged(environment), workingDirectory: Watchdog.root,
            timeout: timeout)
    }

    /// Where it serves metrics and health alone, once it has said so.
    package var metricsPort: Int? { Self.port(after: "metrics and health at http", log) }

    package var processIdentifier: pid_t { process.processIdentifier }
    package var isRunning: Bool { process.isRunning }
    /// nil while it runs.
    package var exitStatus: ExitStatus? { process.exitStatus }
    /// What Pine has printed so far, on both outputs.
    package var log: String { contents(of: folder.file("log")) }

    /// Sends `signal` to Pine alone, not to a PostgreSQL that it started.
    package func kill(_ signal: Int32 = SIGKILL) { process.kill(signal) }

    @discardableResult
    package func waitForExit(timeout: Duration = .seconds(60)) throws -> ExitStatus {
        try process.waitForExit(timeout: timeout)
    }

    /// Runs etcdctl against this Pine.
    package func etcdctl(_ arguments: String..., input: [UInt8]? = nil) throws -> CommandResult {
        try EtcdServer.etcdctl(arguments, endpoint: endpoint, input: input)
    }

    /// The port of the first whole line that contains `listening on http://…:PORT` or `https://`.
    static func listeningPort(_ log: String) -> Int? { port(after: "listening on http", log) }

    private static func port(after words: String, _ log: String) -> Int? {
        for line in log.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            guard let found = line.firstRange(of: words) else { continue }
            let address = line[found.upperBound...].prefix { $0 != " " && $0 != "," && $0 != "\"" }
            guard let colon = address.lastIndex(of: ":") else { continue }
            return Int(address[address.index(after: colon)...].prefix { $0.isASCII && $0.isNumber })
        }
        return nil
    }

    private static func merged(_ environment: [String: String]) -> [String: String] {
        ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PINE_") }.merging(environment) { $1 }
    }
}

// Owns: several Pine processes on one database, each at a port of its own that outlives it.
import Bytes
import Foundation
import Glibc
import Synchronization
import TestSupport

/// Methods block, and are called by one thread.
final class PineCluster {
    let ports: [Int]
    private let arguments: [String]
    private var processes: [PineProcess] = []

    /// Starts `count` processes and waits until each serves.
    init(_ count: Int, postgres: String, arguments: [String] = []) throws {
        ports = try (0..<count).map { _ in try freePort() }
        self.arguments = ["--postgres", postgres] + arguments
        processes = try ports.map { try Self.start($0, self.arguments) }
        for port in ports { try Self.awaitServing(port) }
    }

    subscript(index: Int) -> PineProcess { processes[index] }

    /// Starts the process at `index` anew, after it was killed.
    func start(_ index: Int) throws { processes[index] = try Self.start(ports[index], arguments) }

    /// Throws, with what they said last, where processes have ended that nobody killed.
    func requireRunning() throws {
        for process in processes {
            guard let status = process.exitStatus else { continue }
            throw TestSupportError("a pine \(status):\n\(process.log.suffix(4_000))")
        }
    }

    /// The last of what every process has said, for a failure's report.
    var logs: String { processes.map { "\n--- pine at \($0.port)\n\(Self.end(of: $0.log))" }.joined() }

    /// A crash is told of at length: its reason comes first.
    private static func end(of log: String) -> Substring {
        let reasons = ["Fatal error", "Assertion failed", "Precondition failed", "invariant violated"]
        guard let crash = reasons.compactMap({ log.firstRange(of: $0)?.lowerBound }).min() else { return log.suffix(3_000) }
        return log[crash...].prefix(8_000)
    }

    private static func start(_ port: Int, _ arguments: [String]) throws -> PineProcess {
        try PineProcess(arguments + ["--listen-client-urls", "http://127.0.0.1:\(port)", "--name", "pine-\(port)"])
    }

    private static func awaitServing(_ port: Int) throws {
        let client = try EtcdClient(port: port)
        try eventuallyBlocking("pine at \(port) serving") { (try? client.get("x")) != nil }
    }
}

// Owns: a real PgBouncer in transaction mode in front of a PostgresServer. Must never: survive its object or the test process.
internal import Foundation
internal import Glibc
internal import Synchronization

/// A pooler that gives each transaction the server connection that was idle for the longest, so that two transactions of one
/// client hardly ever share one. Methods block.
package final class PgBouncer: Sendable {
    package let port: Int
    private let folder: TemporaryFolder
    private let user: UnprivilegedUser?
    private let process = Mutex<ChildProcess?>(nil)

    /// Everybody is let in, as by the server itself. `settings` go below `[pgbouncer]`.
    package init(_ server: PostgresServer, settings: [String: String] = [:]) throws {
        user = try UnprivilegedUser.whenRoot()
        folder = try TemporaryFolder()
        port = try freePort()
        try user?.own(folder.path)
        let all = [
            "listen_addr": "127.0.0.1", "listen_port": "\(port)", "unix_socket_dir": "", "pool_mode": "transaction",
            "auth_type": "trust", "auth_file": folder.file("users"), "admin_users": "postgres", "default_pool_size": "8",
            "server_round_robin": "1", "server_login_retry": "1", "log_connections": "0", "log_disconnections": "0",
        ].merging(settings) { $1 }
        let lines =
            ["[databases]", "* = host=127.0.0.1 port=\(server.port)", "[pgbouncer]"]
            + all.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: folder.file("pgbouncer.ini")))
        try Data("\"postgres\" \"\"\n".utf8).write(to: URL(fileURLWithPath: folder.file("users")))
        try start()
    }

    package func connectionString(database: String) -> String { "postgresql://postgres@127.0.0.1:\(port)/\(database)" }

    package var log: String { contents(of: folder.file("log")) }

    package func start() throws {
        try process.withLock { process in
            if process?.isRunning == true { return }
            let binary = try findExecutable("pgbouncer", in: ["/usr/sbin"], install: "apt-get install pgbouncer")
            let started = try ChildProcess(binary, [folder.file("pgbouncer.ini")], outputPath: folder.file("log"), user: user)
            process = started
            try eventuallyBlocking("PgBouncer on port \(port)") {
                if let status = started.exitStatus { throw TestSupportError("pgbouncer \(status):\n\(log)") }
                return accepts()
            }
        }
    }

    /// Ends it by SIGKILL: all its connections break.
    package func kill() throws {
        try process.withLock { process in
            process?.kill(SIGKILL)
            try process?.waitForExit()
            process = nil
        }
    }

    private func accepts() -> Bool {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

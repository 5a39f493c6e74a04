// Owns: a real PostgreSQL server, its folder and its processes.
// Must never: survive its object or the test process; be weakened in durability unless a test asks for it, since Pine
// refuses to serve then.
// Invariant: the port and the folder stay the same over every restart.
internal import Foundation
package import Glibc
internal import Synchronization

/// A private PostgreSQL in a temporary folder, listening on 127.0.0.1 and on a unix socket. The superuser is `postgres`,
/// and everybody who can connect is trusted. Methods block.
package final class PostgresServer: Sendable {
    package enum StopMode: Sendable {
        /// Waits for clients to go.
        case smart
        /// Disconnects clients, writes a checkpoint.
        case fast
        /// Ends without a checkpoint: the next start recovers from the log.
        case immediate

        var signal: Int32 {
            switch self {
            case .smart: SIGTERM
            case .fast: SIGINT
            case .immediate: SIGQUIT
            }
        }
    }

    package let port: Int
    package let dataFolder: String
    /// Where the socket `.s.PGSQL.PORT` is.
    package let socketFolder: String
    /// Where everything that the server prints goes.
    package let logPath: String
    private let folder: TemporaryFolder
    private let volume: SmallVolume?
    private let user: UnprivilegedUser?
    private let state: Mutex<State>

    private struct State {
        var process: ChildProcess?
        var settings: [String: String]
        var databases = 0
    }

    /// A server with an empty database `postgres`, started unless `start` is false. `settings` are those of postgresql.conf,
    /// for example `["synchronous_commit": "off"]`; they go before those that `PostgresServer` sets itself.
    /// With `volumeBytes` the data lie on a disk of their own of that size, which `volume` fills.
    package init(settings: [String: String] = [:], volumeBytes: Int? = nil, start: Bool = true) throws {
        let user = try UnprivilegedUser.whenRoot()
        let folder = try TemporaryFolder()
        self.user = user
        self.folder = folder
        port = try freePort()
        volume = try volumeBytes.map { try SmallVolume(folder.file("volume"), bytes: $0, owner: user) }
        dataFolder = folder.file(volumeBytes == nil ? "data" : "volume/data")
        socketFolder = folder.path
        logPath = folder.file("log")
        state = Mutex(State(settings: settings))
        try user?.own(folder.path)
        let template = try PostgresTemplate.folder.get()
        let copy = try runCommand("/bin/cp", ["-R", "-p", template, dataFolder])
        guard copy.status == 0 else { throw TestSupportError("can't copy the template: \(copy.stderr)") }
        if start { try self.start() }
    }

    /// A hot standby of `primary`, started, that follows it over `port`, which may be a proxy's. It knows the primary's settings in
    /// postgresql.conf, not those that `primary` was started with.
    package init(standbyOf primary: PostgresServer, over port: Int? = nil, settings: [String: String] = [:]) throws {
        let folder = try TemporaryFolder()
        self.folder = folder
        user = primary.user
        volume = nil
        self.port = try freePort()
        dataFolder = folder.file("data")
        socketFolder = folder.path
        logPath = folder.file("log")
        state = Mutex(State(settings: settings))
        try user?.own(folder.path)
        // What it connects to later is written down by -R.
        let copy = try runCommand(
            try PostgresTemplate.binary("pg_basebackup"),
            [
                "-D", dataFolder, "-d", "host=127.0.0.1 port=\(port ?? primary.port) user=postgres application_name=standby", "-R", "-X",
                "stream", "-c", "fast", "--no-sync",
            ], user: user)
        guard copy.status == 0 else { throw TestSupportError("pg_basebackup: \(copy.stderr)") }
        try start()
    }

    /// Makes a standby the primary; returns once it takes writes.
    package func promote() throws {
        guard try psql("select pg_promote(true, 60)") == "t" else { throw TestSupportError("the standby was not promoted") }
    }

    deinit {
        kill()
        PostgresTemplate.removeSharedMemory(of: dataFolder)
        volume?.unmount()
    }

    /// Takes all that is left of the disk.
    package func fillDisk() throws { try volume?.fill() }

    /// Gives back what `fillDisk` took.
    package func emptyDisk() { volume?.empty() }

    /// A server that the whole test process shares, started at the first use. Take a `newDatabase()` of it; don't stop it.
    package static func shared() throws -> PostgresServer { try sharedServer.get() }

    private static let sharedServer = Result { try PostgresServer(settings: ["max_connections": "200"]) }

    // MARK: Connecting

    /// `postgresql://postgres@127.0.0.1:PORT/postgres`
    package var connectionString: String { connectionString(database: "postgres") }

    package func connectionString(database: String, user: String = "postgres") -> String {
        "postgresql://\(user)@127.0.0.1:\(port)/\(database)"
    }

    /// The same over the unix socket, as a URI.
    package func socketConnectionString(database: String = "postgres") -> String {
        let host = socketFolder.replacingOccurrences(of: "/", with: "%2F")
        return "postgresql://postgres@\(host):\(port)/\(database)"
    }

    /// Makes an empty database with a name of its own and returns its connection string.
    package func newDatabase() throws -> String {
        let number = state.withLock {
            $0.databases += 1
            return $0.databases
        }
        try psql("create database test_\(number)")
        return connectionString(database: "test_\(number)")
    }

    /// What `psql` prints for `query`: unaligned rows, columns parted by `|`, no headings, no newline at the end.
    /// `connection` is a connection string or the name of a database. Throws PostgreSQL's message where it fails; one that
    /// says that every place is taken just now, by connections that come and go, is borne for a while.
    @discardableResult
    package func psql(_ query: String, connection: String = "postgres") throws -> String {
        let target = connection.contains(":") ? connection : connectionString(database: connection)
        let binary = try PostgresTemplate.binary("psql")
        func run() throws -> CommandResult {
            try runCommand(binary, ["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", target, "-c", query])
        }
        var result = try run()
        try eventuallyBlocking("a place for psql") {
            guard result.status != 0, result.stderr.contains("too many clients already") else { return true }
            result = try run()
            return false
        }
        guard result.status == 0 else { throw TestSupportError("psql: \(result.stderr)") }
        return result.stdout.hasSuffix("\n") ? String(result.stdout.dropLast()) : result.stdout
    }

    // MARK: Backups

    /// What pg_dump makes of a database: SQL.
    package func dump(_ connection: String) throws -> String {
        let result = try runCommand(try PostgresTemplate.binary("pg_dump"), ["-d", connection])
        guard result.status == 0 else { throw TestSupportError("pg_dump: \(result.stderr)") }
        return result.stdout
    }

    /// Makes a database with a name of its own from a dump and returns its connection string.
    package func newDatabase(from dump: String) throws -> String {
        let connection = try newDatabase()
        let result = try runCommand(
            try PostgresTemplate.binary("psql"), ["-Xq", "-v", "ON_ERROR_STOP=1", "-d", connection, "-f", "-"], input: Array(dump.utf8))
        guard result.status == 0 else { throw TestSupportError("psql: \(result.stderr)") }
        return connection
    }

    // MARK: Starting and stopping

    package var isRunning: Bool { state.withLock { $0.process?.isRunning ?? false } }

    /// The process identifier of the postmaster, nil while the server is down.
    package var processIdentifier: pid_t? {
        state.withLock { $0.process.flatMap { $0.isRunning ? $0.processIdentifier : nil } }
    }

    /// What the server has printed so far.
    package var log: String { contents(of: logPath) }

    /// Starts the server where it is down; returns once it accepts connections, recovery included.
    package func start() throws {
        try state.withLock { state in
            if state.process?.isRunning == true { return }
            let settings = state.settings.merging([
                "listen_addresses": "127.0.0.1", "port": "\(port)", "unix_socket_directories": socketFolder,
            ]) { $1 }
            let arguments = settings.sorted { $0.key < $1.key }.flatMap { ["-c", "\($0.key)=\($0.value)"] }
            let process = try ChildProcess(
                try PostgresTemplate.binary("postgres"), ["-D", dataFolder] + arguments, outputPath: logPath, user: user)
            state.process = process
            try eventuallyBlocking("PostgreSQL in \(dataFolder) being ready", timeout: .seconds(60)) {
                if let status = process.exitStatus { throw TestSupportError("PostgreSQL \(status):\n\(log)") }
                return isReady(process.processIdentifier)
            }
        }
    }

    /// Stops the server and returns when it has ended. Does nothing where it is down.
    package func stop(mode: StopMode = .fast) throws {
        try state.withLock { state in
            guard let process = state.process else { return }
            process.kill(mode.signal)
            try process.waitForExit()
            state.process = nil
        }
    }

    /// Kills the postmaster and all its children by SIGKILL, as a power cut would end them; returns when all are gone.
    package func kill() {
        state.withLock { state in
            guard let process = state.process else { return }
            // Stopped first, it can't start another child while we count them.
            process.kill(SIGSTOP)
            let children = process.isRunning ? ProcessTable.children(of: process.processIdentifier) : []
            process.kill(SIGKILL)
            for child in children { _ = Glibc.kill(child, SIGKILL) }
            _ = try? process.waitForExit()
            try? eventuallyBlocking("the end of PostgreSQL's children") {
                !children.contains { ProcessTable.isAlive($0) }
            }
            state.process = nil
        }
    }

    package func restart(mode: StopMode = .fast) throws {
        try stop(mode: mode)
        try start()
    }

    /// Changes settings from the next start on.
    package func set(_ settings: [String: String]) {
        state.withLock { $0.settings.merge(settings) { $1 } }
    }

    /// The last line but one of postmaster.pid is the status that pg_ctl waits for.
    private func isReady(_ process: pid_t) -> Bool {
        let lines = contents(of: "\(dataFolder)/postmaster.pid").split(separator: "\n", omittingEmptySubsequences: false)
        return lines.count > 7 && lines[0] == "\(process)" && lines[7].trimmingCharacters(in: .whitespaces) == "ready"
    }
}

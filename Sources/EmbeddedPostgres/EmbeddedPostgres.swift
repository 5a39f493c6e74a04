// Owns: the life of the private PostgreSQL: start, supervision, stop.
// Must never: run two servers on one folder; give up restarting while Pine lives; end without having tried a clean stop.
// Invariant: one supervisor task; it alone starts servers, and it is over before `stop` returns.
internal import Bytes
internal import Glibc
package import Logging
internal import Subprocess
internal import Synchronization
internal import SystemPackage

/// A PostgreSQL of Pine's own, in a data directory, reachable only over a private socket with a password. It is started
/// again when it dies. Call `stop()` before letting it go.
package final class EmbeddedPostgres: Sendable {
    /// For libpq. Holds no secret: the password comes from the passfile that it names.
    package let connectionString: String

    private let cluster: Cluster
    private let binaries: PostgresBinaries
    private let socket: SocketFolder
    /// nil where the claim to the folder is the caller's.
    private let ownLock: DataDirectoryLock?
    private let deathWatch: DeathWatch
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var process: pid_t?
        var isReady = false
        var isStopping = false
        var restartCount = 0
        var supervisor: Task<Void, Never>?
        /// The pause before the next start.
        var pause: Task<Void, Never>?
    }

    /// Starts PostgreSQL in `dataDirectory`, making the folder and the cluster where they are missing. Returns once it accepts
    /// connections, after recovery if need be. `binDirectory` is `--postgres-bin-dir`. `lock` is the caller's claim to the folder;
    /// without it the server claims it itself, until `stop`.
    package static func start(
        dataDirectory: String, binDirectory: String? = nil, lock: DataDirectoryLock? = nil, logger: Logger
    ) async throws(EmbeddedPostgresError) -> EmbeddedPostgres {
        let ownLock = lock == nil ? try DataDirectoryLock(dataDirectory: dataDirectory) : nil
        let cluster = try await Cluster(dataDirectory: Files.absolute(dataDirectory))
        let binaries = try await PostgresBinaries.find(folder: binDirectory, major: cluster.major(), cluster: cluster.data)
        for data in [cluster.unfinished, cluster.data] {
            try await ClusterProcesses(data: data, user: cluster.user, logger: logger).end()
        }
        if try cluster.major() == nil {
            logger.info("making a PostgreSQL cluster", metadata: ["folder": "\(cluster.data)", "version": "\(binaries.major)"])
            try await cluster.create(binaries)
        }
        try cluster.writeSettings(in: cluster.data)
        try await cluster.ensurePassword(binaries)
        let server = try EmbeddedPostgres(cluster, binaries, ownLock, logger)
        try await server.superviseUntilReady()
        return server
    }

    private init(
        _ cluster: Cluster, _ binaries: PostgresBinaries, _ ownLock: DataDirectoryLock?, _ logger: Logger
    ) throws(EmbeddedPostgresError) {
        self.cluster = cluster
        self.binaries = binaries
        self.ownLock = ownLock
        self.logger = logger
        socket = try SocketFolder(cluster)
        deathWatch = try DeathWatch(user: cluster.user)
        connectionString = Self.connectionString(
            socketFolder: socket.path, port: SocketFolder.port, passwordFile: cluster.passwordFile)
    }

    /// How to reach the PostgreSQL that another process keeps in `dataDirectory`.
    package static func connectionString(ofRunning dataDirectory: String) throws(EmbeddedPostgresError) -> String {
        // The fourth line of a postmaster's lock file is its port, the fifth the folder of its socket.
        // Whoever owns the folder can have put anything there: it is read with their rights.
        let owner = ServerUser.owner(of: "\(dataDirectory)/postgres")
        try owner.requireFileRights()
        let text = owner.withFileRights { Files.read("\(dataDirectory)/postgres/data/postmaster.pid") } ?? ""
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count > 4, let port = Int(lines[3]), !lines[4].isEmpty else {
            throw EmbeddedPostgresError(
                .folderUnusable,
                "no PostgreSQL runs in \(dataDirectory) that this user may see; start pine serve there, or name another --data-dir")
        }
        return connectionString(socketFolder: String(lines[4]), port: port, passwordFile: "\(dataDirectory)/pgpass")
    }

    private static func connectionString(socketFolder: String, port: Int, passwordFile: String) -> String {
        "host=\(Quoted.connectionValue(socketFolder)) port=\(port) user=\(Cluster.role) dbname=\(Cluster.database) passfile=\(Quoted.connectionValue(passwordFile))"
    }

    // MARK: How it does

    /// Whether the server runs and has said that it accepts connections.
    package var isReady: Bool { state.withLock { $0.isReady } }

    /// How often the server was started again after it had died.
    package var restartCount: Int { state.withLock { $0.restartCount } }

    /// The process identifier of the postmaster, nil while it is down.
    package var processIdentifier: Int32? { state.withLock { $0.process } }

    /// The major version of the server.
    package var major: Int { binaries.major }

    // MARK: Stopping

    /// Stops the server: fast, which disconnects clients and writes a checkpoint; after `limit` immediately, which leaves
    /// recovery to the next start; at last by SIGKILL. Returns when it is gone. Later calls wait for the same.
    package func stop(limit: Duration = .seconds(30)) async {
        let supervisor = state.withLock { state in
            state.isStopping = true
            state.pause?.cancel()
            if let process = state.process { Self.signal(process, SIGINT) }
            return state.supervisor
        }
        let escalation = Task {
            guard (try? await Task.sleep(for: limit)) != nil else { return }
            logger.warning("PostgreSQL takes too long to stop: stopping it at once; its next start will recover")
            state.withLock { if let process = $0.process { Self.signal(process, SIGQUIT) } }
            guard (try? await Task.sleep(for: .seconds(5))) != nil else { return }
            state.withLock { if let process = $0.process { Self.signal(process, SIGKILL) } }
        }
        await supervisor?.value
        escalation.cancel()
        await deathWatch.end()
        socket.remove()
        ownLock?.release()
    }

    // MARK: Supervision

    private static let firstPause = Duration.milliseconds(100)
    private static let pauseLimit = Duration.seconds(10)
    /// A server that lived this long was healthy: the next pause is short again.
    private static let healthyAge = Duration.seconds(30)

    /// How long a first start is tried while processes of an earlier server hold it up.
    private static let holdUpLimit = Duration.seconds(15)

    /// Starts the supervisor; throws why the first start failed, with nothing left running.
    private func superviseUntilReady() async throws(EmbeddedPostgresError) {
        let (first, outcome) = AsyncStream<Bool>.makeStream()
        let supervisor = Task { await supervise(outcome) }
        state.withLock { $0.supervisor = supervisor }
        for await isReady in first where isReady { return }
        await stop()
        throw EmbeddedPostgresError(.startFailed, "PostgreSQL does not start: \(cluster.lastWords())")
    }

    /// Runs the server again and again until `stop`. Says through `outcome` whether the first start succeeded; where it didn't, there is
    /// no second.
    private func supervise(_ outcome: AsyncStream<Bool>.Continuation) async {
        var pause = Self.firstPause
        var wasReadyOnce = false
        let supervisionBegan = ContinuousClock.now
        while !state.withLock({ $0.isStopping }) {
            let began = ContinuousClock.now
            let (wasReady, status) = await runServer {
                wasReadyOnce = true
                outcome.yield(true)
                outcome.finish()
            }
            if state.withLock({ $0.isStopping }) { break }
            let why = cluster.lastWords()
            // Backends of a killed server that we could not see: they go within moments.
            let isHeldUp =
                why.contains("pre-existing shared memory block") && ContinuousClock.now - supervisionBegan < Self.holdUpLimit
            guard wasReadyOnce || isHeldUp else { break }
            if wasReady, ContinuousClock.now - began >= Self.healthyAge { pause = Self.firstPause }
            logger.error(
                "PostgreSQL ended: starting it again",
                metadata: ["how": "\(status)", "why": "\(why)", "pause": "\(pause.brief)"])
            await rest(for: pause)
            pause = min(pause * 2, Self.pauseLimit)
            state.withLock { $0.restartCount += 1 }
        }
        outcome.finish()
    }

    /// Sleeps, but not beyond `stop`.
    private func rest(for duration: Duration) async {
        let pause = state.withLock { state -> Task<Void, Never>? in
            if state.isStopping { return nil }
            let pause = Task { _ = try? await Task.sleep(for: duration) }
            state.pause = pause
            return pause
        }
        await pause?.value
    }

    /// Runs one server from its start to its end. Returns whether it was ever ready, and how it ended.
    private func runServer(_ onReady: () -> Void) async -> (wasReady: Bool, status: String) {
        do {
            try await ClusterProcesses(data: cluster.data, user: cluster.user, logger: logger).end()
            let (program, arguments) = try StartGate.command(binaries.postgres, serverArguments, user: cluster.user)
            let gate = try StartGate()
            let log = cluster.openStartLog()
            guard log >= 0 else {
                close(gate.input)
                return (false, "can't write \(cluster.startLog): \(Files.lastError)")
            }
            let result = try await Subprocess.run(
                .path(FilePath(program)), arguments: Arguments(arguments), environment: Tool.environment,
                workingDirectory: "/", platformOptions: Tool.platformOptions,
                input: .fileDescriptor(FileDescriptor(rawValue: gate.input), closeAfterSpawningProcess: true),
                output: .fileDescriptor(FileDescriptor(rawValue: log), closeAfterSpawningProcess: true),
                error: .combinedWithOutput
            ) { execution in
                let process = execution.processIdentifier.value
                while !gate.isReached {
                    guard Self.isRunning(process) else { return false }
                    try? await Task.sleep(for: .milliseconds(1))
                }
                began(process)
                gate.open()
                guard await becomesReady(process) else { return false }
                logger.info(
                    "PostgreSQL is ready; to look into it: psql \"\(connectionString)\"",
                    metadata: ["process": "\(process)", "version": "\(binaries.major)"])
                state.withLock { $0.isReady = true }
                onReady()
                return true
            }
            ended()
            return (result.closureResult, "\(result.terminationStatus)")
        } catch {
            ended()
            return (false, "\(error)")
        }
    }

    private var serverArguments: [String] {
        [
            "-D", cluster.data, "-c", "listen_addresses=", "-c", "port=\(SocketFolder.port)",
            // A list of names, each in double quotes.
            "-c",
            "unix_socket_directories=\"\(socket.path.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"",
            "-c", "unix_socket_permissions=0700",
        ]
    }

    private func began(_ process: pid_t) {
        deathWatch.watch(process)
        state.withLock { state in
            state.process = process
            if state.isStopping { Self.signal(process, SIGINT) }
        }
    }

    private func ended() {
        deathWatch.watch(nil)
        state.withLock { state in
            state.process = nil
            state.isReady = false
        }
    }

    /// Waits until the server is ready or has ended. Recovery may take minutes: it is waited for as long as the server lives.
    private func becomesReady(_ process: pid_t) async -> Bool {
        var nextNote = ContinuousClock.now + .seconds(10)
        while Self.isRunning(process) {
            // Line 8 of postmaster.pid is the status that pg_ctl waits for.
            let text = cluster.user.withFileRights { Files.read("\(cluster.data)/postmaster.pid") } ?? ""
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            if lines.count > 7, lines[0] == "\(process)", lines[7].trimmed == "ready" { return true }
            if ContinuousClock.now >= nextNote {
                logger.info("PostgreSQL is still recovering", metadata: ["log": "\(cluster.logFolder)"])
                nextNote += .seconds(10)
            }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return false
    }

    // MARK: The child process

    /// Whether our child runs; it is not reaped by this.
    private static func isRunning(_ process: pid_t) -> Bool {
        var info = siginfo_t()
        return waitid(P_PID, id_t(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo == 0
    }

    /// Signals our child unless it has ended: once it is reaped, its number may be somebody else's.
    private static func signal(_ process: pid_t, _ signal: Int32) {
        if isRunning(process) { kill(process, signal) }
    }
}

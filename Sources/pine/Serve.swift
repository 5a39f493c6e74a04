// Owns: `pine serve`: its flags, and starting what they ask for in the right order.
import ArgumentParser
import EmbeddedPostgres
import Foundation
import Logging
import PineServer

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve the etcd API.",
        discussion: """
            Try it:

              pine serve
              etcdctl put greeting hello
              etcdctl get greeting

            Without --postgres, Pine runs a PostgreSQL of its own in --data-dir, and says how to reach it with psql. Ctrl-C \
            stops both.

            Flags carry etcd's names where etcd has them. Each is also an environment variable, PINE_ and its name in \
            capitals: PINE_POSTGRES, PINE_LISTEN_CLIENT_URLS, ... A flag wins over its variable.

            A wrong flag, address or database ends Pine with status 2 and one line that says what to do. A database that is \
            away is waited for.
            """)

    // MARK: Where the data is

    @Option(
        help: ArgumentHelp(
            "The PostgreSQL database (13 or newer) to keep everything in, as a libpq URL or connection string. Without it, a "
                + "private one is started in --data-dir.", valueName: "url"))
    var postgres: String?

    @Option(help: ArgumentHelp("The schema for Pine's tables. Each schema is a store of its own.", valueName: "name"))
    var schema = "pine"

    @Option(help: ArgumentHelp("Where the private PostgreSQL and this process keep their files.", valueName: "folder"))
    var dataDir = "pine-data"

    @Option(
        help: ArgumentHelp("Where initdb and postgres are, for the private PostgreSQL. Found by itself if not given.", valueName: "folder"))
    var postgresBinDir: String?

    @Flag(help: "Serve even where PostgreSQL may lose acknowledged writes: fsync, full_page_writes or synchronous_commit off.")
    var allowUnsafeDurability = false

    @Flag(help: "Send statements unprepared, as a connection pooler in transaction mode may need.")
    var noPreparedStatements = false

    // MARK: Whom it serves

    @Option(help: ArgumentHelp("This member's name, for MemberList.", valueName: "name"))
    var name = "default"

    @Option(
        help: ArgumentHelp(
            "Where to listen, comma-separated: http://host:port or unix:///path. Port 0 takes a free one and says which.",
            valueName: "urls"))
    var listenClientUrls = "http://127.0.0.1:2379"

    @Option(help: ArgumentHelp("Where clients reach this member. The default is where it listens.", valueName: "urls"))
    var advertiseClientUrls: String?

    // MARK: Limits

    @Option(help: ArgumentHelp("The largest request, in bytes.", valueName: "bytes"))
    var maxRequestBytes = 1_572_864

    @Option(help: ArgumentHelp("The most operations in a transaction.", valueName: "count"))
    var maxTxnOps = 128

    @Option(help: ArgumentHelp("The most calls that a client may have open on one connection.", valueName: "count"))
    var maxConcurrentStreams = 100_000

    // MARK: How it runs

    @Option(help: ArgumentHelp("Event loops. The default is one a core.", valueName: "count"))
    var eventLoops: Int?

    @Option(
        help: ArgumentHelp(
            "The longest time between two looks for other processes' writes: 50ms to 60s. Shorter while there are any.",
            valueName: "duration"))
    var pollInterval = "1s"

    @Option(
        help: ArgumentHelp(
            "How long a watch that asked for progress notifications may hear nothing. At least 100ms.", valueName: "duration"))
    var watchProgressNotifyInterval = "10m"

    @Option(help: ArgumentHelp("How long calls under way may take to end when the server is told to stop.", valueName: "duration"))
    var shutdownGrace = "10s"

    @Option(help: ArgumentHelp("trace, debug, info, warn or error.", valueName: "level"))
    var logLevel = "info"

    @Option(help: ArgumentHelp("text or json. The default is text on a terminal, JSON otherwise.", valueName: "format"))
    var logFormat: String?

    func run() async throws {
        let logger = try makeLogger()
        let configuration = try serverConfiguration()
        let graceMs = try milliseconds(shutdownGrace, flag: "--shutdown-grace")
        // A peer that closes its end is an error of the write, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
        let stopRequest = StopRequest()
        // Before the addresses: a second start in one folder is told so, not that its port is taken.
        let lock = try postgres == nil ? claimDataDirectory() : nil
        let server = try await bind(configuration, logger)
        let starting = Task { try await start(server, lock, logger) }
        let stopping = Task {
            await stopRequest.wait(logger)
            starting.cancel()
        }
        let database: ServedDatabase
        do {
            database = try await starting.value
        } catch {
            // Told to stop before it served anything: nobody's calls are under way.
            guard starting.isCancelled else { throw error }
            await server.stop(graceMs: 0)
            logger.info("stopped before it served")
            return
        }
        await stopping.value
        await server.stop(graceMs: graceMs)
        await database.stop()
    }

    private func claimDataDirectory() throws -> DataDirectoryLock {
        do {
            return try DataDirectoryLock(dataDirectory: dataDir)
        } catch {
            throw UsageError(error.message)
        }
    }

    private func bind(_ configuration: ServerConfiguration, _ logger: Logger) async throws -> PineServer {
        do {
            return try await PineServer.bind(configuration, logger: logger)
        } catch {
            throw UsageError(error.message)
        }
    }

    /// Starts the database, if it is ours, then the server. Leaves no database running where it throws.
    private func start(_ server: PineServer, _ lock: DataDirectoryLock?, _ logger: Logger) async throws -> ServedDatabase {
        let database = try await startDatabase(lock, logger)
        do {
            try await server.start(
                Database(
                    connectionString: database.connectionString, schema: schema,
                    allowsUnsafeDurability: allowUnsafeDurability, preparesStatements: !noPreparedStatements))
        } catch {
            await database.stop()
            throw UsageError(error.message)
        }
        return database
    }

    private func startDatabase(_ lock: DataDirectoryLock?, _ logger: Logger) async throws -> ServedDatabase {
        if let postgres { return ServedDatabase(connectionString: postgres, embedded: nil) }
        do {
            let embedded = try await EmbeddedPostgres.start(
                dataDirectory: dataDir, binDirectory: postgresBinDir, lock: lock, logger: logger)
            return ServedDatabase(connectionString: embedded.connectionString, embedded: embedded)
        } catch {
            throw UsageError(error.message)
        }
    }

    private func serverConfiguration() throws -> ServerConfiguration {
        func positive(_ value: Int, _ flag: String) throws -> Int {
            guard value > 0 else { throw UsageError("\(flag) must be at least 1, not \(value)") }
            return value
        }
        var configuration = ServerConfiguration(listenURLs: split(listenClientUrls))
        configuration.name = name
        configuration.advertisedURLs = advertiseClientUrls.map(split)
        configuration.maxRequestBytes = try positive(maxRequestBytes, "--max-request-bytes")
        configuration.maxTxnOps = try positive(maxTxnOps, "--max-txn-ops")
        configuration.maxConcurrentStreams = try positive(maxConcurrentStreams, "--max-concurrent-streams")
        if let eventLoops { configuration.eventLoops = try positive(eventLoops, "--event-loops") }
        let poll = try milliseconds(pollInterval, flag: "--poll-interval")
        guard (50...60_000).contains(poll) else {
            throw UsageError("--poll-interval must be between 50ms and 60s, not \(pollInterval)")
        }
        configuration.pollIntervalMs = poll
        configuration.watchProgressIntervalMs = max(
            try milliseconds(watchProgressNotifyInterval, flag: "--watch-progress-notify-interval"), 100)
        return configuration
    }

    private func split(_ urls: String) -> [String] {
        urls.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    private func makeLogger() throws -> Logger {
        let levels: [String: Logger.Level] = [
            "trace": .trace, "debug": .debug, "info": .info, "warn": .warning, "warning": .warning, "error": .error,
        ]
        guard let level = levels[logLevel] else {
            throw UsageError("--log-level \(logLevel) is not one of trace, debug, info, warn, error")
        }
        var format = LogFormat.suitable
        if let logFormat {
            guard let wanted = LogFormat(rawValue: logFormat) else {
                throw UsageError("--log-format \(logFormat) is neither text nor json")
            }
            format = wanted
        }
        return Logger(label: "pine") { [format] _ in LineLogHandler(format: format, logLevel: level) }
    }
}

/// Parses 500ms, 10s, 5m, 2h, as etcd's flags take durations. A bare number counts seconds.
private func milliseconds(_ text: String, flag: String) throws -> Int {
    let units = [("ms", 1.0), ("s", 1_000.0), ("m", 60_000.0), ("h", 3_600_000.0), ("", 1_000.0)]
    for (unit, factor) in units where text.hasSuffix(unit) {
        if let number = Double(text.dropLast(unit.count)), number >= 0, number * factor < 1e12 { return Int(number * factor) }
    }
    throw UsageError("\(flag) \(text) is not a duration like 500ms, 10s or 5m")
}

extension Serve {
    /// The flags that `PINE_*` variables stand for.
    static func arguments(from environment: [String: String]) throws -> [String] {
        var arguments: [String] = []
        for (variable, value) in environment.sorted(by: { $0.key < $1.key }) where variable.hasPrefix("PINE_") {
            let flag = "--" + variable.dropFirst("PINE_".count).lowercased().replacing("_", with: "-")
            if switches.contains(flag) {
                switch value.lowercased() {
                case "1", "true", "yes", "on": arguments.append(flag)
                case "", "0", "false", "no", "off": break
                default: throw UsageError("\(variable)=\(value) is neither true nor false")
                }
            } else if options.contains(flag) {
                arguments.append("\(flag)=\(value)")
            }
            // Others may belong to another program's idea of PINE_.
        }
        return arguments
    }

    private static let switches: Set = ["--allow-unsafe-durability", "--no-prepared-statements"]
    private static let options: Set = [
        "--postgres", "--schema", "--data-dir", "--postgres-bin-dir", "--name", "--listen-client-urls", "--advertise-client-urls",
        "--max-request-bytes", "--max-txn-ops", "--max-concurrent-streams", "--event-loops", "--poll-interval",
        "--watch-progress-notify-interval",
        "--shutdown-grace", "--log-level", "--log-format",
    ]
}

/// The database that is served, and the private PostgreSQL behind it, if there is one.
private struct ServedDatabase {
    let connectionString: String
    let embedded: EmbeddedPostgres?

    func stop() async { await embedded?.stop() }
}

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
            capitals: PINE_POSTGRES, PINE_LISTEN_CLIENT_URLS, ..., and a key of the YAML file that --config-file names. A flag \
            wins over its variable, and that over the file. Flags of etcd that mean nothing to Pine are accepted, and named \
            once in the log.

            A wrong flag, address or database ends Pine with status 2 and one line that says what to do. A database that is \
            away is waited for.
            """)

    @OptionGroup(title: "Database") var database: DatabaseOptions

    @OptionGroup(title: "Database") var tables: TablesOptions
    @OptionGroup(title: "Private PostgreSQL") var privatePostgres: PrivatePostgresOptions
    @OptionGroup(title: "Clients") var clients: ClientOptions
    @OptionGroup(title: "HTTP") var http: HTTPOptions
    @OptionGroup(title: "TLS") var tls: TLSOptions
    @OptionGroup(title: "Users") var auth: AuthOptions
    @OptionGroup(title: "Limits") var limits: LimitOptions
    @OptionGroup(title: "Upkeep") var upkeep: UpkeepOptions
    @OptionGroup(title: "Running") var runtime: RuntimeOptions
    @OptionGroup(title: "Log") var log: LogOptions
    @OptionGroup(title: "Settings") var settings: SettingsOptions

    func run() async throws {
        let logger = log.makeLogger()
        let graceMs = runtime.shutdownGrace.count
        // A peer that closes its end is an error of the write, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
        ServerMemory.shareHeaps()
        let stopRequest = StopRequest()
        // Before the addresses: a second start in one folder is told so, not that its port is taken.
        let named = try database.database()
        do {
            try named?.check()
        } catch {
            throw UsageError(error.message)
        }
        for notice in Settings.notices { logger.warning("\(notice)") }
        let lock = try named == nil ? claimDataDirectory() : nil
        let server = try await bind(serverConfiguration(), logger)
        let starting = Task { try await start(server, named, lock, logger) }
        let stopping = Task {
            await stopRequest.wait(logger)
            starting.cancel()
        }
        let served: ServedDatabase
        do {
            served = try await starting.value
        } catch {
            // Told to stop before it served anything: nobody's calls are under way.
            guard starting.isCancelled else { throw error }
            await server.stop(graceMs: 0)
            logger.info("stopped before it served")
            return
        }
        await stopping.value
        await server.stop(graceMs: graceMs)
        await served.stop()
    }

    private func claimDataDirectory() throws -> DataDirectoryLock {
        do {
            return try DataDirectoryLock(dataDirectory: privatePostgres.dataDir)
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
    private func start(
        _ server: PineServer, _ named: Database?, _ lock: DataDirectoryLock?, _ logger: Logger
    ) async throws -> ServedDatabase {
        let served = try await startDatabase(named, lock, logger)
        var database = served.database
        database.migrates = !tables.noMigrate
        do {
            try await server.start(database)
        } catch {
            await served.stop()
            throw UsageError(error.message)
        }
        return served
    }

    private func startDatabase(
        _ named: Database?, _ lock: DataDirectoryLock?, _ logger: Logger
    ) async throws -> ServedDatabase {
        if let named { return ServedDatabase(database: named, embedded: nil) }
        do {
            let embedded = try await EmbeddedPostgres.start(
                dataDirectory: privatePostgres.dataDir, binDirectory: privatePostgres.postgresBinDir, lock: lock, logger: logger)
            return ServedDatabase(database: database.database(at: embedded.connectionString), embedded: embedded)
        } catch {
            throw UsageError(error.message)
        }
    }

    private func serverConfiguration() throws -> ServerConfiguration {
        var configuration = ServerConfiguration(listenURLs: clients.listenClientUrls.urls)
        clients.apply(to: &configuration)
        http.apply(to: &configuration)
        configuration.tls = tls.settings
        try auth.apply(to: &configuration)
        limits.apply(to: &configuration)
        try upkeep.apply(to: &configuration)
        runtime.apply(to: &configuration)
        configuration.dataDirectory = privatePostgres.dataDir
        return configuration
    }
}

/// The database that is served, and the private PostgreSQL behind it, if there is one.
private struct ServedDatabase {
    let database: Database
    let embedded: EmbeddedPostgres?

    func stop() async { await embedded?.stop() }
}

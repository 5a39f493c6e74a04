// Owns: a running server: its sockets, engine and log, started and stopped in the right order.
internal import Changelog
internal import EtcdAPI
internal import Foundation
internal import GRPC
internal import HTTP1
internal import HTTP2
package import Logging
internal import NIOCore
internal import Passwords
internal import Replica
internal import Synchronization

package final class PineServer: Sendable {
    private let configuration: ServerConfiguration
    private let grpc: GRPCServer
    private let engine: Engine
    private let engineThread: WorkerThread
    private let log: LogSlot
    private let shared: SharedState
    private let marks: ServedMarks?
    private let passwords: PasswordThreads
    private let logger: Logger
    /// Where clients reach us, ports resolved.
    package let clientURLs: [String]
    /// Where pages are served, and nothing else.
    package let metricsURLs: [String]
    private let memberID: UInt64
    private let running = Mutex<Running?>(nil)

    private struct Running {
        var log: LogWorkers
        var housekeeping: Task<Void, Never>
        /// Notes down what is served.
        var noting: Task<Void, Never>?
    }

    /// How often at most.
    private static let noteInterval = Duration.seconds(1)
    /// How often this member says that it is alive, and asks who else is; and until that has worked once.
    private static let refreshInterval = Duration.seconds(10)
    private static let firstRefreshInterval = Duration.milliseconds(200)

    private init(
        _ configuration: ServerConfiguration, grpc: GRPCServer, engine: Engine, engineThread: WorkerThread, log: LogSlot,
        shared: SharedState, marks: ServedMarks?, passwords: PasswordThreads, clientURLs: [String], metricsURLs: [String], memberID: UInt64,
        logger: Logger
    ) {
        self.configuration = configuration
        self.grpc = grpc
        self.engine = engine
        self.engineThread = engineThread
        self.log = log
        self.metricsURLs = metricsURLs
        self.shared = shared
        self.marks = marks
        self.passwords = passwords
        self.clientURLs = clientURLs
        self.memberID = memberID
        self.logger = logger
    }

    // MARK: Starting

    /// Takes the addresses, and answers what needs no log. Calls that come before `start` wait for the log, for as long as calls
    /// wait for anything.
    package static func bind(_ configuration: ServerConfiguration, logger: Logger) async throws(ServerError) -> PineServer {
        let listenURLs = try configuration.listenURLs.map { url throws(ServerError) in try ListenURL(url) }
        guard !listenURLs.isEmpty else { throw ServerError("--listen-client-urls names no address") }
        let metricsListenURLs = try configuration.metricsURLs.map { url throws(ServerError) in try ListenURL(url) }
        let memberID = UInt64.random(in: 1...UInt64(Int64.max))
        let (shared, log, pages) = (SharedState(logger: logger), LogSlot(), ServerPages())
        let marks = configuration.dataDirectory.flatMap { ServedMarks(dataDirectory: $0, logger: logger) }
        var replica = configuration.replica(memberID: memberID)
        replica.served = marks?.earlier ?? []
        let engine = Engine(replica, shared: shared, marks: marks, logger: logger)
        let http1 = configuration.http1 { pages.answer($0, on: $1) }
        let routes = GatewayRoutes()
        var http2 = configuration.http2(addresses: listenURLs.map(\.address))
        http2.http1 = http1
        http2.http1Addresses = metricsListenURLs.map(\.address)
        let tls = try configuration.setUpTLS(of: &http2, for: listenURLs, metricsURLs: metricsListenURLs, logger: logger)
        let health = Health(shared: shared, probes: Probes(engine: engine), log: log)
        let passwords = PasswordThreads(threads: max(System.coreCount / 2, 1), waitingLimit: waitingPasswordLimit)
        let grpc: GRPCServer
        do {
            grpc = try await GRPCServer.start(
                http2, limits: configuration.grpcLimits, methods: ServedMethod.grpcMethods, fields: .etcd, logger: logger
            ) { loop in
                func services(_ caller: any Caller) -> Services {
                    Services(
                        caller, engine: engine, shared: shared, health: health, passwords: passwords, configuration: configuration,
                        logger: logger)
                }
                let http1Loop = http1.prepare(loop.eventLoop, memory: loop.clientMemory)
                if configuration.servesJSON {
                    let gateway = JSONGateway(
                        loop.eventLoop, routes: routes, messageLimit: configuration.grpcLimits.receivedMessageLimit, logger: logger)
                    gateway.services = services(gateway)
                    http1Loop.service = gateway
                }
                return services(loop)
            }
        } catch {
            var reason = "\(error)"
            if let error = error as? IOError {
                reason = String(cString: strerror(error.errnoCode))
                if error.errnoCode == EADDRINUSE { reason += "; stop the server that runs there" }
            }
            let urls = (configuration.listenURLs + configuration.metricsURLs).joined(separator: ",")
            let flags = configuration.metricsURLs.isEmpty ? "--listen-client-urls" : "--listen-client-urls or --listen-metrics-urls"
            throw ServerError("can't listen on \(urls): \(reason), or give other \(flags)")
        }
        pages.open(
            health: health,
            metrics: ServerMetrics(
                grpc: grpc, http1: http1, tls: tls, shared: shared, log: log, health: health,
                quotaBackendBytes: configuration.quotaBackendBytes,
                valueCacheBytes: configuration.valueCacheBytes))
        let thread = engine.start(log: log, valueBytes: configuration.valueCacheBytes, logger: logger)
        let metricsURLs = zip(metricsListenURLs, grpc.boundHTTP1Addresses).map { $0.url(bound: $1) }
        for url in metricsURLs { logger.info("metrics and health at \(url)") }
        // Last: whoever waits for this line may ask for everything.
        let bound = zip(listenURLs, grpc.boundAddresses).map { $0.url(bound: $1) }
        let clientURLs = configuration.advertisedURLs ?? bound
        shared.membership.expect(Changelog.Member(id: Int64(memberID), name: configuration.name, clientURLs: clientURLs, age: .zero))
        for url in bound { logger.info("listening on \(url)") }
        return PineServer(
            configuration, grpc: grpc, engine: engine, engineThread: thread, log: log, shared: shared, marks: marks,
            passwords: passwords, clientURLs: clientURLs, metricsURLs: metricsURLs, memberID: memberID, logger: logger)
    }

    /// Brings the tables up to date and starts folding the log. Returns once that is under way; a database that is away is
    /// waited for. Throws where waiting would not help.
    package func start(_ database: Database) async throws(ServerError) {
        var settings = try database.logSettings()
        settings.limits.slowStatement = .milliseconds(configuration.slowStatementMs)
        try await database.prepare(settings, logger: logger)
        let engine = engine
        let workers = LogWorkers(settings, logger: logger) { engine.hear($0) }
        log.fill(workers)
        let housekeeping = Task { [self] in await keepHouse(workers) }
        let noting = marks.map { marks in
            Task {
                while !Task.isCancelled {
                    await onThread { marks.write() }
                    try? await Task.sleep(for: Self.noteInterval)
                }
            }
        }
        running.withLock { $0 = Running(log: workers, housekeeping: housekeeping, noting: noting) }
    }

    // MARK: Running

    /// Says that this member is alive, and learns who else is and how large the tables are.
    private func keepHouse(_ log: LogWorkers) async {
        // No other member is forgotten by this but those that died long ago.
        log.removeMember(id: Int64(memberID)) { _ in }
        var nextCheck = ContinuousClock.now.advanced(by: firstCheckDelay)
        while !Task.isCancelled {
            if ContinuousClock.now >= nextCheck, shared.current.counters.isSteward {
                nextCheck = .now.advanced(by: checkInterval)
                log.checkRows()
            }
            shared.membership.refresh(log)
            // Calls wait for the first answer.
            try? await Task.sleep(for: shared.membership.known.isKnown ? Self.refreshInterval : Self.firstRefreshInterval)
        }
    }

    // MARK: Stopping

    /// Lets calls under way end, for up to `graceMs`, then stops everything.
    package func stop(graceMs: Int) async {
        engine.post(.stopping)
        shared.membership.close()
        // Before the loops that hear of its outcomes.
        await onThread { [passwords] in passwords.stop() }
        await grpc.shutdown(graceMs: Int64(graceMs))
        let running = running.withLock { running in
            defer { running = nil }
            return running
        }
        running?.housekeeping.cancel()
        engine.stop()
        engineThread.join()
        guard let running else { return }
        if let marks, let noting = running.noting {
            noting.cancel()
            await noting.value
            await onThread { marks.write() }
        }
        await leave(running.log)
        await onThread { running.log.stop() }
        logger.info("stopped")
    }
}

extension PineServer {
    /// Takes this member off the list, and makes sure that the duty is given back, which the engine has asked for, before the
    /// connections are closed. A database that is away is not waited for: both lapse.
    private func leave(_ log: LogWorkers) async {
        let (answers, answer) = AsyncStream.makeStream(of: Void.self)
        log.removeMember(id: Int64(memberID)) { _ in }
        log.releaseDuty(holder: Int64(memberID)) { _ in answer.finish() }
        let timer = Task {
            try? await Task.sleep(for: .seconds(1))
            answer.finish()
        }
        for await _ in answers {}
        timer.cancel()
    }
}

/// How many passwords wait to be hashed or compared: some seconds' worth.
private let waitingPasswordLimit = 256

/// When a steward has the log's rows checked: some time after its start, and then again and again.
private let firstCheckDelay: Duration = .seconds(3600)
private let checkInterval: Duration = .seconds(24 * 3600)

extension GRPCFields {
    /// The fields of etcd's clients: whether a call wants a leader, which version of the API its client has, and whose token it has.
    static let etcd = GRPCFields(flag: "hasleader", counted: "client-api-version", token: "token")
}

/// Runs what blocks away from the threads that Swift's concurrency counts on.
func onThread<R: Sendable, E: Error>(_ body: @escaping @Sendable () throws(E) -> R) async throws(E) -> R {
    let result: Result<R, E> = await withCheckedContinuation { continuation in
        _ = WorkerThread(name: "pine-start") {
            do throws(E) {
                continuation.resume(returning: .success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
    }
    return try result.get()
}

extension Engine {
    /// Starts the engine between its callers and this log.
    fileprivate func start(log: LogSlot, valueBytes: Int, logger: Logger) -> WorkerThread {
        start(
            log: { log.submit($0) },
            load: { marks in
                log.load { workers in workers.load(valueBytes: valueBytes, marks: marks) { self.take($0, logger: logger) } }
            })
    }

    /// Hands on what loading gives.
    fileprivate func take(_ event: LoadEvent, logger: Logger) {
        switch event {
        case .rows(let rows, let progress):
            tell("loading", progress, logger)
            post(.rowsLoaded(rows))
        case .rowsWithoutValues(let rows, let byteCounts, let progress):
            tell("loading, without values that memory has no room for", progress, logger)
            post(.rowsLoadedWithoutValues(rows, byteCounts))
        case .restarted: post(.loadRestarted)
        case .finished(let head, let deleted): post(.loadFinished(head, deleted))
        }
    }

    private func tell(_ text: Logger.Message, _ progress: LoadProgress, _ logger: Logger) {
        guard progress.isWorthTelling else { return }
        logger.info(text, metadata: ["rows": "\(progress.rows)", "total": "about \(max(progress.rows, progress.estimatedRows))"])
    }
}

// Owns: a running server: its sockets, engine and log, started and stopped in the right order.
internal import Changelog
internal import EtcdAPI
internal import Foundation
internal import GRPC
internal import HTTP2
package import Logging
internal import NIOCore
internal import Replica
internal import Synchronization

package final class PineServer: Sendable {
    private let configuration: ServerConfiguration
    private let grpc: GRPCServer
    private let engine: Engine
    private let shared: SharedState
    private let logger: Logger
    /// Where clients reach us, ports resolved.
    package let clientURLs: [String]
    private let memberID: UInt64
    private let running = Mutex<Running?>(nil)

    private struct Running {
        var log: LogWorkers
        var engineThread: WorkerThread
        var housekeeping: Task<Void, Never>
    }

    private init(
        _ configuration: ServerConfiguration, grpc: GRPCServer, engine: Engine, shared: SharedState, clientURLs: [String],
        memberID: UInt64, logger: Logger
    ) {
        self.configuration = configuration
        self.grpc = grpc
        self.engine = engine
        self.shared = shared
        self.clientURLs = clientURLs
        self.memberID = memberID
        self.logger = logger
    }

    // MARK: Starting

    /// Takes the addresses. Calls that come before `start` wait for the log.
    package static func bind(_ configuration: ServerConfiguration, logger: Logger) async throws(ServerError) -> PineServer {
        let listenURLs = try configuration.listenURLs.map { url throws(ServerError) in try ListenURL(url) }
        guard !listenURLs.isEmpty else { throw ServerError("--listen-client-urls names no address") }
        var http2 = HTTP2Configuration(
            addresses: listenURLs.map(\.address), loopCount: min(configuration.eventLoops ?? System.coreCount, maxLoopCount))
        try configuration.setUpTLS(of: &http2, for: listenURLs, logger: logger)
        http2.limits.concurrentStreamsLimit = UInt32(clamping: configuration.maxConcurrentStreams)
        var limits = GRPCLimits()
        limits.receivedMessageLimit = configuration.maxRequestBytes + grpcOverheadBytes
        let memberID = UInt64.random(in: 1...UInt64(Int64.max))
        var replica = ReplicaConfiguration(origin: Int64(memberID), memberID: memberID)
        replica.pollIntervalMaxMs = configuration.pollIntervalMs
        replica.pollIntervalMinMs = min(replica.pollIntervalMinMs, configuration.pollIntervalMs)
        replica.watchProgressIntervalMs = configuration.watchProgressIntervalMs
        replica.autoCompaction = configuration.autoCompaction
        replica.quotaBackendBytes = configuration.quotaBackendBytes
        // Rows that are kept for watchers share it.
        replica.watchHistoryBytes = min(replica.watchHistoryBytes, max(configuration.valueCacheBytes / 4, leastHistoryBytes))
        replica.valueCacheBytes = max(configuration.valueCacheBytes - replica.watchHistoryBytes, 0)
        replica.fragmentByteLimit = configuration.maxRequestBytes + grpcOverheadBytes
        let shared = SharedState(logger: logger)
        let engine = Engine(replica, shared: shared, logger: logger)
        let grpc: GRPCServer
        do {
            grpc = try await GRPCServer.start(
                http2, limits: limits, methods: servedMethods.map { GRPCMethod($0) }, flagField: "hasleader", logger: logger
            ) { loop in
                LoopServices(loop, engine: engine, shared: shared, configuration: configuration)
            }
        } catch {
            var reason = "\(error)"
            if let error = error as? IOError {
                reason = String(cString: strerror(error.errnoCode))
                if error.errnoCode == EADDRINUSE { reason += "; stop the server that runs there" }
            }
            throw ServerError(
                "can't listen on \(configuration.listenURLs.joined(separator: ",")): \(reason), or give other --listen-client-urls")
        }
        let bound = zip(listenURLs, grpc.boundAddresses).map { $0.url(bound: $1) }
        for url in bound { logger.info("listening on \(url)") }
        return PineServer(
            configuration, grpc: grpc, engine: engine, shared: shared,
            clientURLs: configuration.advertisedURLs ?? bound, memberID: memberID, logger: logger)
    }

    /// Brings the tables up to date and starts folding the log. Returns once that is under way; a database that is away is
    /// waited for. Throws where waiting would not help.
    package func start(_ database: Database) async throws(ServerError) {
        let settings = try database.logSettings()
        try await database.prepare(settings, logger: logger)
        let engine = engine
        let log = LogWorkers(settings, logger: logger) { engine.post(.log($0)) }
        let logger = logger
        let loops = grpc.loops
        let valueBytes = configuration.valueCacheBytes
        let thread = engine.start(
            loopCount: loops.count,
            deliver: { loop, batch in
                loops[loop].execute { calls in (calls.handler as! LoopServices).deliver(batch) }
            },
            log: { log.submit($0) },
            load: { log.load(valueBytes: valueBytes) { engine.take($0, logger: logger) } })
        let housekeeping = Task { [self] in await keepHouse(log) }
        running.withLock { $0 = Running(log: log, engineThread: thread, housekeeping: housekeeping) }
    }

    // MARK: Running

    /// Says that this member is alive, and learns who else is and how large the tables are.
    private func keepHouse(_ log: LogWorkers) async {
        let shared = shared
        let own = Int64(memberID)
        // Nobody is forgotten by this but those who died long ago.
        log.removeMember(id: own) { _ in }
        while !Task.isCancelled {
            log.upsertMember(id: own, name: configuration.name, clientURLs: clientURLs) { _ in }
            log.listMembers(within: .seconds(30)) { members in
                // While the database is away what was known last is the best answer; the log's threads report the outage.
                guard case .success(let members) = members else { return }
                log.notePeers(members.contains { $0.id != own })
                log.databaseSizes { sizes in
                    guard case .success(let sizes) = sizes else { return }
                    shared.update(databaseBytes: sizes.total, members: members)
                }
            }
            try? await Task.sleep(for: .seconds(10))
        }
    }

    // MARK: Stopping

    /// Lets calls under way end, for up to `graceMs`, then stops everything.
    package func stop(graceMs: Int) async {
        engine.post(.stopping)
        await grpc.shutdown(graceMs: Int64(graceMs))
        guard
            let running = running.withLock({ running in
                defer { running = nil }
                return running
            })
        else { return }
        running.housekeeping.cancel()
        engine.stop()
        running.engineThread.join()
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

/// Rows kept for watchers where values have next to no room.
private let leastHistoryBytes = 1 << 20

/// What etcd allows for gRPC on top of `--max-request-bytes`.
private let grpcOverheadBytes = 512 << 10

/// `CallID` has a byte for the loop.
private let maxLoopCount = 64

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
    /// Hands on what loading gives.
    fileprivate func take(_ event: LoadEvent, logger: Logger) {
        switch event {
        case .rows(let rows, let progress):
            logger.info("loading", metadata: ["rows": "\(progress.rows)", "total": "about \(max(progress.rows, progress.estimatedRows))"])
            post(.rowsLoaded(rows))
        case .rowsWithoutValues(let rows, let byteCounts, let progress):
            logger.info(
                "loading, without values that memory has no room for",
                metadata: ["rows": "\(progress.rows)", "total": "about \(max(progress.rows, progress.estimatedRows))"])
            post(.rowsLoadedWithoutValues(rows, byteCounts))
        case .restarted: post(.loadRestarted)
        case .finished(let head): post(.loadFinished(head))
        }
    }
}

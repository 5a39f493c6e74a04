// Owns: putting together what all parts have counted, for one scrape.
// Must never: make a request wait: whatever is counted on the way is counted in plain memory, and only read here.
internal import Changelog
internal import GRPC
internal import HTTP1
internal import HTTP2
internal import Metrics
internal import NIOCore

final class ServerMetrics: Sendable {
    /// All that a page is written from.
    struct Observation: Sendable {
        /// By the method's index, all loops together.
        var methods: [GRPCCounters.Method]
        var refusedCalls = 0
        var connections = HTTP2Counters()
        var openStreams = 0
        var queuedBytes = 0
        var accepted: (open: Int, opened: Int, holds: Int)
        var http1: (open: Int, opened: Int, refused: Int)
        var status: ServerStatus
        /// 0 where there is none.
        var quotaBackendBytes: Int64
        /// Nil until the database could be used.
        var log: LogCounters?
        var health: Health.Counters
        var process: ProcessStatus
    }

    private let grpc: GRPCServer
    private let http1: HTTP1Acceptor
    private let shared: SharedState
    private let log: LogSlot
    private let health: Health
    private let quotaBackendBytes: Int64

    init(
        grpc: GRPCServer, http1: HTTP1Acceptor, shared: SharedState, log: LogSlot, health: Health, quotaBackendBytes: Int64
    ) {
        self.quotaBackendBytes = quotaBackendBytes
        self.grpc = grpc
        self.http1 = http1
        self.shared = shared
        self.log = log
        self.health = health
    }

    func page(on eventLoop: any EventLoop) -> EventLoopFuture<PageResponse> {
        let looks = grpc.loops.map { loop in
            loop.eventLoop.submit {
                LoopObservation(
                    calls: loop.counters, connections: loop.connectionCounters, openStreams: loop.openStreamCount,
                    queuedBytes: loop.queuedByteCount)
            }
        }
        return EventLoopFuture.whenAllSucceed(looks, on: eventLoop).map { [self] loops in
            var exposition = Exposition()
            exposition.write(observation(loops))
            return PageResponse(status: 200, contentType: Exposition.contentType, body: exposition.text)
        }
    }

    private struct LoopObservation: Sendable {
        var calls: GRPCCounters
        var connections: HTTP2Counters
        var openStreams: Int
        var queuedBytes: Int
    }

    private func observation(_ loops: [LoopObservation]) -> Observation {
        var observation = Observation(
            methods: servedMethods.map { _ in GRPCCounters.Method() }, accepted: grpc.connectionCounts,
            http1: (http1.openCount, http1.openedCount, http1.refusedCount), status: shared.current,
            quotaBackendBytes: quotaBackendBytes, log: log.workers?.counters, health: health.counters, process: ProcessStatus())
        for loop in loops {
            for index in observation.methods.indices { observation.methods[index].add(loop.calls.methods[index]) }
            observation.refusedCalls += loop.calls.refused
            observation.connections.connectionsRefused += loop.connections.connectionsRefused
            observation.connections.bytesReceived += loop.connections.bytesReceived
            observation.connections.bytesSent += loop.connections.bytesSent
            observation.openStreams += loop.openStreams
            observation.queuedBytes += loop.queuedBytes
        }
        return observation
    }
}

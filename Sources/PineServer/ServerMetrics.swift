// Owns: putting together what all parts have counted, for one scrape.
// Must never: make a request wait: whatever is counted on the way is counted in plain memory, and only read here.
internal import Changelog
internal import GRPC
internal import HTTP1
internal import HTTP2
internal import Metrics
internal import NIOCore
internal import TLS

final class ServerMetrics: Sendable {
    /// All that a page is written from.
    struct Observation: Sendable {
        /// By the method's index, all loops together.
        var methods: [GRPCCounters.Method]
        var refusedCalls = 0
        var connections = HTTP2Counters()
        var openStreams = 0
        var queuedBytes = 0
        var clientMemory: (bytes: Int, limit: Int)
        var heldBack = 0
        var accepted: (open: Int, opened: Int, holds: Int)
        var http1: (open: Int, opened: Int, refused: Int)
        var tls = TLSCounters()
        /// Calls begun, by the version of the API that clients say they have.
        var clientVersions: [GRPCCounters.FieldValue.Value: (unary: Int, streams: Int)] = [:]
        var status: ServerStatus
        /// 0 where there is none.
        var quotaBackendBytes: Int64
        var valueCacheBytes: Int
        /// Nil until the database could be used.
        var log: LogCounters?
        var health: Health.Counters
        var process: ProcessStatus

        /// Whether PostgreSQL is at hand, as far as is known.
        var isDatabaseUp: Bool { log.map { $0.away == nil } ?? false }
        /// Whether what clients may ask for can be had: the log is folded, and PostgreSQL at hand.
        var isServing: Bool { status.isServing && isDatabaseUp }
    }

    private let grpc: GRPCServer
    private let http1: HTTP1Acceptor
    private let tls: TLSAcceptor?
    private let shared: SharedState
    private let log: LogSlot
    private let health: Health
    private let quotaBackendBytes: Int64
    private let valueCacheBytes: Int

    init(
        grpc: GRPCServer, http1: HTTP1Acceptor, tls: TLSAcceptor?, shared: SharedState, log: LogSlot, health: Health,
        quotaBackendBytes: Int64, valueCacheBytes: Int
    ) {
        self.valueCacheBytes = valueCacheBytes
        self.quotaBackendBytes = quotaBackendBytes
        self.grpc = grpc
        self.http1 = http1
        self.tls = tls
        self.shared = shared
        self.log = log
        self.health = health
    }

    func page(on eventLoop: any EventLoop) -> EventLoopFuture<PageResponse> {
        let looks = grpc.loops.map { loop in
            loop.eventLoop.submit { [tls] in
                LoopObservation(
                    calls: loop.counters, connections: loop.connectionCounters, openStreams: loop.openStreamCount,
                    queuedBytes: loop.queuedByteCount, heldBack: loop.heldBackCount, tls: tls?.counters(on: loop.eventLoop) ?? TLSCounters()
                )
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
        var heldBack: Int
        var tls: TLSCounters
    }

    private func observation(_ loops: [LoopObservation]) -> Observation {
        var observation = Observation(
            methods: ServedMethod.all.map { _ in GRPCCounters.Method() },
            clientMemory: (max(grpc.clientMemory.bytes, 0), grpc.clientMemory.limit), accepted: grpc.connectionCounts,
            http1: (http1.openCount, http1.openedCount, http1.refusedCount), status: shared.current,
            quotaBackendBytes: quotaBackendBytes, valueCacheBytes: valueCacheBytes, log: log.workers?.counters, health: health.counters,
            process: ProcessStatus())
        for loop in loops {
            for index in observation.methods.indices { observation.methods[index].add(loop.calls.methods[index]) }
            observation.refusedCalls += loop.calls.refused
            observation.connections.connectionsRefused += loop.connections.connectionsRefused
            observation.connections.connectionsUnread += loop.connections.connectionsUnread
            observation.connections.bytesReceived += loop.connections.bytesReceived
            observation.connections.bytesSent += loop.connections.bytesSent
            observation.openStreams += loop.openStreams
            observation.queuedBytes += loop.queuedBytes
            observation.heldBack += loop.heldBack
            observation.tls.add(loop.tls)
            for value in loop.calls.fieldValues {
                observation.clientVersions[value.value, default: (0, 0)].unary += value.unary
                observation.clientVersions[value.value, default: (0, 0)].streams += value.streams
            }
        }
        return observation
    }
}

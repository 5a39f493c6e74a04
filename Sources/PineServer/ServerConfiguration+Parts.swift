// Owns: what the settings of a server mean to its parts.
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import HTTP1
internal import HTTP2
internal import NIOCore
internal import Replica
internal import TLS

extension ServerConfiguration {
    func replica(memberID: UInt64) -> ReplicaConfiguration {
        var replica = ReplicaConfiguration(origin: Int64(memberID), memberID: memberID)
        replica.pollIntervalMaxMs = pollIntervalMs
        replica.pollIntervalMinMs = min(replica.pollIntervalMinMs, pollIntervalMs)
        replica.watchProgressIntervalMs = watchProgressIntervalMs
        replica.autoCompaction = autoCompaction
        if case .web = auth.tokens.kind {
            replica.tokenTimeToLiveMs = nil
        } else {
            replica.tokenTimeToLiveMs = auth.tokens.timeToLiveMs
        }
        replica.quotaBackendBytes = quotaBackendBytes
        replica.requestTimeoutMs = requestTimeoutMs
        replica.fragmentByteLimit = maxRequestBytes + grpcOverheadBytes
        replica.slowRequestMs = slowRequestMs
        // Rows that are kept for watchers share it.
        replica.watchHistoryBytes = min(replica.watchHistoryBytes, max(valueCacheBytes / 4, leastHistoryBytes))
        replica.scanMemoryLimit = max(ServerMemory.bytes / 4, leastScanBytes)
        // While an answer grows it is in memory twice.
        replica.answerByteLimit = min(replica.answerByteLimit, max(ServerMemory.bytes / 32, leastScanBytes))
        replica.valueCacheBytes = max(valueCacheBytes - replica.watchHistoryBytes, 0)
        return replica
    }

    func http2(addresses: [ListenAddress]) -> HTTP2Configuration {
        var http2 = HTTP2Configuration(addresses: addresses, loopCount: min(eventLoops ?? System.coreCount, maxLoopCount))
        http2.limits.concurrentStreamsLimit = UInt32(clamping: maxConcurrentStreams)
        http2.limits.clientBytesLimit = min(http2.limits.clientBytesLimit, ServerMemory.bytes / 4)
        http2.keepAlive.intervalMs = Int64(keepAliveIntervalMs)
        http2.keepAlive.timeoutMs = Int64(keepAliveTimeoutMs)
        http2.keepAlive.enforcedMinTimeMs = Int64(keepAliveMinTimeMs)
        http2.connectionsLimit = DescriptorLimit.raise()
        return http2
    }

    func http1(pages: @escaping Pages) -> HTTP1Acceptor {
        HTTP1Acceptor(
            access: AccessRules(hosts: allowedHosts, origins: allowedOrigins), isSecure: { TLSAcceptor.isIn($0) }, pages: pages)
    }

    var grpcLimits: GRPCLimits {
        var limits = GRPCLimits()
        limits.receivedMessageLimit = maxRequestBytes + grpcOverheadBytes
        limits.overloaded = GRPCStatus(.tooManyRequests)
        return limits
    }
}

/// Rows kept for watchers where values have next to no room.
private let leastHistoryBytes = 1 << 20

/// What answers that are being made may take on the smallest machines.
private let leastScanBytes = 64 << 20

/// What etcd allows for gRPC on top of `--max-request-bytes`.
private let grpcOverheadBytes = 512 << 10

/// `CallID` has a byte for the caller: gRPC and the JSON gateway are one each on every loop, and the probes are one more.
private let maxLoopCount = 64

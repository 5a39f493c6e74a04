// Owns: the Lease service: what its requests ask of the engine.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import Replica

enum LeaseService {
    static let methods: [ServedMethod] = [
        .asking(.leaseGrant, answersAreShort: true, grant), .asking(.leaseRevoke, answersAreShort: true, revoke),
        .conversing(.leaseKeepAlive, started: keepAliveStarted, message: keepAlive, inputEnded: keepAliveEnded),
        .asking(.leaseTimeToLive, timeToLive), .asking(.leaseLeases, leases),
    ]

    /// A LeaseGrant becomes a write with an id and at least etcd's minimum of time.
    @Sendable private static func grant(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let grant: LeaseGrantRequest = try decode(message)
        let id = grant.id == 0 ? .random : grant.id
        return .write(.leaseGrant(id: id, ttl: max(grant.ttl, ttlMinimum)))
    }

    @Sendable private static func revoke(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let revoke: LeaseRevokeRequest = try decode(message)
        return .write(.leaseRevoke(id: revoke.id))
    }

    @Sendable private static func timeToLive(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let question: LeaseTimeToLiveRequest = try decode(message)
        return .lease(.timeToLive(question.id, keys: question.keys))
    }

    @Sendable private static func leases(_ message: ByteString, _ limits: RequestLimits) throws(EtcdError) -> Request {
        let _: LeaseLeasesRequest = try decode(message)
        return .lease(.list)
    }

    // MARK: LeaseKeepAlive

    @Sendable private static func keepAliveStarted(_ services: Services, _ call: CallID) {
        services.streams.opened(call, answersRequests: true)
    }

    @Sendable private static func keepAlive(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let keepAlive: LeaseKeepAliveRequest = try decode(message)
        switch services.streams.asked(call) {
        case .goesOn: break
        case .pauses: services.caller.pauseInput(call)
        case .refused: throw .tooManyRequests
        }
        services.ask(call, .lease(.keepAlive(keepAlive.id)))
    }

    /// The client says no more: its call ends after the answers that it still waits for.
    @Sendable private static func keepAliveEnded(_ services: Services, _ call: CallID) {
        if services.streams.isEndless(call) { services.ask(call, .lease(.keepAliveEnd)) }
    }
}

/// In seconds, as etcd with its default election timeout of a second has it.
private let ttlMinimum: Int64 = 2

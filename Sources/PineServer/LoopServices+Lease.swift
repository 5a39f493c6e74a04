// Owns: the Lease service of one loop: what its requests ask of the engine.
internal import Bytes
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import Replica

extension LoopServices {
    /// A LeaseGrant becomes a write with an id and at least etcd's minimum of time.
    func leaseGrant(_ message: ByteString) throws(EtcdError) -> Request {
        let grant: LeaseGrantRequest = try decode(message)
        if grant.ttl > leaseTTLLimit { throw .leaseTTLTooLarge }
        let id = grant.id == 0 ? LeaseID.random(in: 1...LeaseID.max) : grant.id
        return .write(.leaseGrant(id: id, ttl: max(grant.ttl, leaseTTLMinimum)))
    }

    func leaseRevoke(_ message: ByteString) throws(EtcdError) -> Request {
        let revoke: LeaseRevokeRequest = try decode(message)
        return .write(.leaseRevoke(id: revoke.id))
    }

    func leaseTimeToLive(_ message: ByteString) throws(EtcdError) -> Request {
        let question: LeaseTimeToLiveRequest = try decode(message)
        return .lease(.timeToLive(question.id, keys: question.keys))
    }

    func leaseLeases(_ message: ByteString) throws(EtcdError) -> Request {
        let _: LeaseLeasesRequest = try decode(message)
        return .lease(.list)
    }

    // MARK: LeaseKeepAlive

    func keepAliveStarted(_ call: CallID) {
        openStreams.insert(call)
        unreadKeepAlives[call] = 0
    }

    func keepAliveRequested(_ message: ByteString, _ call: CallID) throws(EtcdError) -> Request {
        let keepAlive: LeaseKeepAliveRequest = try decode(message)
        // Somebody asks and asks and never reads: the answers wait in our memory.
        if unreadKeepAlives[call, default: 0] > unreadKeepAliveLimit { throw .tooManyRequests }
        return .lease(.keepAlive(keepAlive.id))
    }

    /// The client says no more: its call ends after the answers that it still waits for.
    func keepAliveEnded(_ call: CallID) {
        batch.append(.event(.requestArrived(RequestID(call), .lease(.keepAliveEnd))))
    }
}

/// In seconds, as etcd with its default election timeout of a second has them.
private let leaseTTLMinimum: Int64 = 2
private let leaseTTLLimit: Int64 = 9_000_000_000

/// Answers on a stream whose client doesn't read.
private let unreadKeepAliveLimit = 100_000

// Owns: the Lease service of one loop: what its requests ask of the engine.
internal import Bytes
internal import Calls
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
        keepAlives[call] = KeepAliveStream()
    }

    func keepAliveRequested(_ message: ByteString, _ call: CallID) throws(EtcdError) -> Request {
        let keepAlive: LeaseKeepAliveRequest = try decode(message)
        // Somebody asks and asks and never reads: the answers wait in our memory.
        if let stream = keepAlives[call], stream.unread > unreadKeepAliveLimit { throw .tooManyRequests }
        keepAlives[call]?.unanswered += 1
        if let stream = keepAlives[call], stream.unanswered >= unansweredKeepAliveLimit { calls.pauseInput(call) }
        return .lease(.keepAlive(keepAlive.id))
    }

    /// An answer went out, if this is a stream of keep-alives.
    func keepAliveAnswered(_ call: CallID, hasRoom: Bool) {
        guard let unanswered = keepAlives[call]?.unanswered else { return }
        keepAlives[call]?.unanswered = unanswered - 1
        if !hasRoom { keepAlives[call]?.unread += 1 }
        // Not for each: what waits comes in one piece.
        if unanswered - 1 == unansweredKeepAliveLimit / 2 { calls.resumeInput(call) }
    }

    /// The client says no more: its call ends after the answers that it still waits for.
    func keepAliveEnded(_ call: CallID) {
        batch.append(.event(.requestArrived(call, .lease(.keepAliveEnd), by: .anonymous)))
    }
}

struct KeepAliveStream {
    /// Requests that the engine has not answered.
    var unanswered = 0
    /// Answers that the client has left unread since it last took all.
    var unread = 0
}

/// In seconds, as etcd with its default election timeout of a second has them.
private let leaseTTLMinimum: Int64 = 2
private let leaseTTLLimit: Int64 = 9_000_000_000

/// Requests of one stream that are under way; the stream's further ones wait. etcd has one.
private let unansweredKeepAliveLimit = 256

/// Answers on a stream whose client doesn't read.
private let unreadKeepAliveLimit = 100_000

// Owns: what a call of the services Lock and Election is to its loop: a small machine that is told what happened and says what is to be
// done next. Each waits for at most one thing at a time: an answer of the engine, or a watch.
// Must never: do I/O or draw a random number; end a call twice.
// Source: etcd's server/etcdserver/api/v3lock, v3election and client/v3/concurrency, whose requests, revisions and texts these keep.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

/// What a call wants done next. Whatever was asked or watched before is over, except where it only sends.
enum CoordinationStep: Hashable, Sendable {
    /// `answered` or `failed` follows.
    case ask(Request)
    /// `watched` follows for each message, or `failed`.
    case watch(WatchCreateRequest)
    /// The client's answer.
    case respond(ByteString)
    /// One of many.
    case send(ByteString)
    /// The client's answer: an error.
    case fail(EtcdError)
    /// Nothing is left to do.
    case end
}

protocol CoordinationCall: Sendable {
    /// Whether others decide how long it takes.
    var mayWait: Bool { get }

    mutating func begin() -> [CoordinationStep]
    /// The engine has answered what was asked last.
    mutating func answered(_ message: ByteString) -> [CoordinationStep]
    /// The engine could not, or the watch has ended.
    mutating func failed(_ error: EtcdError) -> [CoordinationStep]
    mutating func watched(_ response: WatchResponse) -> [CoordinationStep]
    /// The client gave up. What is to be done all the same; nothing where what is under way has to be awaited first.
    mutating func cancelled() -> [CoordinationStep]
}

extension CoordinationCall {
    mutating func watched(_ response: WatchResponse) -> [CoordinationStep] { violated("a message of a watch that nobody asked for") }

    mutating func cancelled() -> [CoordinationStep] { [.end] }
}

/// What the engine has encoded.
func decoded<M: WireMessage>(_ message: ByteString) -> M {
    do throws(DecodeError) {
        return try M.decode(message)
    } catch {
        violated("the engine's \(M.self) can't be decoded: \(error)")
    }
}

/// The requests that all of the calls are made of.
enum Queue {
    /// What the keys of those who queue under `name` begin with.
    static func prefix(_ name: ByteString) -> ByteString {
        var writer = ByteWriter(capacity: name.count + 1)
        writer.append(name)
        writer.append(UInt8(ascii: "/"))
        return writer.finish()
    }

    /// The key of a lease in the queue.
    static func key(_ prefix: ByteString, lease: LeaseID) -> ByteString {
        var writer = ByteWriter(capacity: prefix.count + 17)
        writer.append(prefix)
        writer.append(ByteString(String(lease.rawValue, radix: 16)))
        return writer.finish()
    }

    /// The key that was created first.
    static func first(_ prefix: ByteString) -> RangeRequest {
        RangeRequest(key: prefix, rangeEnd: end(prefix), limit: 1, sortOrder: .ascend, sortTarget: .create)
    }

    /// Of the keys that were created before `revision`, the last.
    static func lastBefore(_ revision: Revision, _ prefix: ByteString) -> RangeRequest {
        RangeRequest(
            key: prefix, rangeEnd: end(prefix), limit: 1, sortOrder: .descend, sortTarget: .create, maxCreateRevision: revision - 1)
    }

    static func end(_ prefix: ByteString) -> ByteString { prefix.prefixSuccessor() }

    /// Does `operation` if the key is still the one that was created at `revision`.
    static func guarded(_ key: ByteString, createdAt revision: Revision, _ operation: RequestOp) -> Request {
        .write(.txn(TxnRequest(compare: [compare(key, createdAt: revision)], success: [operation])))
    }

    static func compare(_ key: ByteString, createdAt revision: Revision) -> Compare {
        Compare(result: .equal, target: .create, key: key, targetUnion: .createRevision(revision))
    }

    /// A lease for a client that has none, in seconds.
    static func grant(_ lease: LeaseID) -> Request { .write(.leaseGrant(id: lease, ttl: 60)) }
}

extension EtcdError {
    /// The services hand on what etcd's own client hands them, which has no gRPC code any more.
    var withoutCode: EtcdError { EtcdError(code: .unknown, text: text) }

    static let sessionExpired = EtcdError(code: .unknown, text: "mutex: session is expired")
    static let notLeader = EtcdError(code: .unknown, text: "election: not leader")
    static let noElectionLeader = EtcdError(code: .unknown, text: "election: no leader")
    static let leaderMissing = EtcdError(code: .unknown, text: "\"leader\" field must be provided")
    static let observeClosed = EtcdError(code: .unknown, text: "election: observe closed early")
}

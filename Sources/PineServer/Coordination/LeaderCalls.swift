// Owns: the calls of Lock and Election that wait for nobody: Unlock, Leader, Proclaim and Resign.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

/// Takes a key out of a lock's queue.
struct Release: CoordinationCall {
    let key: ByteString

    var mayWait: Bool { false }

    mutating func begin() -> [CoordinationStep] { [.ask(.write(.deleteRange(DeleteRangeRequest(key: key))))] }

    mutating func answered(_ message: ByteString) -> [CoordinationStep] {
        let response: DeleteRangeResponse = decoded(message)
        return [.respond(UnlockResponse(header: response.header).encoded()), .end]
    }

    mutating func failed(_ error: EtcdError) -> [CoordinationStep] { [.fail(error.withoutCode), .end] }
}

/// Asks who leads.
struct LeaderQuestion: CoordinationCall {
    let name: ByteString

    var mayWait: Bool { false }

    mutating func begin() -> [CoordinationStep] { [.ask(.range(Queue.first(Queue.prefix(name))))] }

    mutating func answered(_ message: ByteString) -> [CoordinationStep] {
        let response: RangeResponse = decoded(message)
        guard let leader = response.kvs.first else { return [.fail(.noElectionLeader), .end] }
        return [.respond(LeaderResponse(header: response.header, kv: leader).encoded()), .end]
    }

    mutating func failed(_ error: EtcdError) -> [CoordinationStep] { [.fail(error.withoutCode), .end] }
}

/// What a leader does with its key: Proclaim and Resign. A client without a lease is given one first, which etcd's sessions do even
/// where nothing is put under it.
struct Amendment: CoordinationCall {
    enum Kind: Hashable, Sendable {
        case proclaim(ByteString)
        case resign
    }

    private let kind: Kind
    private let leader: LeaderKey?
    private let lease: LeaseID
    private var isGranted: Bool

    var mayWait: Bool { false }

    init(_ kind: Kind, _ leader: LeaderKey?, freshLease: LeaseID) {
        self.kind = kind
        self.leader = leader
        isGranted = leader?.lease != 0
        lease = isGranted ? leader?.lease ?? 0 : freshLease
    }

    mutating func begin() -> [CoordinationStep] {
        guard let leader else { return [.fail(.leaderMissing), .end] }
        return isGranted ? amend(leader) : [.ask(Queue.grant(lease))]
    }

    private func amend(_ leader: LeaderKey) -> [CoordinationStep] {
        let operation: RequestOp =
            switch kind {
            case .proclaim(let value): .put(PutRequest(key: leader.key, value: value, lease: lease))
            case .resign: .deleteRange(DeleteRangeRequest(key: leader.key))
            }
        return [.ask(Queue.guarded(leader.key, createdAt: leader.rev, operation))]
    }

    mutating func answered(_ message: ByteString) -> [CoordinationStep] {
        guard isGranted else {
            isGranted = true
            return begin()
        }
        let response: TxnResponse = decoded(message)
        switch kind {
        case .proclaim where !response.succeeded: return [.fail(.notLeader), .end]
        case .proclaim: return [.respond(ProclaimResponse(header: response.header).encoded()), .end]
        // Whoever does not lead has resigned.
        case .resign: return [.respond(ResignResponse(header: response.header).encoded()), .end]
        }
    }

    mutating func failed(_ error: EtcdError) -> [CoordinationStep] { [.fail(error.withoutCode), .end] }
}

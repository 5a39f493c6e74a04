// Owns: one call of Lock or Campaign: a key in the queue under a name, and the wait until none is before it.
//
//   granting ─▶ entering ─▶ (proclaiming) ─▶ looking ◀─▶ waiting
//                  │                           │
//                  │ first                     │ none is before
//                  ▼                           ▼
//                answer ◀───────────────── (confirming)        gave up or failed: withdrawing
//
// Invariant: whoever is not answered well once his key is in the queue takes it out again, or others would wait for it until its lease
// is over. One attempt is made: where the log is away, the lease is what is left.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

struct Candidacy: CoordinationCall {
    enum Kind: Hashable, Sendable {
        case lock
        /// With what observers are told.
        case campaign(ByteString)
    }

    private enum Phase {
        /// A lease of our own.
        case granting
        case entering
        /// The key was there already, with another value.
        case proclaiming
        /// Asks who is the next before us.
        case looking
        /// For that one to leave.
        case waiting
        /// Asks whether the key is still there.
        case confirming
        case withdrawing
    }

    private let kind: Kind
    private let prefix: ByteString
    private var lease: LeaseID
    private let isGranted: Bool
    private var key = ByteString()
    private var phase = Phase.granting
    private var isAbandoned = false
    /// Of the first transaction.
    private var header = ResponseHeader()
    /// The key's create revision.
    private var revision: Revision = 0

    var mayWait: Bool { true }

    /// - Parameter freshLease: the id of a new lease, for a client that has none.
    init(_ kind: Kind, name: ByteString, lease: LeaseID, freshLease: LeaseID) {
        self.kind = kind
        prefix = Queue.prefix(name)
        self.lease = lease == 0 ? freshLease : lease
        isGranted = lease != 0
    }

    private var value: ByteString {
        if case .campaign(let value) = kind { value } else { ByteString() }
    }

    mutating func begin() -> [CoordinationStep] { isGranted ? enter() : [.ask(Queue.grant(lease))] }

    private mutating func enter() -> [CoordinationStep] {
        phase = .entering
        key = Queue.key(prefix, lease: lease)
        let put = RequestOp.put(PutRequest(key: key, value: value, lease: lease))
        let get = RequestOp.range(RangeRequest(key: key))
        // Whoever campaigns has no use for the owner at once, and etcd does not ask: the answers' revisions are the same.
        let owner = RequestOp.range(Queue.first(prefix))
        return [
            .ask(
                .write(
                    .txn(
                        TxnRequest(
                            compare: [Queue.compare(key, createdAt: 0)], success: kind == .lock ? [put, owner] : [put],
                            failure: kind == .lock ? [get, owner] : [get]))))
        ]
    }

    mutating func answered(_ message: ByteString) -> [CoordinationStep] {
        switch phase {
        case .granting: return enter()
        case .entering: return entered(decoded(message))
        case .proclaiming:
            let response: TxnResponse = decoded(message)
            return response.succeeded ? look() : [.fail(.notLeader), .end]
        case .looking:
            let response: RangeResponse = decoded(message)
            guard let before = response.kvs.first else { return isFirst() }
            phase = .waiting
            let start = (response.header?.revision ?? 0) + 1
            return [.watch(WatchCreateRequest(key: before.key, startRevision: start, filters: [.noPut]))]
        case .waiting: violated("a watch has no answer")
        case .confirming:
            let response: RangeResponse = decoded(message)
            guard !response.kvs.isEmpty else { return [.fail(.sessionExpired), .end] }
            header = response.header ?? header
            return answer()
        case .withdrawing: return [.end]
        }
    }

    private mutating func entered(_ response: TxnResponse) -> [CoordinationStep] {
        header = response.header ?? header
        var found: KeyValue?
        if response.succeeded {
            revision = header.revision
        } else {
            guard case .range(let range)? = response.responses.first, let kv = range.kvs.first else {
                violated("a key that exists was not found in the same transaction")
            }
            revision = kv.createRevision
            found = kv
        }
        if isAbandoned { return response.succeeded ? withdraw() : [.end] }
        switch kind {
        case .lock:
            guard case .range(let range)? = response.responses.last, let owner = range.kvs.first else {
                violated("a queue without its first key")
            }
            return owner.createRevision == revision ? answer() : look()
        case .campaign(let value):
            guard let found, found.value != value else { return look() }
            phase = .proclaiming
            let put = PutRequest(key: key, value: value, lease: lease)
            return [.ask(Queue.guarded(key, createdAt: revision, .put(put)))]
        }
    }

    private mutating func look() -> [CoordinationStep] {
        // A bound of 0 would be none.
        guard revision > 1 else { return isFirst() }
        phase = .looking
        return [.ask(.range(Queue.lastBefore(revision, prefix)))]
    }

    private mutating func isFirst() -> [CoordinationStep] {
        guard kind == .lock else { return answer() }
        phase = .confirming
        return [.ask(.range(RangeRequest(key: key)))]
    }

    private func answer() -> [CoordinationStep] {
        switch kind {
        case .lock: return [.respond(LockResponse(header: header, key: key).encoded()), .end]
        case .campaign:
            let leader = LeaderKey(name: prefix.slice(0..<prefix.count - 1), key: key, rev: revision, lease: lease)
            return [.respond(CampaignResponse(header: header, leader: leader).encoded()), .end]
        }
    }

    mutating func watched(_ response: WatchResponse) -> [CoordinationStep] {
        if response.canceled {
            // What was to be seen is compacted: who is before us is asked anew.
            if response.compactRevision > 0 { return look() }
            return failed(EtcdError(code: .unknown, text: String(decoding: response.cancelReason, as: UTF8.self)))
        }
        return response.events.contains { $0.type == .delete } ? look() : []
    }

    mutating func failed(_ error: EtcdError) -> [CoordinationStep] {
        switch phase {
        case .granting, .entering: [.fail(error.withoutCode), .end]
        case .proclaiming, .looking, .waiting, .confirming: [.fail(error.withoutCode)] + withdraw()
        case .withdrawing: [.end]
        }
    }

    mutating func cancelled() -> [CoordinationStep] {
        switch phase {
        case .granting: return [.end]
        // Whether the key is in the queue shows with the answer.
        case .entering:
            isAbandoned = true
            return []
        case .proclaiming, .looking, .waiting, .confirming: return withdraw()
        case .withdrawing: return []
        }
    }

    private mutating func withdraw() -> [CoordinationStep] {
        phase = .withdrawing
        return [.ask(Queue.guarded(key, createdAt: revision, .deleteRange(DeleteRangeRequest(key: key))))]
    }
}

// Owns: what a history is made of: calls, when they began and ended, and what they were answered.
package import Bytes
package import EtcdAPI
package import Keyspace

/// A call whose place in the one order of everything is looked for.
package enum ModelCall: Sendable, Hashable {
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    case range(RangeRequest)
    case compact(Revision)
    case revision
    case grant(LeaseID, ttl: Int64)
    case revoke(LeaseID)
    case leases
    case timeToLive(LeaseID)
    case keepAlive(LeaseID)
    case alarm(AlarmChange)
    case alarms
    /// Nobody's call: the lease's time is over. Without effect where it is gone.
    case expire(LeaseID)
    /// Nobody's call: everything below this revision, which is then the newest, is given up.
    case raise(Revision)
}

/// What a client can tell of the answer, headers aside but for the revision.
package enum ModelAnswer: Sendable, Hashable {
    case put(Revision, previous: KeyValue?)
    case deleted(Revision, count: Int64, previous: [KeyValue])
    case txn(Revision, succeeded: Bool, [ResponseOp])
    case range(Revision, kvs: [KeyValue], more: Bool, count: Int64)
    case done(Revision)
    case leases(Revision, [LeaseID])
    /// A granted TTL of 0: there is no such lease.
    case timeToLive(Revision, granted: Int64, keys: [ByteString])
    case keptAlive(Revision, ttl: Int64)
    case alarms(Revision, [AlarmMember])
    case failed(EtcdError)

    /// The revision in the header.
    package var revision: Revision? {
        switch self {
        case .put(let revision, _), .deleted(let revision, _, _), .txn(let revision, _, _), .range(let revision, _, _, _),
            .done(let revision), .leases(let revision, _), .timeToLive(let revision, _, _), .keptAlive(let revision, _),
            .alarms(let revision, _):
            revision
        case .failed: nil
        }
    }
}

/// One call of a history. Stamps are points in an order of all beginnings and ends.
package final class Operation {
    package let number: Int
    package let call: ModelCall
    package let began: UInt64
    package private(set) var ended: UInt64?
    /// nil where nobody knows what became of it: it may have happened at any time since it began, or never.
    package private(set) var answer: ModelAnswer?

    package init(number: Int, call: ModelCall, began: UInt64) {
        self.number = number
        self.call = call
        self.began = began
    }

    package func end(_ answer: ModelAnswer, at stamp: UInt64) {
        self.answer = answer
        ended = stamp
        // Errors that every call can get say nothing of the store, and leave it open whether it was done.
        if case .failed(let error) = answer, !error.isDefinite {
            self.answer = nil
            ended = nil
        }
    }

    /// The same call, of which nobody knows what became.
    var unanswered: Operation { Operation(number: number, call: call, began: began) }
}

extension EtcdError {
    /// Whether it follows from the store.
    var isDefinite: Bool {
        switch self {
        case .keyNotFound, .compacted, .futureRev, .leaseNotFound, .leaseExist, .duplicateKey, .noSpace, .corrupt: true
        default: false
        }
    }
}

extension Operation: CustomStringConvertible {
    package var description: String {
        "#\(number) [\(began), \(ended.map { "\($0)" } ?? "open")] \(call) -> \(answer.map { "\($0)" } ?? "unknown")"
    }
}

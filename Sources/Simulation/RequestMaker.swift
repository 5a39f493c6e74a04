// Owns: what clients ask for: all kinds of calls on a few keys, each value written once in a run.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

struct RequestMaker {
    let keys: [ByteString]
    private var nextValue = 1

    init(keyCount: Int) {
        keys = ["a", "b", "ba", "c", "ca", "d", "da", "db", "e", "f"].prefix(max(keyCount, 1)).map { ByteString($0) }
    }

    mutating func value(_ chance: inout Chance) -> ByteString {
        defer { nextValue += 1 }
        let value = "v\(nextValue)"
        return ByteString(chance.happens(100) ? value + String(repeating: ".", count: chance.number(1...200)) : value)
    }

    private func end(_ chance: inout Chance) -> ByteString {
        switch chance.number(0...9) {
        case 0...5: ByteString()
        case 6: ByteString([0])
        default: chance.pick(keys + ["g"])
        }
    }

    // MARK: Calls

    /// A write or a linearizable read. `revision` is about the newest; `lease` one that may exist.
    mutating func call(_ chance: inout Chance, revision: Revision, lease: LeaseID) -> ModelCall {
        switch chance.number(0...99) {
        case 0..<35: return .put(put(&chance, lease: lease))
        case 35..<45: return .deleteRange(delete(&chance))
        case 45..<65: return .txn(txn(&chance, revision: revision, lease: lease, depth: 0))
        case 65..<94: return .range(range(&chance, revision: revision))
        case 94..<96: return .revision
        case 96: return .leases
        case 97: return .revoke(lease)
        default: return .timeToLive(lease)
        }
    }

    /// Alarms that clients raise are disarmed soon.
    func alarm(_ chance: inout Chance) -> ModelCall {
        let isRaised = chance.happens(150)
        if !isRaised, chance.happens(200) { return .alarms }
        return .alarm(AlarmChange(isRaised ? .raise : .disarm, member: chance.pick(Self.alarmMembers), alarm: chance.pick(Self.alarmKinds)))
    }

    static let alarmMembers: [UInt64] = [1, 2]
    static let alarmKinds: [AlarmType] = [.noSpace, .corrupt]

    mutating func put(_ chance: inout Chance, lease: LeaseID) -> PutRequest {
        var put = PutRequest(key: chance.pick(keys), value: value(&chance))
        if chance.happens(150) { put.lease = lease }
        if chance.happens(50) {
            put.ignoreValue = true
            put.value = ByteString()
        } else if chance.happens(50) {
            put.ignoreLease = true
            put.lease = 0
        }
        put.prevKV = chance.happens(300)
        return put
    }

    private func delete(_ chance: inout Chance) -> DeleteRangeRequest {
        DeleteRangeRequest(key: chance.pick(keys), rangeEnd: chance.happens(500) ? ByteString() : end(&chance), prevKV: chance.happens(500))
    }

    func range(_ chance: inout Chance, revision: Revision) -> RangeRequest {
        var range = RangeRequest(key: chance.pick(keys), rangeEnd: end(&chance))
        if chance.happens(250) { range.revision = max(1, revision - Int64(chance.number(-2...20))) }
        if chance.happens(200) { range.limit = Int64(chance.number(1...4)) }
        switch chance.number(0...19) {
        case 0: range.countOnly = true
        case 1: range.keysOnly = true
        case 2: range.sortOrder = .descend
        case 3: (range.sortOrder, range.sortTarget) = (.ascend, .value)
        case 4: (range.sortOrder, range.sortTarget) = (.descend, .value)
        case 5: range.minModRevision = max(1, revision - 5)
        case 6: range.maxCreateRevision = max(1, revision - 5)
        default: break
        }
        return range
    }

    private mutating func txn(_ chance: inout Chance, revision: Revision, lease: LeaseID, depth: Int) -> TxnRequest {
        while true {
            var txn = TxnRequest()
            for _ in 0..<chance.number(0...2) { txn.compare.append(compare(&chance, revision: revision, lease: lease)) }
            for _ in 0..<chance.number(0...3) {
                txn.success.append(operation(&chance, revision: revision, lease: lease, depth: depth))
            }
            for _ in 0..<chance.number(0...2) {
                txn.failure.append(operation(&chance, revision: revision, lease: lease, depth: depth))
            }
            // One that every etcd refuses says nothing of the store. One that only compares is answered from memory, as in etcd.
            if (try? txn.validate(maxTxnOps: 128)) != nil, !(txn.isReadOnly && txn.isSerializable) { return txn }
        }
    }

    private mutating func operation(_ chance: inout Chance, revision: Revision, lease: LeaseID, depth: Int) -> RequestOp {
        switch chance.number(0...9) {
        case 0...3: .put(put(&chance, lease: lease))
        case 4...5: .deleteRange(delete(&chance))
        case 6 where depth < 2: .txn(txn(&chance, revision: revision, lease: lease, depth: depth + 1))
        default: .range(range(&chance, revision: chance.happens(900) ? 0 : revision))
        }
    }

    private func compare(_ chance: inout Chance, revision: Revision, lease: LeaseID) -> Compare {
        var compare = Compare()
        compare.key = chance.pick(keys)
        if chance.happens(150) { compare.rangeEnd = end(&chance) }
        compare.result = chance.pick([.equal, .equal, .greater, .less, .notEqual])
        switch chance.number(0...5) {
        case 0, 1:
            compare.target = .mod
            compare.targetUnion = .modRevision(max(0, revision - Int64(chance.number(0...8))))
        case 2:
            compare.target = .create
            compare.targetUnion = .createRevision(chance.happens(500) ? 0 : max(0, revision - Int64(chance.number(0...30))))
        case 3:
            compare.target = .version
            compare.targetUnion = .version(Int64(chance.number(0...3)))
        case 4:
            compare.target = .lease
            compare.targetUnion = .lease(chance.happens(500) ? 0 : lease)
        default:
            compare.target = .value
            compare.targetUnion = .value(ByteString("v\(chance.number(1...max(nextValue, 2)))"))
        }
        return compare
    }
}

extension ModelCall {
    /// How the services hand it to the replica.
    func request(streams: Bool, physical: Bool) -> Request? {
        switch self {
        case .put(let put): .write(.put(put))
        case .deleteRange(let delete): .write(.deleteRange(delete))
        case .txn(let txn): txn.isReadOnly ? .readTxn(txn) : .write(.txn(txn))
        case .range(let range): streams && (try? range.validateForStream()) != nil ? .rangeStream(range) : .range(range)
        case .compact(let revision): .compact(revision: revision, physical: physical)
        case .revision: .revision(linearizable: true, needs: .nothing)
        case .grant(let lease, let ttl): .write(.leaseGrant(id: lease, ttl: ttl))
        case .revoke(let lease): .write(.leaseRevoke(id: lease))
        case .leases: .lease(.list)
        case .timeToLive(let lease): .lease(.timeToLive(lease, keys: true))
        case .keepAlive(let lease): .lease(.keepAlive(lease))
        case .alarm(let change): .write(.alarm(change))
        case .alarms: .alarms(.none, needs: .nothing)
        case .expire, .raise: nil
        }
    }

    /// What the answer's bytes say; `messages` are those of a stream.
    func answer(_ message: ByteString, _ messages: [ByteString]) throws -> ModelAnswer {
        switch self {
        case .put:
            let response = try PutResponse.decode(message)
            return .put(response.header?.revision ?? 0, previous: response.prevKV)
        case .deleteRange:
            let response = try DeleteRangeResponse.decode(message)
            return .deleted(response.header?.revision ?? 0, count: response.deleted, previous: response.prevKVs)
        case .txn:
            let response = try TxnResponse.decode(message)
            return .txn(
                response.header?.revision ?? 0, succeeded: response.succeeded, response.responses.map(\.withoutHeaders))
        case .range:
            let chunks =
                try messages.isEmpty
                ? [RangeResponse.decode(message)] : messages.map { try RangeStreamResponse.decode($0).rangeResponse ?? RangeResponse() }
            let last = chunks[chunks.count - 1]
            return .range(last.header?.revision ?? 0, kvs: chunks.flatMap(\.kvs), more: last.more, count: last.count)
        case .compact: return .done(try CompactionResponse.decode(message).header?.revision ?? 0)
        case .revision: return .done(Revision(Int64("\(message)".filter(\.isNumber)) ?? 0))
        case .grant: return .done(try LeaseGrantResponse.decode(message).header?.revision ?? 0)
        case .revoke: return .done(try LeaseRevokeResponse.decode(message).header?.revision ?? 0)
        case .leases:
            let response = try LeaseLeasesResponse.decode(message)
            return .leases(response.header?.revision ?? 0, response.leases.map(\.id))
        case .timeToLive:
            let response = try LeaseTimeToLiveResponse.decode(message)
            return .timeToLive(response.header?.revision ?? 0, granted: response.ttl < 0 ? 0 : response.grantedTTL, keys: response.keys)
        case .keepAlive:
            let response = try LeaseKeepAliveResponse.decode(message)
            return .keptAlive(response.header?.revision ?? 0, ttl: response.ttl)
        case .alarm, .alarms:
            let response = try AlarmResponse.decode(message)
            return .alarms(response.header?.revision ?? 0, response.alarms)
        case .expire, .raise: return .done(0)
        }
    }
}

extension Request {
    var isStream: Bool { if case .rangeStream = self { true } else { false } }
}

extension ResponseOp {
    fileprivate var withoutHeaders: ResponseOp {
        switch self {
        case .range(var response):
            response.header = nil
            return .range(response)
        case .put(var response):
            response.header = nil
            return .put(response)
        case .deleteRange(var response):
            response.header = nil
            return .deleteRange(response)
        case .txn(var response):
            response.header = nil
            response.responses = response.responses.map(\.withoutHeaders)
            return .txn(response)
        case .empty: return .empty
        }
    }
}

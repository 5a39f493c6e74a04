// Owns: what a store like etcd's does, written as plainly as possible, to compare with.
// Must never: share code with the store that it is to check.
internal import Bytes
package import EtcdAPI
package import Keyspace

package struct ModelStore: Sendable {
    struct Version: Sendable {
        var revision: Revision
        var isDeleted: Bool
        var created: Revision = 0
        var version: Int64 = 0
        var value = ByteString()
        var lease: LeaseID = 0
    }

    /// A key's versions, oldest first. The search for an order has many copies of the store, of which each adds a version or two: the
    /// older ones stay where they are.
    private struct History: Sendable {
        private var older: [Version] = []
        private var recent: [Version] = []

        mutating func add(_ version: Version) {
            if recent.count == 16 {
                older += recent
                recent.removeAll()
            }
            recent.append(version)
        }

        func version(at revision: Revision) -> Version? {
            recent.last { $0.revision <= revision } ?? older.last { $0.revision <= revision }
        }
    }

    package private(set) var revision: Revision = 1
    private(set) var compactRevision: Revision = -1
    /// Every version of every key. Compaction only moves the bound.
    private var keys: [ByteString: History] = [:]
    /// All of them, in order.
    private var order: [ByteString] = []
    private var leases: [LeaseID: Int64] = [:]
    /// In order of their kind, then of their members.
    private var alarms: [AlarmMember] = []
    /// How many calls have changed something.
    private(set) var changeCount = 0
    /// A sum of hashes of all that ever became true.
    private var facts: UInt64 = 0

    package init() {}

    /// The same for two stores to which the same has happened, whatever calls or rows it came from.
    var fingerprint: UInt64 {
        var hash = Fingerprint()
        hash.mix(facts)
        hash.mix(UInt64(bitPattern: revision.rawValue))
        hash.mix(UInt64(bitPattern: compactRevision.rawValue))
        return hash.rawValue
    }

    // MARK: What is true

    private mutating func add(_ key: ByteString, _ version: Version) {
        if keys[key] == nil { order.insert(key, at: place(of: key)) }
        keys[key, default: History()].add(version)
        var hash = Fingerprint()
        hash.mix(key)
        hash.mix(UInt64(bitPattern: version.revision.rawValue))
        hash.mix(version.isDeleted ? 1 : 0)
        hash.mix(UInt64(bitPattern: version.created.rawValue))
        hash.mix(UInt64(bitPattern: version.version))
        hash.mix(version.value)
        hash.mix(UInt64(bitPattern: version.lease.rawValue))
        facts &+= hash.rawValue
    }

    private mutating func setTTL(of lease: LeaseID, _ ttl: Int64?) {
        leases[lease] = ttl
        var hash = Fingerprint()
        hash.mix(UInt64(bitPattern: lease.rawValue))
        hash.mix(UInt64(bitPattern: ttl ?? -1))
        facts &+= hash.rawValue
    }

    private mutating func set(_ alarm: AlarmMember, isRaised: Bool) {
        if isRaised {
            alarms.append(alarm)
            alarms.sort { ($0.alarm.rawValue, $0.memberID) < ($1.alarm.rawValue, $1.memberID) }
        } else {
            alarms.removeAll { $0 == alarm }
        }
        var hash = Fingerprint()
        hash.mix(alarm.memberID)
        hash.mix(Int(alarm.alarm.rawValue))
        hash.mix(isRaised ? 1 : 0)
        facts &+= hash.rawValue
    }

    // MARK: Keys

    private func version(of key: ByteString, at revision: Revision) -> Version? {
        guard let version = keys[key]?.version(at: revision), !version.isDeleted else { return nil }
        return version
    }

    private func alive(_ key: ByteString, _ end: ByteString, at revision: Revision) -> [(key: ByteString, version: Version)] {
        var found: [(key: ByteString, version: Version)] = []
        for candidate in order[place(of: key)...] {
            guard Self.names(key, end, candidate) else { break }
            if let version = version(of: candidate, at: revision) { found.append((candidate, version)) }
        }
        return found
    }

    /// Where a key is in `order`, or would be.
    private func place(of key: ByteString) -> Int {
        order.indices.partitioningIndex { order[$0] >= key }
    }

    /// Whether a range names a key that is not before it.
    private static func names(_ key: ByteString, _ end: ByteString, _ candidate: ByteString) -> Bool {
        if end.isEmpty { return candidate == key }
        return end == ByteString([0]) || candidate < end
    }

    private func pair(_ key: ByteString, _ version: Version) -> KeyValue {
        KeyValue(
            key: key, createRevision: version.created, modRevision: version.revision, version: version.version,
            value: version.value, lease: version.lease)
    }

    // MARK: Calls

    /// Does what `call` says. What it answers; where that is an error nothing has changed.
    package mutating func apply(_ call: ModelCall) -> ModelAnswer {
        do throws(EtcdError) {
            try checkAlarms(call)
            switch call {
            case .put(let request):
                try check(request)
                let previous = try put(request, at: revision + 1)
                revision += 1
                changeCount += 1
                return .put(revision, previous: previous)
            case .deleteRange(let request):
                let previous = delete(request, at: revision + 1)
                if !previous.isEmpty {
                    revision += 1
                    changeCount += 1
                }
                return .deleted(revision, count: Int64(previous.count), previous: request.prevKV ? previous : [])
            case .txn(let request): return try apply(request)
            case .range(let request):
                let found = try range(request, current: revision)
                return .range(revision, kvs: found.kvs, more: found.more, count: found.count)
            case .compact(let wanted):
                if wanted <= compactRevision { throw .compacted }
                if wanted > revision { throw .futureRev }
                compactRevision = wanted
                changeCount += 1
                return .done(revision)
            case .revision: return .done(revision)
            case .grant(let lease, let ttl):
                if leases[lease] != nil { throw .leaseExist }
                setTTL(of: lease, ttl)
                changeCount += 1
                return .done(revision)
            case .revoke(let lease):
                guard leases[lease] != nil else { throw .leaseNotFound }
                end(lease)
                return .done(revision)
            case .leases: return .leases(revision, leases.keys.sorted())
            case .timeToLive(let lease):
                return .timeToLive(revision, granted: leases[lease] ?? 0, keys: leases[lease] == nil ? [] : keys(of: lease))
            case .keepAlive(let lease): return .keptAlive(revision, ttl: leases[lease] ?? 0)
            case .alarm(let change):
                let member = AlarmMember(memberID: change.member, alarm: change.alarm)
                let isRaised = alarms.contains(member)
                if isRaised == (change.action == .disarm) {
                    set(member, isRaised: !isRaised)
                    changeCount += 1
                }
                return .alarms(revision, isRaised || change.action != .disarm ? [member] : [])
            case .alarms: return .alarms(revision, alarms)
            case .expire(let lease):
                if leases[lease] != nil { end(lease) }
                return .done(revision)
            case .raise(let raised):
                guard raised > revision else { return .done(revision) }
                revision = raised
                compactRevision = raised
                changeCount += 1
                return .done(revision)
            }
        } catch {
            return .failed(error)
        }
    }

    /// Where it is out of space nothing that takes some is done; where it is corrupt nothing is.
    private func checkAlarms(_ call: ModelCall) throws(EtcdError) {
        guard !alarms.isEmpty else { return }
        let (isWrite, takesSpace) =
            switch call {
            case .put, .grant: (true, true)
            case .txn(let txn): (!txn.isReadOnly, max(txn.success.putCount, txn.failure.putCount) > 0)
            case .deleteRange, .compact, .revoke: (true, false)
            default: (false, false)
            }
        if isWrite, alarms.contains(where: { $0.alarm == .corrupt }) { throw .corrupt }
        if takesSpace, alarms.contains(where: { $0.alarm == .noSpace }) { throw .noSpace }
    }

    private func check(_ request: PutRequest) throws(EtcdError) {
        if request.lease != 0, leases[request.lease] == nil { throw .leaseNotFound }
        if request.ignoreValue || request.ignoreLease, version(of: request.key, at: revision) == nil { throw .keyNotFound }
    }

    /// Gives the state before, if it was asked for.
    private mutating func put(_ request: PutRequest, at position: Revision) throws(EtcdError) -> KeyValue? {
        let before = version(of: request.key, at: position)
        // The same transaction may have deleted it.
        if request.ignoreValue || request.ignoreLease, before == nil { throw .keyNotFound }
        add(
            request.key,
            Version(
                revision: position, isDeleted: false, created: before?.created ?? position, version: (before?.version ?? 0) + 1,
                value: request.ignoreValue ? before?.value ?? ByteString() : request.value,
                lease: request.ignoreLease ? before?.lease ?? 0 : request.lease))
        return request.prevKV ? before.map { pair(request.key, $0) } : nil
    }

    private mutating func delete(_ request: DeleteRangeRequest, at position: Revision) -> [KeyValue] {
        let doomed = alive(request.key, request.rangeEnd, at: position)
        for (key, _) in doomed { add(key, Version(revision: position, isDeleted: true)) }
        return doomed.map { pair($0.key, $0.version) }
    }

    private func keys(of lease: LeaseID) -> [ByteString] {
        alive(ByteString([0]), ByteString([0]), at: revision).filter { $0.version.lease == lease }.map(\.key)
    }

    private mutating func end(_ lease: LeaseID) {
        let doomed = keys(of: lease)
        for key in doomed { add(key, Version(revision: revision + 1, isDeleted: true)) }
        if !doomed.isEmpty { revision += 1 }
        changeCount += 1
        setTTL(of: lease, nil)
    }

    private func range(
        _ request: RangeRequest, current: Revision
    ) throws(EtcdError) -> (kvs: [KeyValue], more: Bool, count: Int64) {
        if request.revision > current { throw .futureRev }
        let at = request.revision == 0 ? current : request.revision
        if at < compactRevision { throw .compacted }
        var found = alive(request.key, request.rangeEnd, at: at)
        let count = Int64(found.count)
        if request.countOnly { return ([], false, count) }
        found.removeAll { _, version in
            request.minModRevision != 0 && version.revision < request.minModRevision
                || request.maxModRevision != 0 && version.revision > request.maxModRevision
                || request.minCreateRevision != 0 && version.created < request.minCreateRevision
                || request.maxCreateRevision != 0 && version.created > request.maxCreateRevision
        }
        if request.sortTarget == .value { found.sort { $0.version.value < $1.version.value } }
        if request.sortOrder == .descend { found.reverse() }
        let limit = request.limit > 0 ? Int(request.limit) : .max
        let kvs = found.prefix(limit).map { key, version in
            var kv = pair(key, version)
            if request.keysOnly {
                kv.value = ByteString()
                if request.sortTarget != .value { kv.lease = 0 }
            }
            return kv
        }
        return (kvs, found.count > limit, count)
    }

    // MARK: Transactions

    /// All that is compared and refused is as of the store before; then one operation after the other is done.
    private mutating func apply(_ txn: TxnRequest) throws(EtcdError) -> ModelAnswer {
        var branches: [Bool] = []
        choose(txn, &branches)
        var next = 0
        try check(txn, branches, &next)
        next = 0
        var changed = false
        let before = self
        let (succeeded, responses): (Bool, [ResponseOp])
        do throws(EtcdError) {
            (succeeded, responses) = try run(txn, branches, &next, &changed)
        } catch {
            self = before
            throw error
        }
        if changed {
            revision += 1
            changeCount += 1
        }
        return .txn(revision, succeeded: succeeded, responses)
    }

    private func choose(_ txn: TxnRequest, _ branches: inout [Bool]) {
        let succeeded = txn.compare.allSatisfy(holds)
        branches.append(succeeded)
        for case .txn(let nested) in succeeded ? txn.success : txn.failure { choose(nested, &branches) }
    }

    private func check(_ txn: TxnRequest, _ branches: [Bool], _ next: inout Int) throws(EtcdError) {
        let operations = branches[next] ? txn.success : txn.failure
        next += 1
        for operation in operations {
            switch operation {
            case .range(let request):
                if request.revision > revision { throw .futureRev }
                if request.revision != 0, request.revision < compactRevision { throw .compacted }
            case .put(let request): try check(request)
            case .txn(let nested): try check(nested, branches, &next)
            case .deleteRange, .empty: break
            }
        }
    }

    private mutating func run(
        _ txn: TxnRequest, _ branches: [Bool], _ next: inout Int, _ changed: inout Bool
    ) throws(EtcdError) -> (Bool, [ResponseOp]) {
        let succeeded = branches[next]
        next += 1
        var responses: [ResponseOp] = []
        for operation in succeeded ? txn.success : txn.failure {
            switch operation {
            case .range(let request):
                let found = try range(request, current: changed ? revision + 1 : revision)
                responses.append(.range(RangeResponse(kvs: found.kvs, more: found.more, count: found.count)))
            case .put(let request):
                responses.append(.put(PutResponse(prevKV: try put(request, at: revision + 1))))
                changed = true
            case .deleteRange(let request):
                let previous = delete(request, at: revision + 1)
                if !previous.isEmpty { changed = true }
                responses.append(
                    .deleteRange(DeleteRangeResponse(deleted: Int64(previous.count), prevKVs: request.prevKV ? previous : [])))
            case .txn(let nested):
                let (succeeded, inner) = try run(nested, branches, &next, &changed)
                responses.append(.txn(TxnResponse(succeeded: succeeded, responses: inner)))
            case .empty: responses.append(.empty)
            }
        }
        return (succeeded, responses)
    }

    private func holds(_ compare: Compare) -> Bool {
        let named = alive(compare.key, compare.rangeEnd, at: revision)
        if named.isEmpty { return compare.target != .value && holds(compare, 0) }
        return named.allSatisfy { _, version in
            switch compare.target {
            case .version: holds(compare, version.version)
            case .create: holds(compare, version.created.rawValue)
            case .mod: holds(compare, version.revision.rawValue)
            case .lease: holds(compare, version.lease.rawValue)
            default: holds(compare, version.value.order(against: compare.valueOperand), 0)
            }
        }
    }

    private func holds(_ compare: Compare, _ actual: Int64) -> Bool {
        holds(compare, actual < compare.numberOperand ? -1 : actual > compare.numberOperand ? 1 : 0, 0)
    }

    private func holds(_ compare: Compare, _ order: Int, _ zero: Int) -> Bool {
        switch compare.result {
        case .equal: order == 0
        case .greater: order > 0
        case .less: order < 0
        default: order != 0
        }
    }
}

extension ModelStore {
    /// What a log of these rows adds up to.
    package init(folding rows: some Sequence<LogRow>) {
        for row in rows { fold(row) }
    }

    package mutating func fold(_ row: LogRow) {
        revision = max(revision, row.position.revision)
        switch row.kind {
        case .put:
            add(
                row.key,
                Version(
                    revision: row.position.revision, isDeleted: false, created: row.createRevision, version: row.version,
                    value: row.value, lease: row.lease))
        case .delete: add(row.key, Version(revision: row.position.revision, isDeleted: true))
        case .grant: setTTL(of: row.lease, row.version)
        case .revoke: setTTL(of: row.lease, nil)
        case .compact: compactRevision = max(compactRevision, row.compactRevision)
        case .alarm:
            let change = AlarmChange(row)
            set(AlarmMember(memberID: change.member, alarm: change.alarm), isRaised: change.action != .disarm)
        case .digestKey, .user, .role, .authState: break
        }
    }
}

extension AlarmChange {
    /// What an alarm row says.
    init(_ row: LogRow) {
        self.init(
            Action(rawValue: row.version) ?? .disarm, member: UInt64(bitPattern: row.lease.rawValue),
            alarm: AlarmType(rawValue: Int32(row.createRevision.rawValue)))
    }
}

extension [RequestOp] {
    /// Nested ones included, of whichever branch has more.
    fileprivate var putCount: Int {
        reduce(0) { count, operation in
            switch operation {
            case .put: count + 1
            case .txn(let txn): count + Swift.max(txn.success.putCount, txn.failure.putCount)
            case .range, .deleteRange, .empty: count
            }
        }
    }
}

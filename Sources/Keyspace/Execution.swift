// Owns: executing writes at the tip: what rows they make and what their answers say, as etcd's applier does.
// Must never: leave a trace of a request that failed.
// Source: server/etcdserver/txn/{txn,put,delete}.go of etcd.
package import Bytes
package import EtcdAPI

/// A request that may change something.
package enum WriteRequest: Sendable, Hashable {
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    case compact(revision: Revision)
    /// The id must be chosen (not 0) and the TTL at least the minimum.
    case leaseGrant(id: LeaseID, ttl: Int64)
    case leaseRevoke(id: LeaseID)
    case alarm(AlarmChange)
}

extension WriteRequest {
    /// About how much memory it keeps alive, in bytes.
    package var byteCount: Int {
        switch self {
        case .put(let put): fixedRequestBytes + put.key.count + put.value.count
        case .deleteRange(let delete): fixedRequestBytes + delete.key.count + delete.rangeEnd.count
        case .txn(let txn): txn.byteCount
        case .compact, .leaseGrant, .leaseRevoke, .alarm: fixedRequestBytes
        }
    }
}

/// What any request or operation takes beside its keys and values, in bytes.
private let fixedRequestBytes = 256

extension TxnRequest {
    fileprivate var byteCount: Int {
        var bytes = fixedRequestBytes
        for comparison in compare { bytes += fixedRequestBytes + comparison.key.count + comparison.valueOperand.count }
        for operation in success { bytes += operation.byteCount }
        for operation in failure { bytes += operation.byteCount }
        return bytes
    }
}

extension RequestOp {
    fileprivate var byteCount: Int {
        switch self {
        case .put(let put): fixedRequestBytes + put.key.count + put.value.count
        case .txn(let txn): txn.byteCount
        case .range, .deleteRange, .empty: fixedRequestBytes
        }
    }
}

extension Store {
    /// Executes `request` at the tip, appends the rows that it made to `rows`, and returns the encoded answer.
    /// Where it throws, nothing has changed. Where `cold` has missing values then, it is to be run again with them.
    package mutating func execute(
        _ request: WriteRequest, header: ResponseHeader, origin: Int64, rows: inout [LogRow]
    ) throws(EtcdError) -> ByteString {
        let before = savepoint
        let rowsBefore = rows.count
        var execution = Execution(start: tip.revision, origin: origin)
        do throws(EtcdError) {
            var writer = ByteWriter(capacity: 96)
            if quotaBytes > 0 || !alarms.isEmpty { try checkSpace(request) }
            switch request {
            case .put(let put):
                try checkLease(put)
                writer.appendHeader(header, revision: tip.revision + 1)
                try execute(put, &execution, &rows, into: &writer)
            case .deleteRange(let delete):
                try execute(delete, &execution, &rows, header: header, into: &writer)
            case .txn(let txn):
                try execute(txn, &execution, &rows, header: header, into: &writer)
            case .compact(let revision):
                try compact(to: revision, &execution, &rows)
                writer.appendHeader(header, revision: tip.revision)
            case .leaseGrant(let id, let ttl):
                if leases.contains(id) { throw .leaseExist }
                append(LogRow(position: nextSubPosition, kind: .grant, version: ttl, lease: id, origin: origin), &rows)
                writer.appendHeader(header, revision: tip.revision)
                writer.appendLeaseGrantTail(id: id, ttl: ttl)
            case .leaseRevoke(let id):
                try revoke(id, &execution, &rows)
                writer.appendHeader(header, revision: tip.revision)
            case .alarm(let change):
                var header = header
                header.revision = tip.revision
                AlarmResponse(header: header, alarms: changeAlarm(change, origin, &rows)).encode(into: &writer)
            }
            if cold.hasMissing { throw .valuesMissing }
            return writer.finish()
        } catch {
            rollBack(to: before)
            rows.removeLast(rows.count - rowsBefore)
            throw error
        }
    }

    // MARK: Put

    private mutating func execute(
        _ put: PutRequest, _ execution: inout Execution, _ rows: inout [LogRow], into writer: inout ByteWriter
    ) throws(EtcdError) {
        let previous = index.latestMetadata(put.key)
        if (put.ignoreValue || put.ignoreLease) && previous == nil { throw .keyNotFound }
        // Index and watchers keep the same bytes, without the request around them.
        var value = put.value.compacted()
        if put.prevKV || put.ignoreValue, let previous = index.latest(put.key) {
            if put.prevKV { writer.appendKeyValue(2, key: put.key, version: previous, cold) }
            if put.ignoreValue { value = cold.value(of: previous, key: put.key) }
        }
        let position = execution.nextPosition()
        append(
            LogRow(
                position: position, kind: .put, key: put.key, value: value,
                createRevision: previous?.createRevision ?? position.revision, version: (previous?.version ?? 0) + 1,
                lease: put.ignoreLease ? previous!.lease : put.lease, origin: execution.origin), &rows)
    }

    private func checkLease(_ put: PutRequest) throws(EtcdError) {
        if put.lease != 0 && !leases.contains(put.lease) { throw .leaseNotFound }
    }

    // MARK: DeleteRange

    private mutating func execute(
        _ delete: DeleteRangeRequest, _ execution: inout Execution, _ rows: inout [LogRow], header: ResponseHeader?,
        into writer: inout ByteWriter
    ) throws(EtcdError) {
        var doomed: [(key: ByteString, version: KeyVersion)] = []
        _ = index.scanLatest(KeyRange(key: delete.key, rangeEnd: delete.rangeEnd)) { view in
            doomed.append((view.key, view.version))
            return .goOn
        }
        let revision = doomed.isEmpty && !execution.hasChanges ? execution.start : execution.start + 1
        if let header { writer.appendHeader(header, revision: revision) } else { writer.appendNestedHeader(revision: revision) }
        writer.appendDeleted(Int64(doomed.count))
        for (key, version) in doomed {
            if delete.prevKV { writer.appendKeyValue(3, key: key, version: version, cold) }
            append(LogRow(position: execution.nextPosition(), kind: .delete, key: key, origin: execution.origin), &rows)
        }
    }

    // MARK: Compaction and leases

    private mutating func compact(
        to revision: Revision, _ execution: inout Execution, _ rows: inout [LogRow]
    ) throws(EtcdError) {
        if revision <= tipCompactRevision { throw .compacted }
        if revision > tip.revision { throw .futureRev }
        append(LogRow(position: nextSubPosition, kind: .compact, version: revision, origin: execution.origin), &rows)
    }

    /// Deletes the lease's keys in one revision, in key order, and the lease with them.
    private mutating func revoke(
        _ id: LeaseID, _ execution: inout Execution, _ rows: inout [LogRow]
    ) throws(EtcdError) {
        guard let lease = leases[id] else { throw .leaseNotFound }
        for key in lease.keys.sorted() {
            append(LogRow(position: execution.nextPosition(), kind: .delete, key: key, origin: execution.origin), &rows)
        }
        append(LogRow(position: nextSubPosition, kind: .revoke, lease: id, origin: execution.origin), &rows)
    }

    /// As etcd's alarm store: raising what is raised says so, disarming what is not says nothing.
    private mutating func changeAlarm(_ change: AlarmChange, _ origin: Int64, _ rows: inout [LogRow]) -> [AlarmMember] {
        let isRaised = alarms.contains(change.alarm, of: change.member)
        if isRaised == (change.action == .disarm) {
            append(LogRow(change, at: nextSubPosition, origin: origin), &rows)
        } else if !isRaised {
            return []
        }
        return [AlarmMember(memberID: change.member, alarm: change.alarm)]
    }

    private mutating func append(_ row: LogRow, _ rows: inout [LogRow]) {
        var row = row
        row.hash = apply(row)
        rows.append(row)
    }
}

/// The rows of one request: all of one revision, numbered from 0.
struct Execution {
    /// The revision before the request.
    let start: Revision
    let origin: Int64
    private var nextSub: Int32 = 0

    init(start: Revision, origin: Int64) {
        self.start = start
        self.origin = origin
    }

    var hasChanges: Bool { nextSub > 0 }

    /// What a read inside the transaction sees as current.
    var current: Revision { hasChanges ? start + 1 : start }

    mutating func nextPosition() -> Position {
        defer { nextSub += 1 }
        return Position(start + 1, nextSub)
    }
}

// MARK: Transactions

extension Store {
    private mutating func execute(
        _ txn: TxnRequest, _ execution: inout Execution, _ rows: inout [LogRow], header: ResponseHeader, into writer: inout ByteWriter
    ) throws(EtcdError) {
        // All comparisons see the store as it was before the transaction, nested ones included.
        var path: [Bool] = []
        choosePath(txn, into: &path)
        var step = 0
        try check(txn, path, &step)
        // The header comes first but is known last.
        let headerAt = writer.appendPatchableHeader(header, revision: execution.start + 1)
        step = 0
        try run(txn, path, &step, &execution, &rows, into: &writer)
        writer.patchHeader(at: headerAt, header, from: execution.start + 1, to: execution.current)
    }

    /// The answer of a transaction that holds nothing but ranges, as a reader at the committed revision sees it.
    package func read(_ txn: TxnRequest, header: ResponseHeader) throws(EtcdError) -> ByteString {
        let succeeded = txn.compare.allSatisfy { holds($0, at: revision) }
        let operations = succeeded ? txn.success : txn.failure
        // Every range is checked before any is answered.
        for case .range(let request) in operations {
            if request.revision > revision { throw .futureRev }
            if request.revision != 0 && request.revision < compactRevision { throw .compacted }
        }
        var writer = ByteWriter(capacity: 256)
        writer.appendHeader(header, revision: revision)
        writer.appendTxnSucceeded(succeeded)
        for case .range(let request) in operations {
            let responseOp = writer.beginMessage(3)
            let response = writer.beginMessage(1)
            try range(request, current: revision, into: &writer)
            writer.endMessage(response)
            writer.endMessage(responseOp)
        }
        return writer.finish()
    }

    private func range(_ request: RangeRequest, current: Revision, into writer: inout ByteWriter) throws(EtcdError) {
        var scan = try RangeScan(request, current: current, compactRevision: compactRevision)
        writer.appendNestedHeader(revision: current)
        let done = scan.step(index, cold, budget: Int.max, into: &writer)
        invariant(done || cold.hasMissing, "a range without a budget is done in one step")
    }

    /// Which branch each transaction takes, in the order in which they are met.
    private func choosePath(_ txn: TxnRequest, into path: inout [Bool]) {
        let succeeded = txn.compare.allSatisfy { holds($0, at: tip.revision) }
        path.append(succeeded)
        for case .txn(let nested) in succeeded ? txn.success : txn.failure { choosePath(nested, into: &path) }
    }

    /// What can fail is checked on the chosen path before anything is done, against the store as it was.
    private func check(_ txn: TxnRequest, _ path: [Bool], _ step: inout Int) throws(EtcdError) {
        let operations = path[step] ? txn.success : txn.failure
        step += 1
        for operation in operations {
            switch operation {
            case .range(let request):
                if request.revision > tip.revision { throw .futureRev }
                if request.revision != 0 && request.revision < tipCompactRevision { throw .compacted }
            case .put(let put):
                try checkLease(put)
                if (put.ignoreValue || put.ignoreLease) && index.latestMetadata(put.key) == nil { throw .keyNotFound }
            case .txn(let nested):
                try check(nested, path, &step)
            case .deleteRange, .empty:
                break
            }
        }
    }

    private mutating func run(
        _ txn: TxnRequest, _ path: [Bool], _ step: inout Int, _ execution: inout Execution, _ rows: inout [LogRow],
        into writer: inout ByteWriter
    ) throws(EtcdError) {
        let succeeded = path[step]
        step += 1
        writer.appendTxnSucceeded(succeeded)
        for operation in succeeded ? txn.success : txn.failure {
            let responseOp = writer.beginMessage(3)
            switch operation {
            case .range(let request):
                let response = writer.beginMessage(1)
                try range(request, current: execution.current, into: &writer)
                writer.endMessage(response)
            case .put(let put):
                let response = writer.beginMessage(2)
                writer.appendNestedHeader(revision: execution.start + 1)
                try execute(put, &execution, &rows, into: &writer)
                writer.endMessage(response)
            case .deleteRange(let delete):
                let response = writer.beginMessage(3)
                try execute(delete, &execution, &rows, header: nil, into: &writer)
                writer.endMessage(response)
            case .txn(let nested):
                let response = writer.beginMessage(4)
                writer.appendHeader(ResponseHeader())
                try run(nested, path, &step, &execution, &rows, into: &writer)
                writer.endMessage(response)
            case .empty:
                break
            }
            writer.endMessage(responseOp)
        }
    }

    // MARK: Comparisons

    /// Whether `comparison` holds for every key that it names. Without any, it compares with nothing: zeros, and a value
    /// comparison fails.
    private func holds(_ comparison: Compare, at revision: Revision) -> Bool {
        if comparison.rangeEnd.isEmpty {
            guard let version = index.version(of: comparison.key, at: revision) else { return comparison.holdsForNothing }
            return comparison.holds(version, comparison.key, cold)
        }
        var any = false
        var all = true
        _ = index.scan(KeyRange(key: comparison.key, rangeEnd: comparison.rangeEnd), at: revision) { view in
            any = true
            all = comparison.holds(view.version, view.key, cold)
            // What is missing may hold or not; the others' values will be needed, too.
            return all || cold.hasMissing ? .goOn : .stop
        }
        return any ? all : comparison.holdsForNothing
    }
}

extension EtcdError {
    /// Never told to a client: the request is run again.
    static let valuesMissing = EtcdError(code: .internal, text: "pine: values are being read")
}

extension Compare {
    fileprivate var holdsForNothing: Bool {
        target != .value && holds(order: order(0, 0, 0, 0))
    }

    fileprivate func holds(_ version: borrowing KeyVersion, _ key: @autoclosure () -> ByteString, _ cold: ColdValues) -> Bool {
        if target == .value { return holds(order: cold.value(of: version, key: key()).order(against: valueOperand)) }
        return holds(
            order: order(version.version, version.createRevision, version.position.revision, version.lease))
    }

    /// How the field that is compared relates to what the comparison names: negative, zero or positive.
    private func order(_ version: Int64, _ createRevision: Int64, _ modRevision: Int64, _ lease: Int64) -> Int {
        let actual: Int64 =
            switch target {
            case .version: version
            case .create: createRevision
            case .mod: modRevision
            case .lease: lease
            default: 0
            }
        let wanted = numberOperand
        return actual < wanted ? -1 : actual > wanted ? 1 : 0
    }

    private func holds(order: Int) -> Bool {
        switch result {
        case .equal: order == 0
        case .greater: order > 0
        case .less: order < 0
        case .notEqual: order != 0
        default: true
        }
    }
}

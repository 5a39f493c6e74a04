// Owns: executing writes at the tip: what rows they make and what their answers say, as etcd's applier does.
// Must never: leave a trace of a request that failed.
// Source: server/etcdserver/txn/{txn,put,delete}.go of etcd.
package import Auth
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
    /// Passwords are hashed already. Rare: it must not make the others larger.
    indirect case auth(AuthCommand)
}

extension WriteRequest {
    /// About how much memory it keeps alive, in bytes.
    package var byteCount: Int {
        switch self {
        case .put(let put): fixedRequestBytes + put.key.count + put.value.count
        case .deleteRange(let delete): fixedRequestBytes + delete.key.count + delete.rangeEnd.count
        case .txn(let txn): txn.byteCount
        case .compact, .leaseGrant, .leaseRevoke, .alarm: fixedRequestBytes
        case .auth(let command): fixedRequestBytes + command.byteCount
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

/// What a write is answered.
package enum WriteAnswer {
    /// The encoded answer.
    case complete(ByteString)
    /// The transaction has been executed, and ranges in it are still to be answered.
    case unfinished(AnswerBuilder)
    /// The write has been executed, and its answer can't be sent.
    case refused(EtcdError)
}

extension Store {
    /// Executes `request` at the tip, appends the rows that it made to `rows`, and returns its answer.
    ///
    /// It looks at no more keys than `visits`, which is lessened by those. Nil where that was not enough: the request `isPaused`. To go on,
    /// call this again with the same request, and nothing else in between; `abandon` undoes what was done of it.
    /// Where it throws, nothing has changed.
    /// - Parameters:
    ///   - principal: who asks.
    ///   - values: what was fetched for it, where it lacked values before.
    package mutating func execute(
        _ request: WriteRequest, by principal: Principal = .process, with values: [Position: ByteString] = [:], header: ResponseHeader,
        origin: Int64, rows: inout [LogRow], visits: inout Int
    ) throws(ExecutionError) -> WriteAnswer? {
        let before = savepoint
        let rowsBefore = rows.count
        var lookup = ValueLookup(values)
        let refusal: EtcdError?
        do throws(EtcdError) {
            let answer = try run(request, by: principal, header: header, origin: origin, &lookup, rows: &rows, visits: &visits)
            valueCounts += lookup.counts
            if !lookup.hasMissing { return answer }
            refusal = nil
        } catch {
            valueCounts += lookup.counts
            refusal = error
        }
        paused = nil
        rollBack(to: before)
        rows.removeLast(rows.count - rowsBefore)
        // What it came to without its values is worth nothing, a refusal included.
        if let refusal, !lookup.hasMissing { throw .refused(refusal) }
        throw .lacks(lookup.takeMissing())
    }

    /// The same without a bound.
    package mutating func execute(
        _ request: WriteRequest, by principal: Principal = .process, with values: [Position: ByteString] = [:], header: ResponseHeader,
        origin: Int64, rows: inout [LogRow]
    ) throws(ExecutionError) -> WriteAnswer {
        var visits = Int.max
        let answer = try execute(request, by: principal, with: values, header: header, origin: origin, rows: &rows, visits: &visits)
        guard let answer else { violated("a write without a bound was paused") }
        return answer
    }

    private mutating func run(
        _ request: WriteRequest, by principal: Principal, header: ResponseHeader, origin: Int64, _ lookup: inout ValueLookup,
        rows: inout [LogRow], visits: inout Int
    ) throws(EtcdError) -> WriteAnswer? {
        if let paused = paused.take() { return try goOn(paused, header: header, &lookup, rows: &rows, visits: &visits) }
        if auth.isEnabled(.tip) {
            try check(request, by: principal)
        } else if quotaBytes > 0 || !alarms.isEmpty {
            try checkSpace(request)
        }
        visits -= 1
        var execution = Execution(start: tip.revision, origin: origin)
        var writer = ByteWriter(capacity: 96)
        switch request {
        case .put(let put):
            try checkLease(put)
            writer.appendHeader(header, revision: tip.revision + 1)
            try execute(put, &execution, &lookup, &rows, into: &writer)
        case .deleteRange(let delete):
            let run = WriteRun(delete, execution, before: savepoint, answerByteLimit: answerByteLimit)
            return try goOn(run, header: header, &lookup, rows: &rows, visits: &visits)
        case .txn(let txn):
            let run = WriteRun(
                txn, execution, before: savepoint, answerByteLimit: answerByteLimit, inlineVisitLimit: inlineVisitLimit)
            return try goOn(run, header: header, &lookup, rows: &rows, visits: &visits)
        case .compact(let revision):
            try compact(to: revision, &execution, &rows)
            writer.appendHeader(header, revision: tip.revision)
        case .leaseGrant(let id, let ttl):
            if ttl > leaseTTLLimit { throw .leaseTTLTooLarge }
            if leases.contains(id) { throw .leaseExist }
            append(LogRow(position: nextSubPosition, kind: .grant, version: ttl, lease: id, origin: origin), &rows)
            writer.appendHeader(header, revision: tip.revision)
            writer.appendLeaseGrantTail(id: id, ttl: ttl)
        case .leaseRevoke(let id):
            guard let lease = leases[id] else { throw .leaseNotFound }
            let run = WriteRun(revoking: lease, execution, before: savepoint)
            return try goOn(run, header: header, &lookup, rows: &rows, visits: &visits)
        case .alarm(let change):
            var header = header
            header.revision = tip.revision
            AlarmResponse(header: header, alarms: changeAlarm(change, origin, &rows)).encode(into: &writer)
        case .auth(let command):
            let (changes, authRevision) = try auth.changes(for: command, by: principal)
            for change in changes {
                append(LogRow(change, authRevision: authRevision, at: nextSubPosition, origin: origin), &rows)
            }
            // All of these answers are a header and nothing else.
            writer.appendHeader(header, revision: tip.revision)
        }
        return .complete(writer.finish())
    }

    // MARK: Put

    mutating func execute(
        _ put: PutRequest, _ execution: inout Execution, _ lookup: inout ValueLookup, _ rows: inout [LogRow],
        into writer: inout ByteWriter
    ) throws(EtcdError) {
        let previous = index.latestMetadata(put.key)
        if (put.ignoreValue || put.ignoreLease) && previous == nil { throw .keyNotFound }
        // Index and watchers keep the same bytes, without the request around them.
        var value = put.value.compacted()
        if put.prevKV || put.ignoreValue, let previous = index.latest(put.key) {
            if put.prevKV { writer.appendKeyValue(2, key: put.key, version: previous, &lookup) }
            if put.ignoreValue { value = lookup.value(of: previous, key: put.key) }
        }
        let position = execution.nextPosition()
        append(
            LogRow(
                position: position, kind: .put, key: put.key, value: value,
                createRevision: previous?.createRevision ?? position.revision, version: (previous?.version ?? 0) + 1,
                lease: put.ignoreLease ? previous!.lease : put.lease, origin: execution.origin), &rows)
    }

    func checkLease(_ put: PutRequest) throws(EtcdError) {
        if put.lease != 0 && !leases.contains(put.lease) { throw .leaseNotFound }
    }

    // MARK: Compaction and alarms

    private mutating func compact(
        to revision: Revision, _ execution: inout Execution, _ rows: inout [LogRow]
    ) throws(EtcdError) {
        if revision <= tipCompactRevision { throw .compacted }
        if revision > tip.revision { throw .futureRev }
        append(LogRow(position: nextSubPosition, kind: .compact, version: revision.rawValue, origin: execution.origin), &rows)
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

    mutating func append(_ row: LogRow, _ rows: inout [LogRow]) {
        var row = row
        row.hash = apply(row)
        rows.append(row)
    }
}

/// In seconds, as etcd has it.
private let leaseTTLLimit: Int64 = 9_000_000_000

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

    /// The last row that such a read sees.
    var lastPosition: Position { hasChanges ? Position(start + 1, nextSub - 1) : Position(start, .max) }

    mutating func nextPosition() -> Position {
        defer { nextSub += 1 }
        return Position(start + 1, nextSub)
    }
}

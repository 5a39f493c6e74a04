// Owns: writes that may look at more keys than others can wait for: transactions, deletions of ranges, revokes of leases. They are executed
// at the tip, in steps; other writes wait for them, readers don't.
// Must never: look at more keys in a step than it was given visits for; change anything before all that can fail was checked.
//
//   choosing the branches ──▶ running the operations ──▶ answered
//
// Ranges in a transaction that would take long are not what others wait for: they are answered once it is done (see `AnswerBuilder`), each
// at the position at which the transaction met it.
//
// Source: server/etcdserver/txn/{txn,delete}.go of etcd.
internal import Bytes
internal import EtcdAPI

/// One write on its way. What it has done so far is speculation at the store's tip.
final class WriteRun {
    /// What there was before it.
    let before: Store.Savepoint
    fileprivate var execution: Execution
    /// What it has made, while it is paused.
    fileprivate var rows: [LogRow] = []
    /// The deletion under way: all that there is to do, or an operation of the transaction.
    fileprivate var deletion: RangeDeletion?
    fileprivate let txn: TxnRun?
    fileprivate let revocation: Revocation?

    init(revoking lease: Lease, _ execution: Execution, before: Store.Savepoint) {
        self.before = before
        self.execution = execution
        txn = nil
        revocation = Revocation(lease)
    }

    init(_ delete: DeleteRangeRequest, _ execution: Execution, before: Store.Savepoint, answerByteLimit: Int) {
        self.before = before
        self.execution = execution
        txn = nil
        revocation = nil
        deletion = RangeDeletion(delete, byteLimit: answerByteLimit)
    }

    init(_ txn: TxnRequest, _ execution: Execution, before: Store.Savepoint, answerByteLimit: Int, inlineVisitLimit: Int) {
        self.before = before
        self.execution = execution
        revocation = nil
        self.txn = TxnRun(txn, start: execution.start, answerByteLimit: answerByteLimit, rangeVisits: inlineVisitLimit)
    }
}

/// The end of a lease: its keys go in one revision, in key order, and it goes with them.
private final class Revocation {
    let lease: LeaseID
    /// As they were when it began: each that is deleted leaves the lease.
    private var keys: FlattenSequence<[ContiguousArray<ByteString>]>.Iterator

    init(_ lease: Lease) {
        self.lease = lease.id
        keys = lease.keys.makeIterator()
    }

    func nextKey() -> ByteString? { keys.next() }
}

/// The deletion of a range, key after key.
private final class RangeDeletion {
    let range: KeyRange
    let showsPrevious: Bool
    var nextKey: ByteString?
    var count: Int64 = 0
    /// The `prev_kvs` of its answer.
    var previous = ByteWriter(capacity: 16)
    private let byteLimit: Int
    /// How large they would have been when they were given up, in bytes.
    private(set) var refusedBytes: Int?

    init(_ request: DeleteRangeRequest, byteLimit: Int) {
        range = KeyRange(key: request.key, rangeEnd: request.rangeEnd)
        showsPrevious = request.prevKV
        self.byteLimit = byteLimit
    }

    func note(_ key: ByteString, _ version: borrowing KeyVersion, _ lookup: inout ValueLookup) {
        count += 1
        guard showsPrevious, refusedBytes == nil else { return }
        previous.appendKeyValue(3, key: key, version: version, &lookup)
        guard previous.count + lookup.missingBytes > byteLimit else { return }
        refusedBytes = previous.count + lookup.missingBytes
        previous = ByteWriter(capacity: 16)
        lookup.forgetMissing(after: 0)
    }
}

/// A transaction: the lists of operations that it is in the middle of, the innermost last.
private final class TxnRun {
    struct Frame {
        let operations: [RequestOp]
        var next = 0
    }

    let request: TxnRequest
    var finder: PathFinder
    /// Whether all branches are chosen.
    var isChosen = false
    /// How many of the finder's decisions were come to.
    var step = 0
    var frames: [Frame] = []
    let answer: AnswerBuilder
    let byteLimit: Int
    var headerAt = 0
    /// How many keys its ranges may look at while others wait.
    var rangeVisits: Int

    init(_ request: TxnRequest, start: Revision, answerByteLimit: Int, rangeVisits: Int) {
        self.request = request
        finder = PathFinder(request, at: Position(start, .max))
        answer = AnswerBuilder(byteLimit: answerByteLimit, capacity: 128)
        byteLimit = answerByteLimit
        self.rangeVisits = rangeVisits
    }

    /// The branch of a transaction that was come to.
    func enter(_ txn: TxnRequest) {
        let succeeded = finder.path[step]
        step += 1
        answer.write { $0.appendTxnSucceeded(succeeded) }
        frames.append(Frame(operations: succeeded ? txn.success : txn.failure))
    }
}

extension Store {
    /// Takes a write further. Nil where it is `paused`: `visits` ran out, or values are missing.
    mutating func goOn(
        _ run: WriteRun, header: ResponseHeader, _ lookup: inout ValueLookup, rows: inout [LogRow], visits: inout Int
    ) throws(EtcdError) -> WriteAnswer? {
        let rowsBefore = rows.count
        if rows.isEmpty { swap(&rows, &run.rows) } else { rows.append(contentsOf: run.rows) }
        if let txn = run.txn {
            if try advance(txn, of: run, header, &lookup, &rows, &visits) { return finish(txn, of: run, header) }
        } else if let revocation = run.revocation {
            if advance(revocation, of: run, &rows, &visits) { return finish(header) }
        } else if let deletion = run.deletion, advance(deletion, of: run, &lookup, &rows, &visits) {
            return finish(deletion, of: run, header)
        }
        run.rows = rowsBefore == 0 ? [] : Array(rows[rowsBefore...])
        if rowsBefore == 0 { swap(&rows, &run.rows) } else { rows.removeLast(run.rows.count) }
        paused = run
        return nil
    }

    // MARK: Revocation

    /// False where `visits` ran out.
    private mutating func advance(
        _ revocation: Revocation, of run: WriteRun, _ rows: inout [LogRow], _ visits: inout Int
    ) -> Bool {
        while visits > 0 {
            guard let key = revocation.nextKey() else {
                append(LogRow(position: nextSubPosition, kind: .revoke, lease: revocation.lease, origin: run.execution.origin), &rows)
                return true
            }
            visits -= deletionVisits
            append(LogRow(position: run.execution.nextPosition(), kind: .delete, key: key, origin: run.execution.origin), &rows)
        }
        return false
    }

    private func finish(_ header: ResponseHeader) -> WriteAnswer {
        var writer = ByteWriter(capacity: 96)
        writer.appendHeader(header, revision: tip.revision)
        return .complete(writer.finish())
    }

    // MARK: Deletion

    /// False where `visits` ran out.
    private mutating func advance(
        _ deletion: RangeDeletion, of run: WriteRun, _ lookup: inout ValueLookup, _ rows: inout [LogRow], _ visits: inout Int
    ) -> Bool {
        repeat {
            guard visits > 0 else { return false }
            let chunk = min(visits, deletedKeyLimit)
            var left = chunk
            var doomed: [(key: ByteString, version: KeyVersion)] = []
            deletion.nextKey = index.scan(deletion.range, at: KeyIndex.tipPosition, startingAt: deletion.nextKey, visits: &left) { view in
                doomed.append((view.key, view.version))
                return .goOn
            }
            visits -= chunk - left + (deletionVisits - 1) * doomed.count
            for (key, version) in doomed {
                deletion.note(key, version, &lookup)
                append(LogRow(position: run.execution.nextPosition(), kind: .delete, key: key, origin: run.execution.origin), &rows)
            }
        } while deletion.nextKey != nil
        return true
    }

    private func finish(_ deletion: RangeDeletion, of run: WriteRun, _ header: ResponseHeader) -> WriteAnswer {
        if let bytes = deletion.refusedBytes { return .refused(.messageTooLarge(bytes: bytes, limit: answerByteLimit)) }
        var writer = ByteWriter(capacity: 96 + deletion.previous.count)
        writer.appendHeader(header, revision: run.execution.current)
        writer.appendDeleted(deletion.count)
        deletion.previous.withUnsafeBytes { writer.append($0) }
        return .complete(writer.finish())
    }

    // MARK: Transaction

    /// False where `visits` ran out, or the branches can't be chosen without values that are missing.
    private mutating func advance(
        _ txn: TxnRun, of run: WriteRun, _ header: ResponseHeader, _ lookup: inout ValueLookup, _ rows: inout [LogRow],
        _ visits: inout Int
    ) throws(EtcdError) -> Bool {
        if !txn.isChosen {
            let isChosen = txn.finder.step(index, &lookup, visits: &visits)
            guard isChosen, !lookup.hasMissing else { return false }
            txn.isChosen = true
            var step = 0
            try check(txn.request, txn.finder.path, &step)
            // The header comes first but is known last.
            txn.headerAt = txn.answer.beginHeader(header, revision: run.execution.start + 1)
            txn.enter(txn.request)
        }
        if let deletion = run.deletion {
            guard advance(deletion, of: run, &lookup, &rows, &visits) else { return false }
            answer(deletion, of: run, txn)
        }
        while let frame = txn.frames.last {
            guard frame.next < frame.operations.count else {
                txn.frames.removeLast()
                // A nested one was an operation of the list around it.
                if !txn.frames.isEmpty { endResponse(txn) }
                continue
            }
            guard visits > 0 else { return false }
            visits -= 1
            txn.frames[txn.frames.count - 1].next += 1
            guard try execute(frame.operations[frame.next], txn, run, &lookup, &rows, &visits) else { return false }
        }
        return true
    }

    /// False where `visits` ran out in the middle of it.
    private mutating func execute(
        _ operation: RequestOp, _ txn: TxnRun, _ run: WriteRun, _ lookup: inout ValueLookup, _ rows: inout [LogRow],
        _ visits: inout Int
    ) throws(EtcdError) -> Bool {
        txn.answer.begin(3)
        switch operation {
        case .range(let request):
            txn.answer.begin(ResponseOpMember.range.rawValue)
            try answer(request, txn, run, &lookup, &visits)
            endResponse(txn)
        case .put(let put):
            txn.answer.begin(ResponseOpMember.put.rawValue)
            try txn.answer.write { (writer: inout ByteWriter) throws(EtcdError) in
                writer.appendNestedHeader(revision: run.execution.start + 1)
                try execute(put, &run.execution, &lookup, &rows, into: &writer)
            }
            endResponse(txn)
        case .deleteRange(let delete):
            let deletion = RangeDeletion(delete, byteLimit: txn.byteLimit - txn.answer.heldBytes)
            run.deletion = deletion
            guard advance(deletion, of: run, &lookup, &rows, &visits) else { return false }
            answer(deletion, of: run, txn)
        case .txn(let nested):
            txn.answer.begin(ResponseOpMember.txn.rawValue)
            txn.answer.write { $0.appendHeader(ResponseHeader()) }
            txn.enter(nested)
        case .empty:
            txn.answer.end()
        }
        return true
    }

    private func answer(
        _ request: RangeRequest, _ txn: TxnRun, _ run: WriteRun, _ lookup: inout ValueLookup, _ visits: inout Int
    ) throws(EtcdError) {
        let execution = run.execution
        let range = try RangeScan(
            request, current: execution.current, position: execution.lastPosition, compactRevision: compactRevision)
        txn.answer.write { $0.appendNestedHeader(revision: execution.current) }
        // What the transaction has changed is read as it was in the middle of its revision.
        txn.answer.hold(execution.start)
        let limit = min(visits, txn.rangeVisits)
        var left = limit
        txn.answer.write(range, index, &lookup, visits: &left)
        visits -= limit - left
        txn.rangeVisits -= limit - left
    }

    private func answer(_ deletion: RangeDeletion, of run: WriteRun, _ txn: TxnRun) {
        run.deletion = nil
        if let bytes = deletion.refusedBytes { return txn.answer.refuse(bytes: bytes) }
        txn.answer.begin(ResponseOpMember.deleteRange.rawValue)
        txn.answer.write { writer in
            writer.appendNestedHeader(revision: run.execution.current)
            writer.appendDeleted(deletion.count)
            deletion.previous.withUnsafeBytes { writer.append($0) }
        }
        endResponse(txn)
    }

    /// Ends a response, and the operation's message around it.
    private func endResponse(_ txn: TxnRun) {
        txn.answer.end()
        txn.answer.end()
    }

    private func finish(_ txn: TxnRun, of run: WriteRun, _ header: ResponseHeader) -> WriteAnswer {
        let execution = run.execution
        txn.answer.patchHeader(at: txn.headerAt, header, from: execution.start + 1, to: execution.current)
        if let refusal = txn.answer.refusal { return .refused(refusal) }
        return txn.answer.isUnfinished ? .unfinished(txn.answer) : .complete(txn.answer.finish())
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
}

/// A deletion costs as much as so many looks at keys.
private let deletionVisits = 4

/// How many keys are found before they are deleted.
private let deletedKeyLimit = 1_000

// Owns: an answer that is made in steps: what is encoded of it, and what is still to come.
//
// A transaction's answer nests: each response is a message inside another one, and their lengths come before them. So what can't be
// encoded at once (a range that looks at many keys) holds up all that comes after it: that is kept as parts, until `step` comes to it.
//
// Must never: look at more keys in a step than it was given visits for; keep an answer that has grown past `byteLimit`.
package import Bytes
package import EtcdAPI

package final class AnswerBuilder {
    private enum Part {
        case begin(field: Int)
        case end
        case bytes(ByteString)
        case range(RangeScan)
    }

    /// Nothing larger is answered, in bytes.
    private let byteLimit: Int
    private var writer: ByteWriter
    /// Where the bodies of the messages begin that are being written.
    private var open: [Int] = []
    private var parts: [Part] = []
    private var nextPart = 0
    /// Of what the parts hold.
    private var waitingBytes = 0
    /// The transaction whose branch is still to be chosen.
    private var txn: ReadTxn?
    /// The range that was come to, until it is done.
    private var scan: RangeScan?
    private var hasReserved = false
    /// How large the answer would have been when it was given up, in bytes.
    private var refusedBytes: Int?
    /// The oldest revision that what is still to come reads.
    package private(set) var oldestRevision = Revision.max

    init(byteLimit: Int, capacity: Int) {
        self.byteLimit = byteLimit
        writer = ByteWriter(capacity: capacity)
    }

    /// The answer to a range.
    package convenience init(_ scan: RangeScan, header: ResponseHeader, revision: Revision, byteLimit: Int) {
        self.init(byteLimit: byteLimit, capacity: 1_024)
        writer.appendHeader(header, revision: revision)
        oldestRevision = scan.revision
        self.scan = scan
    }

    /// The answer to a transaction of nothing but ranges.
    package convenience init(_ txn: ReadTxn, byteLimit: Int) {
        self.init(byteLimit: byteLimit, capacity: 256)
        oldestRevision = txn.oldestRevision
        self.txn = txn
    }

    /// Whether something is still to come.
    var isUnfinished: Bool { scan != nil || txn != nil || nextPart < parts.count }

    /// About what it keeps in memory, in bytes.
    package var heldBytes: Int { writer.count + waitingBytes + (scan?.heldBytes ?? 0) }

    /// Whether the branch of a transaction is still to be chosen: until then a step may have to be taken again, with all its values.
    package var isChoosing: Bool { txn != nil }

    /// Set where the answer is larger than any may be.
    var refusal: EtcdError? { refusedBytes.map { .messageTooLarge(bytes: $0, limit: byteLimit) } }

    // MARK: Writing

    func begin(_ field: Int) {
        guard refusedBytes == nil else { return }
        if isUnfinished { parts.append(.begin(field: field)) } else { open.append(writer.beginMessage(field)) }
    }

    /// Ends the message that was begun last.
    func end() {
        guard refusedBytes == nil else { return }
        if isUnfinished { parts.append(.end) } else { writer.endMessage(open.removeLast()) }
    }

    func write<E: Error>(_ body: (inout ByteWriter) throws(E) -> Void) throws(E) {
        if isUnfinished {
            var part = ByteWriter()
            try body(&part)
            waitingBytes += part.count
            parts.append(.bytes(part.finish()))
        } else {
            try body(&writer)
        }
        refuseIfTooLarge()
    }

    /// Answers a range: at once where that takes few `visits` and bytes, else when `step` comes to it.
    func write(_ range: consuming RangeScan, _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int) {
        guard refusedBytes == nil else { return }
        var range = range
        if isUnfinished {
            oldestRevision = min(oldestRevision, range.revision)
            parts.append(.range(range))
            return
        }
        let missing = lookup.missingCount
        if range.step(index, &lookup, visits: &visits, byteLimit: inlineByteLimit, into: &writer) { return }
        // Its values are fetched when it goes on.
        lookup.forgetMissing(after: missing)
        oldestRevision = min(oldestRevision, range.revision)
        scan = range
    }

    /// What is still to come reads `revision`, too.
    func hold(_ revision: Revision) { oldestRevision = min(oldestRevision, revision) }

    /// Starts a header whose revision may turn out to be one less. Give the result to `patchHeader`.
    func beginHeader(_ header: ResponseHeader, revision: Revision) -> Int {
        writer.appendPatchableHeader(header, revision: revision)
    }

    func patchHeader(at start: Int, _ header: ResponseHeader, from old: Revision, to new: Revision) {
        guard refusedBytes == nil else { return }
        let before = writer.count
        writer.patchHeader(at: start, header, from: old, to: new)
        for index in open.indices { open[index] += writer.count - before }
    }

    private func refuseIfTooLarge() {
        if heldBytes > byteLimit { refuse(bytes: heldBytes) }
    }

    /// Gives up an answer that would be larger than any may be.
    func refuse(bytes: Int) {
        guard refusedBytes == nil else { return }
        refusedBytes = bytes
        // It will never be sent, so nothing is kept.
        writer = ByteWriter()
        open = []
        parts = []
        nextPart = 0
        waitingBytes = 0
        scan = nil
    }

    // MARK: Going on

    /// Where a step ends.
    package enum Step: Hashable, Sendable {
        /// The answer is complete.
        case done
        /// The step's bounds are used up.
        case unfinished
        /// It goes on once these were fetched.
        case lacks([MissingValue])
        /// It goes on once what `takeSortJob` gives was sorted.
        case unsorted
    }

    /// Takes the answer further, within `visits` and about `stepBytes`. Throws where there is no answer.
    package func step(
        _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, stepBytes: Int
    ) throws(EtcdError) -> Step {
        if try goOn(index, &lookup, visits: &visits, stepBytes: stepBytes) { return .done }
        if lookup.hasMissing { return .lacks(lookup.takeMissing()) }
        return isUnsorted ? .unsorted : .unfinished
    }

    /// False where it goes on.
    private func goOn(
        _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, stepBytes: Int
    ) throws(EtcdError) -> Bool {
        let end = writer.count + stepBytes
        while true {
            refuseIfTooLarge()
            if let refusal { throw refusal }
            if txn != nil {
                guard try txn!.choose(index, &lookup, visits: &visits) else { return false }
                if let txn = txn.take() { try begin(txn) }
            }
            if scan != nil {
                guard scan!.step(index, &lookup, visits: &visits, byteLimit: end, into: &writer) else {
                    refuseIfTooLarge()
                    reserveRest()
                    return false
                }
                scan = nil
                continue
            }
            guard nextPart < parts.count else { return true }
            guard writer.count < end, visits > 0 else { return false }
            take(parts[nextPart])
            nextPart += 1
        }
    }

    private func take(_ part: Part) {
        switch part {
        case .begin(let field): open.append(writer.beginMessage(field))
        case .end: writer.endMessage(open.removeLast())
        case .bytes(let bytes):
            writer.append(bytes)
            waitingBytes -= bytes.count
        case .range(let range):
            scan = range
            hasReserved = false
        }
    }

    /// The branch is chosen: what it answers is still to come.
    private func begin(_ txn: ReadTxn) throws(EtcdError) {
        writer.appendHeader(txn.header, revision: txn.revision)
        writer.appendTxnSucceeded(txn.hasSucceeded)
        for case .range(let request) in txn.operations {
            parts.append(.begin(field: 3))
            parts.append(.begin(field: ResponseOpMember.range.rawValue))
            parts.append(.bytes(txn.nestedHeader))
            parts.append(.range(try RangeScan(request, current: txn.revision, compactRevision: txn.compactRevision)))
            parts.append(.end)
            parts.append(.end)
        }
        waitingBytes = txn.operations.count * txn.nestedHeader.count
    }

    /// Room for the keys that are still to come, if they are like those so far: a writer that grows by doubling would copy the
    /// whole answer once more.
    private func reserveRest() {
        guard !hasReserved, let scan, let keysLeft = scan.keysLeft, scan.keysFetched > 0, parts.isEmpty else { return }
        hasReserved = true
        let (rest, overflow) = (writer.count / scan.keysFetched + 1).multipliedReportingOverflow(by: keysLeft)
        if !overflow && rest <= reservedLimit { writer.reserve(rest + rest / 32) }
    }

    /// Whether something is to be sorted before it can go on.
    package var isUnsorted: Bool { scan?.mustBeSorted ?? false }

    /// What is to be sorted, where a step ended `unsorted`.
    package func takeSortJob(number: UInt64) -> SortJob? { scan?.takeSortJob(number: number) }

    /// The job is done.
    package func sorted(_ job: consuming SortJob) { scan?.sorted(job) }

    /// The answer; nothing is left afterwards.
    package func finish() -> ByteString {
        invariant(!isUnfinished && open.isEmpty && refusedBytes == nil, "an answer is finished before its end")
        var done = ByteWriter(capacity: 0)
        swap(&done, &writer)
        return done.finish()
    }
}

/// A range in a transaction that writes is answered with it while the answer is no longer than this, in bytes.
private let inlineByteLimit = 1 << 20

/// Beyond this a client could make us reserve what it will never be sent; in bytes.
private let reservedLimit = 256 << 20

// Owns: a transaction that holds nothing but ranges: which branch it takes, and whether what that asks for can be answered.
// Must never: see anything but the store at the revision at which it began.
internal import Bytes
package import EtcdAPI

/// A transaction that changes nothing, at one revision. Its ranges are answered by an `AnswerBuilder`.
package struct ReadTxn {
    let header: ResponseHeader
    package let revision: Revision
    let compactRevision: Revision
    private let txn: TxnRequest
    private var finder: PathFinder

    package init(_ txn: TxnRequest, header: ResponseHeader, revision: Revision, compactRevision: Revision) {
        self.txn = txn
        self.header = header
        self.revision = revision
        self.compactRevision = compactRevision
        finder = PathFinder(txn, at: Position(revision, .max))
    }

    /// The oldest revision that it may read.
    var oldestRevision: Revision {
        var oldest = revision
        for case .range(let request) in txn.success + txn.failure where request.revision > 0 {
            oldest = min(oldest, max(request.revision, compactRevision))
        }
        return oldest
    }

    /// True once the branch is known. False: `visits` ran out, or values are missing.
    mutating func choose(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int) throws(EtcdError) -> Bool {
        let before = finder
        let isChosen = finder.step(index, &lookup, visits: &visits)
        guard !lookup.hasMissing else {
            finder = before
            return false
        }
        guard isChosen else { return false }
        // Every range is checked before any is answered.
        for case .range(let request) in operations {
            if request.revision > revision { throw .futureRev }
            if request.revision != 0 && request.revision < compactRevision { throw .compacted }
        }
        return true
    }

    // Good once the branch is known:

    var hasSucceeded: Bool { finder.path[0] }
    var operations: [RequestOp] { hasSucceeded ? txn.success : txn.failure }

    /// The header of each response.
    var nestedHeader: ByteString {
        var writer = ByteWriter(capacity: 16)
        writer.appendNestedHeader(revision: revision)
        return writer.finish()
    }
}

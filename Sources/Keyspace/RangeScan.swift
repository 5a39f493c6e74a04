// Owns: the execution of one Range, in steps where it is long, encoding as it goes.
// Must never: hold a reference into the index between steps; it goes on by key, at the same revision.
// Source: server/etcdserver/txn/range.go of etcd, whose order of limit, sort and filters this keeps.
package import Bytes
package import EtcdAPI

/// A Range at one revision. Make it, `step` until it says that it is done; the response's fields after the header are
/// then in the writer. The caller keeps compaction away from `revision` in the meantime.
package struct RangeScan: Sendable {
    /// A key-value pair that waits for its place in a sorted or filtered answer.
    struct Found: Sendable {
        var key: ByteString
        var version: KeyVersion
    }

    private let request: RangeRequest
    private let range: KeyRange
    /// The revision that is read.
    package let revision: Revision
    /// How many keys are fetched before sorting and filtering: one more than the limit tells whether there is more.
    private let fetchLimit: Int
    /// Whether the keys that were fetched must be sorted or filtered before they are encoded.
    private let mustCollect: Bool
    private var nextKey: ByteString?
    private var seen = 0
    private var fetched = 0
    private var more = false
    /// Known at the first step where the revision is the newest; else every key must be looked at.
    private var count: Int?
    private var found: [Found] = []

    /// Throws etcd's compacted and future-revision errors. `current` is the newest revision that the reader may see.
    package init(_ request: RangeRequest, current: Revision, compactRevision: Revision) throws(EtcdError) {
        if request.revision > current { throw .futureRev }
        revision = request.revision <= 0 ? current : request.revision
        if revision < compactRevision { throw .compacted }
        self.request = request
        range = KeyRange(key: request.key, rangeEnd: request.rangeEnd)
        mustCollect = request.sortTarget != .key || request.sortOrder == .descend || request.hasRevisionFilters
        let limited = request.limit > 0 && request.hasDefaultOrder && !request.hasRevisionFilters
        fetchLimit = limited && request.limit < Int64.max ? Int(request.limit) + 1 : Int.max
    }

    /// Looks at up to `budget` keys, and stops once `writer` holds `byteLimit` bytes. True once the answer is complete: its
    /// kvs, more and count are in `writer`.
    package mutating func step(
        _ index: borrowing KeyIndex, budget: Int, byteLimit: Int = Int.max, into writer: inout ByteWriter
    ) -> Bool {
        if seen == 0, revision >= index.committed.revision { count = index.count(in: range, at: revision) }
        if !(request.countOnly && count != nil) {
            guard scan(index, budget: budget, byteLimit: byteLimit, into: &writer) else { return false }
        }
        if mustCollect { encodeFound(into: &writer) }
        writer.appendRangeTail(more: more, count: Int64(count ?? seen))
        return true
    }

    /// False where the budget ran out first.
    private mutating func scan(
        _ index: borrowing KeyIndex, budget: Int, byteLimit: Int, into writer: inout ByteWriter
    ) -> Bool {
        var enough = false
        let visibleLimit = request.limit > 0 ? Int(request.limit) : Int.max
        nextKey = index.scan(range, at: revision, startingAt: nextKey, visitLimit: budget) { view in
            seen += 1
            if request.countOnly { return .goOn }
            if fetched < fetchLimit {
                fetched += 1
                if mustCollect {
                    found.append(Found(key: view.key, version: view.version))
                } else if fetched <= visibleLimit {
                    append(view.key, view.version, into: &writer)
                } else {
                    more = true
                }
            }
            if fetched == fetchLimit && count != nil {
                enough = true
                return .stop
            }
            return writer.count < byteLimit ? .goOn : .stop
        }
        return enough || nextKey == nil
    }

    private mutating func encodeFound(into writer: inout ByteWriter) {
        if request.hasRevisionFilters { found = found.filter { passesFilters($0.version) } }
        sort(&found, by: request)
        if request.limit > 0, found.count > request.limit {
            found.removeLast(found.count - Int(request.limit))
            more = true
        }
        for pair in found { append(pair.key, pair.version, into: &writer) }
    }

    private func append(_ key: ByteString, _ version: borrowing KeyVersion, into writer: inout ByteWriter) {
        // etcd takes keys without values from its index, which doesn't know leases, unless it must sort by value.
        let withLease = !request.keysOnly || request.sortTarget == .value
        writer.appendKeyValue(
            2, key: key, createRevision: version.createRevision, modRevision: version.position.revision, version: version.version,
            value: request.keysOnly ? ByteString() : version.residentValue, lease: withLease ? version.lease : 0)
    }

    private func passesFilters(_ version: KeyVersion) -> Bool {
        let modRevision = version.position.revision
        if request.maxModRevision != 0 && modRevision > request.maxModRevision { return false }
        if request.minModRevision != 0 && modRevision < request.minModRevision { return false }
        if request.maxCreateRevision != 0 && version.createRevision > request.maxCreateRevision { return false }
        if request.minCreateRevision != 0 && version.createRevision < request.minCreateRevision { return false }
        return true
    }
}

/// Sorts as the request asks. An order of NONE on a target other than the key means ascending.
private func sort(_ found: inout [RangeScan.Found], by request: RangeRequest) {
    let descending = request.sortOrder == .descend
    switch request.sortTarget {
    case .key where !descending: break
    case .key: sort(&found, descending: descending) { $0.key < $1.key }
    case .version: sort(&found, descending: descending) { $0.version.version < $1.version.version }
    case .create: sort(&found, descending: descending) { $0.version.createRevision < $1.version.createRevision }
    case .mod: sort(&found, descending: descending) { $0.version.position.revision < $1.version.position.revision }
    default: sort(&found, descending: descending) { $0.version.residentValue < $1.version.residentValue }
    }
}

private func sort(
    _ found: inout [RangeScan.Found], descending: Bool, by precedes: (RangeScan.Found, RangeScan.Found) -> Bool
) {
    if descending {
        found.patternDefeatingSort { precedes($1, $0) }
    } else {
        found.patternDefeatingSort(by: precedes)
    }
}

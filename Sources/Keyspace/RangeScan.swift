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
    /// All is found; what is left is to sort, filter and encode it.
    private var isScanned = false

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

    /// How many keys are in the answer so far, and how many are still to come; nil where that isn't known beforehand.
    package var keysFetched: Int { fetched }
    package var keysLeft: Int? {
        guard !mustCollect, !request.countOnly, let count else { return nil }
        return max(min(count, fetchLimit) - fetched, 0)
    }

    /// Looks at up to `budget` keys, and stops once `writer` holds `byteLimit` bytes. True once the answer is complete: its
    /// kvs, more and count are in `writer`. Where `cold` has missing values afterwards, it goes on once these were fetched.
    package mutating func step(
        _ index: borrowing KeyIndex, _ cold: ColdValues, budget: Int, byteLimit: Int = Int.max, into writer: inout ByteWriter
    ) -> Bool {
        if !isScanned {
            if seen == 0, revision >= index.committed.revision { count = index.count(in: range, at: revision) }
            if !(request.countOnly && count != nil) {
                guard scan(index, cold, budget: budget, byteLimit: byteLimit, into: &writer) else { return false }
            }
            isScanned = true
        }
        if mustCollect {
            index.visits.add(found.count)
            guard encodeFound(cold, into: &writer) else { return false }
        }
        writer.appendRangeTail(more: more, count: Int64(count ?? seen))
        return true
    }

    /// False where the budget ran out first, or values are missing: then it goes on at the first key that lacks one, and looks
    /// ahead for what the next ones lack.
    private mutating func scan(
        _ index: borrowing KeyIndex, _ cold: ColdValues, budget: Int, byteLimit: Int, into writer: inout ByteWriter
    ) -> Bool {
        var enough = false
        let visibleLimit = request.limit > 0 ? Int(request.limit) : Int.max
        let showsValues = !request.countOnly && !request.keysOnly && !mustCollect
        let shownLimit = min(fetchLimit, visibleLimit)
        // Who does all in one step needs all values at once.
        let aheadLimit = budget == Int.max ? Int.max : lookaheadBytes
        var firstLacking: ByteString?
        var ahead = 0
        var lackingBytes = 0
        nextKey = index.scan(range, at: revision, startingAt: nextKey, visitLimit: budget) { view in
            if firstLacking == nil {
                if !showsValues || view.version.hasValue || fetched >= shownLimit || cold.has(view.version, key: view.key) {
                    return take(view, cold, &enough, visibleLimit, byteLimit, into: &writer)
                }
                firstLacking = view.key
                ahead = fetched
            } else {
                _ = cold.has(view.version, key: view.key)
            }
            ahead += 1
            lackingBytes += Int(view.version.valueLength)
            return ahead < shownLimit && lackingBytes < aheadLimit ? .goOn : .stop
        }
        if let firstLacking {
            nextKey = firstLacking
            return false
        }
        return enough || nextKey == nil
    }

    /// Takes a key into the answer.
    @inline(__always)
    private mutating func take(
        _ view: borrowing KeyView, _ cold: ColdValues, _ enough: inout Bool, _ visibleLimit: Int, _ byteLimit: Int,
        into writer: inout ByteWriter
    ) -> ScanStep {
        seen += 1
        if request.countOnly { return .goOn }
        if fetched < fetchLimit {
            fetched += 1
            if mustCollect {
                found.append(Found(key: view.key, version: view.version))
            } else if fetched <= visibleLimit {
                Self.append(view.key, view.version, cold, request, into: &writer)
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

    /// False where values are missing. Sorting and filtering again what is sorted and filtered changes nothing.
    private mutating func encodeFound(_ cold: ColdValues, into writer: inout ByteWriter) -> Bool {
        if request.hasRevisionFilters { found = found.filter { passesFilters($0.version) } }
        if request.sortTarget == .value, !takeValues(cold) { return false }
        sort(&found, by: request)
        if request.limit > 0, found.count > request.limit {
            found.removeLast(found.count - Int(request.limit))
            more = true
        }
        if !request.keysOnly, !takeValues(cold) { return false }
        for pair in found { Self.append(pair.key, pair.version, cold, request, into: &writer) }
        return true
    }

    /// Takes what was fetched for the pairs that lack their values. False where some still do.
    private mutating func takeValues(_ cold: ColdValues) -> Bool {
        for index in found.indices where !found[index].version.hasValue {
            guard cold.has(found[index].version, key: found[index].key) else { continue }
            if let value = cold.fetched[found[index].version.position] { found[index].version.keep(value) }
        }
        return !cold.hasMissing
    }

    /// Static: for a method the whole scan, which the walk over the keys changes, would be copied at each key.
    private static func append(
        _ key: ByteString, _ version: borrowing KeyVersion, _ cold: ColdValues, _ request: borrowing RangeRequest,
        into writer: inout ByteWriter
    ) {
        // etcd takes keys without values from its index, which doesn't know leases, unless it must sort by value.
        let withLease = !request.keysOnly || request.sortTarget == .value
        writer.appendKeyValue(
            2, key: key, createRevision: version.createRevision, modRevision: version.position.revision, version: version.version,
            value: request.keysOnly ? ByteString() : cold.value(of: version, key: key), lease: withLease ? version.lease : 0)
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

/// How much a scan looks ahead for missing values, in bytes, so that they are fetched together.
private let lookaheadBytes = 4 << 20

/// Sorts as the request asks. An order of NONE on a target other than the key means ascending.
private func sort(_ found: inout [RangeScan.Found], by request: RangeRequest) {
    let descending = request.sortOrder == .descend
    switch request.sortTarget {
    case .key where !descending: break
    case .key: sort(&found, descending: descending) { $0.key < $1.key }
    case .version: sort(&found, descending: descending) { $0.version.version < $1.version.version }
    case .create: sort(&found, descending: descending) { $0.version.createRevision < $1.version.createRevision }
    case .mod: sort(&found, descending: descending) { $0.version.position.revision < $1.version.position.revision }
    // All were taken before.
    default: sort(&found, descending: descending) { ($0.version.value ?? ByteString()) < ($1.version.value ?? ByteString()) }
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

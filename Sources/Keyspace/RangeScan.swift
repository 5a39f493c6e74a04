// Owns: the execution of one Range, in steps where it is long, encoding as it goes.
// Must never: hold a reference into the index between steps; it goes on by key, at the same position. Look at more keys in a step
// than it was given visits for.
//
//   scanning ──▶ done                                    keys in their own order are encoded as they are met
//       └──────▶ valuing ──▶ ordering ──▶ encoding ──▶ done
//                               └─ sorting ─┘            many are sorted elsewhere: `takeSortJob`, `sorted`
//
// Source: server/etcdserver/txn/range.go of etcd, whose order of limit, sort and filters this keeps.
package import Bytes
package import EtcdAPI

/// A Range at one position of the log. Make it, `step` until it says that it is done; the response's fields after the header are
/// then in the writer. The caller keeps compaction away from `revision` in the meantime.
package struct RangeScan: Sendable {
    /// A key-value pair that waits for its place in a sorted answer.
    struct Found: Sendable {
        var key: ByteString
        var version: KeyVersion
    }

    private enum Phase {
        case scanning
        /// All is found; values that are to be sorted by are still to be had.
        case valuing
        case ordering
        /// What was found is being sorted elsewhere.
        case sorting
        case encoding
    }

    private let request: RangeRequest
    private let range: KeyRange
    /// What is read: the store as it was after the row here.
    private let position: Position
    /// How many keys are fetched: one more than the limit tells whether there is more.
    private let fetchLimit: Int
    private let mustSort: Bool
    private var phase = Phase.scanning
    private var nextKey: ByteString?
    private var seen = 0
    private var fetched = 0
    private var more = false
    /// Known at the first step where the position is the newest; else every key must be looked at.
    private var count: Int?
    private var found: [Found] = []
    /// The first of `found` that is not valued, or not encoded, yet.
    private var nextFound = 0
    /// Values that `found` holds and memory would not, in bytes.
    private var valuedBytes = 0

    /// Throws etcd's compacted and future-revision errors. `current` is the newest revision that the reader may see.
    /// - Parameter position: within `current`, the last row that a reader of the newest state sees; all of them by default.
    package init(
        _ request: RangeRequest, current: Revision, position: Position? = nil, compactRevision: Revision
    ) throws(EtcdError) {
        if request.revision > current { throw .futureRev }
        let revision = request.revision <= 0 ? current : request.revision
        if revision < compactRevision { throw .compacted }
        self.request = request
        self.position = request.revision <= 0 ? position ?? Position(revision, .max) : Position(revision, .max)
        range = KeyRange(key: request.key, rangeEnd: request.rangeEnd)
        mustSort = request.sortTarget != .key || request.sortOrder == .descend
        // etcd fetches no more than the limit only where neither an order nor a filter needs all. Without an order it comes to the same.
        let limited = request.limit > 0 && (!mustSort || request.hasDefaultOrder && !request.hasRevisionFilters)
        fetchLimit = limited && request.limit < Int64.max ? Int(request.limit) + 1 : Int.max
    }

    /// The revision that is read.
    package var revision: Revision { position.revision }

    /// How many keys are in the answer so far, and how many are still to come; nil where that isn't known beforehand.
    package var keysFetched: Int { fetched }
    package var keysLeft: Int? {
        guard !mustSort, !request.hasRevisionFilters, !request.countOnly, let count else { return nil }
        return max(min(count, fetchLimit) - fetched, 0)
    }

    /// About what it keeps in memory beside the writer, in bytes.
    package var heldBytes: Int { found.count * MemoryLayout<Found>.stride + valuedBytes }

    /// Looks at up to `visits` keys, which is lessened by those, and stops once `writer` holds `byteLimit` bytes. True once the answer
    /// is complete: its kvs, more and count are in `writer`. False: it goes on, once values that are missing were fetched, or once what
    /// `takeSortJob` gives was sorted.
    package mutating func step(
        _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, byteLimit: Int = Int.max, into writer: inout ByteWriter
    ) -> Bool {
        if phase == .scanning {
            if seen == 0, index.countsQuickly(at: position) { count = index.count(in: range, at: position) }
            if !(request.countOnly && count != nil) {
                guard scan(index, &lookup, visits: &visits, byteLimit: byteLimit, into: &writer) else { return false }
            }
            guard mustSort else { return finish(into: &writer) }
            phase = request.sortTarget == .value ? .valuing : .ordering
        }
        if phase == .valuing {
            guard takeValues(&lookup, visits: &visits) else { return false }
            phase = .ordering
        }
        if phase == .ordering, !order() { return false }
        guard phase == .encoding, encodeFound(&lookup, visits: &visits, byteLimit: byteLimit, into: &writer) else { return false }
        return finish(into: &writer)
    }

    private func finish(into writer: inout ByteWriter) -> Bool {
        writer.appendRangeTail(more: more, count: Int64(count ?? seen))
        return true
    }

    // MARK: Scanning

    /// False where it was stopped first, or values are missing: then it goes on at the first key that lacks one, and looks ahead for what
    /// the next ones lack.
    private mutating func scan(
        _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, byteLimit: Int, into writer: inout ByteWriter
    ) -> Bool {
        guard visits > 0 else { return false }
        var enough = false
        let visibleLimit = request.limit > 0 ? Int(clamping: request.limit) : Int.max
        let showsValues = !request.countOnly && !request.keysOnly && !mustSort
        let shownLimit = min(fetchLimit, visibleLimit)
        let filters = request.hasRevisionFilters
        var firstLacking: ByteString?
        var ahead = 0
        var lackingBytes = 0
        nextKey = index.scan(range, at: position, startingAt: nextKey, visits: &visits) { view in
            if filters && !passesFilters(view.version) {
                if firstLacking == nil { seen += 1 }
                return .goOn
            }
            if firstLacking == nil {
                if !showsValues || view.version.hasValue || fetched >= shownLimit || lookup.has(view.version, key: view.key) {
                    return take(view, &lookup, &enough, visibleLimit, byteLimit, into: &writer)
                }
                firstLacking = view.key
                ahead = fetched
            } else {
                _ = lookup.has(view.version, key: view.key)
            }
            ahead += 1
            lackingBytes += Int(view.version.valueLength)
            return ahead < shownLimit && lackingBytes < lookaheadBytes ? .goOn : .stop
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
        _ view: borrowing KeyView, _ lookup: inout ValueLookup, _ enough: inout Bool, _ visibleLimit: Int, _ byteLimit: Int,
        into writer: inout ByteWriter
    ) -> ScanStep {
        seen += 1
        if request.countOnly { return .goOn }
        if fetched < fetchLimit {
            fetched += 1
            if mustSort {
                found.append(Found(key: view.key, version: view.version))
            } else if fetched <= visibleLimit {
                Self.append(view.key, view.version, &lookup, request, into: &writer)
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

    private func passesFilters(_ version: borrowing KeyVersion) -> Bool {
        let modRevision = version.position.revision
        if request.maxModRevision != 0 && modRevision > request.maxModRevision { return false }
        if request.minModRevision != 0 && modRevision < request.minModRevision { return false }
        if request.maxCreateRevision != 0 && version.createRevision > request.maxCreateRevision { return false }
        if request.minCreateRevision != 0 && version.createRevision < request.minCreateRevision { return false }
        return true
    }

    // MARK: Sorting

    /// Takes in the values that the log has, to sort by them. False where it goes on.
    private mutating func takeValues(_ lookup: inout ValueLookup, visits: inout Int) -> Bool {
        while nextFound < found.count {
            guard visits > 0 else { return false }
            visits -= 1
            if !found[nextFound].version.hasValue {
                guard canShow(nextFound, &lookup) else { return false }
                if let value = lookup.fetchedValue(at: found[nextFound].version.position) {
                    found[nextFound].version.keep(value)
                    valuedBytes += value.count
                }
            }
            nextFound += 1
        }
        nextFound = 0
        return true
    }

    /// False where there is so much to sort that it is done elsewhere.
    private mutating func order() -> Bool {
        if request.sortTarget == .key {
            // They were found in ascending order, and no two are equal.
            found.reverse()
        } else if found.count > inlineSortLimit {
            phase = .sorting
            return false
        } else {
            var job = SortJob(number: 0, found: [], request)
            swap(&job.found, &found)
            job.run()
            swap(&job.found, &found)
        }
        beginEncoding()
        return true
    }

    private mutating func beginEncoding() {
        if request.limit > 0, found.count > request.limit {
            found.removeLast(found.count - Int(request.limit))
            more = true
        }
        phase = .encoding
    }

    /// Whether what was found is to be sorted elsewhere before it can go on.
    package var mustBeSorted: Bool { phase == .sorting && !found.isEmpty }

    /// What is to be sorted, where it `mustBeSorted`. It goes on once that was handed to `sorted`.
    package mutating func takeSortJob(number: UInt64) -> SortJob {
        invariant(mustBeSorted, "nothing is to be sorted")
        var job = SortJob(number: number, found: [], request)
        swap(&job.found, &found)
        return job
    }

    /// The job is done.
    package mutating func sorted(_ job: consuming SortJob) {
        invariant(phase == .sorting && found.isEmpty, "a scan that does not wait for its keys to be sorted")
        found = job.found
        beginEncoding()
    }

    // MARK: Encoding

    /// False where it goes on.
    private mutating func encodeFound(
        _ lookup: inout ValueLookup, visits: inout Int, byteLimit: Int, into writer: inout ByteWriter
    ) -> Bool {
        while nextFound < found.count {
            guard visits > 0, writer.count < byteLimit, request.keysOnly || canShow(nextFound, &lookup) else { return false }
            visits -= 1
            Self.append(found[nextFound].key, found[nextFound].version, &lookup, request, into: &writer)
            nextFound += 1
        }
        found = []
        return true
    }

    /// Whether the value of the pair at `first` can be had; where it can't, notes what the next ones lack as well.
    private func canShow(_ first: Int, _ lookup: inout ValueLookup) -> Bool {
        if lookup.has(found[first].version, key: found[first].key) { return true }
        var lackingBytes = 0
        for pair in found[first...].dropFirst().prefix(lookaheadKeyLimit) where lackingBytes < lookaheadBytes {
            if !lookup.has(pair.version, key: pair.key) { lackingBytes += Int(pair.version.valueLength) }
        }
        return false
    }

    /// Static: for a method the whole scan, which the walk over the keys changes, would be copied at each key.
    private static func append(
        _ key: ByteString, _ version: borrowing KeyVersion, _ lookup: inout ValueLookup, _ request: borrowing RangeRequest,
        into writer: inout ByteWriter
    ) {
        // etcd takes keys without values from its index, which doesn't know leases, unless it must sort by value.
        let withLease = !request.keysOnly || request.sortTarget == .value
        writer.appendKeyValue(
            2, key: key, createRevision: version.createRevision, modRevision: version.position.revision, version: version.version,
            value: request.keysOnly ? ByteString() : lookup.value(of: version, key: key), lease: withLease ? version.lease : 0)
    }
}

/// How far a scan looks ahead for missing values, in bytes and in keys, so that they are fetched together.
private let lookaheadBytes = 4 << 20
private let lookaheadKeyLimit = 1_000

/// Up to so many keys are sorted in the step that finds the last of them.
private let inlineSortLimit = 1_000

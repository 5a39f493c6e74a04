// Owns: etcd's hash of all keys up to a revision (HashKV), computed from the index in steps.
// Must never: hold a reference into the index between steps; it goes on by key and position. Look at more in a step than it was given
// visits for.
//
//   gathering ──▶ merging ──▶ done
//
// etcd hashes its records in the order of their revisions; the index has them in the order of keys. A record's own checksum needs no
// order, and the checksum of all follows from theirs and their lengths: so records are gathered by key, as a position, a checksum and a
// length, in sorted runs, which are then merged. No value is looked at twice, and one that is not in memory only where its checksum is not
// known.
//
// Source: server/storage/mvcc/{hash,kvstore,key_index,kvstore_compaction}.go of etcd.
internal import Bytes
package import EtcdAPI
internal import HeapModule

/// The hash of the records up to a revision. Make it, `step` until that gives the hash. The caller keeps compaction away from
/// `pinnedRevision` in the meantime.
package struct HashScan: Sendable {
    /// A record of etcd's, without its bytes.
    private struct Record: Comparable, Sendable {
        var position: Position
        var checksum: UInt32
        /// In bytes.
        var count: UInt32

        static func < (a: Record, b: Record) -> Bool { a.position < b.position }
    }

    /// Sorted records, the first of which comes from run `run`.
    private struct Head: Comparable, Sendable {
        var position: Position
        var run: Int

        static func < (a: Head, b: Head) -> Bool { a.position < b.position }
    }

    /// The last revision that is hashed.
    package let revision: Revision
    /// The compaction that is assumed, -1 for none. Of the records up to it only those count that are alive at `revision`, if any key
    /// is; else those alive at the compaction.
    package let compactRevision: Revision
    /// Whether the hash is that of a compaction, for which a key that is deleted by its revision still counts as kept.
    private let isCompaction: Bool

    private var nextKey: ByteString? = ByteString()
    /// Of `nextKey`'s versions those up to here are done.
    private var donePosition: Position?
    /// Records that count in any case, and those that count where no key is kept.
    private var records: [Record] = []
    private var compactedRecords: [Record] = []
    private var hasKept = false
    private var encoder = RecordEncoder()
    /// Sorted, each; what is merged of one has been taken from its end.
    private var runs: [[Record]] = []
    private var compactedRuns: [[Record]] = []
    private var heads = Heap<Head>()
    private var hash = CRC32C(ByteString("key"))

    /// The hash as of `revision`, with all before `compactRevision` compacted.
    package init(revision: Revision, compactRevision: Revision) {
        self.init(revision: revision, compactRevision: compactRevision, isCompaction: false)
    }

    /// The hash that etcd remembers of a compaction: that of what there was before it deleted anything.
    package init(_ compaction: Compaction) {
        self.init(revision: compaction.revision, compactRevision: compaction.previous, isCompaction: true)
    }

    private init(revision: Revision, compactRevision: Revision, isCompaction: Bool) {
        self.revision = revision
        self.compactRevision = compactRevision
        self.isCompaction = isCompaction
    }

    /// What is alive here, and all that came later, must stay in the index.
    package var pinnedRevision: Revision { compactRevision }

    /// About what it keeps in memory, in bytes.
    package var heldBytes: Int {
        (records.capacity + compactedRecords.capacity + (runs.count + compactedRuns.count) * runLength) * MemoryLayout<Record>.stride
    }

    /// Where a step ends.
    package enum Step: Hashable, Sendable {
        case done(UInt32)
        /// The step's bound is used up.
        case unfinished
        /// It goes on once the checksums of these were noted.
        case lacks([MissingValue])
    }

    /// Takes the hash further, within `visits`, which is lessened by those.
    package mutating func step(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int) -> Step {
        if nextKey != nil {
            gather(index, &lookup, &visits)
            guard nextKey == nil else { return lookup.hasMissing ? .lacks(lookup.takeMissing()) : .unfinished }
            beginMerging()
        }
        while visits > 0, let head = heads.popMin() {
            visits -= 1
            let record = runs[head.run].removeLast()
            hash.append(CRC32C(value: record.checksum), count: Int(record.count))
            if let next = runs[head.run].last { heads.insert(Head(position: next.position, run: head.run)) } else { runs[head.run] = [] }
        }
        return heads.isEmpty ? .done(hash.value) : .unfinished
    }

    // MARK: Gathering

    private mutating func gather(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, _ visits: inout Int) {
        guard let start = nextKey else { return }
        // Where it goes on. Beyond a record that lacks its value the rest is looked at only to find out what else is lacking.
        var resume: (key: ByteString, done: Position?)?
        var lookahead = lookaheadLimit
        index.tree.walk(from: start, to: nil) { key in
            let done = key.keyBytes.elementsEqual(start) ? donePosition : nil
            var last = done
            for place in 0..<key.versionCount {
                let version = key.version(place)
                let position = version.pointee.position
                if let done, position <= done { continue }
                if position.revision > revision { break }
                guard visits > 0, resume == nil || lookahead > 0 else {
                    if resume == nil { resume = (key.key, last) }
                    return false
                }
                visits -= 1
                defer { last = position }
                let next = place + 1 < key.versionCount ? key.version(place + 1).pointee.position.revision : .max
                let isLast = next > revision
                let isDeleted = version.pointee.isTombstone
                if isLast, !isDeleted || isCompaction && position.revision == revision { hasKept = true }
                // Of what is compacted only that is there which was alive at the compaction.
                if position.revision <= compactRevision, isDeleted || next <= compactRevision { continue }
                guard let checksum = version.pointee.checksum ?? lookup.fetchedValue(at: position).map({ CRC32C($0) }) else {
                    _ = lookup.has(version.pointee, key: key.key)
                    lookahead = lookup.missingBytes < lookaheadBytes ? lookahead - 1 : 0
                    if resume == nil { resume = (key.key, last) }
                    continue
                }
                guard resume == nil else { continue }
                visits -= Int(version.pointee.valueLength) / visitBytes
                let (sum, count) = encoder.record(key.keyBytes, version.pointee, checksum)
                let record = Record(position: position, checksum: sum.value, count: UInt32(count))
                if position.revision > compactRevision || isLast { records.append(record) } else { compactedRecords.append(record) }
            }
            return true
        }
        (nextKey, donePosition) = (resume?.key, resume?.done)
        if records.count >= runLength { Self.endRun(&records, &runs) }
        if compactedRecords.count >= runLength { Self.endRun(&compactedRecords, &compactedRuns) }
    }

    private static func endRun(_ records: inout [Record], _ runs: inout [[Record]]) {
        guard !records.isEmpty else { return }
        records.sort(by: >)
        runs.append(records)
        records = []
    }

    private mutating func beginMerging() {
        Self.endRun(&records, &runs)
        Self.endRun(&compactedRecords, &compactedRuns)
        if !hasKept { runs += compactedRuns }
        compactedRuns = []
        heads = Heap(runs.enumerated().map { Head(position: $0.element[$0.element.count - 1].position, run: $0.offset) })
    }
}

/// Records that are sorted together: few enough for a step.
private let runLength = 8_192

/// A value counts as a visit more for each of these.
private let visitBytes = 4_096

/// How far a step looks ahead for missing values, in records and in bytes, so that they are fetched together.
private let lookaheadLimit = 1_000
private let lookaheadBytes = 4 << 20

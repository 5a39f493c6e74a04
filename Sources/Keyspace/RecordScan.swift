// Owns: the records that etcd would hold at a revision, in the order of their revisions: first their sizes alone, then their bytes.
// Must never: hold a reference to the index's versions between steps; look at more in a step than it was given visits for.
//
//   measuring ──▶ merging ──▶ collecting ⇄ reading ──▶ done
//
// The index has its keys in order, and etcd its records by revision. A first walk gathers each record's position and size, 16 bytes, which
// merged give all sizes in order. Then the records are read in windows of positions: one walk for each finds its keys, which share the
// index's memory.
//
// Source: server/storage/mvcc/{revision,kvstore_txn,key_index}.go of etcd.
package import Bytes
package import EtcdAPI

/// Make it, `measure` until that is done, then `read` until that is. The caller keeps compaction away from `pinnedRevision` meanwhile.
package struct RecordScan: Sendable {
    private struct Measure: Comparable, Sendable {
        var position: Position
        /// Of the record's value in bytes, doubled, and 1 more for a deletion.
        var size: UInt32

        static func < (a: Measure, b: Measure) -> Bool { a.position < b.position }
    }

    private struct Place: Comparable, Sendable {
        var position: Position
        var isTombstone: Bool
        var key: ByteString

        static func < (a: Place, b: Place) -> Bool { a.position < b.position }
    }

    /// Where a walk goes on: at the key, after its version at the position.
    private struct Resumption: Sendable {
        var key = ByteString()
        var done: Position?
    }

    /// Where a step of reading ends.
    package enum Step: Sendable {
        case done
        /// The step's bound is used up.
        case unfinished
        /// It goes on once it has these.
        case lacks([MissingValue])
        /// A record that was measured is gone: compaction has overtaken the scan.
        case overtaken
    }

    package let revision: Revision
    package let compactRevision: Revision
    private let windowLength: Int

    private var walk: Resumption? = Resumption()
    private var measures = SortedRuns<Measure>()
    private var measuredCount = 0
    /// The last position of each window, descending.
    private var windows: [Position] = []
    private var last = Position(0, 0)

    private var low = Position(0, -1)
    private var places = SortedRuns<Place>()
    private var isCollected = false
    /// Taken, and to be read next.
    private var batch: [Place] = []

    /// - Parameter windowLength: how many records are looked for in one walk at the least.
    package init(revision: Revision, compactRevision: Revision, windowLength: Int = 262_144) {
        self.revision = revision
        self.compactRevision = compactRevision
        self.windowLength = windowLength
    }

    /// What is alive here, and all that came later, must stay in the index.
    package var pinnedRevision: Revision { compactRevision }

    // MARK: Sizes

    /// Goes on measuring; `body` hears the sizes of each record's name and value, in order. True once that is all.
    package mutating func measure(
        _ index: borrowing KeyIndex, visits: inout Int, _ body: (_ nameSize: Int, _ valueSize: Int) -> Void
    ) -> Bool {
        if walk != nil {
            var measures = SortedRuns<Measure>()
            swap(&measures, &self.measures)
            visitRecords(index, after: Position(0, -1), through: Position(revision, .max), &visits) { key, version in
                let size = RecordCoding.valueSize(keyCount: key.keyCount, version)
                measures.add(Measure(position: version.position, size: UInt32(size) << 1 | (version.isTombstone ? 1 : 0)))
            }
            swap(&measures, &self.measures)
            guard walk == nil else { return false }
            self.measures.beginMerging()
            measuredCount = self.measures.count
        }
        let window = max(windowLength, measuredCount / windowLimit)
        while visits > 0, let next = measures.popMin() {
            visits -= 1
            body(RecordCoding.nameSize(isTombstone: next.size & 1 == 1), Int(next.size >> 1))
            last = next.position
            if (measuredCount - measures.count) % window == 0 { windows.append(last) }
        }
        guard measures.count == 0 else { return false }
        if measuredCount > 0, windows.last != last { windows.append(last) }
        windows.reverse()
        measures = SortedRuns()
        walk = Resumption()
        return true
    }

    // MARK: Bytes

    /// Goes on reading, about `byteLimit` bytes of values at the most; `body` gets each record, in order.
    package mutating func read(
        _ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, byteLimit: Int,
        _ body: (_ name: ByteString, _ value: ByteString) -> Void
    ) -> Step {
        var bytesLeft = byteLimit
        while visits > 0, bytesLeft > 0 {
            if batch.isEmpty {
                guard let window = windows.last else { return .done }
                guard isCollected || collect(index, through: window, &visits) else { return .unfinished }
                takeBatch()
                if batch.isEmpty {
                    low = window
                    windows.removeLast()
                    isCollected = false
                    walk = Resumption()
                    continue
                }
            }
            var versions: [KeyVersion?] = []
            var byteCount = 0
            for place in batch where byteCount < batchByteLimit {
                let version = place.isTombstone ? nil : index.version(of: place.key, at: place.position)
                if !place.isTombstone {
                    guard let version, version.position == place.position else { return .overtaken }
                    _ = lookup.has(version, key: place.key)
                    byteCount += Int(version.valueLength)
                }
                versions.append(version)
            }
            if lookup.hasMissing { return .lacks(lookup.takeMissing()) }
            for (place, version) in zip(batch, versions) {
                let value = version.map { lookup.value(of: $0, key: place.key) } ?? ByteString()
                body(
                    RecordCoding.name(place.position, isTombstone: place.isTombstone), RecordCoding.value(place.key, version, value))
                bytesLeft -= value.count + place.key.count + 64
            }
            visits -= versions.count
            batch.removeFirst(versions.count)
        }
        return .unfinished
    }

    private mutating func collect(_ index: borrowing KeyIndex, through window: Position, _ visits: inout Int) -> Bool {
        var places = SortedRuns<Place>()
        swap(&places, &self.places)
        visitRecords(index, after: low, through: window, &visits) { key, version in
            places.add(Place(position: version.position, isTombstone: version.isTombstone, key: key.key))
        }
        swap(&places, &self.places)
        guard walk == nil else { return false }
        self.places.beginMerging()
        isCollected = true
        return true
    }

    private mutating func takeBatch() {
        while batch.count < batchLimit, let place = places.popMin() { batch.append(place) }
    }

    // MARK: The index

    /// Goes on with the walk over all records after `low` up to `high`; `walk` is nil at its end.
    private mutating func visitRecords(
        _ index: borrowing KeyIndex, after low: Position, through high: Position, _ visits: inout Int,
        _ body: (KeyRecord, borrowing KeyVersion) -> Void
    ) {
        guard let start = walk else { return }
        var resume: Resumption?
        index.tree.walk(from: start.key, to: nil) { key in
            guard visits > 0 else {
                resume = Resumption(key: key.key)
                return false
            }
            visits -= 1
            // Where the newest version is too old, so are all: most keys of most windows.
            if key.newest.pointee.position <= low { return true }
            var done = start.done == nil || !key.keyBytes.elementsEqual(start.key) ? nil : start.done
            for place in 0..<key.versionCount {
                let version = key.version(place)
                let position = version.pointee.position
                if position > high { break }
                if position <= low { continue }
                if let done, position <= done { continue }
                guard visits > 0 else {
                    resume = Resumption(key: key.key, done: done)
                    return false
                }
                visits -= 1
                done = position
                if position.revision <= compactRevision {
                    // Of what is compacted only that is there which was alive at the compaction.
                    let next = place + 1 < key.versionCount ? key.version(place + 1).pointee.position.revision : .max
                    if version.pointee.isTombstone || next <= compactRevision { continue }
                }
                body(key, version.pointee)
            }
            return true
        }
        walk = resume
    }
}

/// How many walks there are at the most.
private let windowLimit = 16

/// How many records are read at once, and their missing values fetched together.
private let batchLimit = 256

/// And about how many bytes of values.
private let batchByteLimit = 1 << 20

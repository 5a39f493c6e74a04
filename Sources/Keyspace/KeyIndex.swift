// Owns: every key with its versions since compaction, the journal of rows that are not committed yet, and the queue of
// versions that compaction may drop.
// Must never: do I/O, look at a clock, or be touched by two threads at once. Reads never see rows after the committed
// position unless they ask for the tip.
// Invariants (see `invariants()`):
// - Positions only grow: committed <= tip; every version's position is <= tip; a key's versions ascend.
// - The journal holds exactly the put and delete rows after `committed`, in order. Undoing them from its end restores what was.
// - The tree's living keys are those whose newest version at the committed position is not a tombstone.
// - `superseded` holds, in order, each committed row that made something dead (its predecessor, or itself, if it is a
//   tombstone) that `collect` has not looked at yet. `kept` comes before it: those of which a compaction has left something for a later
//   one, as it was too new.
//
// An example. Key `a` is put at 5, put at 7, deleted at 9. Its entry holds [5, 7, 9x]; `superseded` holds 7 and 9.
// Compacting to 7 and collecting drops 5; compacting to 9 drops 7,
// compacting to 11 drops 9x, and with it the key.
internal import Bytes
package import EtcdAPI

/// The index of all keys: etcd's MVCC in memory. Written at its tip only, read at any revision since the last compaction.
///
/// Rows beyond the committed position are speculative: they are applied at once, where no reader looks, and become visible by
/// `commit` or vanish by `rollBack`.
package struct KeyIndex: ~Copyable {
    /// A row that may still be undone.
    struct JournalRow {
        var record: KeyRecord
        var position: Position
        /// By how much the row changed the number of living keys: -1, 0 or 1.
        var lifeChange: Int8
        /// The row makes its predecessor dead, or itself.
        var supersedes: Bool
    }

    /// A committed row that made its predecessor dead, or itself.
    struct SupersedingRow {
        var record: KeyRecord
        var position: Position
    }

    var tree: KeyTree
    var journal = ChunkedQueue<JournalRow>()
    var superseded = ChunkedQueue<SupersedingRow>()
    var kept = ChunkedQueue<SupersedingRow>()
    /// The compaction for which a pass over `kept` is under way, what that has left of it so far, and whether it has met a row that has
    /// to wait for a reader.
    var keptPass: Revision?
    var keptLater = ChunkedQueue<SupersedingRow>()
    var keptWaits = false
    /// The bounds of the last pass that ended with rows that wait for a reader.
    var keptPinned: (compacted: Revision, last: Revision)?
    /// Whether the last `collect` has stopped at its bounds.
    package internal(set) var isCollectCut = false
    /// How far `collect` has come.
    var swept = Sweep.nothing
    /// The position of the last row applied, of whatever kind.
    package private(set) var tip = Position.start
    /// Up to here rows are durable and visible to readers.
    package private(set) var committed = Position.start
    /// Readers never ask below this revision. 0 where nothing was compacted.
    package internal(set) var compactRevision: Revision = 0
    /// Versions of all keys, tombstones and speculative ones included.
    package internal(set) var versionCount = 0
    /// Bytes of all keys, dead ones that are not collected yet included.
    package internal(set) var keyBytes = 0
    /// Bytes of all values that are in memory.
    package internal(set) var valueBytes = 0
    /// Bytes of keys and values of all versions, as their rows hold them.
    package internal(set) var rowBytes = 0
    var historyBytes = 0
    /// Keys that scans and sorts have looked at, in all: what a turn costs in the simulator.
    package var visitedKeys: UInt64 { visits.count }
    let visits = KeyVisits()

    /// What values may take in memory, in bytes.
    package var valueByteLimit = Int.max
    /// Whether values have places in the clock.
    var clockRuns = false
    var clock = ChunkedQueue<CachedValue>()
    /// Values that had to go.
    package internal(set) var evictions: UInt64 = 0

    package init() { self.init(leafLimit: 64, innerLimit: 64) }

    /// The fan-outs are for tests: small ones make small trees high.
    init(leafLimit: Int, innerLimit: Int) {
        tree = KeyTree(leafLimit: leafLimit, innerLimit: innerLimit)
    }

    deinit { releasePlaces() }

    // MARK: Writing

    /// Folds a row in at the tip, after all rows before it. Rows that touch no key only move the tip.
    /// A delete of a key that is not alive is recorded and changes nothing else.
    /// - Parameter coldBytes: the length of the row's value where that was left in the log.
    /// - Returns: the lease that the key was attached to before, or 0.
    @discardableResult
    package mutating func apply(_ row: LogRow, coldBytes: Int? = nil) -> LeaseID {
        invariant(row.position > tip, "row \(row.position) comes after \(tip)")
        tip = row.position
        switch row.kind {
        case .put, .delete: break
        case .grant, .revoke, .compact, .alarm, .digestKey, .user, .role, .authState: return 0
        }
        var version = KeyVersion(row)
        if let coldBytes, row.kind == .put { version.leaveInLog(byteCount: coldBytes) }
        let valueCount = version.residentLength
        valueBytes += valueCount
        rowBytes += row.key.count + Int(version.valueLength)
        versionCount += 1
        let isLive = !version.isTombstone
        let place = tree.locate(row.key)
        let record: KeyRecord
        var leaseBefore: LeaseID = 0
        if let known = place.record {
            record = known
            let wasLive = !record.newest.pointee.isTombstone
            leaseBefore = record.newest.pointee.lease
            push(version, on: record)
            journal.append(
                JournalRow(
                    record: record, position: row.position, lifeChange: isLive == wasLive ? 0 : isLive ? 1 : -1, supersedes: true)
            )
        } else {
            record = KeyRecord(row.key, version)
            keyBytes += row.key.count
            tree.insert(record, at: place)
            journal.append(
                JournalRow(record: record, position: row.position, lifeChange: isLive ? 1 : 0, supersedes: !isLive))
        }
        noteValue(record, row.position, valueCount)
        return leaseBefore
    }

    /// Makes all rows up to `position` visible. They can't be undone any more.
    package mutating func commit(through position: Position) {
        invariant(position >= committed && position <= tip, "commit through \(position) between \(committed) and \(tip)")
        committed = position
        while let row = journal.first, row.position <= position {
            if row.lifeChange != 0 { tree.setLive(row.record, row.lifeChange > 0) }
            if row.supersedes { superseded.append(SupersedingRow(record: row.record, position: row.position)) }
            journal.removeFirst()
        }
        makeRoom()
    }

    /// Undoes all rows after `position`, which must not be committed.
    package mutating func rollBack(after position: Position) {
        invariant(position >= committed, "roll back to \(position) before \(committed)")
        while let row = journal.last, row.position > position {
            let record = row.record
            invariant(record.newest.pointee.position == row.position, "a row to undo is not its key's newest")
            versionCount -= 1
            valueBytes -= record.newest.pointee.residentLength
            rowBytes -= record.keyCount + Int(record.newest.pointee.valueLength)
            if !pop(record) {
                keyBytes -= record.keyCount
                tree.remove(record)
            }
            journal.removeLast()
        }
        tip = min(tip, position)
    }

    private mutating func push(_ version: consuming KeyVersion, on record: KeyRecord) {
        let newest = record.newest.move()
        record.newest.initialize(to: version)
        let history: KeyHistory
        if let older = record.older {
            historyBytes -= older.allocatedBytes
            history = older.appending(newest)
        } else {
            history = KeyHistory(newest)
        }
        historyBytes += history.allocatedBytes
        record.older = history
    }

    /// Takes off the newest version. False, and nothing done, where it is the only one.
    private mutating func pop(_ record: KeyRecord) -> Bool {
        guard let older = record.older else { return false }
        historyBytes -= older.allocatedBytes
        let rest = older.movingNewest(to: record.newest)
        record.older = rest
        historyBytes += rest?.allocatedBytes ?? 0
        return true
    }

    // MARK: Accounting

    /// Keys in memory, dead ones that are not collected yet and speculative ones included.
    package var keyCount: Int { tree.count }

    /// Keys alive at the committed position.
    package var liveCount: Int { tree.liveCount }

    /// Rows applied and not committed.
    package var speculativeCount: Int { journal.count }

    /// Rows whose dead versions `collect` has not dropped yet, whether compacted or not.
    package var supersededCount: Int { superseded.count + kept.count + keptLater.count }

    /// What the index costs beside the bytes of keys and values: nodes, older versions, queues, and the headers of the
    /// allocations that hold keys and values, estimated.
    package var overheadBytes: Int {
        // A value's object header, its capacity, the allocator's own word, and half of its rounding.
        let storageBytes = 40
        return tree.allocatedBytes + historyBytes + journal.allocatedBytes + superseded.allocatedBytes + kept.allocatedBytes
            + keptLater.allocatedBytes
            + clock.allocatedBytes
            + KeyRecord.overheadBytes * keyCount + storageBytes * versionCount
    }
}

// The index owns its nodes alone and can't be copied, so it may be handed to another thread. One at a time uses it: reading marks values as read.
extension KeyIndex: @unchecked Sendable {}

/// A count that grows while the index is only read.
final class KeyVisits {
    fileprivate(set) var count: UInt64 = 0

    func add(_ keys: Int) { count &+= UInt64(keys) }
}

// Owns: what the log's tables hold, but for the leases' deadlines and the duty: rows, the head row, what was deleted.
// Must never: do anything that the statements of Changelog don't: see LogStatements there.
package import Bytes
internal import EtcdAPI
package import Keyspace
internal import Replica

/// What a database holds. A value, so that a copy is a standby or a backup.
package struct LogTables {
    package private(set) var head = Head(clusterID: 7, position: .start, digest: .start, epoch: 0, compactRevision: -1)
    /// In position order.
    package private(set) var rows: [LogRow] = []
    /// What rows are hashed under; nil for a log that was made without a key.
    package private(set) var key: DigestKey?
    /// The sums of the hashes of the rows that were appended, and of those that were deleted.
    private var appendedSum = RowHash.zero
    private var deletedSum = RowHash.zero
    package private(set) var deleted = SweepState.start
    package var leases = LeaseTables()

    /// `key`: of a log that had one from the start. `keyOrigin`: the process that made it.
    package init(key: DigestKey? = nil, keyOrigin: Int64 = 1) {
        self.key = key
        guard let row = key?.row(at: Position(0, 0), origin: keyOrigin) else { return }
        rows = [row]
        head.digest = head.digest.appending(row)
    }

    /// Whether the rows are those that were appended and not deleted, as far as their hashes tell.
    package var isWell: Bool {
        guard let key, let keyRow = rows.firstIndex(where: { $0.kind == .digestKey }) else { return self.key == nil }
        let hashed = rows[(keyRow + 1)...]
        return hashed.allSatisfy { key.hash($0) == $0.hash } && hashed.reduce(.zero) { $0 + $1.hash } == appendedSum - deletedSum
    }

    // MARK: Appending

    /// The compare-and-swap. The epoch stays.
    mutating func append(_ batch: AppendBatch) -> Bool {
        guard batch.expectedDigest == head.digest, batch.expectedEpoch == head.epoch else { return false }
        rows.append(contentsOf: batch.rows)
        for row in batch.rows where row.hash.isKnown { appendedSum = appendedSum + row.hash }
        head.position = batch.newHead.position
        head.digest = batch.newHead.digest
        head.compactRevision = batch.newHead.compactRevision
        return true
    }

    mutating func raiseEpoch() { head.epoch += 1 }

    /// Appends rows that come from nobody. Calls `passed` with each position and the digest there; gives the rows with their hashes.
    mutating func fill(_ rows: [LogRow], _ passed: (Position, Digest) -> Void) -> [LogRow] {
        var filled: [LogRow] = []
        for var row in rows {
            row.hash = head.digest.append(row, &key)
            if row.hash.isKnown { appendedSum = appendedSum + row.hash }
            head.position = row.position
            passed(row.position, head.digest)
            filled.append(row)
        }
        self.rows += filled
        return filled
    }

    /// As `pine migrate --key-digest` gives a log its key while it is at work: the row that does.
    mutating func give(_ new: DigestKey) -> LogRow {
        let row = new.row(at: Position(head.position.revision, head.position.sub + 1), origin: 1)
        rows.append(row)
        head.position = row.position
        head.digest = head.digest.appending(row)
        key = new
        return row
    }

    // MARK: Reading

    /// Where the first row after `position` is.
    private func index(after position: Position) -> Int {
        rows.indices.partitioningIndex { rows[$0].position > position }
    }

    /// Up to `limit` rows after `position` and the head. A further row comes only while those before it stay under the byte limit, of what
    /// they take on the wire.
    package func tail(after position: Position, limit: Int = .max, byteLimit: Int = .max) -> Tail {
        let start = index(after: position)
        var end = limit < rows.count - start ? start + limit : rows.count
        if byteLimit < .max {
            var bytes = 0
            end =
                rows[start..<end].firstIndex { row in
                    defer { bytes += row.wireBytes }
                    return bytes >= byteLimit
                } ?? end
        }
        // Hashes are read with the whole log only.
        let found = rows[start..<end].map { row in
            var row = row
            row.hash = .unknown
            return row
        }
        return Tail(head: head, rows: found, reachesHead: end == rows.count)
    }

    /// The values of those rows that are there.
    package func values(at positions: [Position]) -> [Position: ByteString] {
        var values: [Position: ByteString] = [:]
        for position in positions {
            let index = index(after: position) - 1
            if index >= 0, rows[index].position == position { values[position] = rows[index].value }
        }
        return values
    }

    // MARK: Deleting

    enum DeletionOutcome {
        /// The rows that were there.
        case deleted([LogRow])
        /// The log has lost deletions, or the compaction that they are about.
        case lost
        case othersDuty
        case nobodysDuty
    }

    /// Deletes what `order` names, and says so. PostgreSQL is asked up to three times for this; what it says in between counts only where
    /// nobody has deleted meanwhile.
    mutating func delete(_ order: Deletion, at nowMs: Int64) -> DeletionOutcome {
        let before = deleted
        let new = order.digest?.appending(deleted: order.positions)
        let isKnown = before.digest == order.digest || before.digest == new || before.swept.covers(order.after)
        let isCompacted = head.isCompacted(to: order.compactRevision)
        guard isKnown, isCompacted, leases.isSteward(order.holder, at: nowMs) else {
            if leases.isDutyOfAnother(than: order.holder, at: nowMs) { return .othersDuty }
            return isKnown && isCompacted ? .nobodysDuty : .lost
        }
        let removed = remove(order.positions)
        for row in removed where row.hash.isKnown { deletedSum = deletedSum + row.hash }
        deleted.swept.advance(to: order.swept)
        deleted.begun = max(before.begun, order.compactRevision)
        if before.digest == order.digest || before.digest != new {
            deleted.digest = before.digest.appending(deleted: order.positions)
        }
        return .deleted(removed)
    }

    private mutating func remove(_ positions: [Position]) -> [LogRow] {
        var removed: [LogRow] = []
        for position in positions {
            let index = index(after: position) - 1
            if index >= 0, rows[index].position == position { removed.append(rows.remove(at: index)) }
        }
        return removed
    }

    /// Whether something that `row` ended is there without it, and so would live again for whoever loads these rows.
    func isRevived(without row: LogRow) -> Bool {
        let earlier = rows[..<index(after: row.position)]
        return switch row.kind {
        case .delete: earlier.contains { $0.kind == .put && $0.key == row.key }
        case .revoke: earlier.contains { $0.kind == .grant && $0.lease == row.lease }
        default: false
        }
    }

    // MARK: Losing

    /// What a standby holds that lacks the last rows of those in `archive`, which are all there ever were. It has heard of the head's epoch
    /// and compaction, and of every deletion.
    mutating func lose(last count: Int, of archive: inout [LogRow]) {
        rows.removeLast(count)
        archive.removeLast(count)
        head.position = max(.start, archive.last?.position ?? .start)
        (head.digest, key) = (.start, nil)
        appendedSum = .zero
        for row in archive {
            let hash = head.digest.append(row, &key)
            if hash.isKnown, row.kind != .digestKey { appendedSum = appendedSum + hash }
        }
    }

    /// What a standby holds that has heard of no deletion.
    mutating func loseDeletions(of archive: [LogRow]) {
        rows = archive
        deletedSum = .zero
        deleted = .start
    }

    /// Takes the newest row away, as a careless hand would.
    mutating func damage() -> LogRow { rows.removeLast() }

    /// Puts it back.
    mutating func mend(_ row: LogRow) { rows.append(row) }
}

extension LogRow {
    /// Nine columns in binary arrays: numbers, and a length before each element.
    package static let fixedWireBytes = 82

    package var wireBytes: Int { Self.fixedWireBytes + key.count + value.count }
}

// Owns: whether the rows of a log that has a key are those that were appended and not deleted: each has the hash that was stored with it,
// and all together have the sum that the tables `head` and `sweep` tell.
// Must never: take a row for altered whose value it has not seen, or a sum for wrong that is not of the rows' own snapshot.
internal import EtcdAPI
package import Keyspace
internal import Logging

/// A pass over all rows in position order.
struct RowCheck {
    private var key: DigestKey?
    private var sum = RowHash.zero
    private(set) var finding = RowFinding()

    /// Takes the next row, with the hash that was stored with it: unknown for a row from before the key.
    mutating func pass(_ row: LogRow, hasValue: Bool = true) {
        defer { if row.kind == .digestKey { key = DigestKey(row) } }
        guard let key else { return }
        add(row.hash)
        guard hasValue, key.hash(row) != row.hash else { return }
        finding.alteredCount += 1
        if finding.altered.count < namedRowLimit { finding.altered.append(row.position) }
    }

    /// Takes a row's stored hash alone.
    mutating func add(_ hash: RowHash) { if hash.isKnown { sum = sum + hash } }

    /// Compares the rows, which were all, with the sums of their own snapshot.
    mutating func compare(_ sums: RowSums) { finding.isIncomplete = sums.appended - sums.deleted != sum }

    /// Whether the row with the key was among those that came.
    var hasKey: Bool { key != nil }
}

/// The sums of the hashes of all rows ever appended, and of those deleted.
struct RowSums {
    var appended: RowHash
    var deleted: RowHash
}

/// What a check of the log's rows has found.
package struct RowFinding: Hashable, Sendable {
    /// The first of the rows that are not what was appended at their positions.
    package var altered: [Position] = []
    package var alteredCount = 0
    /// Whether rows are missing, or some are there that nobody appended.
    package var isIncomplete = false

    package var isWell: Bool { alteredCount == 0 && !isIncomplete }

    /// Tells the operator, where something is wrong.
    func tell(_ logger: Logger) {
        guard !isWell else { return }
        logger.error(
            "the log's rows are not those that were written: the tables were changed by other hands or are damaged",
            metadata: [
                "altered_rows": "\(alteredCount)", "first_altered": "\(altered.map { "\($0.revision).\($0.sub)" }.joined(separator: ","))",
                "rows_missing_or_added": "\(isIncomplete)",
            ])
    }
}

extension LogSession {
    /// Compares the sum of the hashes of all rows with what the tables say it is, in one snapshot, without reading values. nil where the
    /// store has no key, or the caller stops it: `goesOn` is asked after each chunk.
    func checkSums(_ goesOn: () -> Bool) throws(LogError) -> RowFinding? {
        let limits = settings.limits
        return try finishingTransaction { () throws(LogError) in
            _ = try connection.run(LogStatements.beginSnapshot, within: limits.readLimit)
            var check = RowCheck()
            let sums = try readRowSums()
            var after: Position? = sums == nil ? nil : Position(0, -1)
            while let position = after {
                let rows = try connection.run(
                    statements.readHashes(limit: limits.loadRowLimit), .position(position), within: limits.readLimit)
                for row in 0..<rows.rowCount { check.add(try rows.rowHash(row, 2)) }
                let last = rows.rowCount - 1
                after = rows.rowCount == limits.loadRowLimit ? Position(try rows.integer(last, 0), try rows.integer(last, 1)) : nil
                if !goesOn() { return nil }
            }
            _ = try connection.run(LogStatements.commit, within: limits.readLimit)
            guard let sums else { return nil }
            check.compare(sums)
            return check.finding
        }
    }

    /// Compares all rows with their hashes, a chunk at a time. nil where `pause` stops it, which is told how long each chunk took.
    func checkRows(_ pause: (Duration) -> Bool) throws(LogError) -> RowFinding? {
        let limits = settings.limits
        let statement = statements.readTail(limit: limits.loadRowLimit, withHashes: true)
        var check = RowCheck()
        var after = Position(0, -1)
        while true {
            let start = ContinuousClock.now
            let tail = try retrying { () throws(LogError) in
                try connection.run(statement, .position(after), within: limits.readLimit)
                    .tail(after: after, limit: limits.loadRowLimit, chunkByteLimit: limits.chunkByteLimit, hashColumn: 15)
            }
            for row in tail.rows { check.pass(row) }
            guard !tail.reachesHead, let last = tail.rows.last else { return check.finding }
            after = last.position
            if !pause(start.duration(to: .now)) { return nil }
        }
    }
}

/// How many altered rows are told of by their positions.
private let namedRowLimit = 10

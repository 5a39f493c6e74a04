// Owns: reading the whole log at start-up, in one snapshot.
internal import EtcdAPI
package import Keyspace
package import Replica

/// How far loading has come.
package struct LoadProgress: Hashable, Sendable {
    package var rows: Int
    /// How many rows the server believes there are; may be wrong, and is 0 where it has no idea.
    package var estimatedRows: Int
    /// Whether it is time to tell: at the first rows, then once a second.
    package var isWorthTelling = false
    private var toldAt: ContinuousClock.Instant?

    init(rows: Int, estimatedRows: Int) {
        self.rows = rows
        self.estimatedRows = estimatedRows
    }

    mutating func advance(by count: Int) {
        rows += count
        let now = ContinuousClock.now
        isWorthTelling = toldAt.map { $0.duration(to: now) >= .seconds(1) } ?? true
        if isWorthTelling { toldAt = now }
    }
}

extension LogSession {
    /// Hands out every row in position order, in chunks, and gives the head that belongs to them, and what had been deleted:
    /// all of one snapshot, so that what comes later comes after this head. The server prepares the next chunk while `chunk` works on one.
    ///
    /// Where all values together take more than `valueBytes`, as far as the catalog tells, rows come without theirs (then the
    /// values' lengths are not nil) except the newest, and those past any of `marks`, which the log is to be compared with.
    ///
    /// All rows that come with their values are compared with the hashes that were stored with them, and all together with the sums of
    /// these; what is found is given as well, nil where the store has no key.
    ///
    /// `chunk` stops the loading by returning false; then `closed` is thrown.
    package func load(
        valueBytes: Int = .max, marks: [ServedMark] = [], _ chunk: ([LogRow], [Int]?, LoadProgress) -> Bool
    ) throws(LogError) -> (head: Head, deleted: SweepState, finding: RowFinding?) {
        let limits = settings.limits
        let sizes = try databaseSizes()
        return try finishingTransaction { () throws(LogError) in
            _ = try connection.run(LogStatements.beginSnapshot, within: limits.readLimit)
            let deleted = try readSweep()
            let sums = try readRowSums()
            var check = RowCheck()
            var after = Position(0, -1)
            var progress = LoadProgress(rows: 0, estimatedRows: sizes.estimatedRows)
            if var bound = try lastWithoutValue(sizes, valueBytes: valueBytes) {
                let head = try readHead()
                for mark in marks where mark.isOpen(at: head) { bound = min(bound, mark.position) }
                try loadMetadata(through: bound, &check, &progress, chunk)
                after = bound
            }
            let statement = statements.readTail(limit: limits.loadRowLimit, withHashes: true)
            try connection.start(statement, .position(after), within: limits.readLimit)
            while true {
                let tail = try connection.finishStatement(within: limits.readLimit)
                    .tail(after: after, limit: limits.loadRowLimit, chunkByteLimit: limits.chunkByteLimit, hashColumn: 15)
                if let last = tail.rows.last { after = last.position }
                if !tail.reachesHead { try connection.start(statement, .position(after), within: limits.readLimit) }
                progress.advance(by: tail.rows.count)
                for row in tail.rows { check.pass(row) }
                let goesOn = tail.rows.isEmpty || chunk(tail.rows, nil, progress)
                if tail.reachesHead {
                    _ = try connection.run(LogStatements.commit, within: limits.readLimit)
                    guard let sums else { return (tail.head, deleted, nil) }
                    guard check.hasKey else { throw LogError.malformed("the row with the store's key is gone; restore a backup") }
                    check.compare(sums)
                    return (tail.head, deleted, check.finding)
                }
                guard goesOn else {
                    _ = try connection.finishStatement(within: limits.readLimit)
                    throw LogError.closed
                }
            }
        }
    }

    /// The last row that comes without its value; nil where all have room. The tables' size on disk stands for the values'.
    private func lastWithoutValue(_ sizes: DatabaseSizes, valueBytes: Int) throws(LogError) -> Position? {
        guard valueBytes < sizes.total, sizes.estimatedRows > 0 else { return nil }
        let kept = Int64(Double(sizes.estimatedRows) * Double(valueBytes) / Double(sizes.total))
        let result = try connection.run(statements.findNewest, .build { $0.add(kept) }, within: settings.limits.readLimit)
        return result.rowCount == 1 ? Position(try result.integer(0, 0), try result.integer(0, 1)) : nil
    }

    private func loadMetadata(
        through bound: Position, _ check: inout RowCheck, _ progress: inout LoadProgress, _ chunk: ([LogRow], [Int]?, LoadProgress) -> Bool
    ) throws(LogError) {
        let limit = settings.limits.loadRowLimit
        let statement = statements.readMetadata(limit: limit)
        func start(after position: Position) throws(LogError) {
            let parameters = Parameters.build { writer in
                for end in [position, bound] {
                    writer.add(end.revision)
                    writer.add(end.sub)
                }
            }
            try connection.start(statement, parameters, within: settings.limits.readLimit)
        }
        try start(after: Position(0, -1))
        while true {
            let result = try connection.finishStatement(within: settings.limits.readLimit)
            guard result.rowCount > 0 else { throw LogError.malformed("the head table is empty; was it truncated?") }
            guard !result.isNull(0, 6) else { return }
            var rows: [LogRow] = []
            var byteCounts: [Int] = []
            rows.reserveCapacity(result.rowCount)
            byteCounts.reserveCapacity(result.rowCount)
            for row in 0..<result.rowCount {
                rows.append(try result.logRow(row, from: 6, hashColumn: 16))
                check.pass(rows[row], hasValue: false)
                byteCounts.append(Int(try result.integer(row, 15, as: Int32.self)))
            }
            guard zip(rows, rows.dropFirst()).allSatisfy({ $0.position < $1.position }) else {
                throw LogError.malformed("rows without values out of order")
            }
            let isLast = rows.count < limit || rows[rows.count - 1].position == bound
            if !isLast { try start(after: rows[rows.count - 1].position) }
            progress.advance(by: rows.count)
            guard chunk(rows, byteCounts, progress) else {
                if !isLast { _ = try connection.finishStatement(within: settings.limits.readLimit) }
                throw LogError.closed
            }
            if isLast { return }
        }
    }
}

// Owns: one connection to the log and the operations on it, each blocking and bounded in time.
// Must never: be used after an operation threw `lost` (isOpen is false then), or by another thread than its own.
// Invariant: holdsHeadLock is true exactly while a transaction with the head row's lock is open.
package import Bytes
package import EtcdAPI
package import Keyspace
package import Logging
package import Replica

/// How an append ended.
package enum AppendOutcome: Hashable, Sendable {
    /// Durable, in order, with nothing in between.
    case appended
    /// Nothing was inserted: somebody else has appended, or holds the head's lock for long. The tail starts where the batch would have.
    case conflicted(Tail)
}

package final class LogSession {
    let connection: PostgresConnection
    let settings: LogSettings
    let statements: LogStatements
    let leaseStatements: LeaseStatements
    let logger: Logger
    /// What the server said of itself when it was last looked at.
    private(set) var serverState: ServerState
    package private(set) var holdsHeadLock = false
    /// Whether the tail that was read last ends before a row that is too large for `readRecent`.
    private var expectsLargeRow = false
    /// How many rows are read at once while they are small.
    private static let recentRowLimit = 500
    /// Whether nothing may outlive a transaction, since a pooler may give each another server connection.
    package let isPooled: Bool

    /// Connects, checks that the server is one on which the log may live, and sets the session up. `patience`: see `LogLimits`; nil
    /// for none.
    package convenience init(_ settings: LogSettings, patience: Duration? = nil, logger: Logger) throws(LogError) {
        let connection = try PostgresConnection(
            conninfo: try settings.currentConninfo(), connectLimit: settings.limits.connectLimit, prepares: false, interrupt: -1,
            logger: logger)
        try self.init(on: connection, settings, patience: patience, logger: logger)
    }

    /// The same on a new connection that prepares nothing.
    init(on connection: PostgresConnection, _ settings: LogSettings, patience: Duration?, logger: Logger) throws(LogError) {
        self.connection = connection
        self.settings = settings
        self.logger = logger
        statements = LogStatements(
            schema: settings.schema, chunkByteLimit: settings.limits.chunkByteLimit, isGuarded: !settings.allowsUnsafeDurability)
        leaseStatements = LeaseStatements(schema: settings.schema.quoted)
        connection.patience = patience
        isPooled = settings.transactionPooling ? true : try ServerCheck.findsPooler(on: connection, settings)
        connection.prepares = !isPooled
        serverState = try ServerCheck.run(on: connection, settings, isPooled: isPooled)
    }

    /// Looks whether the server is still one on which the log may live; throws as connecting does.
    func lookAtServer() throws(LogError) {
        serverState = try ServerCheck.look(on: connection, settings)
    }

    package var isOpen: Bool { connection.isOpen }

    var patience: Duration? {
        get { connection.patience }
        set { connection.patience = newValue }
    }

    package func close() { connection.close() }

    // MARK: Appending

    /// Appends with one compare-and-swap statement, or with several in one transaction where there is too much for one; in the open
    /// transaction, which it commits, where `lockHead` was called before.
    ///
    /// Any error leaves the outcome open, as far as the caller may assume: `recover` on a new session tells.
    package func append(_ batch: AppendBatch) throws(LogError) -> AppendOutcome {
        invariant(!batch.rows.isEmpty, "an append without rows")
        if batch.needsLock, !holdsHeadLock { return try conflict(of: batch) }
        do throws(LogError) {
            if holdsHeadLock { return try outcome(of: batch, inserted: appendInTransaction(batch)) }
            let inserted = try retrying { () throws(LogError) in
                if needsPieces(batch) { return try appendInTransaction(batch) }
                return try transaction([(statements.append, .append(batch))], within: settings.limits.appendLimit)[0].affectedRows
            }
            return try outcome(of: batch, inserted: inserted)
        } catch {
            guard error.isLockWait else { throw explained(error) }
            return try conflict(of: batch)
        }
    }

    private func conflict(of batch: AppendBatch) throws(LogError) -> AppendOutcome {
        .conflicted(try readTail(after: batch.tailStart, limit: settings.limits.loadRowLimit))
    }

    /// Whether it is too large for one statement.
    private func needsPieces(_ batch: AppendBatch) -> Bool {
        batch.rows.count > settings.limits.statementRowLimit || batch.wireBytes > settings.limits.statementByteLimit
    }

    /// Appends in the transaction that holds the head's lock, or in one of its own: the compare-and-swap takes the lock with the first
    /// piece, and the other pieces follow only where it was won. Gives how many rows were inserted: all, or none.
    private func appendInTransaction(_ batch: AppendBatch) throws(LogError) -> Int {
        let limits = settings.limits
        let pieces = AppendPieces(batch.rows, byteLimit: limits.pieceByteLimit, rowLimit: limits.statementRowLimit)
        var steps: [(statement: Statement, parameters: Parameters)] = []
        if !holdsHeadLock { steps += opening }
        if !holdsHeadLock || pieces.largestBytes >= LinkLoad.bulkBytes {
            steps.append((statements.limitLockHold(ms: lockHoldMs(forBytes: pieces.largestBytes)), .none))
        }
        let first = steps.count
        steps.append((statements.append, .append(batch, rows: pieces.ranges[0])))
        if pieces.ranges.count == 1 { steps.append((LogStatements.commit, .none)) }
        holdsHeadLock = false
        return try finishingTransaction { () throws(LogError) in
            let results = try connection.runPipeline(steps, within: limits.appendLimit)
            let inserted = results[first].affectedRows
            if pieces.ranges.count == 1 {
                try checkCommitted(results[first + 1])
                return inserted
            }
            guard inserted == pieces.ranges[0].count else {
                _ = try connection.run(LogStatements.rollback, within: limits.readLimit)
                return inserted
            }
            try appendMore(batch, pieces.ranges.dropFirst())
            try checkCommitted(connection.run(LogStatements.commit, within: limits.appendLimit))
            return batch.rows.count
        }
    }

    private func checkCommitted(_ result: PostgresResult) throws(LogError) {
        guard result.commandTag == "COMMIT" else { throw LogError.malformed("commit gave \(result.commandTag)") }
    }

    /// Inserts the other pieces, each sent while the one before it is being executed.
    private func appendMore(_ batch: AppendBatch, _ ranges: ArraySlice<Range<Int>>) throws(LogError) {
        let limit = settings.limits.appendLimit
        var sent: [Range<Int>] = []
        var failure: LogError?
        func take() throws(LogError) {
            let range = sent.removeFirst()
            switch try connection.awaitOutcome(within: limit) {
            case .success(let result) where result.affectedRows == range.count: break
            case .success(let result):
                failure = failure ?? .malformed("\(result.affectedRows) of \(range.count) rows of a piece were inserted")
            case .failure(let error): failure = failure ?? error
            }
        }
        for range in ranges {
            try connection.startBehind(statements.appendMore, .appendMore(batch, rows: range), within: limit)
            sent.append(range)
            if sent.count > 1 { try take() }
            if failure != nil { break }
        }
        while !sent.isEmpty { try take() }
        if let failure { throw failure }
    }

    /// How long the server waits for a piece of so many bytes, before it gives the lock up that we hold: several times as long as it
    /// takes at the rate that was measured.
    private func lockHoldMs(forBytes bytes: Int) -> Int64 {
        lockHoldMs(with: .seconds(min(4 * Double(bytes) / max(connection.load.rate, 1), 60)))
    }

    /// How long the server hears nothing before it gives the lock up. Few different numbers, since each makes another statement.
    private func lockHoldMs(with more: Duration) -> Int64 {
        var ms = max(1, settings.limits.lockHoldLimit.wholeMs) * 2
        let needed = min(ms + more.wholeMs, max(ms, lockHoldLimitMs))
        while ms < needed { ms *= 2 }
        return ms
    }

    private func outcome(of batch: AppendBatch, inserted: Int) throws(LogError) -> AppendOutcome {
        if inserted == batch.rows.count { return .appended }
        guard inserted == 0 else { throw LogError.malformed("\(inserted) of \(batch.rows.count) rows were inserted") }
        return try conflict(of: batch)
    }

    // MARK: Appending ahead

    /// Whether batches may be sent while those before them are being made durable. A pooler may give each statement another server
    /// connection, where nothing keeps them in order.
    func maySendAhead(_ batch: AppendBatch) -> Bool { !isPooled && !holdsHeadLock && !batch.needsLock && !needsPieces(batch) }

    /// Sends a batch, behind others that were sent so. Nothing but this and the three below may be called until all are settled.
    func startAppend(_ batch: AppendBatch) throws(LogError) {
        invariant(!batch.rows.isEmpty, "an append without rows")
        try connection.startBehind(statements.append, .append(batch), within: settings.limits.appendLimit)
    }

    /// How many rows the oldest batch under way has inserted, if that is known by now.
    func takeAppended() throws(LogError) -> Result<Int, LogError>? { try connection.takeOutcome()?.map(\.affectedRows) }

    /// What an append has failed with: the statement looks at the server's settings by itself, and can say no more than this.
    private func explained(_ error: LogError) -> LogError {
        guard case .refused(SQLState.divisionByZero, _) = error else { return error }
        return .unsafeDurability(setting: "fsync or full_page_writes", value: "off")
    }

    /// The same, waited for.
    func awaitAppended() throws(LogError) -> Result<Int, LogError> {
        try connection.awaitOutcome(within: settings.limits.appendLimit).map(\.affectedRows)
    }

    /// Tells of a batch that was sent ahead where it took long.
    func noteSlowAppend(since start: ContinuousClock.Instant, error: LogError? = nil) {
        guard error != .closed else { return }
        connection.slowStatements?.note(statements.append.text, since: start, error: error)
    }

    /// How a batch that was sent ahead has ended, where none is under way any more. One that the server has undone is appended again.
    func settle(_ batch: AppendBatch, _ inserted: Result<Int, LogError>) throws(LogError) -> AppendOutcome {
        switch inserted {
        case .success(let count): return try outcome(of: batch, inserted: count)
        case .failure(.refused(let state, _)) where SQLState.isRetryable(state): return try append(batch)
        case .failure(let error) where error.isLockWait: return try conflict(of: batch)
        case .failure(let error): throw explained(error)
        }
    }

    /// Opens a transaction that holds the head row's lock, and takes deadlines out that have passed.
    /// `append` or `releaseHeadLock` ends it; so does the server once `lockHoldLimit` has passed twice without a word from us, such as
    /// `keepHeadLock` gives, or as much longer as the expiry's rows may take and `extra` says: the thread that hears of the lock may be the
    /// one that makes them.
    package func lockHead(
        expiring: LeaseExpiry? = nil, extra: Duration = .zero
    ) throws(LogError) -> (head: Head, expired: [LeaseID]) {
        invariant(!holdsHeadLock, "the head row is locked already")
        var steps = opening
        steps += [
            (statements.limitLockHold(ms: lockHoldMs(with: settings.limits.lockHold(for: expiring) + extra)), .none),
            (statements.lockHead, .none),
        ]
        let headStep = steps.count - 1
        if let expiring { steps.append((leaseStatements.expire, .expiry(expiring))) }
        let locked = try waitingForLock(within: settings.limits.appendLimit) { () throws(LogError) in
            let results = try connection.runPipeline(steps, within: settings.limits.appendLimit)
            let head = try head(of: results[headStep])
            var expired: [LeaseID] = []
            if expiring != nil {
                let gone = results[headStep + 1]
                for row in 0..<gone.rowCount { expired.append(try gone.integer(row, 0)) }
            }
            return (head: head, expired: expired.sorted())
        }
        holdsHeadLock = true
        return locked
    }

    /// Says that the process is still there which holds the lock.
    func keepHeadLock() throws(LogError) {
        guard holdsHeadLock else { return }
        _ = try connection.run(LogStatements.ping, within: settings.limits.readLimit)
    }

    /// Lets the server say from now on where a lock can't be had for `lockWaitLimit`: then a statement fails with `lockNotAvailable`.
    /// Behind a pooler, which may give each transaction another server connection, nothing changes.
    func limitLockWaits() throws(LogError) {
        guard !isPooled else { return }
        let statement = LogStatements.limitLockWait(ms: max(1, settings.limits.lockWaitLimit.wholeMs))
        _ = try connection.run(statement, within: settings.limits.readLimit)
    }

    /// When the server was started, in microseconds; nil where it doesn't tell.
    func serverStart() throws(LogError) -> Int64? {
        do {
            return try connection.run(LogStatements.serverStart, within: settings.limits.readLimit).integer(0, 0)
        } catch .refused {
            return nil
        }
    }

    /// Gives the head row's lock back without appending. What `lockHead` took out stays out only with `keepingRemovals`.
    package func releaseHeadLock(keepingRemovals: Bool = false) throws(LogError) {
        guard holdsHeadLock else { return }
        holdsHeadLock = false
        _ = try connection.run(
            keepingRemovals ? LogStatements.commit : LogStatements.rollback, within: settings.limits.readLimit)
    }

    /// Raises the epoch and reads the tail, in one transaction. Once this returns, whatever append was sent before on any
    /// connection has either committed, and is in the tail, or never will: the update waits for one that holds the row lock, and
    /// one that comes later finds another epoch.
    package func recover(after position: Position, limit: Int) throws(LogError) -> Tail {
        try retrying { () throws(LogError) in
            try waitingForLock(within: settings.limits.recoverLimit) { () throws(LogError) in
                let steps =
                    opening + [
                        (statements.raiseEpoch, .none), (statements.readTail(limit: limit), .position(position)),
                        (LogStatements.commit, .none),
                    ]
                let results = try connection.runPipeline(steps, within: settings.limits.recoverLimit).suffix(3).map(\.self)
                guard results[0].rowCount == 1, results[2].commandTag == "COMMIT" else {
                    throw LogError.malformed("the epoch was not raised")
                }
                return try results[1].tail(after: position, limit: limit, chunkByteLimit: settings.limits.chunkByteLimit)
            }
        }
    }

    // MARK: Reading

    package func readHead() throws(LogError) -> Head {
        try retrying { () throws(LogError) in
            try head(of: connection.run(statements.readHead, within: settings.limits.readLimit))
        }
    }

    private func head(of result: PostgresResult) throws(LogError) -> Head {
        guard result.rowCount == 1 else { throw LogError.malformed("the head table has \(result.rowCount) rows") }
        return try result.head(0)
    }

    /// Up to `limit` rows after `position`, and up to a byte limit, with the head that they belong to.
    package func readTail(after position: Position, limit: Int) throws(LogError) -> Tail {
        if !expectsLargeRow {
            let limit = min(limit, Self.recentRowLimit)
            let recent = try retrying { () throws(LogError) in
                try connection.run(statements.readRecent(limit: limit), .position(position), within: settings.limits.readLimit)
                    .recentTail(after: position, limit: limit)
            }
            if let recent {
                expectsLargeRow = !recent.reachesHead && recent.rows.count < limit
                return recent
            }
        }
        expectsLargeRow = false
        return try retrying { () throws(LogError) in
            try connection.run(statements.readTail(limit: limit), .position(position), within: settings.limits.readLimit)
                .tail(after: position, limit: limit, chunkByteLimit: settings.limits.chunkByteLimit)
        }
    }

    /// The values of those rows that are there, and the head that belongs to them.
    package func readValues(_ positions: [Position]) throws(LogError) -> (head: Head, values: [Position: ByteString]) {
        try retrying { () throws(LogError) in
            let result = try connection.run(statements.readValues, .positions(positions), within: settings.limits.readLimit)
            var head: Head?
            var values: [Position: ByteString] = [:]
            values.reserveCapacity(result.rowCount)
            for row in 0..<result.rowCount {
                if result.isNull(row, 2) {
                    head = try result.head(row, restFrom: 3)
                } else {
                    let position = Position(try result.integer(row, 0), try result.integer(row, 1))
                    values[position] = ByteString(copying: result.bytes(row, 2))
                }
            }
            guard let head else { throw LogError.malformed("the head table is empty; was it truncated?") }
            return (head, values)
        }
    }

    // MARK: Removing

    package enum DeletionOutcome: Hashable, Sendable {
        /// So many rows were there; all are gone. The digest of all deletions, with this one.
        case deleted(Int, Digest)
        /// The log has lost deletions, or the compaction that they are about.
        case lost
        /// The duty is another's.
        case othersDuty
        /// The duty is nobody's: it has lapsed.
        case nobodysDuty
    }

    /// Deletes all rows that the deletion names, and says so in the table `sweep`, or does nothing.
    package func delete(_ deletion: Deletion) throws(LogError) -> DeletionOutcome {
        try retrying { () throws(LogError) in
            var before = deletion.digest
            while true {
                var new: Digest?
                if let before {
                    let digest = before.appending(deleted: deletion.positions)
                    let done = try connection.run(
                        statements.delete, .deletion(deletion, after: before, digest: digest), within: settings.limits.appendLimit)
                    if try done.boolean(0, 0) { return .deleted(Int(try done.integer(0, 1, as: Int64.self)), digest) }
                    new = digest
                }
                let parameters = Parameters.build { writer in
                    writer.add(deletion.compactRevision)
                    writer.add(deletion.holder)
                }
                let reason = try connection.run(statements.whyNotDeleted, parameters, within: settings.limits.readLimit)
                let state = try reason.sweepState()
                if try reason.boolean(0, 6) { return .othersDuty }
                guard try reason.boolean(0, 5) else { return .lost }
                if state.digest == before || state.digest == new { return .nobodysDuty }
                guard state.swept.covers(deletion.after) else { return .lost }
                // Others have deleted, and all is gone that has to be.
                before = state.digest
            }
        }
    }

    /// What has been deleted.
    package func readSweep() throws(LogError) -> SweepState {
        try connection.run(statements.readSweep, within: settings.limits.readLimit).sweepState()
    }

    /// The sums of the rows' hashes; nil where the store has no key.
    func readRowSums() throws(LogError) -> RowSums? {
        let result = try connection.run(statements.readRowSums, within: settings.limits.readLimit)
        guard result.rowCount == 1 else { throw LogError.malformed("the tables head and sweep have \(result.rowCount) pairs of rows") }
        let (appended, deleted) = (try result.rowHash(0, 0), try result.rowHash(0, 1))
        return appended.isKnown && deleted.isKnown ? RowSums(appended: appended, deleted: deleted) : nil
    }

    /// The row with the store's key; nil where it has none.
    func readKeyRow() throws(LogError) -> LogRow? {
        let result = try connection.run(statements.readKey, within: settings.limits.readLimit)
        guard result.rowCount == 1 else { return nil }
        let row = try result.logRow(0, from: 0)
        guard row.kind == .digestKey else { throw LogError.malformed("a \(row.kind) row where the store's key should be") }
        return row
    }

    // MARK: Inside

    /// How a transaction of several statements begins.
    private var opening: [(statement: Statement, parameters: Parameters)] {
        isPooled ? [(LogStatements.begin, .none), (LogStatements.pin, .none)] : [(LogStatements.begin, .none)]
    }

    /// Runs statements as one transaction, in one round trip, and gives their results. What a session is set up with in the place of
    /// the role's and the server's own settings a pooler does not keep: then the transaction brings it along.
    func transaction(
        _ steps: [(statement: Statement, parameters: Parameters)], within limit: Duration
    ) throws(LogError) -> [PostgresResult] {
        do {
            guard isPooled else {
                return steps.count == 1
                    ? [try connection.run(steps[0].statement, steps[0].parameters, within: limit)]
                    : try connection.runPipeline(steps, within: limit)
            }
            return try finishingTransaction { () throws(LogError) in
                let opening = opening
                let results = try connection.runPipeline(opening + steps + [(LogStatements.commit, .none)], within: limit)
                let tag = results[results.count - 1].commandTag
                guard tag == "COMMIT" else { throw LogError.malformed("commit gave \(tag)") }
                return Array(results.dropFirst(opening.count).dropLast())
            }
        } catch {
            throw explained(error)
        }
    }

    /// Runs `body`, and rolls back where it failed with the connection still there: the transaction may be open and broken.
    func finishingTransaction<R>(_ body: () throws(LogError) -> R) throws(LogError) -> R {
        do {
            return try body()
        } catch {
            if connection.isInTransaction { _ = try connection.run(LogStatements.rollback, within: settings.limits.readLimit) }
            throw explained(error)
        }
    }

    /// Runs `body`, a transaction, and again while the server says that another process has the lock.
    private func waitingForLock<R>(within limit: Duration, _ body: () throws(LogError) -> R) throws(LogError) -> R {
        let end = Deadline.after(limit)
        while true {
            do {
                return try finishingTransaction(body)
            } catch {
                guard error.isLockWait, !end.hasPassed else { throw error }
            }
        }
    }

    /// Runs `body` again, after a random pause that grows, while the server undoes it because of concurrent statements.
    func retrying<R>(_ body: () throws(LogError) -> R) throws(LogError) -> R {
        var backoff = Backoff(first: .milliseconds(2), most: .milliseconds(200))
        for _ in 1..<max(settings.limits.retryLimit, 1) {
            do {
                return try body()
            } catch .refused(let state, let message) where SQLState.isRetryable(state) {
                logger.debug("PostgreSQL undid a statement, trying again", metadata: ["reason": "\(message)"])
                backoff.pause()
            }
        }
        return try body()
    }
}

/// Longer than any piece should need; beyond it others are to go on.
private let lockHoldLimitMs: Int64 = 60_000

extension LogError {
    /// Whether the server said that another process has a lock for long.
    var isLockWait: Bool { if case .refused(SQLState.lockNotAvailable, _) = self { true } else { false } }
}

// Owns: the server on which the model of the log's tables runs: whether it is there, its clock, what waits for the head row's lock, the
// histories that were ever begun.
// Must never: say what a statement does to the tables, which is `LogModel`'s.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import LogModel
internal import Replica

/// One history of the log, from a start or a loss on.
final class Era {
    /// When it began, in the order of what clients see.
    let stamp: UInt64
    /// How many rows it began with.
    let firstCount: Int
    /// By earlier era: how many rows the two had in common when it was last looked.
    private var sharedCounts: [Int]
    /// Every row there ever was, deleted ones included.
    var archive: [LogRow]
    /// The digests at the ends of appends.
    var digests: [Position: Digest]
    /// When each append of this era was committed, and how many rows there were then.
    var commits: [(stamp: UInt64, archived: Int)] = []

    init(stamp: UInt64, archive: [LogRow], digests: [Position: Digest], after earlier: [Era] = []) {
        self.stamp = stamp
        firstCount = archive.count
        sharedCounts = earlier.map { $0.sharedCount(with: archive[...]) }
        self.archive = archive
        self.digests = digests
    }
}

extension Era {
    /// How many of `rows`, which begin where the log began, are this era's, too, up to where the two part.
    func sharedCount(with rows: ArraySlice<LogRow>) -> Int { zip(archive, rows).prefix { $0 == $1 }.count }

    /// How many rows it has in common with an earlier era, by that one's number, before they part. A batch that was lost may be appended
    /// again just as it was: then what came of the loss is the same history still.
    func sharedCount(with earlier: Era, _ number: Int) -> Int {
        var count = sharedCounts[number]
        while count < archive.count, count < earlier.archive.count, archive[count] == earlier.archive[count] { count += 1 }
        sharedCounts[number] = count
        return count
    }

    func has(_ top: Top) -> Bool { digests[top.position] == top.digest }
}

/// The end of what a process has served of a history.
struct Top {
    var position: Position
    var digest: Digest
}

/// A copy of the log, as a standby or a backup has one.
struct LogCopy {
    var tables: LogTables
    /// Which era's rows these are, and how many of its archive had been appended: a standby may never have heard of the newest.
    var era: Int
    var archived: Int
}

final class SimulatedLog {
    private let model: LogModel
    private(set) var eras: [Era]
    /// How many rows of the newest era's archive had been appended to what the tables hold.
    private var archived = 0
    var isAway = false
    /// Changes when the server does: what was sent to the old one is never executed.
    private(set) var server = 1

    /// What the clock shows at the start of the run, and what it was put forward or back by since, in milliseconds.
    private var clockOffsetMs: Int64 = 1_000_000
    /// When it was put forward, and how far back in all.
    private(set) var steppedForwardAt: [TrueTime] = []
    private(set) var setBackMs: Int64 = 0

    private var waiters: [(server: Int, run: () -> Void)] = []

    init(key: DigestKey?) {
        model = LogModel(key: key)
        eras = [Era(stamp: 0, archive: [], digests: [.start: model.tables.head.digest])]
    }

    var era: Era { eras[eras.count - 1] }
    var tables: LogTables { _read { yield model.tables } }
    var copy: LogCopy { LogCopy(tables: tables, era: eras.count - 1, archived: archived) }
    var mistake: String? { model.mistake }
    var lockHolder: SessionID? { model.lockHolder }
    var lockCount: Int { model.lockCount }

    /// What is there before anything begins.
    func fill(_ rows: [LogRow]) {
        var digests: [Position: Digest] = [.start: tables.head.digest]
        let filled = model.fill(rows) { digests[$0] = $1 }
        archived += filled.count
        eras = [Era(stamp: 0, archive: filled, digests: digests)]
    }

    func nowMs(_ now: TrueTime) -> Int64 { Int64(now / 1_000) + clockOffsetMs }

    /// Another server's clock must not make any difference.
    func stepClock(byMs milliseconds: Int64, isOfAnotherServer: Bool = false, at now: TrueTime) {
        clockOffsetMs += milliseconds
        if milliseconds < 0 { setBackMs -= milliseconds } else if !isOfAnotherServer { steppedForwardAt.append(now) }
    }

    // MARK: The lock

    /// Runs `statement` once the head row is not locked by another session than this one.
    func whenFree(_ session: SessionID, _ statement: @escaping () -> Void) {
        if model.isFree(for: session) { statement() } else { wait(statement) }
    }

    /// Whether a round has to wait for rows that were taken out and may come back.
    func isHeld(_ round: LeaseRound) -> Bool { model.isHeld(round) }

    func wait(_ statement: @escaping () -> Void) { waiters.append((server, statement)) }

    func forgetWaiters() { waiters = [] }

    /// Takes the lock, and the deadlines out that had passed when the transaction began.
    func lockHead(_ expiring: LeaseExpiry?, _ session: SessionID, startedAt: TrueTime) -> [LeaseID] {
        model.lockHead(expiring, by: session, at: nowMs(startedAt))
    }

    /// Ends the transaction that holds the lock.
    func releaseLock(_ session: SessionID, commits: Bool) {
        guard lockHolder == session else { return }
        model.releaseLock(session, commits: commits)
        runWaiters()
    }

    private func runWaiters() {
        while lockHolder == nil, !waiters.isEmpty {
            let waiter = waiters.removeFirst()
            if waiter.server == server { waiter.run() }
        }
    }

    // MARK: Statements

    func append(_ batch: AppendBatch, _ session: SessionID, stamp: UInt64) -> Bool {
        let holdsLock = lockHolder == session
        defer { if holdsLock { runWaiters() } }
        guard model.append(batch, by: session) else { return false }
        archive(batch.rows, stamp: stamp)
        return true
    }

    func give(_ key: DigestKey, stamp: UInt64) { archive([model.give(key)], stamp: stamp) }

    private func archive(_ rows: [LogRow], stamp: UInt64) {
        era.archive.append(contentsOf: rows)
        archived = era.archive.count
        era.digests[tables.head.position] = tables.head.digest
        era.commits.append((stamp, archived))
    }

    func raiseEpoch() { model.raiseEpoch() }

    /// nil where the duty is nobody's.
    func delete(_ order: Deletion, at now: TrueTime) -> LogEvent? { model.delete(order, at: nowMs(now)) }

    /// The answer to `command`; nil for one that has none. `startedAt` is when its transaction began, whose time counts.
    func answer(_ command: LeaseCommand, startedAt: TrueTime, now: TrueTime, sessions: UInt64) -> LeaseAnswer? {
        model.answer(command, startedMs: nowMs(startedAt), nowMs: nowMs(now), sessions: sessions)
    }

    // MARK: Loss

    /// Another server takes over, with what `standby` holds. Nothing that was sent to the old one is executed any more.
    func fail(over standby: LogCopy, stamp: UInt64) {
        let lost = rowsLost(to: standby)
        server += 1
        waiters = []
        if !lost.isEmpty {
            let origin = eras[standby.era]
            let rows = Array(origin.archive.prefix(standby.archived))
            let last = rows.last?.position ?? .start
            eras.append(Era(stamp: stamp, archive: rows, digests: origin.digests.filter { $0.key <= last }, after: eras))
        }
        model.fail(over: standby.tables)
        archived = standby.archived
    }

    /// The rows that are gone where `standby` takes over. Others may come back: it may be of a history that was lost before.
    func rowsLost(to standby: LogCopy) -> ArraySlice<LogRow> {
        era.archive.dropFirst(era.sharedCount(with: eras[standby.era].archive.prefix(standby.archived)))
    }
}

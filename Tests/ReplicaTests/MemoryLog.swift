// Owns: a log in memory that answers a replica's commands as PostgreSQL would, and loses replies on demand.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import Replica

/// The log that several replicas of a test share.
final class MemoryLog {
    private(set) var head = Head(clusterID: 7, position: .start, digest: .start, epoch: 0, compactRevision: -1)
    private(set) var rows: [LogRow] = []
    var deadlines = MemoryDeadlines()
    /// What was deleted from the rows.
    private(set) var deleted = SweepState.start
    /// How many more deletions are done; further ones are never answered.
    var deletionsLeft = Int.max
    /// Every row there ever was: deleted ones stay here.
    private(set) var archive: [LogRow] = []

    /// What rows are hashed under from the key's row on.
    private(set) var key: DigestKey?

    /// `key`: of a log that had one from the start.
    init(key: DigestKey? = nil) {
        self.key = key
        guard let row = key?.row(at: Position(0, 0), origin: 1) else { return }
        rows = [row]
        archive = rows
        head.digest = head.digest.appending(row)
    }

    /// As `pine migrate --key-digest` does.
    func giveKey(_ new: DigestKey) {
        let row = new.row(at: Position(head.position.revision, head.position.sub + 1), origin: 1)
        rows.append(row)
        archive.append(row)
        head.position = row.position
        head.digest = head.digest.appending(row)
        key = new
    }

    /// What becomes of the next appends, in order; then they all arrive.
    enum Fate {
        case lostBeforeCommit
        case lostAfterCommit
        /// The head's lock was given back before: nothing is appended, and no deadline is out.
        case withoutLock
    }
    var fates: [Fate] = []
    /// What happens right before the head is locked next.
    var beforeLock: (() -> Void)?

    func tail(after position: Position, limit: Int = .max) -> Tail {
        let rest = rows.drop { $0.position <= position }
        return Tail(head: head, rows: Array(rest.prefix(limit)), reachesHead: rest.count <= limit)
    }

    /// As after a failover to a standby that lacks the last rows.
    func lose(last count: Int) {
        rows.removeLast(count)
        archive.removeLast(count)
        head.position = max(.start, archive.last?.position ?? .start)
        head.digest = .start
        key = nil
        for row in archive { _ = head.digest.append(row, &key) }
    }

    /// As after a failover to a standby that lacks deletions.
    func loseDeletions() {
        rows = archive
        deleted = .start
    }

    /// Takes the newest row away, as a careless hand would. `mend` puts it back.
    func damage() { rows.removeLast() }
    func mend() { rows.append(archive[rows.count]) }

    /// The answer to `command`; nil for commands that have none.
    func answer(_ command: LogCommand) -> LogEvent? {
        switch command {
        case .appending(.append(let batch)):
            let fate = fates.isEmpty ? nil : fates.removeFirst()
            deadlines.endLock(keepingRemovals: fate != .lostBeforeCommit && fate != .withoutLock)
            if fate == .withoutLock { return .conflicted(number: batch.number, tail: tail(after: head.position)) }
            if fate == .lostBeforeCommit { return .appendLost(number: batch.number, reason: "cut") }
            guard batch.expectedDigest == head.digest, batch.expectedEpoch == head.epoch else {
                // Others may have added rows to the revision before.
                let first = batch.rows[0].position
                let start = first.sub > 0 ? Position(first.revision, first.sub - 1) : Position(first.revision - 1, -1)
                return .conflicted(number: batch.number, tail: tail(after: start))
            }
            rows.append(contentsOf: batch.rows)
            archive.append(contentsOf: batch.rows)
            head = batch.newHead
            if fate == .lostAfterCommit { return .appendLost(number: batch.number, reason: "cut") }
            return .appended(number: batch.number)
        case .appending(.lockHead(let expiring, _)):
            beforeLock?()
            beforeLock = nil
            return .headLocked(head, expired: expiring.map { deadlines.expire($0) } ?? [], sessions: deadlines.sessions)
        case .appending(.unlockHead(let keepingRemovals)):
            deadlines.endLock(keepingRemovals: keepingRemovals)
            return nil
        case .appending(.recover(let position)):
            head.epoch += 1
            return .recovered(tail(after: position))
        case .reading(.head): return .headRead(head)
        case .reading(.tail(let position, let limit)): return .tailRead(tail(after: position, limit: limit))
        case .history(let command): return .historyRead(tail(after: command.after, limit: command.limit))
        case .values(let command):
            let wanted = Set(command.positions)
            let found = rows.filter { wanted.contains($0.position) }.map { ($0.position, $0.value) }
            return .valuesRead(number: command.number, head, Dictionary(found) { $1 })
        case .chore(.deleteRows(let deletion)):
            guard deletionsLeft > 0 else { return nil }
            deletionsLeft -= 1
            guard deadlines.isSteward(deletion.holder) else { return .deletionLeft(number: deletion.number) }
            let isKnown = deleted.digest == deletion.digest || deleted.swept.covers(deletion.after)
            let isCompacted = head.isCompacted(to: deletion.compactRevision)
            guard isKnown, isCompacted else { return .deletionRefused(number: deletion.number) }
            let dead = Set(deletion.positions)
            let before = rows.count
            rows.removeAll { dead.contains($0.position) }
            deleted.swept.advance(to: deletion.swept)
            deleted.begun = max(deleted.begun, deletion.compactRevision)
            deleted.digest = deleted.digest.appending(deleted: deletion.positions)
            return .rowsDeleted(number: deletion.number, count: before - rows.count, digest: deleted.digest)
        case .chore(.lease(let number, let command)):
            return deadlines.answer(command, head, swept: deleted.swept).map { .lease(number: number, $0) }
        }
    }
}

/// One replica with its own clock, driven by hand.
final class TestReplica {
    private(set) var replica: Replica
    let log: MemoryLog
    private(set) var answers: [CallID: Result<ByteString, EtcdError>] = [:]
    private(set) var sent: [CallID: [ByteString]] = [:]
    private(set) var notes: [Note] = []
    private(set) var now = Instant(nanoseconds: 0)
    private var nextID: UInt64 = 1
    /// Answers of the log that have not been handed in yet.
    private var pending: [LogEvent] = []
    var holdsAnswers = false
    /// The same for those to appends alone, and what comes behind one of them on its connection.
    var holdsAppends = false
    /// What is to be sorted, where that is held.
    private(set) var sortJobs: [SortJob] = []
    var holdsSortJobs = false
    /// Bytes that were answered since `forgetSizes`.
    private(set) var answeredBytes = 0
    /// Whether clients take what they are sent.
    var clientsRead = true
    /// Whether values stay in the log at start-up.
    private let loadsWithoutValues: Bool

    init(_ log: MemoryLog, origin: Int64 = 1, loadsWithoutValues: Bool = false, configure: (inout ReplicaConfiguration) -> Void = { _ in })
    {
        self.log = log
        self.loadsWithoutValues = loadsWithoutValues
        var configuration = ReplicaConfiguration(origin: origin, memberID: UInt64(origin))
        configure(&configuration)
        replica = Replica(configuration: configuration)
        settle()
    }

    func start(_ request: Request) -> CallID {
        let id = CallID(rawValue: nextID)
        nextID += 1
        replica.step(.requestArrived(id, request), now: now)
        return id
    }

    func keepAlive(_ lease: LeaseID, on id: CallID) { replica.step(.requestArrived(id, .lease(.keepAlive(lease))), now: now) }

    func endKeepAlives(on id: CallID) { replica.step(.requestArrived(id, .lease(.keepAliveEnd)), now: now) }

    func stop() { replica.step(.stopping, now: now) }

    func tell(_ event: ReplicaEvent) { replica.step(event, now: now) }

    func newStream() -> CallID {
        defer { nextID += 1 }
        return CallID(rawValue: nextID)
    }

    func cancel(_ id: CallID) { replica.step(.requestCancelled(id), now: now) }

    /// At least 1: nothing that is due now has been left.
    var untilNextDeadlineMs: Int {
        let deadline = replica.nextDeadline
        guard deadline > now else { return 1 }
        return Int(clamping: (deadline.nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }

    /// As when clients have taken their answers.
    func forgetAnswers() { answers = [:] }

    func forgetSizes() { answeredBytes = 0 }

    private func takeSortJobs() -> [SortJob] {
        defer { sortJobs = [] }
        return sortJobs.map { job in
            var job = job
            job.run()
            return job
        }
    }

    func advance(ms: Int) { now = now.advanced(byMs: ms) }

    /// Runs until nothing moves.
    func settle() {
        while turn() {}
    }

    /// One turn. False where nothing happened.
    func turn() -> Bool {
        let held = pending.filter { holdsAnswers || (holdsAppends && $0.isOfAppender) }
        let arrived = pending.filter { !(holdsAnswers || (holdsAppends && $0.isOfAppender)) }
        pending = held
        for event in arrived { replica.step(.log(event), now: now) }
        if !holdsSortJobs { for job in takeSortJobs() { replica.step(.sorted(job), now: now) } }
        let actions = replica.endTurn(now: now)
        // They look at every watcher.
        if replica.watchCounts.watchers < 500 { replica.invariants() }
        for action in actions { perform(action) }
        return !arrived.isEmpty || !actions.isEmpty || replica.hasMoreWork || (!holdsSortJobs && !sortJobs.isEmpty)
    }

    private func perform(_ action: Action) {
        switch action {
        case .respond(let id, let message):
            answers[id] = .success(message)
            answeredBytes += message.count
        case .fail(let id, let error): answers[id] = .failure(error)
        case .send(let id, let message, let reportDrained):
            sent[id, default: []].append(message)
            if reportDrained, clientsRead { replica.step(.streamDrained(id), now: now) }
        case .sendParts(let id, let parts, let reportDrained):
            sent[id, default: []].append(ByteString(parts.joined()))
            if reportDrained, clientsRead { replica.step(.streamDrained(id), now: now) }
        case .finish(let id): answers[id] = .success(ByteString())
        case .reportRevision(let id, let revision): answers[id] = .success(ByteString("\(revision)"))
        case .log(let command):
            if let event = log.answer(command) { pending.append(event) }
        case .load:
            var rows = log.tail(after: Position(0, -1)).rows
            if loadsWithoutValues {
                let byteCounts = rows.map(\.value.count)
                for index in rows.indices { rows[index].value = ByteString() }
                replica.step(.rowsLoadedWithoutValues(rows, byteCounts), now: now)
            } else {
                replica.step(.rowsLoaded(rows), now: now)
            }
            replica.step(.loadFinished(log.head, log.deleted), now: now)
        case .sort(let job): sortJobs.append(job)
        case .note(let note): notes.append(note)
        }
    }

    // MARK: Whole calls

    func call(_ request: Request) throws -> ByteString {
        let id = start(request)
        settle()
        guard let answer = answers[id] else { throw NoAnswer() }
        return try answer.get()
    }

    func put(_ key: ByteString, _ value: ByteString) throws -> PutResponse {
        try PutResponse.decode(try call(.write(.put(PutRequest(key: key, value: value)))))
    }

    func get(_ key: ByteString, revision: Revision = 0) throws -> RangeResponse {
        try RangeResponse.decode(try call(.range(RangeRequest(key: key, revision: revision))))
    }

    func range(_ request: RangeRequest) throws -> RangeResponse {
        try RangeResponse.decode(try call(.range(request)))
    }
}

extension LogEvent {
    fileprivate var isOfAppender: Bool {
        switch self {
        case .appended, .conflicted, .appendLost, .headLocked, .lockFailed, .recovered: true
        default: false
        }
    }
}

struct NoAnswer: Error {}

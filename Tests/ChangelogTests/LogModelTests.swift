// Owns: the comparison of LogModel, over which the replica's tests and the simulator run, with the log in PostgreSQL: the same commands of
// two processes, and every answer.
// Left out: tails that Changelog cuts short of the limit that was asked for (500 rows, or large ones), which are allowed to be shorter; and
// what depends on which statement arrives first, which the simulator plays in every order.
import Bytes
import EtcdAPI
import Keyspace
import LogModel
import Replica
import TestSupport
import Testing

@testable import Changelog

@Suite("LogModel and PostgreSQL", .ownThreads) struct LogModelTests {
    @Test("The model answers every command as PostgreSQL does")
    func equal() async throws {
        let seed = testSeed("LogModelTests")
        var counts: [String: Int] = [:]
        for part in 0..<4 as Range<UInt64> {
            let world = try await LogPair(seed: seed &+ part)
            defer { world.stop() }
            do {
                for _ in 0..<200 { try await world.act() }
                try world.compareHashes()
            } catch {
                Issue.record("PINE_TEST_SEED=\(seed), part \(part): \(error)")
                return
            }
            counts.merge(world.counts, uniquingKeysWith: +)
        }
        for outcome in LogPair.outcomes { #expect(counts[outcome, default: 0] > 0, "\(outcome): \(counts)") }
    }
}

/// The log in PostgreSQL, used by two processes, and the model of it.
private final class LogPair {
    struct Difference: Error, CustomStringConvertible {
        var description: String
    }

    private let processes: [(log: LogWorkers, inbox: Inbox<LogEvent>)]
    private let settings: LogSettings
    private let model: MemoryLog
    private let clusterID: Int64
    private let began = ContinuousClock.now
    private var random: SeededGenerator
    private var key: DigestKey?
    private var number: UInt64 = 0
    /// The process whose transaction holds the head row's lock.
    private var lockHolder: Int?
    private var oldHeads: [Head] = []
    private(set) var counts: [String: Int] = [:]

    /// What has to be met, or the comparison says little.
    static let outcomes = [
        "appended", "conflicted", "pipelined", "headLocked", "expired", "recovered", "rowsDeleted", "deletionRefused", "deletionLeft",
        "roundDone", "due", "held", "heldByAnother", "valuesRead",
    ]

    private static let keys: [ByteString] = ["a", "b", "c", "d"]
    private static let leases: [LeaseID] = [1, 2, 3, 9]
    /// Terms are multiples of this, which is far longer than a test takes: a rest of time, rounded up to it, is the same on both sides.
    private static let termMs: Int64 = 10_000_000

    init(seed: UInt64) async throws {
        random = SeededGenerator(seed: seed)
        var settings = try freshSettings()
        // The lock is given back when told only, and no bound in time changes an answer on a slow machine.
        settings.limits.lockHoldLimit = .seconds(600)
        settings.limits.lockWaitLimit = .seconds(120)
        settings.limits.patience = .seconds(240)
        settings.limits.appendLimit = .seconds(240)
        settings.limits.readLimit = .seconds(240)
        self.settings = settings
        processes = (0..<2).map { [settings] _ in
            let inbox = Inbox<LogEvent>()
            return (LogWorkers(settings, logger: quiet) { if $0 != .hinted { inbox.add($0) } }, inbox)
        }
        processes[0].log.submit(.readTail(after: Position(0, -1), limit: 10))
        let tail = try await processes[0].inbox.tail()
        clusterID = tail.head.clusterID
        let row = try #require(tail.rows.first, "a new log has its digest key")
        key = DigestKey(row)
        model = MemoryLog(key: key, keyOrigin: row.origin)
        try compare(.tailRead(tail), .tailRead(model.tail(after: Position(0, -1))), "a new log")
    }

    func stop() { for process in processes { process.log.stop() } }

    // MARK: Asking both

    /// Asks both, and compares what they say. Gives what the model says.
    @discardableResult
    private func ask(_ command: LogCommand, by process: Int) async throws -> LogEvent {
        model.nowMs = 1_000_000 + Int64(began.duration(to: .now) / .milliseconds(1))
        guard let expected = model.answer(command, by: process) else { throw Difference(description: "\(command) has no answer") }
        processes[process].log.submit(command)
        try await compare(processes[process].inbox.next("an answer to \(command)") { $0 }, expected, command)
        return expected
    }

    /// A command that is not answered.
    private func tell(_ command: LogCommand, by process: Int) {
        model.nowMs = 1_000_000 + Int64(began.duration(to: .now) / .milliseconds(1))
        _ = model.answer(command, by: process)
        processes[process].log.submit(command)
    }

    private func compare(_ answer: LogEvent, _ expected: LogEvent, _ command: Any) throws {
        let (answer, expected) = (normalised(answer), normalised(expected))
        guard answer == expected else {
            throw Difference(description: "\(command)\n  PostgreSQL: \(answer)\n  model:      \(expected)")
        }
    }

    /// `expected` with the tail cut where that of `answer` is.
    private func cut(_ expected: LogEvent, as answer: LogEvent) -> LogEvent {
        guard case .conflicted(let number, var tail) = expected, case .conflicted(_, let told) = answer, !told.reachesHead else {
            return expected
        }
        tail.rows.removeLast(max(tail.rows.count - told.rows.count, 0))
        tail.reachesHead = false
        return .conflicted(number: number, tail: tail)
    }

    /// Without what each side has of its own: the cluster's id, the numbers of connections, and how long a command took.
    private func normalised(_ event: LogEvent) -> LogEvent {
        switch event {
        case .conflicted(let number, let tail): .conflicted(number: number, tail: normalised(tail))
        case .recovered(let tail): .recovered(normalised(tail))
        case .tailRead(let tail): .tailRead(normalised(tail))
        case .historyRead(let tail): .historyRead(normalised(tail))
        case .headLocked(let head, let expired, _): .headLocked(normalised(head), expired: expired.sorted(), sessions: 0)
        case .headRead(let head): .headRead(normalised(head))
        case .valuesRead(let number, let head, let values): .valuesRead(number: number, normalised(head), values)
        case .lease(let number, let answer): .lease(number: number, normalised(answer))
        default: event
        }
    }

    private func normalised(_ answer: LeaseAnswer) -> LeaseAnswer {
        switch answer {
        case .roundDone(let remainingMs, let head): .roundDone(remainingMs: remainingMs.mapValues(rounded), head: normalised(head))
        case .dutyAsked(.held(let taken, _)): .dutyAsked(.held(taken: taken, sessions: 0))
        case .dutyAsked(.heldByAnother(let ms, let swept)):
            .dutyAsked(.heldByAnother(forMs: Int(rounded(Int64(ms))), swept: swept))
        case .dueFound(let due, let nextMs, _): .dueFound(due, nextMs: nextMs.map(rounded), sessions: 0)
        case .failed: answer
        }
    }

    private func normalised(_ tail: Tail) -> Tail { Tail(head: normalised(tail.head), rows: tail.rows, reachesHead: tail.reachesHead) }

    private func normalised(_ head: Head) -> Head {
        var head = head
        if head.clusterID == clusterID { head.clusterID = model.head.clusterID }
        return head
    }

    /// Time that is left, in whole terms; 0 once it is over.
    private func rounded(_ ms: Int64) -> Int64 { max(0, (ms + Self.termMs - 1) / Self.termMs) }

    private func count(_ outcome: String) { counts[outcome, default: 0] += 1 }

    /// Hashes are read with the whole log only.
    func compareHashes() throws {
        let found = try PostgresServer.shared().psql(
            "select revision, sub, hash from pine.changelog where kind <> \(RowKind.digestKey.rawValue) order by revision, sub",
            connection: settings.conninfo)
        let expected = model.rows.filter { $0.kind != .digestKey }.map { "\($0.position.revision)|\($0.position.sub)|\($0.hash.rawValue)" }
        guard found == expected.joined(separator: "\n") else { throw Difference(description: "\(found)\n  model: \(expected)") }
    }

    // MARK: Acting

    /// One command, or a few that belong together.
    func act() async throws {
        oldHeads.append(model.head)
        let process = lockHolder ?? random.number(0...1)
        switch random.number(0...99) {
        case ..<30: try await append(by: process)
        case ..<36: try await appendStale(by: process)
        case ..<42: try await appendPipelined(by: process)
        case ..<54: try await useLock(by: process)
        case ..<66: try await read(by: random.number(0...1))
        // What needs a lease's row, or the head's, would wait for the lock.
        case _ where lockHolder != nil: try await append(by: process)
        case ..<69:
            try await ask(.recover(after: somePosition()), by: process)
            count("recovered")
        case ..<78: try await delete(by: process)
        case ..<87: try await runRound(by: process)
        case ..<95: try await tendDuty(by: process)
        default: try await endLeases(by: process)
        }
    }

    private func append(by process: Int) async throws {
        var batch = batch(on: model.head)
        batch.needsLock = random.chance(0.3)
        try await append(batch, by: process)
        lockHolder = nil
    }

    private func appendStale(by process: Int) async throws {
        var head = random.pick(oldHeads)
        if random.chance(0.3) { head.epoch += 1 }
        try await append(batch(on: head), by: process)
        lockHolder = nil
    }

    private func append(_ batch: AppendBatch, by process: Int) async throws {
        let answer = try await ask(.append(batch), by: process)
        if case .appended = answer { count("appended") } else { count("conflicted") }
    }

    /// Two batches, the second of which may follow the first, sent without waiting in between.
    private func appendPipelined(by process: Int) async throws {
        let first = batch(on: random.chance(0.7) ? model.head : random.pick(oldHeads))
        let second = batch(on: random.chance(0.7) ? first.newHead : model.head)
        model.nowMs = 1_000_000 + Int64(began.duration(to: .now) / .milliseconds(1))
        let commands = [first, second].map { LogCommand.append($0) }
        let expected = commands.map { model.answer($0, by: process) }
        for command in commands { processes[process].log.submit(command) }
        for (command, expected) in zip(commands, expected) {
            let answer = try await processes[process].inbox.next("an answer to \(command)") { $0 }
            // After a conflict, what follows it is not told the same rows again.
            try compare(answer, cut(try #require(expected), as: answer), commands)
        }
        lockHolder = nil
        count("pipelined")
    }

    private func useLock(by process: Int) async throws {
        guard lockHolder == nil else {
            tell(.unlockHead(keepingRemovals: random.chance(0.5)), by: process)
            lockHolder = nil
            // Once the next lock is granted, the one before has been given back.
            try await ask(.lockHead(), by: process)
            return tell(.unlockHead(), by: process)
        }
        let expiry = LeaseExpiry(leases: someLeases(), holder: Int64(random.number(1...2)))
        let answer = try await ask(.lockHead(expiring: random.chance(0.8) ? expiry : nil), by: process)
        lockHolder = process
        count("headLocked")
        if case .headLocked(_, let expired, _) = answer, !expired.isEmpty { count("expired") }
    }

    private func read(by process: Int) async throws {
        switch random.number(0...3) {
        case 0: try await ask(.readHead, by: process)
        case 1: try await ask(.readTail(after: somePosition(), limit: random.number(1...20)), by: process)
        case 2: try await ask(.readHistory(after: somePosition(), limit: random.number(1...20)), by: process)
        default:
            number += 1
            try await ask(.readValues(number: number, Array(Set((0..<5).map { _ in somePosition() })).sorted()), by: process)
            count("valuesRead")
        }
    }

    private func delete(by process: Int) async throws {
        // Without a steward it would be tried again later.
        guard model.duty != nil else { return try await tendDuty(by: process) }
        number += 1
        let puts = model.archive.filter { $0.kind == .put }.map(\.position)
        let positions = Set((0..<random.number(1...4)).map { _ in puts.isEmpty ? somePosition() : random.pick(puts) })
        let compacted = model.head.compactRevision
        let deletion = Deletion(
            number: number, positions: positions.sorted(), compactRevision: random.chance(0.8) ? compacted : compacted + 1_000,
            swept: random.chance(0.5) ? Sweep(compactRevision: compacted, position: somePosition()) : .nothing,
            digest: random.chance(0.8) ? model.deleted.digest : random.chance(0.5) ? nil : Digest(rawValue: 5),
            after: random.chance(0.5) ? .nothing : Sweep(compactRevision: compacted, position: somePosition()),
            holder: Int64(random.number(1...2)), isUrgent: true)
        switch try await ask(.deleteRows(deletion), by: process) {
        case .rowsDeleted: count("rowsDeleted")
        case .deletionRefused: count("deletionRefused")
        default: count("deletionLeft")
        }
    }

    private func runRound(by process: Int) async throws {
        var round = LeaseRound()
        let all = someLeases()
        round.remove = all.filter { _ in random.chance(0.2) }
        round.set = all.filter { !round.remove.contains($0) && random.chance(0.4) }.map(term)
        round.ensure = all.filter { _ in random.chance(0.3) }.map(term)
        round.read = someLeases()
        round.graceMs = Int64(random.number(0...2)) * Self.termMs
        guard !round.isEmpty else { return }
        number += 1
        try await ask(.lease(number: number, .round(round)), by: process)
        count("roundDone")
    }

    private func term(_ lease: LeaseID) -> LeaseTerm {
        LeaseTerm(lease: lease, milliseconds: Int64(random.number(1...5)) * Self.termMs)
    }

    private func tendDuty(by process: Int) async throws {
        number += 1
        let holder = Int64(random.number(1...2))
        switch random.number(0...3) {
        case 0:
            tell(.lease(number: number, .releaseDuty(holder: holder)), by: process)
            // The same thread answers once that is done.
            try await ask(.lease(number: number, .keepDuty(holder: holder, termMs: Int(Self.termMs))), by: process)
        case 1: try await findDue(holder: holder, by: process)
        default:
            let answer = try await ask(.lease(number: number, .keepDuty(holder: holder, termMs: Int(Self.termMs))), by: process)
            if case .lease(_, .dutyAsked(.held)) = answer { count("held") } else { count("heldByAnother") }
        }
    }

    private func findDue(holder: Int64, by process: Int) async throws {
        number += 1
        let answer = try await ask(.lease(number: number, .findDue(holder: holder, limit: random.number(1...4))), by: process)
        if case .lease(_, .dueFound(let due, _, _)) = answer, !due.isEmpty { count("due") }
    }

    /// The time of all leases is over, which the steward finds.
    private func endLeases(by process: Int) async throws {
        _ = try PostgresServer.shared().psql(
            "update pine.lease_deadline set expires_at = now() - interval '1 day'", connection: settings.conninfo)
        model.endLeases()
        try await findDue(holder: model.duty?.holder ?? 1, by: process)
    }

    // MARK: Choosing

    private func someLeases() -> [LeaseID] { Self.leases.filter { _ in random.chance(0.6) } }

    /// A row's position, one between rows, or one behind the end.
    private func somePosition() -> Position {
        var position = model.archive.isEmpty ? .start : random.pick(model.archive).position
        if random.chance(0.3) { position.sub += Int32(random.number(1...3)) }
        return position
    }

    /// One or two transactions on `head`.
    private func batch(on head: Head) -> AppendBatch {
        number += 1
        var newHead = head
        var rows: [LogRow] = []
        for _ in 0..<random.number(1...2) {
            // A grant takes no revision.
            let joins = random.chance(0.2)
            let revision = newHead.position.revision + (joins ? 0 : 1)
            let first = joins ? newHead.position.sub + 1 : 0
            for sub in first..<first + Int32(random.number(1...3)) {
                var row = row(at: Position(revision, sub))
                row.hash = newHead.digest.append(row, &key)
                if row.kind == .compact { newHead.compactRevision = max(newHead.compactRevision, row.compactRevision) }
                newHead.position = row.position
                rows.append(row)
            }
        }
        return AppendBatch(number: number, expectedDigest: head.digest, expectedEpoch: head.epoch, newHead: newHead, rows: rows)
    }

    private func row(at position: Position) -> LogRow {
        let kind = random.pick([RowKind.put, .put, .put, .put, .delete, .grant, .revoke, .compact])
        let isOfKey = kind == .put || kind == .delete
        let value = kind == .put ? ByteString((0..<random.number(0...9)).map { _ in UInt8(random.number(0...255)) }) : ByteString()
        return LogRow(
            position: position, kind: kind, key: isOfKey ? random.pick(Self.keys) : ByteString(), value: value,
            createRevision: kind == .put ? Revision.random(in: 2...max(2, position.revision), using: &random) : 0,
            version: kind == .compact ? position.revision.rawValue - 1 : kind == .put ? 1 : kind == .grant ? 60 : 0,
            lease: isOfKey && kind == .delete || kind == .compact ? 0 : random.pick(Self.leases), origin: Int64(random.number(1...2)))
    }
}

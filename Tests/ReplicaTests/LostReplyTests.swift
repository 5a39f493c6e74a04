// Owns: answers of the log that come late, out of turn, or not at all.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

/// A replica whose commands are answered by hand.
final class HandDriven {
    private var host: ReplicaHost
    let log: MemoryLog
    private(set) var commands: [LogCommand] = []
    private(set) var answers: [CallID: Result<ByteString, EtcdError>] = [:]
    private(set) var sent: [CallID: [ByteString]] = [:]
    var now = Instant(nanoseconds: 0)
    private var lastID: UInt64 = 0

    init(_ log: MemoryLog, configure: (inout ReplicaConfiguration) -> Void = { _ in }) {
        self.log = log
        var configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        configure(&configuration)
        host = ReplicaHost(configuration)
        turn()
        // The lease chores have nothing to do with any of this.
        take { if case .chore(.lease) = $0 { true } else { false } }
    }

    var replica: Replica { _read { yield host.replica } }

    func turn() { perform(host.turn(now: now)) }

    /// Without a turn.
    func step(_ event: ReplicaEvent) { host.step(event, now: now) }

    func newID() -> CallID {
        lastID += 1
        return CallID(rawValue: lastID)
    }

    func ask(_ request: Request) -> CallID {
        let id = newID()
        host.step(.requestArrived(id, request), now: now)
        turn()
        return id
    }

    func tell(_ event: ReplicaEvent) {
        host.step(event, now: now)
        turn()
    }

    func hear(_ event: LogEvent?) {
        if let event { host.step(.log(event), now: now) }
        turn()
    }

    /// Takes out the first command of a kind.
    @discardableResult
    func take(_ isWanted: (LogCommand) -> Bool) -> LogCommand? {
        commands.firstIndex(where: isWanted).map { commands.remove(at: $0) }
    }

    func takeTailRead() -> LogCommand? { take { if case .reading(.tail) = $0 { true } else { false } } }
    func takeHeadRead() -> LogCommand? { take { $0 == .readHead } }
    func takeAppend() -> LogCommand? { take { if case .appending(.append) = $0 { true } else { false } } }
    func takeRecover() -> LogCommand? { take { if case .appending(.recover) = $0 { true } else { false } } }
    func takeLock() -> LogCommand? { take { if case .appending(.lockHead) = $0 { true } else { false } } }
    func takeUnlock() -> LogCommand? { take { if case .appending(.unlockHead) = $0 { true } else { false } } }
    func takeValuesRead() -> LogCommand? { take { if case .values = $0 { true } else { false } } }
    func takeHistoryRead() -> LogCommand? { take { if case .history = $0 { true } else { false } } }
}

extension HandDriven: ReplicaSurroundings {
    func answered(_ id: CallID, _ result: Result<ByteString, EtcdError>) { answers[id] = result }

    func sent(_ id: CallID, _ message: ByteString, reportDrained: Bool) { sent[id, default: []].append(message) }

    func asked(_ command: LogCommand) { commands.append(command) }

    func load() { for event in log.load() { step(event) } }

    func sort(_ job: SortJob) {
        var job = job
        job.run()
        step(.sorted(job))
    }

    func noted(_ note: Note) {}
}

@Suite struct LostReplyTests {
    @Test("A tail that was read before a lost append doesn't say that it never happened")
    func earlierTail() throws {
        let log = MemoryLog()
        let pine = HandDriven(log)
        // A poll that takes its time.
        pine.now = pine.now.advanced(byMs: 2_000)
        pine.turn()
        let earlierTail = log.answer(try #require(pine.takeTailRead()))
        let id = pine.ask(.write(.put(PutRequest(key: "k", value: "v"))))
        log.fates = [.lostAfterCommit]
        pine.hear(log.answer(try #require(pine.takeAppend())))
        pine.hear(earlierTail)
        #expect(pine.takeAppend() == nil)
        pine.hear(log.answer(try #require(pine.takeRecover())))
        let answer = try PutResponse.decode(try #require(pine.answers[id]).get())
        #expect(answer.header?.revision == 2)
        #expect(log.rows.count == 1)
    }

    @Test("A process whose tail read fails asks again, and goes on following")
    func failedTailRead() throws {
        let log = MemoryLog()
        let other = TestReplica(log, origin: 2)
        let pine = HandDriven(log)
        _ = try other.put("k", "v")
        let id = pine.ask(.range(RangeRequest(key: "k")))
        pine.hear(log.answer(try #require(pine.takeHeadRead())))
        #expect(pine.takeTailRead() != nil)
        pine.hear(.tailReadFailed(reason: "cut"))
        pine.hear(log.answer(try #require(pine.takeTailRead())))
        #expect(try RangeResponse.decode(try #require(pine.answers[id]).get()).count == 1)
    }

    @Test("A recovery whose tail comes in pieces outlives a piece that can't be read")
    func failedPiece() throws {
        let log = MemoryLog()
        let other = TestReplica(log, origin: 2)
        let pine = HandDriven(log)
        let id = pine.ask(.write(.put(PutRequest(key: "k", value: "v"))))
        log.fates = [.lostBeforeCommit]
        pine.hear(log.answer(try #require(pine.takeAppend())))
        #expect(pine.takeRecover() != nil)
        for number in 1...3 { _ = try other.put("other", ByteString("\(number)")) }
        _ = log.answer(.recover(after: .start))
        pine.hear(.recovered(log.tail(after: .start, limit: 1)))
        #expect(pine.takeTailRead() != nil)
        pine.hear(.tailReadFailed(reason: "cut"))
        pine.hear(log.answer(try #require(pine.takeTailRead())))
        pine.hear(log.answer(try #require(pine.takeAppend())))
        #expect(try PutResponse.decode(try #require(pine.answers[id]).get()).header?.revision == 5)
    }
}

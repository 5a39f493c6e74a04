// Owns: appends under the head row's lock, for which a process queues up beside busy neighbours.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite struct LockedAppendTests {
    private let log = MemoryLog()
    private let other: TestReplica

    init() { other = TestReplica(log, origin: 2) }

    /// A process that has asked for the lock for one put, after two races that it has lost, and that put.
    private func waiting(configure: (inout ReplicaConfiguration) -> Void = { _ in }) throws -> (HandDriven, CallID) {
        let pine = HandDriven(log, configure: configure)
        let id = pine.ask(.write(.put(PutRequest(key: "k", value: "v"))))
        for number in 1...2 {
            _ = try other.put("other", ByteString("\(number)"))
            pine.hear(log.answer(try #require(pine.takeAppend())))
        }
        #expect(pine.takeAppend() == nil)
        return (pine, id)
    }

    private func revision(_ pine: HandDriven, _ id: CallID) throws -> Revision? {
        try PutResponse.decode(try #require(pine.answers[id]).get()).header?.revision
    }

    @Test("What others append while the lock is waited for is folded meanwhile, and what is missing in the end once it is held")
    func foldsWhileWaiting() throws {
        let (pine, id) = try waiting()
        let lock = try #require(pine.takeLock())
        _ = try other.put("other", "3")
        pine.hear(.hinted)
        pine.hear(log.answer(try #require(pine.takeTailRead())))
        #expect(pine.replica.store.revision == 4)
        _ = try other.put("other", "4")
        pine.hear(log.answer(lock))
        #expect(pine.takeAppend() == nil)
        pine.hear(log.answer(try #require(pine.takeTailRead())))
        pine.hear(log.answer(try #require(pine.takeAppend())))
        #expect(try revision(pine, id) == 6)
        #expect(pine.replica.counters.writes.racesLost == 2)
    }

    @Test("Who has waited for the lock goes on to do so while others append, and no longer")
    func staysInQueue() throws {
        let (pine, _) = try waiting()
        for isBusy in [true, false] {
            let lock = try #require(pine.takeLock())
            if isBusy { _ = try other.put("other", "v") }
            pine.hear(log.answer(lock))
            if isBusy { pine.hear(log.answer(try #require(pine.takeTailRead()))) }
            pine.hear(log.answer(try #require(pine.takeAppend())))
            _ = pine.ask(.write(.put(PutRequest(key: "k", value: "v"))))
        }
        #expect(pine.takeLock() == nil)
        #expect(pine.takeAppend() != nil)
    }

    @Test(
        "A race that took long is enough: on a slow link a large batch would lose the next one, too",
        arguments: [(600, true), (400, false)])
    func lostSlowly(ms: Int, waits: Bool) throws {
        let pine = HandDriven(log)
        let id = pine.ask(.write(.put(PutRequest(key: "k", value: "v"))))
        _ = try other.put("other", "1")
        pine.now = pine.now.advanced(byMs: ms)
        pine.hear(log.answer(try #require(pine.takeAppend())))
        let lock = pine.takeLock()
        #expect((lock != nil) == waits)
        if let lock { pine.hear(log.answer(lock)) }
        pine.hear(log.answer(try #require(pine.takeAppend())))
        #expect(try revision(pine, id) == 3)
    }

    @Test("Where what was made under the lock came too late for it, it is asked for longer, until that is enough")
    func heldTooShortly() throws {
        let (pine, id) = try waiting()
        for (number, extraMs) in [0, 1_000, 2_000].enumerated() {
            let lock = try #require(pine.takeLock())
            #expect(lock == .lockHead(extraMs: extraMs))
            pine.hear(log.answer(lock))
            let append = try #require(pine.takeAppend())
            // It was given back meanwhile.
            if extraMs < 2_000 { _ = try other.put("late", ByteString("\(number)")) }
            pine.hear(log.answer(append))
        }
        #expect(try revision(pine, id) == 6)
        _ = pine.ask(.write(.put(PutRequest(key: "k", value: "v"))))
        #expect(pine.replica.counters.writes.racesLost == 4)
        #expect(pine.takeLock().map { $0 == .lockHead() } ?? true)
    }

    @Test("The lock is given back where what it waits for can't be read, and the put is done without it")
    func failedTailRead() throws {
        let (pine, id) = try waiting()
        let lock = try #require(pine.takeLock())
        _ = try other.put("other", "3")
        pine.hear(log.answer(lock))
        #expect(pine.takeTailRead() != nil)
        pine.hear(.tailReadFailed(reason: "cut"))
        #expect(pine.takeUnlock() == .unlockHead())
        pine.hear(log.answer(try #require(pine.takeAppend())))
        #expect(pine.replica.counters.writes.racesLost == 3)
        pine.hear(log.answer(try #require(pine.takeAppend())))
        #expect(try revision(pine, id) == 5)
    }

    @Test("Others are not held up by a process that has a long way to go")
    func farBehind() throws {
        let (pine, id) = try waiting { $0.tailRowLimit = 5 }
        let lock = try #require(pine.takeLock())
        for number in 1...6 { _ = try other.put("other", ByteString("\(number)")) }
        pine.hear(log.answer(lock))
        #expect(pine.takeUnlock() == .unlockHead())
        while let read = pine.takeTailRead() { pine.hear(log.answer(read)) }
        while let append = pine.takeAppend() { pine.hear(log.answer(append)) }
        #expect(try revision(pine, id) == 10)
    }

    @Test("The lock is given back where it shows that the log has lost what was folded")
    func lostHistory() throws {
        let (pine, id) = try waiting()
        let lock = try #require(pine.takeLock())
        log.lose(last: 1)
        pine.hear(log.answer(lock))
        #expect(pine.takeUnlock() == .unlockHead())
        // The revision is raised first.
        pine.turn()
        pine.hear(log.answer(try #require(pine.takeAppend())))
        while let append = pine.takeAppend() { pine.hear(log.answer(append)) }
        #expect(try #require(try revision(pine, id)) > Revision(revisionRaiseMargin))
    }
}

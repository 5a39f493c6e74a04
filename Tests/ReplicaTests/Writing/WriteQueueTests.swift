// Owns: checks of the queue of writes alone: its bounds, its order, and who is let out of it.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The queue of writes", .ownThreads)
struct WriteQueueTests {
    private func queue(_ configure: (inout ReplicaConfiguration) -> Void = { _ in }) -> WriteQueue {
        var configuration = ReplicaConfiguration(origin: 1, memberID: 7)
        configure(&configuration)
        return WriteQueue(configuration)
    }

    private func write(_ id: UInt64, bytes: Int = 1, atMs: Int = 0) -> PendingWrite {
        let value = ByteString(String(repeating: "v", count: bytes))
        return PendingWrite(
            id: CallID(rawValue: id), request: .put(PutRequest(key: "k", value: value)), physical: false,
            arrivedAt: Instant(nanoseconds: 0).advanced(byMs: atMs))
    }

    private func taken(_ queue: inout WriteQueue) throws -> PendingWrite {
        let write = queue.takeFirst()
        return try #require(write)
    }

    private func drain(_ queue: inout WriteQueue) -> [UInt64] {
        var ids: [UInt64] = []
        while let write = queue.takeFirst() {
            ids.append(write.id.rawValue)
            queue.invariants()
        }
        return ids
    }

    @Test("writes are refused once too many wait, and one that was taken is never refused when it comes back")
    func countLimit() throws {
        var queue = queue { $0.waitingLimit = 2 }
        let isIn = (1...3).map { queue.arrived(write($0)) }
        #expect(isIn == [true, true, false])
        let first = try taken(&queue)
        let isNextIn = queue.arrived(write(4))
        #expect(isNextIn)
        queue.putBack(first)
        queue.invariants()
        let order = drain(&queue)
        #expect(order == [1, 2, 4])
    }

    @Test("writes are refused once they take too much memory, but for one that is alone, however large")
    func byteLimit() {
        var queue = queue { $0.waitingByteLimit = 5_000 }
        let isIn = [queue.arrived(write(1, bytes: 10_000)), queue.arrived(write(2))]
        #expect(isIn == [true, false])
        let order = drain(&queue)
        let bytes = queue.byteCount
        #expect(order == [1] && bytes == 0)
        let small = (3...20).filter { queue.arrived(write($0, bytes: 1_000)) }
        queue.invariants()
        #expect(small == [3, 4, 5, 6] || small == [3, 4, 5], "the request around the value counts, too")
    }

    @Test("only the write that was paused goes on, and only where it is still the first")
    func unfinished() throws {
        var queue = queue()
        _ = (1...2).map { queue.arrived(write($0)) }
        let first = try taken(&queue)
        queue.paused(first, goesOn: false)
        let beginsAnew = !queue.isFirstUnfinished
        #expect(beginsAnew)
        let again = try taken(&queue)
        queue.paused(again, goesOn: true)
        let goesOn = queue.isFirstUnfinished
        #expect(goesOn)
        queue.putBack(write(3))
        let isBehind = !queue.isFirstUnfinished
        #expect(isBehind)
        queue.cancelled([CallID(rawValue: 3)])
        let isFirstAgain = queue.isFirstUnfinished
        #expect(isFirstAgain)
        queue.cancelled([CallID(rawValue: 1)])
        let isGone = !queue.isFirstUnfinished
        #expect(isGone)
    }

    @Test("a write whose execution began time and again needs the lock once it is the first")
    func needsLock() {
        var queue = queue()
        let isNeededByNobody = queue.firstNeedsLock
        _ = queue.arrived(write(1))
        let isNeededAtOnce = queue.firstNeedsLock
        var tired = write(2)
        tired.pauseCount = 3
        queue.putBack(tired)
        let isNeeded = queue.firstNeedsLock
        #expect(!isNeededByNobody && !isNeededAtOnce && isNeeded)
    }

    @Test("what has waited for too long is let out oldest first, and the deadline is that of the oldest")
    func overdue() {
        var queue = queue { $0.requestTimeoutMs = 100 }
        let start = Instant(nanoseconds: 0)
        let none = queue.deadline
        #expect(none == nil)
        for id in 1...3 as ClosedRange<UInt64> { _ = queue.arrived(write(id, atMs: Int(id) * 10)) }
        let deadline = queue.deadline
        #expect(deadline == start.advanced(byMs: 110))
        let early = queue.takeOverdue(start.advanced(byMs: 109))
        #expect(early?.id == nil)
        var overdue: [UInt64] = []
        while let write = queue.takeOverdue(start.advanced(byMs: 120)) { overdue.append(write.id.rawValue) }
        queue.invariants()
        let left = queue.count
        #expect(overdue == [1, 2] && left == 1)
    }

    @Test("a lost history takes what the replica wanted written itself, and nothing of clients")
    func historyLost() {
        var queue = queue()
        _ = queue.arrived(write(1))
        _ = queue.arrived(
            PendingWrite(id: .ownCompaction, request: .compact(revision: 5), physical: false, arrivedAt: Instant(nanoseconds: 0)))
        _ = queue.arrived(write(2))
        queue.historyLost()
        queue.invariants()
        let order = drain(&queue)
        #expect(order == [1, 2])
    }
}

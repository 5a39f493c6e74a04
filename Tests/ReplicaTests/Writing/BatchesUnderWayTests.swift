// Owns: checks of the batches under way alone: their numbers, their outcomes and whose clients are told what.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("Batches under way", .ownThreads)
struct BatchesUnderWayTests {
    /// Two batches, of two writes and of one.
    private func two() throws -> (WriteWorld, [AppendBatch]) {
        let world = WriteWorld()
        for _ in 0..<2 { world.arrive() }
        let first = try #require(world.send())
        world.arrive()
        let second = try #require(world.send())
        world.check()
        return (world, [first, second])
    }

    @Test("the second expects what the first leaves, and there is no third")
    func chain() throws {
        let (world, batches) = try two()
        #expect(batches.map(\.number) == [1, 2] && batches[1].follows(batches[0]))
        #expect(batches.map { $0.rows.map(\.position) } == [[Position(2, 0), Position(3, 0)], [Position(4, 0)]])
        for _ in 0..<100 { world.arrive() }
        #expect(world.pipeline.canFollow == false)
        world.appended()
        #expect(world.pipeline.canFollow == true)
    }

    @Test("they are settled in their order: what is said of the second before the first counts for nothing, nor what is said twice")
    func order() throws {
        let (world, _) = try two()
        #expect(world.hearAppended(2) == nil)
        #expect(world.hearAppended(1)?.append.number == 1)
        #expect(world.hearAppended(1) == nil)
        world.check()
        #expect(world.answered == [1, 2])
        #expect(world.hearAppended(2)?.append.number == 2)
        #expect(world.answered == [1, 2, 3] && world.pipeline.hasBatches == false)
        world.check()
    }

    @Test("lost batches are found by their last rows, and what is not found is executed again", arguments: 0...2)
    func lost(inserted: Int) throws {
        let (world, _) = try two()
        let lost = world.lose()
        #expect(lost.map(\.number) == [1, 2] && world.pipeline.areBatchesLost && !world.pipeline.isAppending)
        #expect(world.hearAppended(1) == nil, "a late answer")
        #expect(world.settle(lost, inserted: inserted) == inserted)
        world.check()
        #expect(world.answered == [[], [1, 2], [1, 2, 3]][inserted])
        _ = world.sendIfAllowed()
        world.appended()
        #expect(world.answered == [1, 2, 3])
    }

    @Test("another's row at the same position is not the batch's")
    func foreignRow() throws {
        let world = WriteWorld()
        world.arrive()
        let batch = try #require(world.send())
        var batches = BatchesUnderWay(ReplicaConfiguration(origin: 1, memberID: 7))
        let number = batches.takeNumber()
        var actions: [Action] = []
        var append = batch
        append.number = number
        batches.send(Batch(startedAt: world.now, append: append, end: world.store.savepoint, isLocked: false), &actions)
        let isLost = batches.appendLost(number)
        #expect(isLost)
        batches.rowFolded(at: batch.newHead.position, Digest(rawValue: 1))
        let settled = batches.settled()
        #expect(settled.found.isEmpty && settled.undone.count == 1)
        let next = batches.takeNumber()
        #expect(next == number + 1, "no number is given out twice")
    }

    @Test("clients are told once that it takes too long, and not again when their batch is settled or undone", arguments: [false, true])
    func overdue(isUndone: Bool) throws {
        let world = WriteWorld { $0.requestTimeoutMs = 100 }
        world.arrive()
        world.now = world.now.advanced(byMs: 50)
        world.arrive()
        _ = world.send()
        world.now = world.now.advanced(byMs: 30)
        world.arrive()
        _ = world.send()
        #expect(world.pipeline.deadline == Instant(nanoseconds: 0).advanced(byMs: 100))
        world.now = world.now.advanced(byMs: 20)
        #expect(world.takeOverdue() == [1])
        #expect(world.takeOverdue() == [])
        #expect(world.pipeline.deadline == Instant(nanoseconds: 0).advanced(byMs: 150))
        if isUndone {
            #expect(world.conflicted()?.count == 2)
            world.check()
            #expect(world.pipeline.writeCount == 2)
            _ = world.sendIfAllowed()
        }
        while !world.sent.isEmpty { world.appended() }
        #expect(world.answered == [2, 3])
    }

    @Test("where the log is loaded anew all outcomes are unknown, and late answers count for nothing", arguments: [false, true])
    func unknown(areLost: Bool) throws {
        let (world, _) = try two()
        if areLost { #expect(world.lose().count == 2) }
        #expect(world.loadAnew().map(\.append.number) == [1, 2])
        #expect(world.pipeline.hasBatches == false && world.pipeline.isAppending == false && world.pipeline.writeCount == 0)
        #expect(world.takeOverdue() == [] && world.hearAppended(1) == nil)
    }
}

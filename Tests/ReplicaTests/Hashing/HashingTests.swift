import Bytes
import Calls
import EtcdAPI
import Keyspace
import Testing

@testable import Replica

/// The machine of hashes over a store that is made of rows.
private final class HashingWorld {
    private(set) var store = Store()
    var hashing = Hashing()
    private(set) var answers: [CallID: Result<Hashing.Answer, EtcdError>] = [:]
    /// Of the task that waits for values.
    private(set) var missing: [MissingValue] = []

    init(keys: Int, inMemory: Bool = true) {
        for number in 0..<keys { put(ByteString("k\(number)"), ByteString("v\(number)"), inMemory: inMemory) }
    }

    func put(_ key: ByteString, _ value: ByteString, inMemory: Bool = true) {
        let revision = store.tip.revision + 1
        var row = LogRow(
            position: Position(revision, 0), kind: .put, key: key, value: value, createRevision: revision, version: 1, origin: 1)
        if inMemory {
            store.apply(row)
        } else {
            row.value = ByteString()
            store.applyWithoutValue(row, byteCount: value.count)
        }
        store.commit()
    }

    func compact(to revision: Revision) {
        let tip = store.tip
        store.apply(
            LogRow(position: Position(tip.revision, tip.sub + 1), kind: .compact, version: revision.rawValue, origin: 1))
        store.commit()
        hashing.compacted(store.takeCompactions())
        hashing.invariants()
    }

    func ask(_ number: UInt64, _ revision: Revision) {
        hashing.asked(CallID(rawValue: number), for: revision)
        hashing.invariants()
    }

    func answer(_ number: UInt64) throws -> Hashing.Answer? { try answers[CallID(rawValue: number)]?.get() }

    /// One step, which looks at few keys.
    func step(visits: Int = 5) {
        var visits = visits
        let progress = hashing.advance(store, visits: &visits)
        hashing.invariants()
        for outcome in progress.outcomes { answers[outcome.request] = outcome.answer }
        missing = progress.missing
    }

    func settle() { while hashing.canGoOn { step() } }
}

@Suite("Hashes")
struct HashingTests {
    @Test("A hash takes as many steps as its keys need, and is the same however small they are")
    func steps() throws {
        let world = HashingWorld(keys: 50)
        world.ask(1, 0)
        world.step()
        #expect(world.answers.isEmpty && world.hashing.canGoOn && world.hashing.count == 1)
        world.settle()
        world.ask(2, 51)
        world.step(visits: 1_000)
        let first = try #require(try world.answer(1))
        #expect(try world.answer(2) == first && first.revision == 51 && first.compactRevision == -1)
        #expect(world.hashing.isEmpty && world.hashing.pinnedRevision == nil && world.hashing.heldBytes == 0)
    }

    @Test("One scan answers all that ask for the same revision; the others come in their order")
    func followers() throws {
        let world = HashingWorld(keys: 50)
        for (number, revision) in [(1, 0), (2, 30), (3, 51), (4, 0), (5, 30)] as [(UInt64, Revision)] { world.ask(number, revision) }
        while try world.answer(1) == nil { world.step() }
        #expect(try world.answer(3) == world.answer(1) && world.answer(4) == world.answer(1))
        #expect(world.answers.count == 3 && world.hashing.count == 2)
        world.settle()
        #expect(try world.answer(2) == world.answer(5) && world.answer(2)?.revision == 30)
        #expect(try world.answer(2)?.hash != world.answer(1)?.hash)
    }

    @Test("A revision that is to come, or compacted, is refused")
    func refused() {
        let world = HashingWorld(keys: 20)
        world.compact(to: 10)
        world.settle()
        world.ask(1, 9)
        world.ask(2, 22)
        world.settle()
        #expect(world.answers[CallID(rawValue: 1)] == .failure(.compacted))
        #expect(world.answers[CallID(rawValue: 2)] == .failure(.futureRev))
    }

    @Test("A compaction's hash is computed before what it made dead may go, and is remembered of the last ten")
    func remembered() throws {
        let world = HashingWorld(keys: 60)
        world.ask(1, 20)
        world.settle()
        let before = try #require(try world.answer(1))
        world.compact(to: 20)
        #expect(world.hashing.pinnedRevision == -1, "nothing that was there before the compaction may go")
        world.settle()
        #expect(world.hashing.pinnedRevision == nil)
        world.ask(2, 20)
        world.step(visits: 0)
        #expect(try world.answer(2) == before, "as of before the compaction, and without looking at a key")
        for revision in 21...30 as ClosedRange<Revision> {
            world.compact(to: revision)
            world.settle()
        }
        world.ask(3, 21)
        world.ask(4, 20)
        world.settle()
        #expect(try world.answer(3)?.compactRevision == 20)
        #expect(world.answers[CallID(rawValue: 4)] == .failure(.compacted))
    }

    @Test("Compactions that come faster than their hashes are given up, but for the one under way and the newest: ten in all")
    func tooMany() throws {
        let world = HashingWorld(keys: 60)
        world.compact(to: 2)
        world.step(visits: 1)
        for revision in 3...40 as ClosedRange<Revision> { world.compact(to: revision) }
        #expect(world.hashing.count == 10)
        world.settle()
        world.ask(1, 32)
        world.settle()
        #expect(try world.answer(1)?.compactRevision == 31)
    }

    @Test("A call that is gone is dropped, also in the middle of its hash; the next begins")
    func dropped() throws {
        let world = HashingWorld(keys: 50)
        world.ask(1, 40)
        world.ask(2, 0)
        world.step()
        world.hashing.drop([CallID(rawValue: 1)])
        world.hashing.invariants()
        world.settle()
        #expect(world.answers.count == 1)
        #expect(try world.answer(2)?.revision == 51)
    }

    @Test("A hash waits for values that are not in memory; it begins anew if they were deleted meanwhile, or fails if they can't be read")
    func values() throws {
        let world = HashingWorld(keys: 10, inMemory: false)
        let whole = HashingWorld(keys: 10)
        whole.ask(1, 0)
        whole.settle()
        for (number, revision) in [(1, 11), (2, 5)] as [(UInt64, Revision)] { world.ask(number, revision) }
        world.settle()
        let parked = try #require(world.hashing.parkedNumber)
        #expect(!world.missing.isEmpty && !world.hashing.canGoOn && world.answers.isEmpty)
        let other = world.hashing.valuesRead(parked + 1, isWhole: true)
        let partial = world.hashing.valuesRead(parked, isWhole: false)
        #expect(!other && !partial, "nobody waits under the one number, and the other's hash begins anew")
        world.settle()
        #expect(world.hashing.parkedNumber == parked && !world.missing.isEmpty, "it begins with what there is now")
        let refused = [world.hashing.refused(parked), world.hashing.refused(parked)]
        #expect(refused == [CallID(rawValue: 1), nil])
        world.settle()
        #expect(world.hashing.parkedNumber == parked + 1 && world.hashing.count == 1)
    }

    @Test("Once the log is loaded anew, all who wait are told, and nothing is remembered")
    func loadedAnew() throws {
        let world = HashingWorld(keys: 20)
        world.compact(to: 10)
        world.settle()
        world.ask(1, 0)
        world.ask(2, 15)
        world.step()
        let told = world.hashing.loadedAnew()
        #expect(told == [CallID(rawValue: 1), CallID(rawValue: 2)])
        world.hashing.invariants()
        world.ask(3, 10)
        world.settle()
        #expect(world.hashing.isEmpty)
        #expect(try world.answer(3)?.compactRevision == 10, "not as of before the compaction, which was remembered")
    }
}

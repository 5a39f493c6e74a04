import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The sweeper", .ownThreads)
struct SweeperTests {
    private static func collected(_ dead: [Position], to swept: Sweep, of revision: Revision, isCut: Bool = false) -> Sweeper.Collected {
        Sweeper.Collected(dead: dead, swept: swept, isCut: isCut, compactRevision: revision, backlog: dead.count)
    }

    private static func deletion(_ actions: [Action]) -> Deletion? {
        for case .log(.chore(.deleteRows(let deletion))) in actions { return deletion }
        return nil
    }

    private let digest = Digest(rawValue: 7)

    @Test("the steward deletes what memory has forgotten, one deletion after the other, and answers who waits once all is gone")
    func steward() throws {
        var sweeper = Sweeper()
        var actions: [Action] = []
        #expect(sweeper.reach(isSteward: true) == .everything)
        let waiter = PhysicalWaiter(id: CallID(rawValue: 5), revision: 9, message: "gone")
        sweeper.waits(waiter, &actions)
        #expect(actions.isEmpty && sweeper.isWaitedFor)
        let half = Sweep(compactRevision: 9, position: Position(4, 0))
        sweeper.collected(Self.collected([Position(2, 0)], to: half, of: 9, isCut: true), holder: 3, &actions)
        let first = try #require(Self.deletion(actions))
        #expect(first.number == 1 && first.positions == [Position(2, 0)] && first.swept == half && first.holder == 3 && first.isUrgent)
        #expect(sweeper.reach(isSteward: true) == nil, "one at a time")
        sweeper.invariants()
        actions = []
        let isOurs = sweeper.deleted(1, 1, digest, compactRevision: 9, backlog: 1, now: Instant(nanoseconds: 0), &actions)
        #expect(isOurs && actions.isEmpty)
        sweeper.collected(Self.collected([Position(5, 0)], to: .whole(9), of: 9), holder: 3, &actions)
        let second = try #require(Self.deletion(actions))
        #expect(second.number == 2 && second.digest == digest && second.after.covers(.whole(9)))
        actions = []
        _ = sweeper.deleted(2, 1, digest, compactRevision: 9, backlog: 0, now: Instant(nanoseconds: 0), &actions)
        #expect(actions == [.respond(CallID(rawValue: 5), "gone")] && !sweeper.isWaitedFor)
        sweeper.invariants()
    }

    @Test("where nothing is dead it looks on without a deletion, and tells the log once all was looked at")
    func nothingDead() {
        var sweeper = Sweeper()
        var actions: [Action] = []
        sweeper.collected(Self.collected([], to: .nothing, of: 9, isCut: true), holder: 3, &actions)
        #expect(actions.isEmpty && sweeper.hasMoreWork)
        sweeper.collected(Self.collected([], to: .whole(9), of: 9), holder: 3, &actions)
        #expect(Self.deletion(actions)?.positions == [] && !sweeper.hasMoreWork)
        actions = []
        _ = sweeper.deleted(1, 0, digest, compactRevision: 9, backlog: 0, now: Instant(nanoseconds: 0), &actions)
        sweeper.collected(Self.collected([], to: .whole(9), of: 9), holder: 3, &actions)
        #expect(actions.isEmpty, "all of it is told already")
    }

    @Test("who is not the steward forgets what is gone, no more, and its own deletions no longer know the log's digest")
    func follower() {
        var sweeper = Sweeper()
        var actions: [Action] = []
        sweeper.loaded(SweepState(swept: .whole(3), begun: 3, digest: digest))
        #expect(sweeper.reach(isSteward: false) == .whole(3))
        sweeper.waits(PhysicalWaiter(id: CallID(rawValue: 5), revision: 9, message: "gone"), &actions)
        sweeper.heard(.whole(9))
        #expect(sweeper.reach(isSteward: false) == .whole(9))
        sweeper.followed(Self.collected([Position(2, 0)], to: .whole(9), of: 9, isCut: true), &actions)
        #expect(actions == [.respond(CallID(rawValue: 5), "gone")] && sweeper.hasMoreWork)
        actions = []
        sweeper.collected(Self.collected([Position(8, 0)], to: .whole(12), of: 12), holder: 3, &actions)
        #expect(Self.deletion(actions)?.digest == nil && Self.deletion(actions)?.after == .whole(9))
    }

    @Test("a deletion that another steward is to do, or of an earlier memory, is not waited for")
    func left() {
        var sweeper = Sweeper()
        var actions: [Action] = []
        sweeper.collected(Self.collected([Position(2, 0)], to: .whole(9), of: 9), holder: 3, &actions)
        let isUnknown = sweeper.left(7)
        #expect(!isUnknown && !sweeper.refused(7) && sweeper.refused(1))
        let isOurs = sweeper.left(1)
        #expect(isOurs && sweeper.reach(isSteward: false) == .nothing)
        sweeper.collected(Self.collected([Position(3, 0)], to: .whole(9), of: 9), holder: 3, &actions)
        sweeper.waits(PhysicalWaiter(id: CallID(rawValue: 5), revision: 9, message: "gone"), &actions)
        #expect(sweeper.loadingBegan().map(\.id.rawValue) == [5])
        actions = []
        let isLate = sweeper.deleted(2, 1, digest, compactRevision: 9, backlog: 0, now: Instant(nanoseconds: 0), &actions)
        #expect(!isLate && actions.isEmpty)
        sweeper.collected(Self.collected([Position(3, 0)], to: .whole(9), of: 9), holder: 3, &actions)
        #expect(Self.deletion(actions)?.number == 3, "no number is given out twice")
    }

    @Test("a long sweep is told of now and then, and once it is over")
    func telling() {
        var sweeper = Sweeper()
        var now = Instant(nanoseconds: 0)
        var notes: [Note] = []
        for number in 1...5 as ClosedRange<UInt64> {
            var actions: [Action] = []
            let swept = number == 5 ? Sweep.whole(9) : Sweep(compactRevision: 9, position: Position(Revision(Int64(number)), 0))
            sweeper.collected(Self.collected([Position(2, 0)], to: swept, of: 9), holder: 3, &actions)
            actions = []
            _ = sweeper.deleted(number, 60_000, digest, compactRevision: 9, backlog: 8, now: now, &actions)
            for case .note(let note) in actions { notes.append(note) }
            now = now.advanced(byMs: 6_000)
            sweeper.invariants()
        }
        #expect(
            notes == [
                .sweeping(deleted: 120_000, left: 8), .sweeping(deleted: 240_000, left: 8), .swept(deleted: 300_000, compactRevision: 9),
            ])
    }
}

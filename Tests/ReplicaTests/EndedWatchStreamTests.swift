import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import TestSupport
import Testing

@Suite("Watch streams that have ended", .ownThreads)
struct EndedWatchStreamTests {
    /// A replica in which a watcher of `asking` and one of `other` catch up, a step a turn, while progress of `asking` was asked for.
    private func catchingUp() throws -> (replica: TestReplica, asking: CallID, other: CallID) {
        let replica = TestReplica(MemoryLog()) { $0.watchVisitLimit = 1 }
        for _ in 0..<3 { _ = try replica.put("a", "1") }
        let asking = replica.newStream()
        let other = replica.newStream()
        for id in [asking, other] { replica.tell(.watchOpened(id)) }
        replica.tell(.watchRequested(asking, .create(WatchCreateRequest(key: "a", startRevision: 2))))
        replica.tell(.watchRequested(asking, .progress(WatchProgressRequest())))
        replica.tell(.watchRequested(other, .create(WatchCreateRequest(key: "a", startRevision: 2))))
        return (replica, asking, other)
    }

    @Test("A progress request is not answered once its stream has ended, in whichever turn that is")
    func progress() throws {
        let (whole, asking, _) = try catchingUp()
        var turns = 0
        while whole.turn() { turns += 1 }
        #expect(try WatchResponse.decode(#require(whole.sent[asking]?.last)).watchID == -1)
        #expect(turns > 5)
        for turn in 1...turns {
            let (replica, asking, other) = try catchingUp()
            for _ in 0..<turn { _ = replica.turn() }
            let sent = replica.sent[asking, default: []].count
            // What the log says is taken in before the end is.
            replica.holdsAnswers = true
            replica.cancel(asking)
            _ = replica.turn()
            replica.holdsAnswers = false
            replica.settle()
            #expect(replica.sent[asking, default: []].count == sent, "ended after \(turn) turns")
            let events = try replica.sent[other, default: []].flatMap { try WatchResponse.decode($0).events }
            #expect(events.count == 3)
            replica.cancel(other)
            replica.settle()
            #expect(replica.replica.watchCounts.isEmpty)
        }
    }

    @Test("Compaction ends no watch of a stream that has ended, however many requests the turn has to serve")
    func compaction() throws {
        let replica = TestReplica(MemoryLog()) { $0.watchProgressIntervalMs = 5_000 }
        for _ in 0..<4 { _ = try replica.put("a", "1") }
        let busy = replica.newStream()
        replica.tell(.watchOpened(busy))
        replica.tell(.watchRequested(busy, .create(WatchCreateRequest(key: "b", progressNotify: true))))
        replica.settle()

        replica.holdsAppends = true
        let compaction = replica.start(.compact(revision: 5, physical: false))
        _ = replica.turn()
        let ended = replica.newStream()
        replica.tell(.watchOpened(ended))
        for _ in 0..<3 {
            replica.tell(.watchRequested(ended, .create(WatchCreateRequest(key: "a", startRevision: 2, progressNotify: true))))
        }
        // The turn has no time left for the watchers of streams that end.
        for _ in 0..<5_000 { replica.tell(.watchRequested(busy, .cancel(WatchCancelRequest(watchID: 99)))) }
        replica.cancel(ended)
        replica.holdsAppends = false
        _ = replica.turn()
        #expect(replica.answers[compaction] != nil)
        replica.settle()
        let answers = try replica.sent[ended, default: []].map { try WatchResponse.decode($0) }
        #expect(answers.map(\.created) == [true, true, true])
        #expect(answers.map(\.canceled) == [false, false, false])
        let counts = replica.replica.watchCounts
        #expect(counts.streams == 1 && counts.watchers == 1 && counts.lagging == 0)

        // The count of those who want notifications is right still.
        let sent = replica.sent[busy, default: []].count
        replica.advance(ms: 6_000)
        replica.settle()
        #expect(replica.sent[busy, default: []].count > sent)
    }
}

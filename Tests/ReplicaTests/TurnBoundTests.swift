// Owns: that no turn looks at more than a bounded number of rows, keys and watchers, however many there are. Counted, not timed.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite("What a turn looks at")
struct TurnBoundTests {
    /// A replica with small bounds, so that a test needs few keys to pass them.
    private func makeReplica(_ log: MemoryLog, configure: (inout ReplicaConfiguration) -> Void = { _ in }) -> TestReplica {
        TestReplica(log) { configuration in
            configuration.watchVisitLimit = 100
            configuration.watchLongRevisionRows = 200
            configuration.sweptRowLimit = 100
            configuration.deletedRowLimit = 50
            configure(&configuration)
        }
    }

    /// More than the bounds of all that a turn does together, and much less than there is to do.
    private let turnLimit = 1_000
    private let keyCount = 5_000

    /// Keys k00000 and so on, in the log.
    private func fill(_ replica: TestReplica, lease: LeaseID = 0, value: ByteString = "v") throws {
        for start in stride(from: 0, to: keyCount, by: 100) {
            let puts = (start..<start + 100).map { RequestOp.put(PutRequest(key: key($0), value: value, lease: lease)) }
            _ = try replica.call(.write(.txn(TxnRequest(success: puts))))
        }
    }

    private func key(_ number: Int) -> ByteString {
        let digits = "\(number)"
        return ByteString("k" + String(repeating: "0", count: 5 - digits.count) + digits)
    }

    private var deleteAll: Request { .write(.deleteRange(DeleteRangeRequest(key: "k", rangeEnd: "l"))) }

    private func watch(_ replica: TestReplica, _ request: WatchCreateRequest) -> CallID {
        let stream = replica.newStream()
        replica.tell(.watchOpened(stream))
        replica.tell(.watchRequested(stream, .create(request)))
        return stream
    }

    private func events(_ replica: TestReplica, _ stream: CallID) throws -> [Event] {
        try replica.sent[stream, default: []].flatMap { try WatchResponse.decode($0).events }
    }

    @Test("A revision of any number of deletes reaches each watcher whole, over many turns")
    func longRevision() throws {
        let replica = makeReplica(MemoryLog())
        try fill(replica)
        let all = (0..<3).map { watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l", prevKV: $0 == 1, fragment: $0 == 2)) }
        let one = watch(replica, WatchCreateRequest(key: key(4_321)))
        replica.settle()
        _ = try replica.call(deleteAll)
        for stream in all {
            let events = try events(replica, stream)
            #expect(events.count == keyCount && events.allSatisfy { $0.type == .delete })
            #expect(events.map { $0.kv?.key } == (0..<keyCount).map { key($0) })
            #expect(events.allSatisfy { ($0.prevKV != nil) == (stream == all[1]) })
            let responses = try replica.sent[stream, default: []].map { try WatchResponse.decode($0) }.filter { !$0.events.isEmpty }
            #expect(responses.count == 1)
        }
        #expect(try events(replica, one).count == 1)
        #expect(replica.replica.counters.turnVisitsMax < turnLimit)
    }

    @Test("A poll that finds nothing new in the middle of a long write is no other history", arguments: [false, true])
    func pollInTheMiddle(revokes: Bool) throws {
        let log = MemoryLog()
        let filler = TestReplica(log)
        _ = try filler.call(.write(.leaseGrant(id: 7, ttl: 60)))
        try fill(filler, lease: 7)
        let pine = HandDriven(log) { $0.turnKeyLimit = 100 }
        pine.tell(.log(.hinted))
        let read = try #require(pine.takeTailRead())
        let id = pine.ask(revokes ? .write(.leaseRevoke(id: 7)) : deleteAll)
        for _ in 0..<3 { pine.turn() }
        #expect(pine.takeAppend() == nil)
        pine.hear(log.answer(read))
        #expect(pine.replica.isServing == true)
        #expect(pine.replica.store.index.liveCount == keyCount)
        var append: LogCommand?
        for _ in 0..<2 * keyCount where append == nil {
            pine.turn()
            append = pine.takeAppend()
        }
        pine.hear(log.answer(try #require(append)))
        #expect(pine.replica.isServing == true)
        #expect(throws: Never.self) { try #require(pine.answers[id]).get() }
        #expect(pine.replica.store.index.liveCount == 0)
    }

    @Test("Where a long revision has more events for all watchers than memory is for, they are given it one after the other")
    func oneAfterTheOther() throws {
        let replica = makeReplica(MemoryLog()) { $0.watchRevisionEventLimit = 1_000 }
        try fill(replica)
        let streams = (0..<4).map { _ in watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l", prevKV: true)) }
        replica.settle()
        let id = replica.start(deleteAll)
        // They are behind for no fault of theirs: a compaction does not end their watches.
        _ = replica.start(.compact(revision: replica.replica.store.revision, physical: false))
        replica.settle()
        _ = try replica.answers[id]?.get()
        for stream in streams { #expect(try events(replica, stream).count == keyCount) }
        #expect(replica.replica.counters.turnVisitsMax < turnLimit)
        #expect(replica.replica.watchCounts.lagging == 0)
    }

    @Test("A revision that is more than one message can carry ends the stream, as in etcd, before it is encoded")
    func tooLarge() throws {
        let replica = makeReplica(MemoryLog()) { $0.messageByteLimit = 400_000 }
        try fill(replica, value: ByteString([UInt8](repeating: 1, count: 100)))
        let whole = watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l", prevKV: true))
        let late = watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l", startRevision: 2, prevKV: true))
        let cut = watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l", prevKV: true, fragment: true))
        let small = watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l"))
        replica.settle()
        _ = try replica.call(deleteAll)
        for stream in [whole, late] {
            guard case .failure(let error) = replica.answers[stream] else {
                Issue.record("a stream that can't be served goes on")
                continue
            }
            #expect(error.code == .resourceExhausted && error.text.hasPrefix("trying to send message larger than max ("))
        }
        #expect(try events(replica, whole).isEmpty)
        #expect(try events(replica, late).count == keyCount)
        #expect(replica.answers[cut] == nil)
        #expect(replica.answers[small] == nil)
        #expect(try events(replica, small).count == keyCount)
        // The rest are served on.
        _ = try replica.put("k", "v")
        #expect(try events(replica, small).count == keyCount + 1)
        #expect(replica.replica.watchCounts.streams == 2)
    }

    @Test("Thousands of watchers catch up together, from the first revision, with prev_kv")
    func catchUp() throws {
        let replica = makeReplica(MemoryLog()) { $0.historyRowLimit = 50 }
        try fill(replica)
        try fill(replica)
        let stream = replica.newStream()
        replica.tell(.watchOpened(stream))
        for number in 0..<2_000 {
            replica.tell(
                .watchRequested(
                    stream, .create(WatchCreateRequest(key: key(number), startRevision: 1, prevKV: true))))
        }
        let all = watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l", startRevision: 1))
        replica.settle()
        #expect(try events(replica, stream).count == 4_000)
        #expect(try events(replica, all).map { $0.kv?.modRevision ?? 0 } == events(replica, all).map { $0.kv?.modRevision ?? 0 }.sorted())
        #expect(try events(replica, all).count == 2 * keyCount)
        #expect(replica.replica.watchCounts.lagging == 0)
        // Their creation counts, and each look at what can be done next, which passes those that are behind once.
        #expect(replica.replica.counters.turnVisitsMax < turnLimit + 4_100)
    }

    @Test("Compaction leaves what is dead for later turns, also where a revision has thousands of rows that a later one makes dead")
    func compaction() throws {
        let log = MemoryLog()
        let replica = makeReplica(log)
        try fill(replica)
        replica.advance(ms: 10_000)
        replica.settle()
        _ = try replica.call(deleteAll)
        let revision = replica.replica.store.revision
        for number in 0..<3 {
            let compacted = revision + Int64(number)
            _ = try replica.call(.compact(revision: compacted, physical: false))
            #expect(replica.replica.store.compactRevision == compacted)
            _ = try replica.put("other", "v")
            replica.advance(ms: 3_000)
            replica.settle()
        }
        #expect(replica.replica.store.index.keyCount == 1)
        #expect(log.rows.count < 20)
        #expect(replica.replica.counters.turnVisitsMax < turnLimit)
    }

    @Test("Rows that others have appended meanwhile are folded some of them a turn, whole revisions")
    func folding() throws {
        let log = MemoryLog()
        let other = makeReplica(log)
        let replica = TestReplica(log, origin: 2) {
            $0.foldRowLimit = 150
            $0.watchVisitLimit = 100
        }
        let stream = watch(replica, WatchCreateRequest(key: "k", rangeEnd: "l"))
        replica.settle()
        try fill(other)
        replica.tell(.log(.hinted))
        var counts: Set<Int> = []
        while replica.turn() { counts.insert(replica.replica.store.index.liveCount) }
        #expect(counts.count > 20 && counts.allSatisfy { $0 % 100 == 0 })
        #expect(replica.replica.store.committedDigest == log.head.digest)
        #expect(try events(replica, stream).count == keyCount)
        #expect(replica.replica.counters.turnVisitsMax < turnLimit)
        // A write that was asked for meanwhile goes on from all of them.
        try fill(other)
        replica.tell(.log(.hinted))
        _ = replica.turn()
        #expect(try replica.put("k", "v").header?.revision == log.head.position.revision)
    }

    @Test("Leases and the keys of one are listed over many turns, as they were when the answer was due")
    func listings() throws {
        let replica = makeReplica(MemoryLog()) { $0.listedLimit = 100 }
        for lease in 1...2_000 as ClosedRange<LeaseID> { _ = replica.start(.write(.leaseGrant(id: lease, ttl: 1_000))) }
        replica.settle()
        try fill(replica, lease: 7)
        let leases = replica.start(.lease(.list))
        let keys = replica.start(.lease(.timeToLive(7, keys: true)))
        while replica.replica.counters.leaseRounds == 0 || replica.replica.leaseListingCount == 0, replica.turn() {}
        #expect(replica.replica.leaseListingCount > 0)
        // What happens meanwhile is not told.
        _ = try replica.call(deleteAll)
        replica.settle()
        let listed = try LeaseLeasesResponse.decode(try #require(replica.answers[leases]).get())
        #expect(listed.leases.map(\.id) == Array(1...2_000))
        let left = try LeaseTimeToLiveResponse.decode(try #require(replica.answers[keys]).get())
        #expect(left.keys == (0..<keyCount).map { key($0) } && left.grantedTTL == 1_000)
        #expect(replica.replica.counters.turnVisitsMax < 3_000)
        let cancelled = replica.start(.lease(.timeToLive(7, keys: true)))
        replica.cancel(cancelled)
        replica.settle()
        #expect(replica.replica.leaseListingCount == 0)
    }

    @Test("A stream with thousands of watchers of one key is forgotten over many turns, and so are watches that are cancelled one by one")
    func endOfStream() throws {
        let replica = makeReplica(MemoryLog())
        let streams = (0..<2).map { _ in replica.newStream() }
        for stream in streams {
            replica.tell(.watchOpened(stream))
            for _ in 0..<20_000 { replica.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "a")))) }
        }
        replica.settle()
        #expect(replica.replica.watchCounts.watchers == 40_000)
        replica.cancel(streams[0])
        #expect(replica.turn())
        #expect(replica.replica.watchCounts.watchers > 20_000)
        _ = try replica.put("a", "v")
        replica.settle()
        #expect(replica.replica.watchCounts.watchers == 20_000)
        #expect(try events(replica, streams[0]).isEmpty)
        #expect(try events(replica, streams[1]).count == 20_000)
        for id in 0..<20_000 { replica.tell(.watchRequested(streams[1], .cancel(WatchCancelRequest(watchID: WatchID(id))))) }
        replica.settle()
        #expect(replica.replica.watchCounts.watchers == 0)
        #expect(replica.replica.counters.turnVisitsMax < 6_000)
    }
}

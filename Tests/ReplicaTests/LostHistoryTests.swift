import Bytes
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

/// A log that lacks the end of what was folded from it.
@Suite struct LostHistoryTests {
    @Test("A process that nobody asks anything notices that the log has lost what it has folded")
    func whileIdle() throws {
        let log = MemoryLog()
        let pine = TestReplica(log)
        _ = try pine.put("k", "kept")
        _ = try pine.put("k", "lost")
        log.lose(last: 1)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(pine.notes.contains { if case .historyChanged = $0 { true } else { false } })
        #expect(log.head.position.revision > Revision(revisionRaiseMargin))
        #expect(try pine.get("k").kvs.first?.value == "kept")
    }

    @Test("A process that is only written to notices it, too, and the write is done", arguments: [1, 2])
    func whileWriting(processCount: Int) throws {
        let log = MemoryLog()
        let all = (1...processCount).map { TestReplica(log, origin: Int64($0)) }
        for (index, pine) in all.enumerated() { _ = try pine.put("k", ByteString("\(index)")) }
        for pine in all {
            pine.advance(ms: 2_000)
            pine.settle()
        }
        log.lose(last: processCount)
        for pine in all {
            let response = try pine.put("k", "new")
            #expect((response.header?.revision ?? 0) > Revision(revisionRaiseMargin))
        }
    }

    @Test(
        "Nobody is told of what another history has in place of what was lost, however it is read",
        arguments: [1, 2, 3, 5_000], [0, 1_000, 1 << 20])
    func foreignRows(tailRowLimit: Int, unverifiedByteLimit: Int) throws {
        let log = MemoryLog()
        let other = TestReplica(log, origin: 2)
        let pine = TestReplica(log, origin: 1) {
            $0.tailRowLimit = tailRowLimit
            $0.unverifiedByteLimit = unverifiedByteLimit
        }
        _ = try pine.put("k", "lost")
        let stream = pine.newStream()
        pine.tell(.watchOpened(stream))
        pine.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "k"))))
        pine.settle()
        let told = pine.sent[stream]?.count
        log.lose(last: 1)
        for number in 1...10 { _ = try other.put("k", ByteString("\(number)")) }
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(pine.notes.contains { if case .historyChanged = $0 { true } else { false } })
        #expect(pine.sent[stream]?.count == told)
        #expect(pine.answers[stream] == .failure(.leaderChanged))
        #expect(try pine.get("k").kvs.first?.value == "10")
    }

    /// A log with two versions of a key.
    private func twoVersions() throws -> MemoryLog {
        let log = MemoryLog()
        let other = TestReplica(log, origin: 2)
        _ = try other.put("k", "kept")
        _ = try other.put("k", "lost")
        return log
    }

    /// As where a standby takes over that lacks the newest row, and others write.
    private func replaceNewest(of log: MemoryLog, with rowCount: Int) throws {
        log.lose(last: 1)
        let promoted = TestReplica(log, origin: 3)
        for _ in 0..<rowCount { _ = try promoted.put("k", "foreign") }
    }

    @Test("A value that another history has at a position that we know is not served", arguments: [0, 1, 2])
    func foreignValue(foreignRows: Int) throws {
        let log = try twoVersions()
        let pine = HandDriven(log) { $0.valueCacheBytes = 0 }
        let id = pine.ask(.range(RangeRequest(key: "k", serializable: true)))
        let read = try #require(pine.takeValuesRead())
        try replaceNewest(of: log, with: foreignRows)
        pine.hear(log.answer(read))
        // A head past ours tells only once the fold is there.
        if foreignRows > 1 {
            #expect(pine.answers[id] == nil)
            pine.hear(log.answer(try #require(pine.takeTailRead())))
        }
        #expect(pine.answers[id] == .failure(.leaderChanged))
    }

    @Test("A value is served whatever was appended since it was asked for, once the log is folded as far as it was then", arguments: 0...2)
    func valueBesideAppends(heardAfter: Int) throws {
        let log = MemoryLog()
        _ = try TestReplica(log, origin: 2).put("k", "v")
        let pine = HandDriven(log) { $0.valueCacheBytes = 0 }
        let id = pine.ask(.range(RangeRequest(key: "k", serializable: true)))
        let read = try #require(pine.takeValuesRead())
        var answer: LogEvent?
        for number in 0..<2 {
            if number == heardAfter { answer = log.answer(read) }
            _ = pine.ask(.write(.put(PutRequest(key: "other", value: "v"))))
            pine.hear(log.answer(try #require(pine.takeAppend())))
        }
        if heardAfter == 2 {
            // The log has it, and nobody has told us.
            _ = pine.ask(.write(.put(PutRequest(key: "other", value: "v"))))
            let appended = log.answer(try #require(pine.takeAppend()))
            pine.hear(log.answer(read))
            #expect(pine.answers[id] == nil)
            pine.hear(appended)
        } else {
            pine.hear(answer)
        }
        #expect(try RangeResponse.decode(try #require(pine.answers[id]).get()).kvs.map(\.value) == ["v"])
    }

    @Test("A watcher that is behind is not sent what another history has at revisions that we know", arguments: [0, 1, 2])
    func foreignHistory(foreignRows: Int) throws {
        let log = try twoVersions()
        let pine = HandDriven(log) { $0.watchHistoryBytes = 0 }
        let stream = pine.newID()
        pine.tell(.watchOpened(stream))
        pine.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "k", startRevision: 3))))
        let told = pine.sent[stream]?.count
        let read = try #require(pine.takeHistoryRead())
        try replaceNewest(of: log, with: foreignRows)
        pine.hear(log.answer(read))
        if foreignRows > 1 { pine.hear(log.answer(try #require(pine.takeTailRead()))) }
        #expect(pine.answers[stream] == .failure(.leaderChanged))
        #expect(pine.sent[stream]?.count == told)
    }

    @Test(
        "What was served right before the revision to which others have moved the log is lost as well",
        arguments: [(1_003, false), (1_004, true), (1_006, true)] as [(Revision, Bool)])
    func rightBeforeRaise(revision: Revision, isLost: Bool) throws {
        let log = MemoryLog()
        _ = try TestReplica(log, origin: 1).put("k", "kept")
        func start(origin: Int64, served revision: Revision) -> TestReplica {
            TestReplica(log, origin: origin) {
                $0.served = [ServedMark(clusterID: 7, position: Position(revision, 0), digest: .start)]
                $0.revisionRaise = 1_000
            }
        }
        _ = start(origin: 2, served: 5)
        #expect(log.head.position == Position(1_005, 0) && log.head.compactRevision == 1_005)
        // A client that has seen 1,003 goes on from 1,004, and is told that this is compacted.
        _ = start(origin: 3, served: revision)
        #expect((log.head.position.revision > 1_005) == isLost)
    }

    @Test("A watcher that stands before the revision to which the log was moved is told so, and not first that it has been sent everything")
    func progressAcrossRaise() throws {
        let log = MemoryLog()
        let pine = TestReplica(log, origin: 1)
        let stream = pine.newStream()
        pine.tell(.watchOpened(stream))
        pine.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "k", startRevision: 3))))
        pine.tell(.watchRequested(stream, .progress(WatchProgressRequest())))
        pine.settle()
        #expect(pine.sent[stream]?.count == 1)
        // All of this comes in one tail.
        _ = try TestReplica(log, origin: 2).put("other", "v")
        _ = try TestReplica(log, origin: 3) {
            $0.served = [ServedMark(clusterID: 7, position: Position(5, 0), digest: .start)]
            $0.revisionRaise = 1_000
        }.put("k", "v")
        pine.advance(ms: 2_000)
        pine.settle()
        let told = try (pine.sent[stream] ?? []).map { try WatchResponse.decode($0) }
        #expect(told.map(\.watchID) == [0, 0])
        #expect(told.last?.canceled == true && told.last?.compactRevision == 1_005)
    }

    /// A log in which a key was deleted, and its two puts are gone but for the deletion, as compaction leaves it.
    private func deletedKey(_ pine: TestReplica, followedBy other: TestReplica? = nil) throws {
        for value in ["1", "2"] as [ByteString] { _ = try pine.put("k", value) }
        _ = try pine.call(.write(.deleteRange(DeleteRangeRequest(key: "k"))))
        _ = try pine.put("other", "v")
        other?.advance(ms: 2_000)
        other?.settle()
        _ = try pine.call(.compact(revision: 5, physical: true))
        #expect(pine.log.rows.first?.position == Position(4, 0))
    }

    /// The steward that there was is gone.
    private func takeDuty(_ pine: TestReplica) {
        pine.log.nowMs += 60_000
        pine.advance(ms: 60_000)
        pine.settle()
        #expect(pine.replica.counters.isSteward)
    }

    /// What made the key's rows dead is dead now as well.
    private func compactFurther(_ pine: TestReplica) throws {
        for _ in 0..<2 { _ = try pine.put("other", "v") }
        _ = try pine.call(.compact(revision: pine.replica.store.revision, physical: false))
        pine.settle()
        pine.advance(ms: 10_000)
        pine.settle()
    }

    private func expectGone(_ log: MemoryLog) throws {
        #expect(!log.rows.contains { $0.key == "k" })
        #expect(try TestReplica(log, origin: 9).get("k").kvs.isEmpty)
    }

    @Test("A key that was deleted stays so where the log has lost deletions of its rows", arguments: [1, 500])
    func lostDeletions(deletedRowLimit: Int) throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.deletedRowLimit = deletedRowLimit }
        try deletedKey(pine)
        log.loseDeletions()
        #expect(log.rows.first?.position == Position(2, 0))
        try compactFurther(pine)
        #expect(pine.notes.contains(.deletionsLost))
        try expectGone(log)
    }

    @Test(
        "A key that was deleted stays so where the log has lost deletions that came before it was loaded, told as a whole or not",
        arguments: [1, 500], [0, 1, 2])
    func deletionsLostBehindLoad(deletedRowLimit: Int, deletions: Int) throws {
        let log = MemoryLog()
        let first = TestReplica(log, origin: 1) { $0.deletedRowLimit = deletedRowLimit }
        log.deletionsLeft = deletions
        for value in ["1", "2"] as [ByteString] { _ = try first.put("k", value) }
        _ = try first.call(.write(.deleteRange(DeleteRangeRequest(key: "k"))))
        _ = try first.put("other", "v")
        _ = try first.call(.compact(revision: 5, physical: false))
        // It dies in the middle of its deletions.
        let second = TestReplica(log, origin: 2) { $0.deletedRowLimit = deletedRowLimit }
        log.loseDeletions()
        log.deletionsLeft = .max
        takeDuty(second)
        try compactFurther(second)
        #expect(second.notes.contains(.deletionsLost) == (deletions > 0))
        try expectGone(log)
    }

    @Test("A key that was deleted stays so where the log has lost deletions that another steward had told of")
    func deletionsOfAnotherLost() throws {
        let log = MemoryLog()
        let first = TestReplica(log, origin: 1)
        let second = TestReplica(log, origin: 2)
        try deletedKey(first, followedBy: second)
        // It hears of them, and forgets the rows; what it loaded is what the log is now back at.
        second.advance(ms: 10_000)
        second.settle()
        #expect(!second.notes.contains { if case .overtaken = $0 { true } else { false } })
        #expect(second.replica.store.index.versionCount == 2)
        log.loseDeletions()
        takeDuty(second)
        try compactFurther(second)
        #expect(second.notes.contains(.deletionsLost))
        try expectGone(log)
    }

    @Test("Who loads the log in the middle of a steward's deletions goes on with them", arguments: [0, 1, 2, 3])
    func stewardDiesWhileDeleting(deletions: Int) throws {
        let log = MemoryLog()
        let first = TestReplica(log, origin: 1) { $0.deletedRowLimit = 1 }
        log.deletionsLeft = deletions
        for number in 0..<9 { _ = try first.put("k", ByteString("\(number)")) }
        _ = try first.call(.compact(revision: 9, physical: false))
        let second = TestReplica(log, origin: 2) { $0.deletedRowLimit = 1 }
        log.deletionsLeft = .max
        takeDuty(second)
        #expect(!second.notes.contains(.deletionsLost))
        #expect(log.rows.filter { $0.kind == .put }.map(\.position.revision) == [8, 9, 10])
        #expect(log.deleted.swept.covers(9))
    }

    @Test("What is dead is deleted in as many parts as it takes after the log was moved on, too")
    func deletionsAfterRaise() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.deletedRowLimit = 1 }
        for number in 0..<9 { _ = try pine.put("k", ByteString("\(number)")) }
        log.lose(last: 1)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(log.head.position.revision > Revision(revisionRaiseMargin))
        pine.advance(ms: 10_000)
        pine.settle()
        #expect(!pine.notes.contains(.deletionsLost))
        #expect(log.rows.filter { $0.kind == .put }.map(\.value) == ["7"])
    }

    @Test(
        "What was served right before a revision that others have compacted to is compared with what they have there",
        arguments: [false, true])
    func rightBeforeCompaction(isLost: Bool) throws {
        let log = MemoryLog()
        let pine = TestReplica(log, origin: 1)
        _ = try pine.put("k", "kept")
        _ = try pine.put("k", "lost")
        let stream = pine.newStream()
        pine.tell(.watchOpened(stream))
        pine.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "k"))))
        pine.settle()
        if isLost { log.lose(last: 1) }
        // Others get as far, and compact; their steward deletes what it may.
        log.nowMs += 60_000
        let other = TestReplica(log, origin: 2)
        if isLost { _ = try other.put("k", "another") }
        let lease = try other.call(.write(.leaseGrant(id: 9, ttl: 60)))
        #expect(!lease.isEmpty)
        _ = try other.call(.write(.leaseRevoke(id: 9)))
        _ = try other.put("k", "next")
        _ = try other.call(.compact(revision: 4, physical: true))
        #expect(other.replica.counters.isSteward)
        pine.advance(ms: 2_000)
        pine.settle()
        #expect(!pine.notes.contains { if case .overtaken = $0 { true } else { false } })
        #expect(pine.notes.contains { if case .historyChanged = $0 { true } else { false } } == isLost)
        #expect((log.head.position.revision > Revision(revisionRaiseMargin)) == isLost)
        let told = try (pine.sent[stream] ?? []).flatMap { try WatchResponse.decode($0).events }
        #expect(told.map(\.kv?.value) == (isLost ? [] : ["next"]))
    }
}

import Bytes
import EtcdAPI
import Keyspace
import LogModel
import Replica
import Testing

@Suite("Compaction, deletion and space, over a log in memory")
struct UpkeepTests {
    /// Lets time pass in steps, for log and replicas.
    private func pass(_ ms: Int, _ replicas: TestReplica..., step: Int = 100) {
        for _ in 0..<ms / step {
            replicas[0].log.nowMs += Int64(step)
            for replica in replicas {
                replica.advance(ms: step)
                replica.settle()
            }
        }
    }

    private func compactions(_ log: MemoryLog) -> [Revision] { log.archive.filter { $0.kind == .compact }.map(\.compactRevision) }

    // MARK: Automatic compaction

    @Test("Periodic compaction waits for the whole period, then follows at its distance in tenths of it")
    func periodic() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.autoCompaction = .periodic(retentionMs: 10_000) }
        // A revision a second: 2 at 0 s.
        for _ in 0..<9 {
            _ = try pine.put("k", "v")
            pass(1_000, pine)
        }
        #expect(compactions(log) == [])
        for _ in 9..<40 {
            _ = try pine.put("k", "v")
            pass(1_000, pine)
        }
        // As etcd: at 10 s to the revision at 0 s, then every 10 s to that of 11 s before.
        #expect(compactions(log) == [1, 10, 20, 30])
        #expect(pine.notes.contains(.autoCompacted(revision: 20)))
        #expect(pine.replica.counters.autoCompactions == 4)
        pass(60_000, pine)
        #expect(compactions(log) == [1, 10, 20, 30, 40, 41], "nothing new, nothing compacted")
    }

    @Test("A period longer than an hour is followed every hour")
    func longPeriod() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.autoCompaction = .periodic(retentionMs: 3 * 3_600_000) }
        for hour in 0..<6 {
            _ = try pine.put("k", ByteString("\(hour)"))
            pass(3_600_000, pine, step: 60_000)
        }
        #expect(compactions(log) == [1, 2, 3, 4])
    }

    @Test("Revision mode looks every five minutes and keeps as many revisions as it was told")
    func revisions() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.autoCompaction = .revision(retention: 10) }
        for _ in 0..<5 { _ = try pine.put("k", "v") }
        pass(300_000, pine, step: 1_000)
        #expect(compactions(log) == [])
        for _ in 0..<25 { _ = try pine.put("k", "v") }
        pass(600_000, pine, step: 1_000)
        #expect(compactions(log) == [21])
    }

    @Test("Of several processes the steward compacts alone; another goes on where it leaves")
    func oneCompacts() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1) { $0.autoCompaction = .periodic(retentionMs: 10_000) }
        let two = TestReplica(log, origin: 2) { $0.autoCompaction = .periodic(retentionMs: 10_000) }
        for _ in 0..<35 {
            _ = try two.put("k", "v")
            pass(1_000, one, two)
        }
        #expect(compactions(log).count == 3)
        #expect(log.archive.filter { $0.kind == .compact }.allSatisfy { $0.origin == 1 })
        one.stop()
        one.settle()
        for _ in 0..<20 {
            _ = try two.put("k", "v")
            pass(1_000, two)
        }
        let all = compactions(log)
        #expect((5...6).contains(all.count))
        #expect(all == all.sorted())
        #expect(log.archive.last { $0.kind == .compact }?.origin == 2)
    }

    // MARK: Deleting

    @Test("Another process deletes what a steward that died has left, and forgets nothing before")
    func stewardDies() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        pass(200, one, two)
        #expect(one.replica.counters.isSteward)
        for number in 0..<3_000 { _ = try one.put(ByteString("k\(number % 50)"), "v") }
        let lease = try two.grant(9)
        _ = try two.revoke(lease)
        pass(2_000, one, two)
        let revision = two.replica.store.revision
        one.holdsAnswers = true
        // The steward gets no answer after its first deletion, and dies.
        _ = two.start(.compact(revision: revision, physical: false))
        two.settle()
        for _ in 0..<20 {
            one.advance(ms: 100)
            _ = one.turn()
        }
        #expect(log.rows.count > 100)
        let waiter = two.start(.compact(revision: try two.put("last", "v").header!.revision, physical: true))
        two.settle()
        #expect(two.answers[waiter] == nil)
        pass(10_000, two)
        #expect(two.replica.counters.isSteward)
        #expect(two.answers[waiter] != nil)
        // What lives, and what the last compaction keeps: the lease's rows, which are of the revision before it, and both marks.
        #expect(log.rows.filter { $0.kind == .put }.count == 51)
        #expect(log.rows.count == 55)
        #expect(log.deleted.swept.covers(revision + 1))
        two.replica.store.index.invariants()
    }

    @Test("A process that isn't the steward answers a physical compaction once the steward has told that the rows are gone")
    func physicalElsewhere() throws {
        let log = MemoryLog()
        let one = TestReplica(log, origin: 1)
        let two = TestReplica(log, origin: 2)
        pass(200, one, two)
        for _ in 0..<20 { _ = try two.put("k", "v") }
        let waiter = two.start(.compact(revision: 15, physical: true))
        pass(300, two)
        #expect(two.answers[waiter] == nil)
        pass(2_500, one, two)
        #expect(two.answers[waiter] != nil)
        #expect(log.rows.filter { $0.kind == .put }.map(\.position.revision) == Array(14...21))
        #expect(two.replica.store.index.versionCount == 8, "it has forgotten them, too")
    }

    // MARK: Space

    @Test("Over the quota puts, their transactions and grants are refused until deletes and compaction have made space")
    func quota() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.quotaBackendBytes = 20_000 }
        pass(200, pine)
        var puts = 0
        do {
            while puts < 100 {
                _ = try pine.put(ByteString("k\(puts)"), ByteString(String(repeating: "v", count: 1_000)))
                puts += 1
            }
            Issue.record("never refused")
        } catch let error as EtcdError {
            #expect(error == .noSpace)
        }
        #expect((15...18).contains(puts))
        let alarm = AlarmMember(memberID: 1, alarm: .noSpace)
        #expect(try pine.alarms() == [alarm])
        #expect(throws: EtcdError.noSpace) { try pine.put("x", "") }
        #expect(throws: EtcdError.noSpace) { try pine.grant(7) }
        let txn = TxnRequest(success: [.put(PutRequest(key: "x", value: ""))])
        #expect(throws: EtcdError.noSpace) { try pine.call(.write(.txn(txn))) }
        // A process without a quota obeys the alarm, too.
        let other = TestReplica(log, origin: 2)
        #expect(try other.alarms() == [alarm])
        #expect(throws: EtcdError.noSpace) { try other.put("x", "") }
        #expect(try pine.get("k0").count == 1)
        // Deletes pass, alone and in transactions; they need compaction to make space.
        _ = try pine.call(.write(.deleteRange(DeleteRangeRequest(key: "k0", rangeEnd: "k5"))))
        let delete = TxnRequest(success: [.deleteRange(DeleteRangeRequest(key: "k5", rangeEnd: "k8"))])
        _ = try pine.call(.write(.txn(delete)))
        pass(3_000, pine)
        #expect(throws: EtcdError.noSpace) { try pine.put("x", "") }
        _ = try pine.call(.compact(revision: pine.replica.store.revision, physical: true))
        pass(3_000, pine)
        #expect(try pine.alarms() == [])
        _ = try pine.put("x", "")
        #expect(try other.put("y", "").header != nil)
        #expect(pine.notes.contains { if case .spaceFreed = $0 { true } else { false } })
        pine.replica.store.index.invariants()
    }

    @Test("Clients raise and disarm alarms, which outlive a restart, and the quota does not lift them")
    func alarms() throws {
        let log = MemoryLog()
        let pine = TestReplica(log) { $0.quotaBackendBytes = 1 << 30 }
        func change(_ action: AlarmChange.Action, _ member: UInt64, _ alarm: AlarmType = .noSpace) throws -> [AlarmMember] {
            try AlarmResponse.decode(try pine.call(.write(.alarm(AlarmChange(action, member: member, alarm: alarm))))).alarms
        }
        #expect(try change(.disarm, 5) == [])
        #expect(try change(.raise, 5) == [AlarmMember(memberID: 5, alarm: .noSpace)])
        #expect(try change(.raise, 5) == [AlarmMember(memberID: 5, alarm: .noSpace)])
        #expect(try change(.raise, 4).count == 1)
        pass(5_000, pine)
        #expect(throws: EtcdError.noSpace) { try pine.put("x", "") }
        let again = TestReplica(log, origin: 2)
        #expect(try again.alarms().map(\.memberID) == [4, 5])
        #expect(throws: EtcdError.noSpace) { try again.put("x", "") }
        #expect(try change(.disarm, 5).count == 1)
        #expect(throws: EtcdError.noSpace) { try pine.put("x", "") }
        #expect(try change(.disarm, 4).count == 1)
        #expect(try change(.raise, 1, .corrupt).count == 1)
        #expect(throws: EtcdError.corrupt) { try pine.call(.write(.deleteRange(DeleteRangeRequest(key: "x")))) }
        #expect(try change(.disarm, 1, .corrupt).count == 1)
        let put = try pine.put("x", "")
        _ = try pine.put("x", "")
        _ = try pine.call(.compact(revision: put.header!.revision + 1, physical: true))
        pass(1_000, pine)
        #expect(!log.rows.contains { $0.kind == .alarm }, "raised and disarmed: nothing needs their rows")
    }
}

extension TestReplica {
    fileprivate func alarms() throws -> [AlarmMember] { try AlarmResponse.decode(try call(.alarms(.none, needs: .nothing))).alarms }

    fileprivate func grant(_ lease: LeaseID) throws -> LeaseID {
        _ = try call(.write(.leaseGrant(id: lease, ttl: 1_000)))
        return lease
    }

    fileprivate func revoke(_ lease: LeaseID) throws { _ = try call(.write(.leaseRevoke(id: lease))) }
}

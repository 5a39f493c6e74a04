import Bytes
import EtcdAPI
import Keyspace
import Replica
import TestSupport
import Testing

@testable import Changelog

@Suite(.ownThreads) struct LogSessionTests {
    @Test("a fresh log is empty, with a positive cluster id")
    func freshLog() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        let head = try session.readHead()
        #expect(head.clusterID > 0)
        #expect(head.position == .start)
        let key = try #require(try session.readKeyRow())
        #expect(key.position < .start)
        #expect(head.digest == Digest.start.appending(key), "the key is the only row")
        #expect(head.epoch == 0)
        #expect(head.compactRevision == -1)
        let tail = try session.readTail(after: .start, limit: 10)
        #expect(tail == Tail(head: head, rows: [], reachesHead: true))
    }

    @Test("what is appended is read back, with its head", arguments: [false, true])
    func appendAndRead(transactionPooling: Bool) throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead(), origin: -5)
        for count in [1, 3, 1, 100] { try session.put(writer.batch(count: count), &writer) }
        let all = try session.everything()
        #expect(all.rows == writer.rows)
        #expect(all.head == writer.head)
        #expect(try session.readHead() == writer.head)
    }

    @Test("the compact revision and every kind of row arrive as they are")
    func kinds() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        var head = try session.readHead()
        let rows = [
            LogRow(
                position: Position(2, 0), kind: .put, key: "a", value: "b", createRevision: 2, version: 1, lease: 7, origin: .max),
            LogRow(position: Position(2, 1), kind: .grant, version: 60, lease: LeaseID(Int64.min), origin: .min),
            LogRow(position: Position(3, 0), kind: .delete, key: "a", origin: 1),
            LogRow(position: Position(3, 1), kind: .revoke, lease: 7, origin: 1),
            LogRow(position: Position(3, 2), kind: .compact, version: 2, origin: 1),
        ]
        let old = head
        head.position = Position(3, 2)
        head.digest = rows.reduce(head.digest) { $0.appending($1) }
        head.compactRevision = 2
        let batch = AppendBatch(number: 1, expectedDigest: old.digest, expectedEpoch: 0, newHead: head, rows: rows)
        #expect(try session.append(batch) == .appended)
        #expect(try session.readTail(after: .start, limit: 10) == Tail(head: head, rows: rows, reachesHead: true))
    }

    @Test("keys and values hold any bytes, none, and a megabyte and a half")
    func anyBytes() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        var writer = Writer(head: try session.readHead())
        let all = ByteString((0...255).map { UInt8($0) })
        let big = ByteString((0..<1_572_864).map { _ in UInt8.random(in: 0...255) })
        try session.put(
            writer.batch([
                (key: ByteString(), value: ByteString()), (key: all, value: ByteString()), (key: ByteString(), value: all),
                (key: ByteString([0]), value: ByteString([0, 0])), (key: "{},\"\\NULL", value: "{NULL}"),
                (key: "big", value: big),
                (key: big.slice(0..<70_000), value: "x"),
            ]), &writer)
        #expect(try session.everything().rows == writer.rows)
    }

    @Test("ten thousand rows go in one batch, and come out in chunks of every size")
    func manyRows() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(count: 10_000), &writer)
        for (limit, chunks) in [(400, 25), (1_000, 20), (10_001, 20)] {
            let all = try session.everything(limit: limit)
            #expect(all.rows == writer.rows)
            #expect(all.chunks == chunks)
        }
        let tail = try session.readTail(after: Position(2, 9_990), limit: 3)
        #expect(tail.rows.map(\.position.sub) == [9_991, 9_992, 9_993])
        #expect(!tail.reachesHead)
    }

    @Test("a chunk ends at the byte limit, but always holds a row", arguments: 1...4)
    func byteLimit(limitInRows: Int) throws {
        var settings = try freshSettings()
        settings.limits.chunkByteLimit = limitInRows * 104
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<9 { try session.put(writer.batch(count: 1, valueSize: 100), &writer) }
        var rows: [LogRow] = []
        while true {
            let tail = try session.readTail(after: rows.last?.position ?? .start, limit: 100)
            rows += tail.rows
            if tail.reachesHead { break }
            #expect(tail.rows.count == limitInRows)
        }
        #expect(rows == writer.rows)
    }

    @Test("a tail ends before a row that takes more than its share, which comes with the next one")
    func largeRows() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        var writer = Writer(head: try session.readHead())
        for size in [10, 10, 10, 20_000, 10, 20_000, 40_000, 10] { try session.put(writer.batch(count: 1, valueSize: size), &writer) }
        let first = try session.readTail(after: .start, limit: 5_000)
        #expect(first == Tail(head: writer.head, rows: Array(writer.rows[..<3]), reachesHead: false))
        let rest = try session.readTail(after: writer.rows[2].position, limit: 5_000)
        #expect(rest == Tail(head: writer.head, rows: Array(writer.rows[3...]), reachesHead: true))
        // Also where nothing announced it.
        #expect(try session.readTail(after: writer.rows[2].position, limit: 5_000) == rest)
        #expect(try session.readTail(after: writer.rows[6].position, limit: 5_000).rows == [writer.rows[7]])
    }

    @Test("the head is reached although its own row is compacted away")
    func headRowDeleted() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<3 { try session.put(writer.batch(), &writer) }
        #expect(try session.delete([writer.rows[2].position]) == 1)
        let tail = try session.readTail(after: .start, limit: 100)
        #expect(tail.rows == Array(writer.rows[..<2]))
        #expect(tail.reachesHead)
        #expect(try session.readTail(after: writer.rows[1].position, limit: 100).reachesHead)
    }

    @Test("an append after somebody else's inserts nothing and brings what came instead")
    func conflictByDigest() throws {
        let settings = try freshSettings()
        let (a, b) = (try LogSession(settings, logger: quiet), try LogSession(settings, logger: quiet))
        var first = Writer(head: try a.readHead(), origin: 1)
        var second = Writer(head: try b.readHead(), origin: 2)
        try a.put(first.batch(count: 2), &first)
        let lost = second.batch(count: 3)
        let tail = Tail(head: first.head, rows: first.rows, reachesHead: true)
        #expect(try b.append(lost) == .conflicted(tail))
        #expect(try a.everything().rows == first.rows)
        // Having folded the tail, the second writes on.
        second.head = first.head
        try b.put(second.batch(), &second)
        #expect(try a.everything().rows == first.rows + second.rows)
    }

    @Test("a conflict also brings rows that others added to the head's own revision")
    func conflictAtTheSameRevision() throws {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(), &writer)
        let lost = writer.batch()
        let grant = LogRow(position: Position(2, 1), kind: .grant, version: 5, lease: 9, origin: 2)
        var head = writer.head
        head.position = grant.position
        head.digest = head.digest.appending(grant)
        #expect(
            try session.append(
                AppendBatch(number: 9, expectedDigest: writer.head.digest, expectedEpoch: 0, newHead: head, rows: [grant]))
                == .appended)
        guard case .conflicted(let tail) = try session.append(lost) else {
            Issue.record("no conflict")
            return
        }
        #expect(tail.rows.contains(grant))
        #expect(tail.reachesHead)
    }

    @Test("an append with an older epoch inserts nothing")
    func conflictByEpoch() throws {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(), &writer)
        let late = writer.batch()
        let recovered = try LogSession(settings, logger: quiet).recover(after: .start, limit: 100)
        #expect(recovered.rows == writer.rows)
        #expect(recovered.head.epoch == 1)
        guard case .conflicted(let tail) = try session.append(late) else {
            Issue.record("no conflict")
            return
        }
        #expect(tail.head.epoch == 1)
        #expect(tail.reachesHead)
        #expect(try session.everything().rows == writer.rows)
        writer.head.epoch = 1
        try session.put(writer.batch(), &writer)
    }

    @Test("who holds the head's lock appends before all others", arguments: [false, true])
    func lockHead(transactionPooling: Bool) throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        settings.limits.lockHoldLimit = .seconds(60)
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(), &writer)
        let head = try session.lockHead().head
        #expect(head == writer.head)
        #expect(session.holdsHeadLock)

        // Another with the right digest has to wait, and then is late.
        var other = Writer(head: head, origin: 2)
        let late = other.batch()
        let outcome = Answer<AppendOutcome>()
        let thread = WorkerThread(name: "other") { [settings] in
            outcome.fill { try LogSession(settings, logger: quiet).append(late) }
        }
        try eventuallyBlocking("the other waiting") {
            try PostgresServer.shared().psql(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock'", connection: settings.conninfo) != "0"
        }
        try session.put(writer.batch(), &writer)
        #expect(!session.holdsHeadLock)
        thread.join()
        #expect(try outcome.get() == .conflicted(Tail(head: writer.head, rows: writer.rows, reachesHead: true)))
        #expect(try session.everything().rows == writer.rows)
    }

    @Test("the head's lock can be given back, and is taken by the server from one that sleeps on it")
    func lockGivenBack() throws {
        var settings = try freshSettings()
        settings.limits.lockHoldLimit = .milliseconds(50)
        let session = try LogSession(settings, logger: quiet)
        _ = try session.lockHead()
        try session.releaseHeadLock()
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(), &writer)

        _ = try session.lockHead()
        let other = try LogSession(settings, logger: quiet)
        try other.put(writer.batch(), &writer)
        #expect(throws: LogError.self) { try session.append(writer.batch()) }
        #expect(!session.isOpen)
    }

    @Test("a batch that was executed before the lock was taken finds its conflict under the lock too")
    func conflictUnderTheLock() throws {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        let stale = writer.batch()
        try session.put(writer.batch(count: 2), &writer)
        _ = try session.lockHead()
        #expect(
            try session.append(stale) == .conflicted(Tail(head: writer.head, rows: writer.rows, reachesHead: true)))
        #expect(!session.holdsHeadLock)
        try session.put(writer.batch(), &writer)
    }

    @Test("rows are deleted by primary key; those that are gone don't count", arguments: [false, true])
    func delete(throughPooler: Bool) throws {
        var settings = try freshSettings()
        settings.transactionPooling = throughPooler
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<50 { try session.put(writer.batch(count: 3), &writer) }
        let dead = writer.rows.filter { $0.position.sub != 1 }.map(\.position)
        #expect(try session.delete(dead) == 100)
        #expect(try session.delete(dead) == 0)
        #expect(try session.delete([]) == 0)
        #expect(try session.everything().rows == writer.rows.filter { $0.position.sub == 1 })
    }

    @Test("nothing is deleted, and nothing told, where the log has lost deletions or the compaction, or by another than the steward")
    func deleteRefused() throws {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<9 { try session.put(writer.batch(), &writer) }
        var compaction = writer.batch()
        compaction.newHead.compactRevision = 8
        try session.put(compaction, &writer)
        let start = SweepState.start.digest
        let first = Deletion(
            number: 1, positions: [writer.rows[0].position], compactRevision: 8,
            swept: Sweep(compactRevision: 5, position: Position(3, .max)), digest: start, after: .nothing, holder: 1)
        let one = start.appending(deleted: first.positions)
        var second = first
        second.positions = [writer.rows[1].position]
        second.swept = Sweep(compactRevision: 8, position: Position(2, 4))
        second.digest = one
        second.after = first.swept
        let two = one.appending(deleted: second.positions)
        #expect(try session.delete(first) == .nobodysDuty)
        _ = try session.keepDuty(holder: 2, termMs: 60_000)
        #expect(try session.delete(first) == .othersDuty)
        try session.releaseDuty(holder: 2)
        _ = try session.keepDuty(holder: 1, termMs: 60_000)
        #expect(try session.delete(second) == .lost, "what it rests on is not there")
        for unknown in [9, 8 - revisionRaiseMargin] as [Revision] {
            var foreign = first
            foreign.compactRevision = unknown
            #expect(try session.delete(foreign) == .lost)
        }
        #expect(try session.readSweep() == .start)
        #expect(try session.everything().rows == writer.rows)
        #expect(try session.delete(first) == .deleted(1, one))
        #expect(try session.readSweep() == SweepState(swept: first.swept, begun: 8, digest: one))
        #expect(try session.delete(second) == .deleted(1, two))
        #expect(try session.delete(second) == .deleted(0, two), "the answer was lost")
        // A new steward's memory begins with the first rows again: what was said is still so, and says more.
        #expect(try session.readSweep() == SweepState(swept: first.swept, begun: 8, digest: two))
        #expect(try session.everything().rows == Array(writer.rows[2...]))
        // Others have deleted, and more than this process knows of.
        var third = first
        third.positions = [writer.rows[2].position]
        third.after = first.swept
        third.swept = Sweep(compactRevision: 8, position: first.swept.position)
        let three = two.appending(deleted: third.positions)
        #expect(try session.delete(third) == .deleted(1, three))
        #expect(try session.readSweep() == SweepState(swept: third.swept, begun: 8, digest: three))
        // One that has forgotten what others deleted.
        var fourth = third
        fourth.digest = nil
        fourth.positions = [writer.rows[3].position]
        #expect(try session.delete(fourth) == .deleted(1, three.appending(deleted: fourth.positions)))
        fourth.after = .whole(8)
        #expect(try session.delete(fourth) == .lost)
        third.after = .whole(8)
        #expect(try session.delete(third) == .lost, "a part of what was deleted for this compaction may be back")
    }

    @Test("two schemas in one database are two logs, whatever their names", arguments: ["Ünüsual \"name\"; drop", "b.c"])
    func twoSchemas(name: String) throws {
        let one = try freshSettings()
        var two = one
        two.schema = try #require(SchemaName(name))
        try Migrator(two, logger: quiet).migrate()
        let (a, b) = (try LogSession(one, logger: quiet), try LogSession(two, logger: quiet))
        var (first, second) = (Writer(head: try a.readHead()), Writer(head: try b.readHead()))
        #expect(first.head.clusterID != second.head.clusterID)
        try a.put(first.batch(count: 2), &first)
        try b.put(second.batch(), &second)
        #expect(try a.everything().rows == first.rows)
        #expect(try b.everything().rows == second.rows)
        #expect(try b.databaseSizes().total > 0)
    }

    @Test("a hundred thousand rows load in order, in one snapshot")
    func load() throws {
        var settings = try freshSettings()
        settings.limits.chunkByteLimit = 1 << 20
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<50 { try session.put(writer.batch(count: 2_000, valueSize: 100), &writer) }
        let other = try LogSession(settings, logger: quiet)
        var rows: [LogRow] = []
        var next = writer
        let (head, deleted, _) = try session.load { chunk, _, progress in
            rows += chunk
            #expect(progress.rows == rows.count)
            // What is written meanwhile is not in the snapshot.
            #expect(throws: Never.self) { try other.put(next.batch(), &next) }
            return true
        }
        #expect(rows.removeFirst().kind == .digestKey)
        #expect(rows == writer.rows)
        #expect(head == writer.head)
        #expect(deleted == .start)
        #expect(try session.readTail(after: head.position, limit: 1).rows.count == 1)
        #expect(throws: LogError.closed) { try session.load { _, _, _ in false } }
        #expect(try session.readHead() == next.head)
    }

    @Test("where values have no room only the newest come with theirs; those that are read afterwards are the same")
    func loadMetadata() throws {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<25 { try session.put(writer.batch(count: 1_000, valueSize: 100), &writer) }
        try session.connection.runScript("analyze pine.changelog", within: .seconds(30))
        let total = try session.databaseSizes().total
        var rows: [LogRow] = []
        var byteCounts: [Int] = []
        let (head, _, _) = try session.load(valueBytes: Int(total) / 4) { chunk, lengths, progress in
            rows += chunk
            if let lengths { byteCounts += lengths }
            #expect(progress.rows == rows.count)
            return true
        }
        #expect(head == writer.head)
        #expect(rows.removeFirst().kind == .digestKey)
        #expect(byteCounts.removeFirst() == 0)
        #expect(rows.map(\.position) == writer.rows.map(\.position))
        #expect((17_000...20_000).contains(byteCounts.count))
        #expect(byteCounts == writer.rows.prefix(byteCounts.count).map(\.value.count))
        #expect(rows[..<byteCounts.count].allSatisfy { $0.value.isEmpty })
        #expect(Array(rows[byteCounts.count...]) == Array(writer.rows[byteCounts.count...]))
        #expect(rows.first?.key == writer.rows.first?.key)
        let wanted = stride(from: 0, to: 25_000, by: 7).map { writer.rows[$0] }
        let (read, values) = try session.readValues(wanted.map(\.position) + [Position(1, 7)])
        #expect(read == writer.head)
        #expect(values.count == wanted.count)
        for row in wanted { #expect(values[row.position] == row.value) }
    }

    @Test("sizes and members come from the database")
    func status() throws {
        let session = try LogSession(try freshSettings(), logger: quiet)
        let before = try session.databaseSizes()
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(count: 1_000, valueSize: 1_000), &writer)
        let after = try session.databaseSizes()
        #expect(after.total >= before.total + 1_000_000)
        #expect(after.estimatedRows >= 0)

        try session.upsertMember(id: 2, name: "two", clientURLs: [])
        try session.upsertMember(id: 1, name: "eins", clientURLs: ["http://a:1"])
        try session.upsertMember(id: 1, name: "one", clientURLs: ["http://a:1", "https://b,c:2"])
        let members = try session.listMembers(within: .seconds(60))
        #expect(members.map(\.id) == [1, 2])
        #expect(members.map(\.name) == ["one", "two"])
        #expect(members.map(\.clientURLs) == [["http://a:1", "https://b,c:2"], []])
        #expect(members.allSatisfy { $0.age >= .zero && $0.age < .seconds(60) })
        #expect(try session.listMembers(within: .zero).isEmpty)
        try session.removeMember(id: 2)
        #expect(try session.listMembers(within: .seconds(60)).map(\.id) == [1])
    }
}

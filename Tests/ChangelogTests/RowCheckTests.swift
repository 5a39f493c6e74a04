import Bytes
import EtcdAPI
import Keyspace
import Replica
import Synchronization
import TestSupport
import Testing

@testable import Changelog

@Suite("Rows that are not those that were written", .ownThreads)
struct RowCheckTests {
    /// A compacted store of ten rows, of which the steward has deleted two, and a session on it.
    private func compactedStore() throws -> (settings: LogSettings, session: LogSession, writer: Writer) {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead(), key: try session.readKeyRow().map { DigestKey($0) })
        for _ in 0..<9 { try session.put(writer.batch(valueSize: 300), &writer) }
        var compaction = writer.batch()
        compaction.newHead.compactRevision = 8
        try session.put(compaction, &writer)
        #expect(try session.delete([Position(2, 0), Position(3, 0)]) == 2)
        #expect(try session.delete([Position(3, 0)]) == 0, "what is gone is taken away once")
        return (settings, session, writer)
    }

    private func load(_ session: LogSession, valueBytes: Int = .max) throws -> RowFinding? {
        try session.load(valueBytes: valueBytes) { _, _, _ in true }.finding
    }

    /// By all three ways.
    private func findings(_ session: LogSession) throws -> (load: RowFinding?, sums: RowFinding?, rows: RowFinding?) {
        (try load(session), try session.checkSums { true }, try session.checkRows { _ in true })
    }

    @Test("a compacted store is well")
    func well() throws {
        let (_, session, _) = try compactedStore()
        let found = try findings(session)
        #expect(found.load == RowFinding() && found.sums == RowFinding() && found.rows == RowFinding())
        try session.connection.runScript("analyze pine.changelog", within: .seconds(30))
        #expect(try load(session, valueBytes: 0) == RowFinding(), "without values")
    }

    @Test(
        "an altered row is found below the compaction, whatever was altered",
        arguments: [
            "value = overlay(value placing 'x' from 200)", "key = 'other'", "version = version + 1", "lease = 99", "origin = 2", "kind = 2",
            "create_revision = 1", "revision = 100",
        ])
    func altered(change: String) throws {
        let (settings, session, _) = try compactedStore()
        try PostgresServer.shared().psql("update pine.changelog set \(change) where revision = 5", connection: settings.conninfo)
        let found = try findings(session)
        let expected = [Position(change.hasPrefix("revision") ? 100 : 5, 0)]
        #expect(found.load?.altered == expected && found.load?.isIncomplete == false)
        #expect(found.rows?.altered == expected && found.rows?.alteredCount == 1)
        #expect(found.sums == RowFinding(), "the hashes are all there")
    }

    @Test(
        "missing rows and added ones are found, without reading values",
        arguments: [
            "delete from pine.changelog where revision = 5",
            "insert into pine.changelog select 50, 0, kind, key, value, create_revision, version, lease, origin, hash from pine.changelog "
                + "where revision = 6", "update pine.changelog set hash = hash # 1 where revision = 5",
            "delete from pine.changelog where kind = 7 or revision = 5",
        ])
    func missing(change: String) throws {
        let (settings, session, _) = try compactedStore()
        try PostgresServer.shared().psql(change, connection: settings.conninfo)
        #expect(try session.checkSums { true }?.isIncomplete == true)
        if change.contains("kind = 7") {
            #expect(throws: LogError.self) { try load(session) }
        } else {
            #expect(try load(session)?.isIncomplete == true)
            try session.connection.runScript("analyze pine.changelog", within: .seconds(30))
            #expect(try load(session, valueBytes: 0)?.isIncomplete == true)
        }
    }

    @Test("rows that come without a hash, as from a hand or from a Pine that knows nothing of keys, are found")
    func unhashed() throws {
        let (_, session, kept) = try compactedStore()
        var writer = kept
        writer.key = nil
        try session.put(writer.batch(), &writer)
        let found = try findings(session)
        #expect(found.load?.altered == [writer.head.position] && found.rows?.altered == [writer.head.position])
    }

    @Test("what an operator accepts as it is, by the statement of the manual, is well again")
    func accepted() throws {
        let (settings, session, _) = try compactedStore()
        let server = try PostgresServer.shared()
        try server.psql("delete from pine.changelog where revision = 5", connection: settings.conninfo)
        try server.psql(
            """
            update pine.sweep set row_sum = (h.row_sum + 4611686018427387904 - c.row_sum) & 4611686018427387903 from pine.head h,
              (select (coalesce(sum(hash), 0) % 4611686018427387904)::bigint as row_sum from pine.changelog) c
            """, connection: settings.conninfo)
        #expect(try load(session) == RowFinding())
        #expect(try session.delete([Position(6, 0)]) == 1)
        #expect(try load(session) == RowFinding())
    }

    @Test("a store at work is never taken for damaged: rows come, and go, while it is loaded and checked")
    func concurrent() throws {
        let (settings, session, kept) = try compactedStore()
        let isOver = Atomic(false)
        let written = Answer<Void>()
        let thread = WorkerThread(name: "write") {
            written.fill {
                let session = try LogSession(settings, logger: quiet)
                var writer = kept
                for round in 0..<60 {
                    try session.put(writer.batch(count: 5, valueSize: round * 10), &writer)
                    // The rows of a round some time ago, some of them twice.
                    let rows = writer.rows.dropFirst(10 + max(0, round - 10) * 5).prefix(6).map(\.position)
                    _ = try session.delete(rows)
                }
            }
            isOver.store(true, ordering: .releasing)
        }
        var count = 0
        while !isOver.load(ordering: .acquiring) || count < 3 {
            let found = try findings(session)
            #expect(found.load == RowFinding() && found.sums == RowFinding() && found.rows == RowFinding())
            count += 1
        }
        thread.join()
        try written.get()
    }

    @Test("the log's threads count what a check finds")
    func counted() async throws {
        let (settings, _, _) = try compactedStore()
        let log = LogWorkers(settings, logger: quiet) { _ in }
        defer { log.stop() }
        log.checkRows()
        try await eventually("a check") { log.counters.rowChecks == 1 }
        #expect(log.counters.rowFinding.isWell)
        try PostgresServer.shared().psql("delete from pine.changelog where revision = 5", connection: settings.conninfo)
        log.checkRows()
        try await eventually("another") { log.counters.rowChecks == 2 }
        #expect(log.counters.rowFinding.isIncomplete)
        log.load { _ in }
        try await eventually("a load") { log.counters.rowChecks == 3 }
        #expect(log.counters.rowFinding.isIncomplete)
    }

    // MARK: Stores from before there were keys

    /// A store of version 6 with rows.
    private func oldStore() throws -> (settings: LogSettings, writer: Writer) {
        let settings = try freshSettings(migrate: false)
        let server = try PostgresServer.shared()
        var script = """
            create schema pine;
            create table pine.schema_version (
              version int primary key, name text not null, applied_at timestamptz not null default now());
            insert into pine.schema_version (version, name) values (0, 'nothing');

            """
        for migration in Migration.all.prefix(6) {
            script += migration.sql(in: settings.schema)
            script += "insert into pine.schema_version (version, name) values (\(migration.version), '\(migration.name)');\n"
        }
        script += """
            insert into pine.head (cluster_id, revision, sub, digest, epoch, compact_revision)
            values (9, 1, -1, \(Digest.start.rawValue), 0, -1)
            """
        try server.psql(script, connection: settings.conninfo)
        let head = Head(clusterID: 9, position: .start, digest: .start, epoch: 0, compactRevision: -1)
        var writer = Writer(head: head)
        for _ in 0..<3 { try appendAsBefore(writer.batch(), &writer, settings) }
        return (settings, writer)
    }

    /// As Pines did, and still do that run while the tables are migrated. The number of rows that were appended.
    @discardableResult
    private func appendAsBefore(_ batch: AppendBatch, _ writer: inout Writer, _ settings: LogSettings) throws -> Int {
        let row = batch.rows[0]
        let count = try PostgresServer.shared().psql(
            """
            with advanced as (
              update pine.head set revision = \(row.position.revision), sub = \(row.position.sub), digest = \(batch.newHead.digest.rawValue)
               where digest = \(batch.expectedDigest.rawValue) returning 1),
            inserted as (
              insert into pine.changelog (revision, sub, kind, key, value, create_revision, version, lease, origin)
              select \(row.position.revision), \(row.position.sub), 1, 'key0', 'vvvvvvvvvv', \(row.createRevision), 1, 0, 1 from advanced
              returning 1)
            select count(*) from inserted
            """, connection: settings.conninfo)
        if count == "1" { writer.committed(batch) }
        return Int(count) ?? -1
    }

    @Test("a store from before keys is migrated as it is, and older Pines write on beside newer ones")
    func migrated() throws {
        var (settings, writer) = try oldStore()
        try Migrator(settings, logger: quiet).migrate()
        let session = try LogSession(settings, logger: quiet)
        #expect(try session.readHead() == writer.head)
        #expect(try session.readKeyRow() == nil)
        #expect(try appendAsBefore(writer.batch(), &writer, settings) == 1)
        try session.put(writer.batch(), &writer)
        #expect(try appendAsBefore(writer.batch(), &writer, settings) == 1)
        #expect(try session.everything().rows == writer.rows)
        let loaded = try session.load { _, _, _ in true }
        #expect(loaded.head == writer.head && loaded.finding == nil)
        #expect(try session.checkSums { true } == nil)
        #expect(try session.delete([writer.rows[0].position]) == 1)
    }

    @Test("a key that is given to it keeps all that is there, and shuts older Pines out")
    func keyGiven() throws {
        var (settings, writer) = try oldStore()
        let migrator = Migrator(settings, logger: quiet)
        try migrator.migrate()
        let session = try LogSession(settings, logger: quiet)
        #expect(try migrator.giveKey())
        #expect(try !migrator.giveKey(), "it has one")
        let tail = try session.readTail(after: writer.head.position, limit: 10)
        #expect(tail.rows.map(\.kind) == [.digestKey])
        #expect(tail.head.position == Position(writer.head.position.revision, 1))
        #expect(tail.head.digest == writer.head.digest.appending(tail.rows[0]))
        #expect(try appendAsBefore(writer.batch(), &writer, settings) == 0)
        #expect(try load(session) == RowFinding())
        writer.head = tail.head
        writer.key = DigestKey(tail.rows[0])
        for _ in 0..<3 { try session.put(writer.batch(count: 2), &writer) }
        #expect(try session.delete(writer.rows.suffix(2).map(\.position) + [writer.rows[0].position]) == 3)
        let found = try findings(session)
        #expect(found.load == RowFinding() && found.sums == RowFinding() && found.rows == RowFinding())
    }
}

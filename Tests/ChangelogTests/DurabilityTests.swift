// Tests that nothing acknowledged is lost, and no statement means anything else, whatever the settings of the server, the database and
// the role say and become.
import Bytes
import EtcdAPI
import Keyspace
import Replica
import TestSupport
import Testing

@testable import Changelog

@Suite("Durability under settings that change", .timeLimit(.minutes(4)), .ownThreads)
struct DurabilityTests {
    @Test("appends outlast a crash after synchronous_commit was turned off under the session", arguments: [false, true])
    func asynchronousCommits(pooled: Bool) throws {
        // Nothing that is committed asynchronously reaches the disk meanwhile.
        let server = try PostgresServer(settings: ["wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "autovacuum": "off"])
        let pooler = pooled ? try PgBouncer(server) : nil
        var settings = LogSettings(conninfo: server.connectionString)
        try Migrator(settings, logger: quiet).migrate()
        settings.conninfo = pooler?.connectionString(database: "postgres") ?? settings.conninfo
        let session = try LogSession(settings, logger: quiet)
        #expect(session.isPooled == pooled)
        try server.psql("alter system set synchronous_commit = off")
        try server.psql("select pg_reload_conf()")
        try eventuallyBlocking("the setting") { try server.psql("show synchronous_commit") == "off" }
        var writer = Writer(head: try session.readHead())
        for _ in 0..<3 { try session.put(writer.batch(count: 2), &writer) }
        // Also those that are sent ahead, and in the transaction of the lock.
        if !pooled {
            let batch = writer.batch()
            try session.startAppend(batch)
            #expect(try session.awaitAppended().get() == 1)
            writer.committed(batch)
        }
        _ = try session.lockHead()
        try session.put(writer.batch(), &writer)
        server.kill()
        try server.start()
        #expect(try server.psql("select count(*) from pine.changelog where revision > 1") == "\(writer.rows.count)")
        #expect(try LogSession(settings, logger: quiet).readHead() == writer.head)
    }

    @Test("writes stop where fsync is turned off under a running log, are told why, and go on when it is on", arguments: [false, true])
    func fsyncOff(pooled: Bool) async throws {
        let server = try PostgresServer()
        let pooler = pooled ? try PgBouncer(server) : nil
        var settings = LogSettings(conninfo: server.connectionString)
        try Migrator(settings, logger: quiet).migrate()
        settings.conninfo = pooler?.connectionString(database: "postgres") ?? settings.conninfo
        let (inbox, lines) = (Inbox<LogEvent>(), Lines())
        let log = LogWorkers(settings, logger: lines.logger) { inbox.add($0) }
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        let first = writer.batch()
        log.submit(.append(first))
        #expect(try await inbox.appendAnswer() == .appended(number: first.number))
        writer.committed(first)

        func set(_ value: String) throws {
            try server.psql("alter system set fsync = \(value)")
            try server.psql("select pg_reload_conf()")
            // In each of the server's processes, so in those that were there before, too.
            try eventuallyBlocking("the setting") { try server.psql("show fsync") == value }
        }
        try set("off")
        // Sooner or later everybody has heard; from then on nothing is acknowledged.
        try await eventually("the setting being seen") { log.counters.isUnsafe }
        let refused = writer.batch()
        log.submit(.append(refused))
        guard case .appendLost(refused.number, _) = try await inbox.appendAnswer() else {
            Issue.record("acknowledged")
            return
        }
        log.submit(.recover(after: refused.tailStart))
        log.submit(.readHead)
        _ = try await inbox.next("headReadFailed") { if case .headReadFailed(let reason) = $0 { reason } else { nil } }
        #expect(log.counters.away?.contains("fsync") == true)
        let told = "error stopped serving: PostgreSQL may lose acknowledged writes PostgreSQL runs with fsync"
        #expect(lines.count(of: told) >= 1)
        #expect(lines.count(of: "stopped serving") <= 2)

        try set("on")
        #expect(try await inbox.recovered().rows == writer.rows)
        writer.head.epoch += 1
        let last = writer.batch()
        log.submit(.append(last))
        #expect(try await inbox.appendAnswer() == .appended(number: last.number))
        try await eventually("the end of it") { log.counters.away == nil && !log.counters.isUnsafe }
        try await eventually("the line") { lines.count(of: "PostgreSQL is back") == 1 }
    }

    @Test("an append looks at the server's settings by itself")
    func guardedAppend() throws {
        let server = try PostgresServer(settings: ["full_page_writes": "off"])
        var settings = LogSettings(conninfo: server.connectionString)
        settings.allowsUnsafeDurability = true
        try Migrator(settings, logger: quiet).migrate()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(), &writer)
        let guarded = LogStatements(schema: .pine, chunkByteLimit: 1 << 20).append
        let refusal = #expect(throws: LogError.self) {
            try session.transaction([(guarded, .append(writer.batch()))], within: .seconds(5))
        }
        #expect(refusal == .unsafeDurability(setting: "fsync or full_page_writes", value: "off"))
        #expect(try session.everything().rows == writer.rows)
    }

    @Test("a change of the synchronous standbys is told, and shown")
    func standbys() async throws {
        let server = try PostgresServer()
        let settings = LogSettings(conninfo: server.connectionString)
        try Migrator(settings, logger: quiet).migrate()
        let lines = Lines()
        let log = LogWorkers(settings, logger: lines.logger) { _ in }
        defer { log.stop() }
        try await eventually("a first look") { log.counters.isReplicated == false }
        func set(_ names: String) throws {
            try server.psql("alter system set synchronous_standby_names = '\(names)'")
            try server.psql("select pg_reload_conf()")
        }
        try set("nobody")
        try await eventually("replication") { log.counters.isReplicated == true }
        try set("")
        try await eventually("none") { log.counters.isReplicated == false }
        // A line follows what the counters say.
        try await eventually("the lines") {
            lines.count(of: "notice synchronous replication was switched on") == 1
                && lines.count(of: "warning synchronous replication was switched off") == 1
        }
        #expect(lines.all().count == 2)
    }

    @Test("no setting of the role or the database changes what is read and written", arguments: [false, true])
    func hostileSettings(pooled: Bool) throws {
        let server = try PostgresServer()
        let pooler = pooled ? try PgBouncer(server) : nil
        try Migrator(LogSettings(conninfo: server.connectionString), logger: quiet).migrate()
        for setting in [
            "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on", "search_path = evil, pg_catalog",
            "bytea_output = escape", "datestyle = 'German'", "intervalstyle = 'sql_standard'", "timezone = 'Asia/Kathmandu'",
            "client_encoding = 'LATIN1'", "standard_conforming_strings = off", "extra_float_digits = -15", "synchronous_commit = off",
            "session_replication_role = replica", "row_security = on", "plan_cache_mode = force_custom_plan", "enable_indexscan = off",
            "enable_seqscan = on", "client_min_messages = error", "idle_session_timeout = '300ms'",
            "idle_in_transaction_session_timeout = '300ms'", "lc_messages = 'C'",
        ] + (pooled ? [] : ["statement_timeout = '100ms'", "lock_timeout = '100ms'"]) {
            try server.psql("alter role postgres set \(setting)")
        }
        // What a path that names pg_catalog last would find first.
        try server.psql(
            """
            create schema evil;
            create function evil.now() returns timestamptz language sql as 'select ''2000-01-01''::timestamptz';
            create function evil.current_setting(text, boolean) returns text language sql as 'select ''off''::text';
            create table evil.pg_class (oid oid);
            """)
        var settings = LogSettings(conninfo: server.connectionString)
        settings.conninfo = pooler?.connectionString(database: "postgres") ?? settings.conninfo
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(count: 3), &writer)
        try session.put(writer.batch([(key: "\u{E4}\u{0}\\", value: "\u{FF}\\000\u{1F600}")]), &writer)
        #expect(try session.everything().rows == writer.rows)
        #expect(try session.load { _, _, _ in true }.head == writer.head)
        try session.upsertMember(id: 7, name: "\u{E4}\u{1F600}", clientURLs: ["http://\u{E4}:1"])
        #expect(try session.listMembers(within: .seconds(60)).map(\.name) == ["\u{E4}\u{1F600}"])
        #expect(try session.keepDuty(holder: 1, termMs: 60_000) == .held(taken: true))
        #expect(try session.keepDuty(holder: 1, termMs: 60_000) == .held(taken: false))
        var round = LeaseRound()
        round.set = [LeaseTerm(lease: 1, milliseconds: 60_000)]
        round.read = [1]
        let answer = try session.run(round)
        #expect(answer.remainingMs == [1: 60_000] && answer.head == writer.head)
        #expect(try session.findDue(holder: 1, limit: 10).due == [])
        // Longer than any of the role's limits, behind somebody else's lock.
        let other = try LogSession(settings, logger: quiet)
        _ = try session.lockHead()
        let late = writer.batch()
        let appended = Answer<AppendOutcome>()
        let thread = WorkerThread(name: "append") { [settings] in
            appended.fill { try LogSession(settings, logger: quiet).append(late) }
        }
        try eventuallyBlocking("a wait of half a second") {
            let waits = "not granted and pg_catalog.now() - query_start > '0.5 s'"
            return try server.psql("select count(*) from pg_locks join pg_stat_activity using (pid) where \(waits)") == "1"
        }
        try session.releaseHeadLock()
        thread.join()
        #expect(try appended.get() == .appended)
        writer.committed(late)
        #expect(try other.recover(after: .start, limit: 100).rows == writer.rows)
        #expect(try other.delete(writer.rows.prefix(1).map(\.position)) == 1)
    }

    @Test("a round of leases reads a head that is not older than what it waited for", arguments: [false, true])
    func roundAfterWait(pooled: Bool) throws {
        let server = try PostgresServer()
        let pooler = pooled ? try PgBouncer(server) : nil
        try Migrator(LogSettings(conninfo: server.connectionString), logger: quiet).migrate()
        try server.psql("alter role postgres set default_transaction_isolation = 'repeatable read'")
        var settings = LogSettings(conninfo: server.connectionString)
        settings.conninfo = pooler?.connectionString(database: "postgres") ?? settings.conninfo
        let session = try LogSession(settings, logger: quiet)
        var round = LeaseRound()
        round.set = [LeaseTerm(lease: 1, milliseconds: -1)]
        _ = try session.run(round)
        _ = try session.keepDuty(holder: 1, termMs: 60_000)
        var writer = Writer(head: try session.readHead())
        // The deadline goes, and with it a revoke comes, while a keep-alive waits for the row.
        #expect(try session.lockHead(expiring: LeaseExpiry(leases: [1], holder: 1)).expired == [1])
        let answered = Answer<Head>()
        let thread = WorkerThread(name: "round") { [settings] in
            answered.fill {
                var round = LeaseRound()
                round.set = [LeaseTerm(lease: 1, milliseconds: 60_000)]
                return try LogSession(settings, logger: quiet).run(round).head
            }
        }
        try eventuallyBlocking("the wait") { try server.psql("select count(*) from pg_locks where not granted") == "1" }
        try session.put(writer.batch(), &writer)
        thread.join()
        #expect(try answered.get() == writer.head)
    }
}

import Foundation
import Keyspace
import TestSupport
import Testing

@testable import Changelog

@Suite(.ownThreads) struct MigratorTests {
    @Test("every file in migrations/ is compiled in, numbered from 1 without gaps")
    func filesAreCompiledIn() throws {
        let folder = "\(TestEnvironment.packageRoot)/migrations"
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".sql") }.sorted()
        #expect(files == Migration.all.map { String(format: "%04d_%@.sql", $0.version, $0.name) })
        #expect(Migration.all.map(\.version) == Array(1...Migration.all.count))
        for (file, migration) in zip(files, Migration.all) {
            #expect(try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8) == migration.sql)
        }
    }

    @Test("the files run in psql too")
    func filesRunInPsql() throws {
        let server = try PostgresServer.shared()
        let database = try server.newDatabase()
        try server.psql("create schema \"by hand\"", connection: database)
        for migration in Migration.all {
            try server.psql(migration.sql(in: #require(SchemaName("by hand"))), connection: database)
        }
        #expect(try server.psql("select count(*) from \"by hand\".changelog", connection: database) == "0")
    }

    @Test("migrating twice changes nothing, and keeps what is there")
    func migratingTwice() throws {
        let settings = try freshSettings()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        try session.put(writer.batch(), &writer)
        try Migrator(settings, logger: quiet).migrate()
        try Migrator(settings, logger: quiet).check()
        #expect(try session.everything().rows == writer.rows)
        #expect(try session.readHead() == writer.head)
    }

    @Test("eight processes migrate at once, and there is one head")
    func concurrentMigrations() throws {
        for _ in 0..<5 {
            let settings = try freshSettings(migrate: false)
            let answers = (0..<8).map { _ in Answer<Void>() }
            let threads = answers.map { answer in
                WorkerThread(name: "migrate") { answer.fill { try Migrator(settings, logger: quiet).migrate() } }
            }
            for thread in threads { thread.join() }
            for answer in answers { try answer.get() }
            let server = try PostgresServer.shared()
            #expect(try server.psql("select count(*) from pine.head", connection: settings.conninfo) == "1")
            #expect(
                try server.psql(
                    "select string_agg(version::text, ',' order by version) from pine.schema_version",
                    connection: settings.conninfo)
                    == (0...Migration.latest).map { "\($0)" }.joined(separator: ","))
        }
    }

    @Test("a role that may not make schemas migrates the one it owns; one that may only use the tables serves")
    func roles() throws {
        let server = try PostgresServer.shared()
        var settings = try freshSettings(migrate: false)
        let admin = settings.conninfo
        let name = "u" + String(UInt32.random(in: 0...UInt32.max))
        try server.psql(
            "create role owner_\(name) login; create role user_\(name) login; create schema pine authorization owner_\(name)",
            connection: admin)
        let database = try server.psql("select current_database()", connection: admin)

        settings.conninfo = server.connectionString(database: database, user: "user_\(name)")
        #expect(throws: LogError.self) { try Migrator(settings, logger: quiet).migrate() }
        settings.conninfo = server.connectionString(database: database, user: "owner_\(name)")
        #expect(throws: LogError.schemaTooOld(found: 0, known: Migration.latest)) {
            try Migrator(settings, logger: quiet).check()
        }
        try Migrator(settings, logger: quiet).migrate()

        settings.conninfo = server.connectionString(database: database, user: "user_\(name)")
        do {
            try Migrator(settings, logger: quiet).check()
            Issue.record("a role without rights got through")
        } catch {
            #expect(error.description.contains("permission denied"))
            #expect(error.description.contains("pine migrate --grant-to"))
        }
        try server.psql(
            "grant usage on schema pine to user_\(name); grant select on all tables in schema pine to user_\(name)",
            connection: admin)
        try Migrator(settings, logger: quiet).migrate()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        let batch = writer.batch()
        do {
            _ = try session.append(batch)
            Issue.record("a role that may only read appended")
        } catch {
            #expect(error.description.contains("permission denied for table"))
            #expect(error.description.contains("pine migrate --grant-to"))
        }
        #expect(session.isOpen)
        try server.psql(
            "grant insert, update, delete on all tables in schema pine to user_\(name)", connection: admin)
        try session.put(batch, &writer)
        _ = try session.lockHead()
        try session.releaseHeadLock()
        #expect(try session.recover(after: .start, limit: 10).rows == writer.rows)
        #expect(try session.delete([writer.rows[0].position]) == 1)
        try session.upsertMember(id: 1, name: "a", clientURLs: [])
    }

    @Test("tables of a later Pine are left alone, with a clear word")
    func newerSchema() throws {
        let settings = try freshSettings()
        try PostgresServer.shared().psql(
            "insert into pine.schema_version (version, name) values (99, 'future')", connection: settings.conninfo)
        #expect(throws: LogError.schemaTooNew(found: 99, known: Migration.latest)) {
            try Migrator(settings, logger: quiet).migrate()
        }
        #expect(LogError.schemaTooNew(found: 99, known: 1).description.contains("run a newer Pine"))
    }

    @Test("names that PostgreSQL could not hold are no schema names, and quotes are kept")
    func schemaNames() {
        for bad in ["", "pg_x", "a\0b", String(repeating: "x", count: 64)] { #expect(SchemaName(bad) == nil) }
        #expect(SchemaName("a\"b\"")?.quoted == "\"a\"\"b\"\"\"")
        #expect(SchemaName.pine.channel == "pine_pine")
        let long = SchemaName(String(repeating: "x", count: 63))
        #expect((long?.channel.utf8.count ?? 64) <= 63)
        #expect(long?.channel != SchemaName(String(repeating: "y", count: 63))?.channel)
    }
}

// Tests that a process does not go back to a primary that was replaced.
import Foundation
import Replica
import TestSupport
import Testing

@testable import Changelog

@Suite("Timelines", .timeLimit(.minutes(4)), .ownThreads)
struct TimelineTests {
    @Test("a process that was at the new primary refuses the old one, says why, and goes on at the new one")
    func oldPrimary() async throws {
        let old = try PostgresServer()
        let new = try PostgresServer(standbyOf: old)
        var settings = LogSettings(conninfo: old.connectionString)
        try Migrator(settings, logger: quiet).migrate()
        try eventuallyBlocking("the tables on the standby") {
            try new.psql("select count(*) from pg_namespace where nspname = 'pine'") == "1"
        }
        try eventuallyBlocking("the head on the standby") { try new.psql("select count(*) from pine.sweep") == "1" }
        try new.promote()

        let folder = try TemporaryFolder()
        let file = folder.file("url")
        settings.conninfoFile = file
        func point(to server: PostgresServer) throws {
            try Data(server.connectionString.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
        }
        func cut(_ server: PostgresServer) throws {
            try server.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pine'")
        }
        try point(to: new)
        let (inbox, lines) = (Inbox<LogEvent>(), Lines())
        let log = LogWorkers(settings, logger: lines.logger) { inbox.add($0) }
        defer { log.stop() }
        log.submit(.readHead)
        let head = try await inbox.head()
        try point(to: old)
        try cut(new)
        try await eventually("the old primary being refused") { log.counters.away?.contains("it is an old primary") == true }
        log.submit(.readHead)
        _ = try await inbox.next("no answer") { if case .headReadFailed(let reason) = $0 { reason } else { nil } }
        try point(to: new)
        try await eventually("the new primary") { log.counters.away == nil }
        log.submit(.readHead)
        #expect(try await inbox.head() == head)
    }

    @Test("other clusters, servers that don't tell, and later timelines are all right")
    func others() throws {
        let timelines = Timelines()
        try timelines.use(Timeline(cluster: "1", number: "00000002"))
        try timelines.use(nil)
        try timelines.use(Timeline(cluster: "1", number: "00000002"))
        try timelines.use(Timeline(cluster: "1", number: "0000000A"))
        #expect(throws: LogError.self) { try timelines.use(Timeline(cluster: "1", number: "00000002")) }
        try timelines.use(Timeline(cluster: "2", number: "00000001"))
    }
}

// Tests what becomes of a log of which PostgreSQL refuses a part, and of questions that nobody answers.
import Keyspace
import Replica
import Synchronization
import TestSupport
import Testing

@testable import Changelog

@Suite("What PostgreSQL refuses", .timeLimit(.minutes(4)), .ownThreads)
struct RefusalTests {
    @Test("a background task that is refused is told once and counted, and is no outage")
    func refusedChores() async throws {
        let server = try PostgresServer.shared()
        var settings = try freshSettings()
        let database = try server.psql("select current_database()", connection: settings.conninfo)
        try server.psql("create role \(database) login", connection: settings.conninfo)
        for grant in Migrator.grants(to: database, in: .pine) { try server.psql(grant, connection: settings.conninfo) }
        try server.psql("revoke all on pine.member, pine.duty from \(database)", connection: settings.conninfo)
        settings.conninfo = server.connectionString(database: database, user: database)
        let (inbox, lines) = (Inbox<LogEvent>(), Lines())
        let log = LogWorkers(settings, logger: lines.logger) { inbox.add($0) }
        defer { log.stop() }
        for round in 1...3 {
            let failed = Atomic(false)
            log.listMembers(within: .seconds(1)) { result in
                if case .failure(.refused("42501", _)) = result { failed.store(true, ordering: .releasing) }
            }
            try await eventually("a refusal") { failed.load(ordering: .acquiring) }
            log.submit(.lease(number: UInt64(round), .keepDuty(holder: 1, termMs: 1_000)))
            _ = try await inbox.next("an answer") { if case .lease(UInt64(round), .failed) = $0 { true } else { nil } }
        }
        let sizes = Atomic(false)
        log.databaseSizes { sizes.store((try? $0.get()) != nil, ordering: .releasing) }
        try await eventually("sizes") { sizes.load(ordering: .acquiring) }
        #expect(lines.count(of: "error PostgreSQL refused a background task; retrying") == 2)
        #expect(lines.count(of: "away") == 0)
        #expect(log.counters.refusals[Refusal(operation: .ask, state: "42501")] == 3)
        #expect(log.counters.refusals[Refusal(operation: .lease, state: "42501")] == 3)
        #expect(log.counters.failures[.ask] == 3 && log.counters.outages == 0)
    }

    @Test("while the network swallows what is sent no questions pile up")
    func unansweredQuestions() async throws {
        let server = try PostgresServer.shared()
        var settings = try freshSettings()
        let proxy = try FaultyProxy(to: server.port)
        settings.conninfo = settings.conninfo.replacing(":\(server.port)/", with: ":\(proxy.port)/")
        try proxy.set(.swallowed)
        let log = LogWorkers(settings, logger: quiet) { _ in }
        defer { log.stop() }
        let answered = Atomic(0)
        for _ in 0..<3_000 {
            log.listMembers(within: .seconds(1)) { _ in answered.wrappingAdd(1, ordering: .relaxed) }
            log.upsertMember(id: 1, name: "m", clientURLs: []) { _ in answered.wrappingAdd(1, ordering: .relaxed) }
        }
        try await eventually("all answers but a few") { answered.load(ordering: .relaxed) > 5_900 }
        try proxy.set(.flowing)
        try await eventually("all answers") { answered.load(ordering: .relaxed) == 6_000 }
    }

    @Test("tables that are gone are told in one line, looked for, and found when they are back")
    func goneTables() async throws {
        let server = try PostgresServer.shared()
        let settings = try freshSettings()
        let (inbox, lines) = (Inbox<LogEvent>(), Lines())
        let log = LogWorkers(settings, logger: lines.logger) { inbox.add($0) }
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        try server.psql("alter schema pine rename to gone", connection: settings.conninfo)
        let batch = writer.batch()
        log.submit(.append(batch))
        guard case .appendLost = try await inbox.appendAnswer() else {
            Issue.record("acknowledged")
            return
        }
        log.submit(.recover(after: batch.tailStart))
        // Several attempts.
        try await eventually("attempts") { log.counters.failures[.recover]! >= 5 }
        try server.psql("alter schema gone rename to pine", connection: settings.conninfo)
        #expect(try await inbox.recovered().rows.isEmpty)
        writer.head.epoch += 1
        let last = writer.batch()
        log.submit(.append(last))
        #expect(try await inbox.appendAnswer() == .appended(number: last.number))
        #expect(lines.count(of: "the tables of Pine are gone") >= 1)
        #expect(lines.count(of: "transaction") == 0)
        #expect(lines.all().count <= 4)
    }

    @Test("a pooler that hides itself is found out by prepared statements that are gone, and borne from then on")
    func hiddenPooler() async throws {
        let server = try PostgresServer.shared()
        var settings = try freshSettings()
        let faults = StatementFaults(seed: 1, lacksHints: false)
        let proxy = try FaultyProxy(to: server.port) { faults.filter() }
        settings.conninfo = settings.conninfo.replacing(":\(server.port)/", with: ":\(proxy.port)/")
        let (inbox, lines) = (Inbox<LogEvent>(), Lines())
        let log = LogWorkers(settings, logger: lines.logger) { inbox.add($0) }
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        faults.losePrepared()
        let batch = writer.batch()
        log.submit(.append(batch))
        switch try await inbox.appendAnswer() {
        case .appended: writer.committed(batch)  // Another connection, as the poll's, found the pooler before the append was sent.
        case .appendLost:
            log.submit(.recover(after: batch.tailStart))
            #expect(try await inbox.recovered().rows.isEmpty)
            writer.head.epoch += 1
        case let answer: Issue.record("\(answer)")
        }
        for _ in 0..<5 {
            let batch = writer.batch()
            log.submit(.append(batch))
            #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
            writer.committed(batch)
        }
        try await eventually("a read") {
            log.submit(.readHead)
            return try await inbox.next("an answer") {
                if case .headRead(let head) = $0 { head == writer.head } else if case .headReadFailed = $0 { false } else { nil }
            }
        }
        #expect(lines.count(of: "found a connection pooler") == 1)
    }

    @Test("two connections are enough for everything")
    func fewConnections() async throws {
        let server = try PostgresServer.shared()
        var settings = try freshSettings()
        let database = try server.psql("select current_database()", connection: settings.conninfo)
        try server.psql("create role \(database) login connection limit 2", connection: settings.conninfo)
        for grant in Migrator.grants(to: database, in: .pine) { try server.psql(grant, connection: settings.conninfo) }
        settings.conninfo = server.connectionString(database: database, user: database)
        let (inbox, lines, loaded) = (Inbox<LogEvent>(), Lines(), Inbox<LoadEvent>())
        let log = LogWorkers(settings, logger: lines.logger) { inbox.add($0) }
        defer { log.stop() }
        log.load { loaded.add($0) }
        let head = try await loaded.next("the load") { if case .finished(let head, _) = $0 { head } else { nil } }
        log.submit(.readHead)
        #expect(try await inbox.head() == head)
        var writer = Writer(head: head)
        for round in 1...3 {
            let batch = writer.batch()
            log.submit(.append(batch))
            #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
            writer.committed(batch)
            log.submit(.lease(number: UInt64(round), .keepDuty(holder: 1, termMs: 60_000)))
            _ = try await inbox.next("the duty") { if case .lease(UInt64(round), .dutyAsked(.held)) = $0 { true } else { nil } }
            log.submit(.readValues(number: UInt64(round), [batch.newHead.position]))
            _ = try await inbox.next("values") { if case .valuesRead(UInt64(round), _, _) = $0 { true } else { nil } }
            log.submit(.readHistory(after: .start, limit: 10))
            _ = try await inbox.next("history") { if case .historyRead = $0 { true } else { nil } }
        }
        log.submit(.deleteRows(.of(writer.rows.prefix(1).map(\.position))))
        #expect(try await inbox.deleted() == 1)
        let sizes = Atomic(false)
        log.databaseSizes { sizes.store((try? $0.get()) != nil, ordering: .releasing) }
        try await eventually("sizes") { sizes.load(ordering: .acquiring) }
        #expect(lines.count(of: "PostgreSQL has too few connections") == 1)
    }

    @Test("the name of a prepared statement stands for its text")
    func preparedNames() {
        #expect(Statement("select 1").preparedName == Statement("select 1").preparedName)
        #expect(Statement("select 1").preparedName != Statement("select 2").preparedName)
    }
}

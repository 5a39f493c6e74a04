import Glibc
import Keyspace
import Replica
import TestSupport
import Testing

@testable import Changelog

/// "Did it commit?": recovery must give a definite answer, whatever the old connection's backend is still doing.
@Suite(.ownThreads) struct LogRecoveryTests {
    @Test("recovery waits for an append that waits for the row lock, and finds its rows or makes it fail")
    func recoverWhileBlocked() throws {
        var patient = try freshSettings()
        patient.limits.lockHoldLimit = .seconds(60)
        let settings = patient
        let server = try PostgresServer.shared()
        let main = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try main.readHead())
        try main.put(writer.batch(), &writer)

        // A third session holds the head row, so that the append and the recovery queue up behind it.
        let blocker = try LogSession(settings, logger: quiet)
        _ = try blocker.lockHead()
        let batch = writer.batch(count: 2)
        let appended = Answer<AppendOutcome>()
        let recovered = Answer<Tail>()
        var impatient = settings
        impatient.limits.appendLimit = .milliseconds(200)
        let appender = WorkerThread(name: "append") { [impatient] in
            appended.fill { try LogSession(impatient, logger: quiet).append(batch) }
        }
        appender.join()
        #expect(throws: LogError.lost("no answer in time")) { try appended.get() }
        // Its backend does not know that and still waits.
        func waits(_ query: String) throws -> Bool {
            try server.psql(
                """
                select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                   and query like '\(query)%'
                """, connection: settings.conninfo) == "1"
        }
        // (Unless this test is slowed down so much that the server finds out by client_connection_check_interval.)
        #expect(try waits("with advanced") || server.log.contains("connection to client lost"))
        let position = writer.head.position
        let recoverer = WorkerThread(name: "recover") {
            recovered.fill { try LogSession(settings, logger: quiet).recover(after: position, limit: 100) }
        }
        try eventuallyBlocking("the recovery waiting too") { try waits("update") }
        try blocker.releaseHeadLock()
        recoverer.join()

        let tail = try recovered.get()
        #expect(tail.head.epoch == 1)
        #expect(tail.rows == batch.rows || tail.rows.isEmpty)
        // Whatever was found stays true: the old backend can't append any more.
        try eventuallyBlocking("the old backend done") { try !waits("with advanced") }
        #expect(try main.readTail(after: position, limit: 100) == tail)
    }

    @Test("an append that reaches the server after the recovery changes nothing")
    func appendAfterRecovery() throws {
        let settings = try freshSettings()
        let (old, new) = (try LogSession(settings, logger: quiet), try LogSession(settings, logger: quiet))
        var writer = Writer(head: try old.readHead())
        let late = writer.batch()
        let tail = try new.recover(after: .start, limit: 10)
        #expect(tail.rows.isEmpty)
        #expect(try old.append(late) == .conflicted(tail))
    }

    @Test("backends are terminated while they append; recovery is right every time")
    func terminatedMidAppend() throws {
        let settings = try freshSettings()
        let server = try PostgresServer.shared()
        var session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        let killer = try PostgresConnection(
            conninfo: server.connectionString, connectLimit: .seconds(5), prepares: true, interrupt: -1, logger: quiet)
        var (found, lost, whole) = (0, 0, 0)
        for round in 0..<60 {
            let batch = writer.batch(count: 300, valueSize: 100)
            try session.connection.start(session.statements.append, .append(batch), within: .seconds(10))
            // At a different moment of the append each time: before, during and after it runs.
            usleep(UInt32(round % 20) * 500)
            _ = try killer.run(
                Statement("select pg_terminate_backend($1::int)"), .build { $0.add(session.connection.backendID) },
                within: .seconds(5))
            do {
                let result = try session.connection.finishStatement(within: .seconds(10))
                #expect(result.affectedRows == 300)
                whole += 1
            } catch {
                guard case .lost = error else {
                    Issue.record("\(error)")
                    return
                }
            }
            session = try LogSession(settings, logger: quiet)
            let tail = try session.recover(after: writer.head.position, limit: 10_000)
            #expect(tail.head.epoch == Int64(round) + 1)
            #expect(tail.rows.isEmpty || tail.rows == batch.rows)
            if tail.rows.isEmpty {
                lost += 1
            } else {
                found += 1
                writer.committed(batch)
            }
            writer.head.epoch = tail.head.epoch
            #expect(tail.head == writer.head)
        }
        #expect(found >= whole)
        #expect(try session.everything().rows == writer.rows)
        #expect(found + lost == 60)
    }

    @Test("after a crash of the server everything acknowledged is there")
    func serverCrash() throws {
        let server = try PostgresServer()
        var settings = LogSettings(conninfo: server.connectionString)
        settings.limits.connectLimit = .seconds(2)
        try Migrator(settings, logger: quiet).migrate()
        var session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<3 {
            for _ in 0..<20 { try session.put(writer.batch(count: 5), &writer) }
            server.kill()
            #expect(throws: LogError.self) { try session.append(writer.batch()) }
            #expect(!session.isOpen)
            #expect(throws: LogError.self) { try LogSession(settings, logger: quiet) }
            try server.start()
            session = try LogSession(settings, logger: quiet)
            let tail = try session.recover(after: .start, limit: 10_000)
            #expect(tail.rows == writer.rows)
            writer.head = tail.head
        }
    }
}

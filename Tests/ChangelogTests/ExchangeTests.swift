import Keyspace
import Replica
import Synchronization
import TestSupport
import Testing

@testable import Changelog

@Suite("What callers ask the log by themselves")
struct ExchangeTests {
    private func start(_ settings: LogSettings) -> (LogWorkers, Inbox<LogEvent>) {
        let inbox = Inbox<LogEvent>()
        return (LogWorkers(settings, logger: quiet) { inbox.add($0) }, inbox)
    }

    private func append(_ batch: AppendBatch, _ log: LogWorkers, _ inbox: Inbox<LogEvent>) async throws -> LogEvent {
        log.submitAtOnce(.append(batch))
        return try await inbox.appendAnswer()
    }

    @Test("Each command is answered once, whether the caller sent it or the thread, however the two take turns", arguments: [false, true])
    func everyWay(transactionPooling: Bool) async throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        var random = SeededGenerator(seed: testSeed("ExchangeTests.everyWay"))
        var sentAtOnce = 0
        for _ in 0..<300 {
            let batch = writer.batch(count: random.number(1...3))
            if random.chance(0.25) {
                log.submit(.append(batch))
            } else if log.submitAtOnce(.append(batch)) {
                sentAtOnce += 1
            }
            // What is asked meanwhile waits for its turn.
            let recovers = random.chance(0.1)
            if recovers { log.submit(.recover(after: writer.head.position)) }
            #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
            writer.committed(batch)
            if recovers { writer.head.epoch = try await inbox.recovered().head.epoch }
            if random.chance(0.3) {
                if log.submitAtOnce(.readHead) { sentAtOnce += 1 }
                let head = try await inbox.head()
                #expect(head.position == writer.head.position && head.epoch == writer.head.epoch)
            }
        }
        #expect(sentAtOnce > 0)
        #expect(try LogSession(settings, logger: quiet).everything().rows == writer.rows)
    }

    @Test("Others' rows in an append's place come as a conflict")
    func conflict() async throws {
        let settings = try freshSettings()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        var other = writer
        let session = try LogSession(settings, logger: quiet)
        for _ in 0..<100 {
            let late = writer.batch()
            session.connection.takeOver()
            try session.put(other.batch(), &other)
            guard case .conflicted(late.number, let tail) = try await append(late, log, inbox) else {
                Issue.record("no conflict")
                return
            }
            #expect(tail.head == other.head)
            writer.head = other.head
        }
    }

    @Test("A caller is not kept by a server that takes its time; the answer comes all the same")
    func slowServer() async throws {
        let settings = try freshSettings()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        for _ in 0..<50 {
            let batch = writer.batch()
            #expect(try await append(batch, log, inbox) == .appended(number: batch.number))
            writer.committed(batch)
        }
        let blocker = try LogSession(settings, logger: quiet)
        _ = try blocker.lockHead(after: writer.head.position, limit: 1)
        let batch = writer.batch()
        // While the lock is held there is no answer to wait for.
        log.submitAtOnce(.append(batch))
        #expect(inbox.all().allSatisfy { $0 == .hinted })
        // Who asks now doesn't get in between, and is not kept either.
        #expect(!log.submitAtOnce(.readHead))
        try blocker.releaseHeadLock()
        #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
        _ = try await inbox.head()
    }

    @Test("A connection that ends during a caller's append leaves its outcome open, and is made anew")
    func connectionLost() async throws {
        let settings = try freshSettings()
        let server = try PostgresServer.shared()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        for _ in 0..<3 {
            let first = writer.batch()
            #expect(try await append(first, log, inbox) == .appended(number: first.number))
            writer.committed(first)
            let blocker = try LogSession(settings, logger: quiet)
            _ = try blocker.lockHead(after: writer.head.position, limit: 1)
            let lost = writer.batch()
            log.submitAtOnce(.append(lost))
            try await eventually("the append waiting") {
                try server.psql(
                    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                    connection: settings.conninfo) == "1"
            }
            try server.psql(
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'
                """, connection: settings.conninfo)
            guard case .appendLost(lost.number, _) = try await inbox.appendAnswer() else {
                Issue.record("not lost")
                return
            }
            blocker.connection.takeOver()
            try blocker.releaseHeadLock()
            log.submit(.recover(after: .start))
            let tail = try await inbox.recovered()
            #expect(tail.rows == writer.rows)
            writer.head = tail.head
        }
    }
}

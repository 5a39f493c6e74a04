import EtcdAPI
import Keyspace
import Replica
import Synchronization
import TestSupport
import Testing

@testable import Changelog

/// Everything that was delivered, in order.
final class Inbox<Event: Sendable>: Sendable {
    private let events = Mutex<[Event]>([])

    func add(_ event: Event) { events.withLock { $0.append(event) } }

    func all() -> [Event] { events.withLock { $0 } }

    func clear() { events.withLock { $0 = [] } }

    /// Waits for an event that `pick` picks, takes it out and gives it.
    func next<Picked>(_ what: String, _ pick: (Event) -> Picked?) async throws -> Picked {
        var picked: Picked?
        try await eventually(what) {
            picked = events.withLock { events in
                for (index, event) in events.enumerated() {
                    guard let found = pick(event) else { continue }
                    events.remove(at: index)
                    return found
                }
                return nil
            }
            return picked != nil
        }
        guard let picked else { throw TestSupportError("nothing") }
        return picked
    }
}

extension Inbox where Event == LogEvent {
    func head() async throws -> Head {
        try await next("headRead") { if case .headRead(let head) = $0 { head } else { nil } }
    }

    func tail() async throws -> Tail {
        try await next("tailRead") { if case .tailRead(let tail) = $0 { tail } else { nil } }
    }

    func recovered() async throws -> Tail {
        try await next("recovered") { if case .recovered(let tail) = $0 { tail } else { nil } }
    }

    func locked() async throws -> Head {
        try await next("headLocked") { if case .headLocked(let head, _, _) = $0 { head } else { nil } }
    }

    func deletionRefused() async throws -> UInt64 {
        try await next("deletionRefused") { if case .deletionRefused(let number) = $0 { number } else { nil } }
    }

    func deletionLeft() async throws -> UInt64 {
        try await next("deletionLeft") { if case .deletionLeft(let number) = $0 { number } else { nil } }
    }

    func deleted() async throws -> Int {
        try await next("rowsDeleted") { if case .rowsDeleted(_, let count, _) = $0 { count } else { nil } }
    }

    /// The next answer to an append.
    func appendAnswer() async throws -> LogEvent {
        try await next("an answer to the append") {
            switch $0 {
            case .appended, .conflicted, .appendLost: $0
            default: nil
            }
        }
    }
}

@Suite(.ownThreads) struct LogWorkersTests {
    private func start(_ settings: LogSettings) -> (LogWorkers, Inbox<LogEvent>) {
        let inbox = Inbox<LogEvent>()
        return (LogWorkers(settings, logger: quiet) { inbox.add($0) }, inbox)
    }

    @Test("every command has its answer", arguments: [false, true])
    func commands(transactionPooling: Bool) async throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        func append(_ batch: AppendBatch) async throws {
            log.submit(.append(batch))
            #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
            writer.committed(batch)
        }
        for count in [1, 7] { try await append(writer.batch(count: count)) }
        let late = writer.batch()
        try await append(writer.batch())
        log.submit(.append(late))
        guard case .conflicted(late.number, let tail) = try await inbox.appendAnswer() else {
            Issue.record("no conflict")
            return
        }
        #expect(tail.head == writer.head)

        log.submit(.readTail(after: .start, limit: 5))
        #expect(try await inbox.tail() == Tail(head: writer.head, rows: Array(writer.rows[..<5]), reachesHead: false))

        log.submit(.lockHead())
        #expect(try await inbox.locked() == writer.head)
        try await append(writer.batch(count: 2))
        log.submit(.lockHead())
        #expect(try await inbox.locked() == writer.head)
        log.submit(.unlockHead())
        try await append(writer.batch())

        log.submit(.recover(after: .start))
        let recovered = try await inbox.recovered()
        writer.head.epoch += 1
        #expect(recovered == Tail(head: writer.head, rows: writer.rows, reachesHead: true))
        try await append(writer.batch())

        log.submit(.lease(number: 1, .keepDuty(holder: 1, termMs: 60_000)))
        log.submit(.deleteRows(.of(writer.rows[..<8].map(\.position))))
        #expect(try await inbox.deleted() == 8)
        log.submit(.deleteRows(.of([])))
        #expect(try await inbox.deleted() == 0)
        log.submit(.readTail(after: .start, limit: 100))
        #expect(try await inbox.tail().rows == Array(writer.rows[8...]))
    }

    /// Two batches of which the second expects what the first leaves.
    private func pair(_ writer: inout Writer, count: Int = 2, valueSize: Int = 10) -> [AppendBatch] {
        let before = writer
        let first = writer.batch(count: count, valueSize: valueSize)
        writer.committed(first)
        let second = writer.batch(count: count, valueSize: valueSize)
        writer.head = before.head
        writer.rows = before.rows
        return [first, second]
    }

    @Test("batches that are sent behind others are appended and answered in order", arguments: [false, true])
    func sentAhead(transactionPooling: Bool) async throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        // Also more than a socket takes.
        for (count, valueSize) in [(1, 10), (3, 10), (1_000, 1_000), (2, 10), (1_000, 2_000)] {
            let batches = pair(&writer, count: count, valueSize: valueSize)
            for batch in batches { log.submit(.append(batch)) }
            for batch in batches {
                #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
                writer.committed(batch)
            }
        }
        log.submit(.lockHead())
        #expect(try await inbox.locked() == writer.head)
        log.submit(.unlockHead())
        #expect(try LogSession(settings, logger: quiet).everything().rows == writer.rows)
    }

    @Test("a batch that rests on one that has conflicted is not sent; the next that rests on the log is")
    func restsOnConflict() async throws {
        let settings = try freshSettings()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        var batches = pair(&writer)
        // There is no lock: it conflicts, by a way on which nothing is sent behind it.
        batches[0].needsLock = true
        for batch in batches { log.submit(.append(batch)) }
        #expect(
            try await inbox.appendAnswer()
                == .conflicted(number: batches[0].number, tail: Tail(head: writer.head, rows: [], reachesHead: true)))
        // The log has nothing to add: nobody was asked.
        #expect(
            try await inbox.appendAnswer()
                == .conflicted(number: batches[1].number, tail: Tail(head: writer.head, rows: [], reachesHead: false)))
        // The same rows once more are what the log lacks, and what rests on them is sent.
        batches[0].needsLock = false
        for batch in batches {
            log.submit(.append(batch))
            #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
        }
    }

    @Test("where a batch has conflicted so has the one behind it, and both bring what came instead", arguments: [false, true])
    func sentAheadOfConflict(transactionPooling: Bool) async throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        for _ in 0..<5 {
            let batches = pair(&writer)
            try LogSession(settings, logger: quiet).put(writer.batch(), &writer)
            for batch in batches { log.submit(.append(batch)) }
            for batch in batches {
                guard case .conflicted(batch.number, let tail) = try await inbox.appendAnswer() else {
                    Issue.record("no conflict")
                    return
                }
                #expect(tail.head == writer.head)
                if batch == batches[0] { #expect(tail.rows.suffix(1) == writer.rows.suffix(1)) }
            }
            let next = writer.batch()
            log.submit(.append(next))
            #expect(try await inbox.appendAnswer() == .appended(number: next.number))
            writer.committed(next)
        }
        #expect(try LogSession(settings, logger: quiet).everything().rows == writer.rows)
    }

    @Test("a batch that rests on nothing of what is under way does not share its fate")
    func behindAStranger() async throws {
        let settings = try freshSettings()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        let outdated = pair(&writer)
        try LogSession(settings, logger: quiet).put(writer.batch(), &writer)
        let next = writer.batch()
        for batch in outdated + [next] { log.submit(.append(batch)) }
        for batch in outdated {
            guard case .conflicted(batch.number, _) = try await inbox.appendAnswer() else {
                Issue.record("no conflict")
                return
            }
        }
        #expect(try await inbox.appendAnswer() == .appended(number: next.number))
    }

    @Test("where the connection ends both batches under way are lost, and the log has none, one or both")
    func sentAheadLost() async throws {
        let settings = try freshSettings()
        let server = try PostgresServer.shared()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        var outcomes: Set<Int> = []
        for round in 0..<24 {
            let batches = pair(&writer, count: 400, valueSize: 400)
            for batch in batches { log.submit(.append(batch)) }
            // At another moment each time: while the first runs, while the second does, or later.
            try await Task.sleep(for: .microseconds(round % 12 * 1_500))
            try server.psql(
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and application_name = 'pine'
                """, connection: settings.conninfo)
            var appended = 0
            var isLost = false
            for batch in batches {
                switch try await inbox.appendAnswer() {
                case .appended(batch.number) where !isLost: appended += 1
                case .appendLost(batch.number, _): isLost = true
                // On another connection, once the first was lost.
                case .appended(batch.number), .conflicted(batch.number, _): #expect(isLost)
                case let answer: Issue.record("\(answer)")
                }
            }
            guard isLost else {
                for batch in batches { writer.committed(batch) }
                outcomes.insert(2)
                continue
            }
            log.submit(.recover(after: writer.head.position))
            let tail = try await inbox.recovered()
            let found = tail.rows.count / 400
            #expect(found >= appended)
            #expect(tail.rows == batches.prefix(found).flatMap(\.rows))
            outcomes.insert(found)
            for batch in batches.prefix(found) { writer.committed(batch) }
            writer.head.epoch = tail.head.epoch
            #expect(tail.head == writer.head)
        }
        #expect(outcomes.count > 1)
        #expect(try LogSession(settings, logger: quiet).everything().rows == writer.rows)
    }

    @Test("questions about members and sizes are answered, also while rows are being deleted")
    func questions() async throws {
        let (log, _) = start(try freshSettings())
        defer { log.stop() }
        log.submit(.lease(number: 1, .keepDuty(holder: 1, termMs: 60_000)))
        for _ in 0..<50 { log.submit(.deleteRows(.of((0..<2_000).map { Position(5, $0) }))) }
        let sizes = Inbox<DatabaseSizes?>()
        let members = Inbox<[Changelog.Member]>()
        log.upsertMember(id: 5, name: "five", clientURLs: ["http://five"]) { _ in
            log.listMembers(within: .seconds(100)) { members.add((try? $0.get()) ?? []) }
        }
        log.databaseSizes { sizes.add(try? $0.get()) }
        #expect(try await sizes.next("sizes") { $0 }.total > 0)
        #expect(try await members.next("members") { $0 }.map(\.name) == ["five"])
        log.removeMember(id: 5) { _ in log.listMembers(within: .seconds(100)) { members.add((try? $0.get()) ?? []) } }
        #expect(try await members.next("members") { $0 }.isEmpty)
    }

    @Test("a deletion that the log refuses is said to be, one that is another's to do is left, and one that is nobody's waits for the duty")
    func deletions() async throws {
        let settings = try freshSettings()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        // A session is one thread's.
        func session() throws -> LogSession { try LogSession(settings, logger: quiet) }
        var writer = Writer(head: try session().readHead())
        try session().put(writer.batch(count: 3), &writer)
        _ = try session().keepDuty(holder: 1, termMs: 60_000)
        var order = Deletion.of(writer.rows.map(\.position))
        order.compactRevision = writer.head.position.revision
        log.submit(.deleteRows(order))
        #expect(try await inbox.deletionRefused() == order.number)
        order.compactRevision = -1
        order.holder = 2
        log.submit(.deleteRows(order))
        #expect(try await inbox.deletionLeft() == order.number)
        #expect(try session().everything().rows == writer.rows)
        try session().releaseDuty(holder: 1)
        log.submit(.deleteRows(order))
        log.submit(.lease(number: 1, .keepDuty(holder: 2, termMs: 60_000)))
        #expect(try await inbox.deleted() == 3)
    }

    @Test("a lock on the head that nobody uses is given back")
    func unusedLock() async throws {
        var settings = try freshSettings()
        settings.limits.lockHoldLimit = .milliseconds(50)
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.lockHead())
        let head = try await inbox.locked()
        var writer = Writer(head: head)
        let other = try LogSession(settings, logger: quiet)
        try other.put(writer.batch(), &writer)
        // The connection is still there: the thread gave the lock back before the server would have taken it.
        let batch = writer.batch()
        log.submit(.append(batch))
        #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
    }

    @Test("a lock on the head is kept while rows are made that take their time")
    func slowUnderTheLock() async throws {
        var settings = try freshSettings()
        settings.limits.lockHoldLimit = .milliseconds(50)
        let (log, inbox) = start(settings)
        defer { log.stop() }
        // The server would take it away after 0.1 s, and so would the thread but for the rows.
        log.submit(.lockHead(expiring: LeaseExpiry(leases: [1], holder: 1, rowCount: 100_000)))
        var writer = Writer(head: try await inbox.locked())
        try await Task.sleep(for: .milliseconds(500))
        var batch = writer.batch()
        batch.needsLock = true
        log.submit(.append(batch))
        #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
    }

    @Test("an append that waits for long for another process's lock has an outcome, and its connection stays")
    func othersLock() async throws {
        var settings = try freshSettings()
        settings.limits.lockHoldLimit = .seconds(60)
        settings.limits.lockWaitLimit = .milliseconds(50)
        let (log, inbox) = start(settings)
        defer { log.stop() }
        let blocker = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try blocker.lockHead().head)
        let blockerID = blocker.connection.backendID
        let batches = pair(&writer)
        for batch in batches { log.submit(.append(batch)) }
        for batch in batches {
            #expect(
                try await inbox.appendAnswer()
                    == .conflicted(number: batch.number, tail: Tail(head: writer.head, rows: [], reachesHead: true)))
        }
        // For the lock it waits until it has it.
        log.submit(.lockHead())
        try await Task.sleep(for: .milliseconds(200))
        #expect(inbox.all().allSatisfy { $0 == .hinted })
        _ = try PostgresServer.shared().psql("select pg_terminate_backend(\(blockerID))")
        #expect(try await inbox.locked() == writer.head)
        let next = writer.batch()
        log.submit(.append(next))
        #expect(try await inbox.appendAnswer() == .appended(number: next.number))
        #expect(log.counters.failures[.append] == 0)
    }

    @Test("batches that don't fit one statement keep their order among others")
    func largeBetween() async throws {
        var settings = try freshSettings()
        settings.limits.statementRowLimit = 50
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        for count in [40, 120, 1] {
            let batches = pair(&writer, count: count)
            for batch in batches { log.submit(.append(batch)) }
            for batch in batches {
                #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
                writer.committed(batch)
            }
        }
        #expect(try LogSession(settings, logger: quiet).everything().rows == writer.rows)
    }

    @Test("a session that is lost alone is no outage; a server that was started anew is another one")
    func sessions() async throws {
        let server = try PostgresServer()
        let settings = try freshSettings(on: server)
        let (log, inbox) = start(settings)
        defer { log.stop() }
        func sessions() async throws -> UInt64 {
            while true {
                log.submit(.lease(number: 1, .keepDuty(holder: 1, termMs: 60_000)))
                let answer = try await inbox.next("an answer about the duty") { if case .lease(_, let answer) = $0 { answer } else { nil } }
                if case .dutyAsked(.held(_, let sessions)) = answer { return sessions }
            }
        }
        log.submit(.lockHead())
        _ = try await inbox.locked()
        let before = try await sessions()
        for _ in 0..<3 {
            try server.psql(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pine'", connection: settings.conninfo)
            try await eventually("another lock") {
                log.submit(.lockHead())
                return try await inbox.next("an answer about the lock") {
                    switch $0 {
                    case .headLocked: true
                    case .lockFailed: false
                    default: nil
                    }
                }
            }
            #expect(try await sessions() == before)
        }
        try server.restart()
        #expect(try await sessions() != before)
    }

    @Test("a connection that ends between two appends costs nothing")
    func idleConnectionLost() async throws {
        let settings = try freshSettings()
        let server = try PostgresServer.shared()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        func backends() throws -> Set<String> {
            Set(
                try server.psql(
                    "select pid from pg_stat_activity where datname = current_database() and application_name = 'pine'",
                    connection: settings.conninfo
                ).split(separator: "\n").map(String.init))
        }
        for _ in 0..<3 {
            try await eventually("all connections") { try backends().count == 2 }
            let before = try backends()
            for backend in before { try server.psql("select pg_terminate_backend(\(backend))") }
            try await eventually("all connections anew") {
                let now = try backends()
                return now.count == 2 && now.isDisjoint(with: before)
            }
            let batch = writer.batch()
            log.submit(.append(batch))
            #expect(try await inbox.appendAnswer() == .appended(number: batch.number))
            writer.committed(batch)
            log.submit(.readHead)
            #expect(try await inbox.head() == writer.head)
        }
    }

    @Test("while the server is away commands fail or wait; once it is back all goes on", arguments: [false, true])
    func serverAway(kill: Bool) async throws {
        let server = try PostgresServer()
        let settings = LogSettings(conninfo: server.connectionString)
        try Migrator(settings, logger: quiet).migrate()
        let (log, inbox) = start(settings)
        defer { log.stop() }
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        let first = writer.batch()
        log.submit(.append(first))
        #expect(try await inbox.appendAnswer() == .appended(number: 1))
        writer.committed(first)
        log.submit(.lease(number: 1, .keepDuty(holder: 1, termMs: 600_000)))
        _ = try await inbox.next("the duty") { if case .lease(1, .dutyAsked(.held)) = $0 { true } else { nil } }

        if kill { server.kill() } else { try server.stop() }
        log.submit(.readHead)
        log.submit(.readTail(after: .start, limit: 10))
        let second = writer.batch()
        log.submit(.append(second))
        _ = try await inbox.next("headReadFailed") { if case .headReadFailed(let reason) = $0 { reason } else { nil } }
        _ = try await inbox.next("tailReadFailed") { if case .tailReadFailed(let reason) = $0 { reason } else { nil } }
        guard case .appendLost(2, _) = try await inbox.appendAnswer() else {
            Issue.record("not lost")
            return
        }
        log.submit(.lockHead())
        _ = try await inbox.next("lockFailed") { if case .lockFailed(let reason) = $0 { reason } else { nil } }
        log.submit(.recover(after: .start))
        log.submit(.deleteRows(.of([Position(9, 9)])))
        try server.start()
        let tail = try await inbox.recovered()
        #expect(tail.rows == writer.rows)
        writer.head = tail.head
        #expect(try await inbox.deleted() == 0)
        let third = writer.batch()
        log.submit(.append(third))
        #expect(try await inbox.appendAnswer() == .appended(number: 3))
        log.submit(.readHead)
        // Asked for a moment too early it fails once more; the answer is one of the two.
        let answered = try await inbox.next("an answer to readHead") { event -> Bool? in
            switch event {
            case .headRead, .headReadFailed: true
            default: nil
            }
        }
        #expect(answered)
    }

    @Test("another process's append is hinted at; one's own is not")
    func hints() async throws {
        var settings = try freshSettings()
        settings.notifiesPeers = false
        let (a, fromA) = start(settings)
        defer { a.stop() }
        // Each says so once when it starts to listen, and makes itself heard.
        _ = try await fromA.next("listening") { $0 == .hinted ? true : nil }
        let (b, fromB) = start(settings)
        defer { b.stop() }
        _ = try await fromB.next("listening") { $0 == .hinted ? true : nil }
        _ = try await fromA.next("the other one") { $0 == .hinted ? true : nil }
        a.submit(.readHead)
        var writer = Writer(head: try await fromA.head())
        for _ in 0..<5 {
            let batch = writer.batch()
            a.submit(.append(batch))
            #expect(try await fromA.appendAnswer() == .appended(number: batch.number))
            writer.committed(batch)
            _ = try await fromB.next("a hint") { $0 == .hinted ? true : nil }
            #expect(!fromA.all().contains(.hinted))
        }
    }

    @Test("many appends in a row need few hints")
    func hintsAreCoalesced() async throws {
        var settings = try freshSettings()
        settings.notifiesPeers = true
        settings.limits.notifyInterval = .milliseconds(200)
        let (a, fromA) = start(settings)
        let (b, fromB) = start(settings)
        defer {
            a.stop()
            b.stop()
        }
        _ = try await fromB.next("listening") { $0 == .hinted ? true : nil }
        a.submit(.readHead)
        var writer = Writer(head: try await fromA.head())
        let started = ContinuousClock.now
        for _ in 0..<100 {
            let batch = writer.batch()
            a.submit(.append(batch))
            _ = try await fromA.appendAnswer()
            writer.committed(batch)
        }
        let intervals = started.duration(to: .now) / .milliseconds(200)
        _ = try await fromB.next("a hint") { $0 == .hinted ? true : nil }
        #expect(Double(fromB.all().filter { $0 == .hinted }.count) <= intervals + 2)
    }

    @Test("the whole log is loaded, from the start again where the connection ends meanwhile")
    func load() async throws {
        var settings = try freshSettings()
        settings.limits.loadRowLimit = 1_000
        let server = try PostgresServer.shared()
        let session = try LogSession(settings, logger: quiet)
        var writer = Writer(head: try session.readHead())
        for _ in 0..<20 { try session.put(writer.batch(count: 500), &writer) }
        let (log, _) = start(settings)
        defer { log.stop() }
        let inbox = Inbox<LoadEvent>()
        let terminated = Atomic(false)
        let database = settings.conninfo
        log.load { event in
            inbox.add(event)
            if case .rows(_, let progress) = event, progress.rows == 3_000,
                !terminated.exchange(true, ordering: .relaxed)
            {
                _ = try? server.psql(
                    """
                    select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
                    """, connection: database)
            }
        }
        try await eventually("loaded") { if case .finished = inbox.all().last { true } else { false } }
        var rows: [LogRow] = []
        var restarts = 0
        for event in inbox.all() {
            switch event {
            case .rows(let chunk, _): rows += chunk
            case .rowsWithoutValues: Issue.record("there is room for all values")
            case .restarted:
                rows = []
                restarts += 1
            case .finished(let head, let deleted):
                #expect(head == writer.head)
                #expect(deleted == .start)
            }
        }
        #expect(rows.removeFirst().kind == .digestKey)
        #expect(rows == writer.rows)
        #expect(restarts == 1)
    }

    @Test("stopping does not wait for what the server is at")
    func stopWhileBlocked() async throws {
        var settings = try freshSettings()
        settings.limits.lockHoldLimit = .seconds(60)
        let server = try PostgresServer.shared()
        let blocker = try LogSession(settings, logger: quiet)
        _ = try blocker.lockHead()
        let (log, inbox) = start(settings)
        log.submit(.readHead)
        var writer = Writer(head: try await inbox.head())
        log.submit(.append(writer.batch()))
        try await eventually("the append waiting") {
            try server.psql(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                connection: settings.conninfo) == "1"
        }
        let started = ContinuousClock.now
        log.stop()
        #expect(started.duration(to: .now) < .seconds(10))
        inbox.clear()
        log.submit(.readHead)
        log.stop()
        #expect(inbox.all().isEmpty)
    }
}

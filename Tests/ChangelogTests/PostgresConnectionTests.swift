import Glibc
import TestSupport
import Testing

@testable import Changelog

@Suite(.ownThreads) struct PostgresConnectionTests {
    private func connect(prepares: Bool = true, interrupt: Int32 = -1) throws -> PostgresConnection {
        try PostgresConnection(
            conninfo: try PostgresServer.shared().connectionString, connectLimit: .seconds(5), prepares: prepares,
            interrupt: interrupt, logger: quiet)
    }

    @Test("an error of the server leaves the connection usable; its SQLSTATE is told", arguments: [false, true])
    func refused(prepares: Bool) throws {
        let connection = try connect(prepares: prepares)
        for _ in 0..<3 {
            do {
                _ = try connection.run(Statement("select 1 / $1::int"), .build { $0.add(Int32(0)) }, within: .seconds(5))
                Issue.record("divided by zero")
            } catch {
                #expect(error == .refused(state: "22012", message: "division by zero"))
            }
            #expect(try connection.run(Statement("select 4"), within: .seconds(5)).integer(0, 0, as: Int32.self) == 4)
        }
    }

    @Test("an error in a pipeline stops what follows, and is told", arguments: [false, true])
    func pipeline(prepares: Bool) throws {
        let connection = try connect(prepares: prepares)
        let one = (statement: Statement("select 1"), parameters: Parameters.none)
        let bad = (statement: Statement("select 1 / $1::int"), parameters: Parameters.build { $0.add(Int32(0)) })
        for steps in [[bad], [one, bad], [bad, one], [one, bad, one, one]] {
            #expect(throws: LogError.refused(state: "22012", message: "division by zero")) {
                try connection.runPipeline(steps, within: .seconds(5))
            }
            #expect(try connection.runPipeline([one, one, one], within: .seconds(5)).count == 3)
        }
    }

    @Test("statements sent ahead are transactions of their own, whose outcomes come in order", arguments: [false, true])
    func ahead(prepares: Bool) throws {
        let connection = try connect(prepares: prepares)
        let table = "t\(UInt32.random(in: 0...UInt32.max))"
        try connection.runScript(
            "create table \(table) (a int primary key, b int references \(table) deferrable initially deferred)",
            within: .seconds(5))
        let insert = Statement("insert into \(table) values ($1::int, $2::int)")
        func send(_ a: Int32, _ b: Int32) throws {
            let parameters = Parameters.build { writer in
                writer.add(a)
                writer.add(b)
            }
            try connection.startBehind(insert, parameters, within: .seconds(5))
        }
        for _ in 0..<3 {
            // The second fails as it commits, the fourth as it runs.
            for (a, b) in [(1, 1), (2, 7), (3, 1), (1, 1), (4, 3)] as [(Int32, Int32)] { try send(a, b) }
            var states: [String?] = []
            for _ in 0..<5 {
                switch try connection.awaitOutcome(within: .seconds(5)) {
                case .success(let result):
                    #expect(result.affectedRows == 1)
                    states.append(nil)
                case .failure(.refused(let state, _)): states.append(state)
                case .failure(let error): throw error
                }
            }
            #expect(states == [nil, "23503", nil, "23505", nil])
            #expect(connection.sentAhead == 0)
            #expect(try connection.run(Statement("delete from \(table)"), within: .seconds(5)).affectedRows == 3)
        }
        try connection.runScript("drop table \(table)", within: .seconds(5))
    }

    @Test("an outcome is taken as soon as it has arrived, and no sooner; what the server has no room for is sent later")
    func outcomes() throws {
        let connection = try connect()
        let text = String(repeating: "x", count: 8 << 20)
        for seconds in ["0.2", "0"] {
            let parameters = Parameters.build { writer in
                writer.add(text: text)
                writer.add(text: seconds)
            }
            try connection.startBehind(
                Statement("select length($1::text) from pg_sleep($2::text::float8)"), parameters, within: .seconds(5))
        }
        #expect(try connection.takeOutcome() == nil)
        #expect(try connection.sendMore())
        var lengths: [Int32] = []
        try eventuallyBlocking("both outcomes") {
            _ = try connection.sendMore()
            try connection.readArrived()
            while let outcome = try connection.takeOutcome() { lengths.append(try outcome.get().integer(0, 0, as: Int32.self)) }
            return lengths.count == 2
        }
        #expect(lengths == [8 << 20, 8 << 20])
        #expect(try connection.run(Statement("select 4"), within: .seconds(5)).integer(0, 0, as: Int32.self) == 4)
    }

    @Test("a backend that is terminated loses what was sent ahead")
    func aheadTerminated() throws {
        let connection = try connect()
        let sleep = Statement("select 1 from pg_sleep(30)")
        for _ in 0..<2 { try connection.startBehind(sleep, .none, within: .seconds(5)) }
        _ = try connect().run(
            Statement("select pg_terminate_backend($1::int)"), .build { $0.add(connection.backendID) }, within: .seconds(5))
        #expect(throws: LogError.self) { try connection.awaitOutcome(within: .seconds(10)) }
        #expect(!connection.isOpen)
        #expect(throws: LogError.lost("it is closed")) { try connection.takeOutcome() }
    }

    @Test("a commit that fails at the end of a pipeline is an error")
    func failingCommit() throws {
        let connection = try connect()
        let table = "t\(UInt32.random(in: 0...UInt32.max))"
        try connection.runScript(
            "create table \(table) (a int primary key, b int references \(table) deferrable initially deferred)",
            within: .seconds(5))
        let insert = (statement: Statement("insert into \(table) values (1, 2)"), parameters: Parameters.none)
        // The transaction of a pipeline without a begin commits at its end, where no statement is left to carry the error.
        #expect(throws: LogError.self) { try connection.runPipeline([insert], within: .seconds(5)) }
        let explicit = try connect()
        #expect(throws: LogError.self) {
            try explicit.runPipeline([(LogStatements.begin, .none), insert, (LogStatements.commit, .none)], within: .seconds(5))
        }
        let other = try connect()
        #expect(try other.run(Statement("select 1 from \(table)"), within: .seconds(5)).rowCount == 0)
        try other.runScript("drop table \(table)", within: .seconds(5))
    }

    @Test("a statement that takes too long loses the connection")
    func deadline() throws {
        let connection = try connect()
        let start = ContinuousClock.now
        #expect(throws: LogError.lost("no answer in time")) {
            try connection.run(Statement("select pg_sleep(30)"), within: .milliseconds(100))
        }
        #expect(start.duration(to: .now) < .seconds(5))
        #expect(!connection.isOpen)
        #expect(throws: LogError.lost("it is closed")) { try connection.run(Statement("select 1"), within: .seconds(5)) }
    }

    @Test("a server that reads nothing loses the connection too, however much there is to send")
    func sendDeadline() throws {
        let connection = try connect()
        let backend = connection.backendID
        #expect(kill(backend, SIGSTOP) == 0)
        defer { kill(backend, SIGCONT) }
        let huge = Parameters.build { $0.add(text: String(repeating: "x", count: 64 << 20)) }
        #expect(throws: LogError.lost("no answer in time")) {
            try connection.run(Statement("select length($1::text)"), huge, within: .milliseconds(300))
        }
    }

    @Test("whoever waits gives up once the interrupt is there")
    func interrupt() throws {
        let wire = TripWire()
        let connection = try connect(interrupt: wire.descriptor)
        #expect(try connection.run(Statement("select 4"), within: .seconds(5)).integer(0, 0, as: Int32.self) == 4)
        wire.trip()
        #expect(throws: LogError.closed) { try connection.run(Statement("select pg_sleep(30)"), within: .seconds(60)) }
    }

    @Test("a backend that is terminated loses the connection, with the server's words")
    func terminated() throws {
        let connection = try connect()
        try PostgresServer.shared().psql("select pg_terminate_backend(\(connection.backendID))")
        do {
            _ = try connection.run(Statement("select 1"), within: .seconds(5))
            Issue.record("still there")
        } catch {
            guard case .lost = error else {
                Issue.record("\(error)")
                return
            }
        }
        #expect(!connection.isOpen)
    }

    @Test("more statements than are kept prepared run all the same")
    func manyStatements() throws {
        let connection = try connect()
        for number in 0..<200 {
            #expect(
                try connection.run(Statement("select \(number)"), within: .seconds(5)).integer(0, 0, as: Int32.self) == number)
        }
    }

    @Test("a value of another size than asked for is an error, not a trap")
    func malformed() throws {
        let connection = try connect()
        let result = try connection.run(Statement("select 1::int, null::bigint, array['a', 'bc']"), within: .seconds(5))
        #expect(throws: LogError.self) { try result.integer(0, 0, as: Int64.self) }
        #expect(throws: LogError.self) { try result.integer(0, 1, as: Int64.self) }
        #expect(throws: LogError.self) { try result.integer(0, 9, as: Int64.self) }
        #expect(throws: LogError.self) { try result.textArray(0, 0) }
        #expect(try result.textArray(0, 2) == ["a", "bc"])
    }
}

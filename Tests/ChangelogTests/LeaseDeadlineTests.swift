import Bytes
import EtcdAPI
import Keyspace
import Replica
import TestSupport
import Testing

@testable import Changelog

@Suite("Deadlines and the duty, in PostgreSQL", .ownThreads)
struct LeaseDeadlineTests {
    private func round(
        set: [(LeaseID, Int64)] = [], ensure: [(LeaseID, Int64)] = [], remove: [LeaseID] = [], read: [LeaseID] = []
    ) -> LeaseRound {
        var round = LeaseRound()
        round.set = set.map { LeaseTerm(lease: $0.0, milliseconds: $0.1) }
        round.ensure = ensure.map { LeaseTerm(lease: $0.0, milliseconds: $0.1) }
        round.remove = remove
        round.read = read
        return round
    }

    private func session(_ settings: LogSettings) throws -> LogSession { try LogSession(settings, logger: quiet) }

    @Test("a round removes, sets, makes sure and tells, in that order, and ends with the head", arguments: [false, true])
    func wholeRound(transactionPooling: Bool) throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let session = try session(settings)
        let head = try session.readHead()
        _ = try session.run(round(set: [(1, 50_000), (2, 50_000), (3, 50_000)]))
        let done = try session.run(
            round(
                set: [(2, 90_000), (LeaseID(Int64.min), 9_000_000_000_000)], ensure: [(3, 60_000), (4, 70_000), (5, 80_000)], remove: [1],
                read: [LeaseID(Int64.min), 1, 2, 3, 4, 5, 6]))
        #expect(done.head == head)
        #expect(Set(done.remainingMs.keys) == [LeaseID(Int64.min), 2, 3, 4, 5])
        #expect(done.remainingMs[2] == 90_000)
        #expect((49_000...50_000).contains(done.remainingMs[3]!))
        #expect(done.remainingMs[4] == 70_000)
        #expect(done.remainingMs[LeaseID(Int64.min)] == 9_000_000_000_000)
        // One that is later than it may be is put right, also by one that makes sure.
        #expect(try session.run(round(ensure: [(2, 5_000)], read: [2])).remainingMs == [2: 5_000])
        #expect(try session.run(round()).head == head)
    }

    @Test("a deadline is set to an earlier time only where it was later than another process can have promised")
    func grace() throws {
        let session = try session(try freshSettings())
        func left(after ms: Int64, graceMs: Int64) throws -> Int64 {
            var round = round(set: [(1, ms)], read: [1])
            round.graceMs = graceMs
            return try #require(try session.run(round).remainingMs[1])
        }
        #expect(try left(after: 60_000, graceMs: 4_000) == 60_000)
        #expect((59_000..<60_000).contains(try left(after: 57_000, graceMs: 4_000)))
        #expect(try left(after: 30_000, graceMs: 4_000) == 34_000)
        #expect(try left(after: 90_000, graceMs: 4_000) == 90_000)
        #expect(try left(after: 89_000, graceMs: 0) == 89_000)
    }

    @Test("the duty has one holder, who keeps it by renewing; it can be taken once it has lapsed or was given back")
    func duty() throws {
        let settings = try freshSettings()
        let (one, two) = (try session(settings), try session(settings))
        #expect(try one.keepDuty(holder: 1, termMs: 60_000) == .held(taken: true))
        #expect(try one.keepDuty(holder: 1, termMs: 60_000) == .held(taken: false))
        guard case .heldByAnother(let forMs, .nothing) = try two.keepDuty(holder: 2, termMs: 60_000) else {
            Issue.record("two holders")
            return
        }
        #expect((55_000...60_000).contains(forMs))
        // Others hear how far deleting has come.
        let swept = Sweep(compactRevision: -1, position: Position(7, 3))
        var deletion = Deletion.of([])
        deletion.swept = swept
        #expect(try one.delete(deletion) == .deleted(0, SweepState.start.digest))
        guard case .heldByAnother(_, swept) = try two.keepDuty(holder: 2, termMs: 60_000) else {
            Issue.record("not told")
            return
        }
        try two.releaseDuty(holder: 2)
        #expect(try one.keepDuty(holder: 1, termMs: 60_000) == .held(taken: false))
        try one.releaseDuty(holder: 1)
        #expect(try two.keepDuty(holder: 2, termMs: 1) == .held(taken: true))
        // On the server, whose clock it is by which the term of a millisecond ends.
        _ = try two.connection.run(Statement("select pg_sleep(0.01)"), within: .seconds(5))
        // Its own, but nobody was there for a moment.
        #expect(try two.keepDuty(holder: 2, termMs: 1) == .held(taken: true))
        _ = try two.connection.run(Statement("select pg_sleep(0.01)"), within: .seconds(5))
        #expect(try one.keepDuty(holder: 1, termMs: 60_000) == .held(taken: true))
        #expect(try two.findDue(holder: 2, limit: 10).due == [])
    }

    @Test("a duty that ends later than one term is nobody's, and is taken over with a line in the log", arguments: [false, true])
    func dutyOfAnotherClock(transactionPooling: Bool) throws {
        var settings = try freshSettings()
        settings.transactionPooling = transactionPooling
        let lines = Lines()
        let (one, two) = (try session(settings), try LogSession(settings, logger: lines.logger))
        #expect(try one.keepDuty(holder: 1, termMs: 6_000) == .held(taken: true))
        // Within the bound: another's.
        for (end, isAnothers) in [("6.5 seconds", true), ("10 seconds", false), ("1 hour", false), ("10 years", false)] {
            try PostgresServer.shared().psql(
                "update pine.duty set holder = 1, expires_at = clock_timestamp() + interval '\(end)'", connection: settings.conninfo)
            let answer = try two.keepDuty(holder: 2, termMs: 6_000)
            if isAnothers {
                guard case .heldByAnother = answer else {
                    Issue.record("\(answer)")
                    continue
                }
            } else {
                #expect(answer == .held(taken: true), "\(end)")
                #expect(try one.findDue(holder: 1, limit: 1).nextMs == nil)
            }
        }
        #expect(lines.count(of: "warning took over the steward's duty") == 3)
        // Its own it renews, however late it was.
        try PostgresServer.shared().psql(
            "update pine.duty set expires_at = clock_timestamp() + interval '1 hour'", connection: settings.conninfo)
        #expect(try two.keepDuty(holder: 2, termMs: 6_000) == .held(taken: false))
        guard case .heldByAnother(let forMs, _) = try one.keepDuty(holder: 1, termMs: 6_000) else {
            Issue.record("taken")
            return
        }
        #expect(forMs <= 6_000)
    }

    @Test("a member that was seen later than it is now is none")
    func memberOfAnotherClock() throws {
        let settings = try freshSettings()
        let session = try session(settings)
        for id in 1...3 { try session.upsertMember(id: Int64(id), name: "m\(id)", clientURLs: []) }
        try PostgresServer.shared().psql(
            "update pine.member set seen_at = now() + (id - 1) * interval '13 hours'", connection: settings.conninfo)
        #expect(try session.listMembers(within: .seconds(30)).map(\.id) == [1])
        try session.removeMember(id: 9)
        #expect(try PostgresServer.shared().psql("select count(*) from pine.member", connection: settings.conninfo) == "2")
    }

    @Test("what is due is found, the earliest first, by the holder of the duty only, and how long it is until the next")
    func findDue() throws {
        let session = try session(try freshSettings())
        _ = try session.run(round(set: [(1, -5_000), (2, -9_000), (3, -1_000), (4, 30_000), (5, 60_000)]))
        #expect(try session.findDue(holder: 1, limit: 10) == (due: [], nextMs: nil))
        _ = try session.keepDuty(holder: 1, termMs: 60_000)
        let all = try session.findDue(holder: 1, limit: 10)
        #expect(all.due == [2, 1, 3])
        #expect((29_000...30_000).contains(try #require(all.nextMs)))
        #expect(try session.findDue(holder: 1, limit: 3) == (due: [2, 1, 3], nextMs: nil))
        #expect(try session.findDue(holder: 1, limit: 2) == (due: [2, 1], nextMs: nil))
        #expect(try session.findDue(holder: 2, limit: 2) == (due: [], nextMs: nil))
        _ = try session.run(round(remove: [1, 2, 3, 4, 5]))
        #expect(try session.findDue(holder: 1, limit: 3) == (due: [], nextMs: nil))
    }

    @Test("under the head's lock deadlines that have passed are taken out, and come back unless the append commits or is told to keep")
    func expire() throws {
        let session = try session(try freshSettings())
        _ = try session.keepDuty(holder: 1, termMs: 60_000)
        var writer = Writer(head: try session.readHead())
        func left() throws -> Set<LeaseID> { Set(try session.run(round(read: [1, 2, 3, 4])).remainingMs.keys) }
        _ = try session.run(round(set: [(1, -1), (2, 60_000), (3, -1), (4, -1)]))
        func lock(_ leases: [LeaseID], holder: Int64 = 1) throws -> [LeaseID] {
            try session.lockHead(expiring: LeaseExpiry(leases: leases, holder: holder)).expired
        }
        #expect(try lock([1, 2, 3, 4], holder: 2) == [])
        try session.releaseHeadLock()
        #expect(try lock([4, 2, 1, 77]) == [1, 4])
        try session.releaseHeadLock()
        #expect(try left() == [1, 2, 3, 4])
        #expect(try lock([1]) == [1])
        try session.put(writer.batch(), &writer)
        #expect(try left() == [2, 3, 4])
        #expect(try lock([3]) == [3])
        try session.releaseHeadLock(keepingRemovals: true)
        #expect(try left() == [2, 4])
    }

    @Test("a keep-alive under way keeps its lease from expiring, and the head's lock doesn't wait for it")
    func keepAliveWins() throws {
        let settings = try freshSettings()
        let (one, two) = (try session(settings), try session(settings))
        _ = try one.keepDuty(holder: 1, termMs: 60_000)
        _ = try one.run(round(set: [(1, -1), (2, -1)]))
        _ = try two.connection.run(Statement("begin"), within: .seconds(5))
        let term = LeaseTerm(lease: 1, milliseconds: 60_000)
        _ = try two.connection.run(two.leaseStatements.set, .terms([term], graceMs: 0), within: .seconds(5))
        let began = ContinuousClock.now
        #expect(try one.lockHead(expiring: LeaseExpiry(leases: [1, 2], holder: 1)).expired == [2])
        #expect(began.duration(to: .now) < .milliseconds(900))
        try one.releaseHeadLock(keepingRemovals: true)
        _ = try two.connection.run(Statement("commit"), within: .seconds(5))
        #expect(try one.lockHead(expiring: LeaseExpiry(leases: [1, 2], holder: 1)).expired == [])
        try one.releaseHeadLock()
    }

    @Test("a keep-alive that waits for an expiry reads a head that has it")
    func expiryWins() throws {
        let settings = try freshSettings()
        let one = try session(settings)
        _ = try one.keepDuty(holder: 1, termMs: 60_000)
        _ = try one.run(round(set: [(1, -1)]))
        var writer = Writer(head: try one.readHead())
        #expect(try one.lockHead(expiring: LeaseExpiry(leases: [1], holder: 1)).expired == [1])
        let keepAlive = round(set: [(1, 60_000)], read: [1])
        let answer = Answer<Head>()
        let thread = WorkerThread(name: "keep-alive") {
            answer.fill { try LogSession(settings, logger: quiet).run(keepAlive).head }
        }
        try eventuallyBlocking("the keep-alive waiting") {
            try PostgresServer.shared().psql(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock'", connection: settings.conninfo) != "0"
        }
        try one.put(writer.batch(), &writer)
        thread.join()
        #expect(try answer.get() == writer.head)
    }

    @Test("processes that set the same thousand deadlines at once don't lock each other up")
    func noDeadlock() throws {
        let settings = try freshSettings()
        let terms = (0..<1_000).map { (LeaseID($0 * 7_919 % 1_000), Int64(60_000)) }
        let (up, down) = (round(set: terms), round(set: terms.reversed()))
        let answers = [Answer<Int>(), Answer<Int>(), Answer<Int>()]
        let threads = answers.enumerated().map { index, answer in
            WorkerThread(name: "round \(index)") {
                answer.fill {
                    let session = try LogSession(settings, logger: quiet)
                    for _ in 0..<20 { _ = try session.run(index == 0 ? up : down) }
                    return 20
                }
            }
        }
        for thread in threads { thread.join() }
        for answer in answers { #expect(try answer.get() == 20) }
        let deadlocks = try PostgresServer.shared().psql(
            "select deadlocks from pg_stat_database where datname = current_database()", connection: settings.conninfo)
        #expect(deadlocks == "0")
    }
}

// Owns: leases end to end: real processes on a real PostgreSQL, whose clock says when a lease has to end.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Leases between processes", .serialized, .ownThreads)
struct LeaseTests {
    @Test("etcdctl grants, asks, keeps alive, lists and revokes; its lock and its election work")
    func etcdctl() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        func run(_ arguments: String...) throws -> String {
            let result = try EtcdServer.etcdctl(arguments, endpoint: pine.endpoint)
            try #require(result.status == 0, "etcdctl \(arguments): \(result.stderr)")
            return result.stdout
        }
        let granted = try run("lease", "grant", "60")
        let lease = String(granted.split(separator: " ")[1])
        #expect(granted.contains("granted with TTL(60s)"))
        #expect(try run("put", "--lease=\(lease)", "k", "v") == "OK\n")
        #expect(try run("lease", "timetolive", lease, "--keys").contains("granted with TTL(60s), remaining("))
        #expect(try run("lease", "timetolive", lease, "--keys").contains("attached keys([k])"))
        #expect(try run("lease", "keep-alive", "--once", lease).contains("keepalived with TTL(60)"))
        #expect(try run("lease", "list").contains("found 1 leases\n\(lease)"))
        #expect(try run("lease", "revoke", lease).contains("revoked"))
        #expect(try run("get", "k") == "")
        #expect(try run("lease", "timetolive", lease).contains("already expired"))
        #expect(try run("lock", "mutex", "echo", "inside").contains("inside"))
        let proclaimed = try EtcdServer.etcdctl("elect", "--ttl=2", "place", "me", "--command-timeout=1s", endpoint: pine.endpoint)
        #expect(proclaimed.stdout.contains("me"))
    }

    @Test("a lease ends after its time by PostgreSQL's clock, not before, and within a second after")
    func onTime() throws {
        let postgres = try PostgresServer(settings: ["track_commit_timestamp": "on"])
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: pine.port)
        func clock() throws -> Double { try #require(Double(try postgres.psql("select extract(epoch from clock_timestamp())"))) }
        for number in 0..<40 { try client.grant(LeaseID(number + 1), ttl: Int64(2 + number % 3)) }
        // These are kept alive for a while.
        let kept = stride(from: LeaseID(1), through: 40, by: 4).map { $0 }
        let stream: EtcdStream<LeaseKeepAliveResponse> = try client.open(.leaseKeepAlive)
        var sent: [LeaseID: Double] = [:]
        var answered: [LeaseID: Double] = [:]
        for _ in 0..<4 {
            Thread.sleep(forTimeInterval: 0.6)
            let before = try clock()
            for lease in kept { stream.send(LeaseKeepAliveRequest(id: lease)) }
            for lease in kept {
                let answer = try #require(try stream.receive())
                #expect(answer.id == lease)
                // One that was late, on a busy machine, finds its lease gone.
                guard answer.ttl != 0 else { continue }
                #expect(answer.ttl == 2 + (lease.rawValue - 1) % 3)
                sent[lease] = before
            }
            let after = try clock()
            for lease in kept where sent[lease] == before { answered[lease] = after }
        }
        #expect(sent.count > 5)
        try eventuallyBlocking("the end of all leases") { try client.leases().isEmpty }
        let times = try postgres.psql(
            """
            select lease, version, kind, extract(epoch from pg_xact_commit_timestamp(xmin)) from pine.changelog
             where kind in (3, 4) order by lease, kind
            """
        ).split(separator: "\n").map { $0.split(separator: "|").map(String.init) }
        try #require(times.count == 80)
        var latest = 0.0
        for index in stride(from: 0, to: 80, by: 2) {
            let lease = LeaseID(Int64(times[index][0])!)
            let ttl = Double(times[index][1])!
            let ended = Double(times[index + 1][3])!
            let granted = Double(times[index][3])!
            #expect(ended >= (sent[lease] ?? granted) + ttl, "lease \(lease) ended early")
            latest = max(latest, ended - (answered[lease] ?? granted) - ttl)
        }
        print("LeaseTests: the latest lease ended \(latest) s after its time")
        // Normally within a second; a machine may be busy.
        #expect(latest < 10)
    }

    @Test("leases kept alive through one process outlive the SIGKILL of the other, which is the steward")
    func stewardKilled() throws {
        let postgres = try PostgresServer()
        let steward = try PineProcess(["--postgres", postgres.connectionString])
        // Its tables may not be there yet.
        try eventuallyBlocking("a steward") { (try? postgres.psql("select count(*) from pine.duty")) == "1" }
        let holder = try postgres.psql("select holder from pine.duty")
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: pine.port)
        let kept = (1...30).map { LeaseID($0) }
        for lease in kept { try client.grant(lease, ttl: 3) }
        for lease: LeaseID in 101...110 { try client.grant(lease, ttl: 3) }
        let stream: EtcdStream<LeaseKeepAliveResponse> = try client.open(.leaseKeepAlive)
        func keepAlive() throws {
            for lease in kept { stream.send(LeaseKeepAliveRequest(id: lease)) }
            for lease in kept {
                let answer = try #require(try stream.receive())
                #expect(answer.id == lease && answer.ttl == 3, "after the kill")
            }
        }
        try keepAlive()
        #expect(try postgres.psql("select holder from pine.duty") == holder)
        steward.kill()
        let killed = ContinuousClock.now
        var replaced: Duration?
        while killed.duration(to: .now) < .seconds(13) || replaced == nil && killed.duration(to: .now) < .seconds(40) {
            try keepAlive()
            if replaced == nil, try postgres.psql("select holder from pine.duty") != holder { replaced = killed.duration(to: .now) }
            Thread.sleep(forTimeInterval: 0.7)
        }
        print("LeaseTests: the steward was replaced after \(String(describing: replaced))")
        // Normally within twelve seconds; a machine may be busy.
        #expect(replaced != nil)
        // What nobody kept alive had its time again.
        try eventuallyBlocking("the end of the others") {
            try keepAlive()
            return try client.leases() == kept
        }
        // The new one gives the duty back at once when it is told to stop.
        let third = try PineProcess(["--postgres", postgres.connectionString])
        _ = try EtcdClient(port: third.port).leases()
        pine.kill(SIGTERM)
        try pine.waitForExit()
        let stopped = ContinuousClock.now
        let last = try postgres.psql("select holder from pine.duty")
        try eventuallyBlocking("the third as the steward") { try postgres.psql("select holder from pine.duty") != last || last == "" }
        // Otherwise it takes ten seconds.
        #expect(stopped.duration(to: .now) < .seconds(8))
        #expect(try EtcdClient(port: third.port).leases() == kept)
    }

    @Test("nothing expires because PostgreSQL was away, or all of Pine")
    func outages() throws {
        let postgres = try PostgresServer()
        let port = try freePort()
        let arguments = ["--postgres", postgres.connectionString, "--listen-client-urls", "http://127.0.0.1:\(port)"]
        let pine = try PineProcess(arguments)
        let client = try EtcdClient(port: port)
        for lease: LeaseID in 1...20 { try client.grant(lease, ttl: 4) }
        try postgres.stop()
        Thread.sleep(forTimeInterval: 5)
        try postgres.start()
        try client.waitUntilServing()
        #expect(try client.leases().count == 20)
        #expect(try client.timeToLive(7).grantedTTL == 4)
        pine.kill()
        try pine.waitForExit()
        Thread.sleep(forTimeInterval: 5)
        let again = try PineProcess(arguments)
        let other = try EtcdClient(port: port)
        try other.waitUntilServing()
        #expect(try other.leases().count == 20)
        try eventuallyBlocking("the end of all leases") { try other.leases().isEmpty }
        #expect(again.isRunning)
    }

    @Test("ten thousand leases that end at once are paced, while a writer goes on; one lease holds ten thousand keys")
    func many() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: pine.port)
        for start in stride(from: 1, through: 10_000, by: 500) {
            let streams = try (start..<start + 500).map { lease in
                let stream: EtcdStream<LeaseGrantResponse> = try client.open(.leaseGrant)
                stream.send(LeaseGrantRequest(ttl: 600, id: LeaseID(lease)))
                stream.finishSending()
                return stream
            }
            for stream in streams { _ = try #require(try stream.receive()) }
        }
        try eventuallyBlocking("all deadlines") { try postgres.psql("select count(*) from pine.lease_deadline") == "10000" }
        try postgres.psql("update pine.lease_deadline set expires_at = now()")
        let began = ContinuousClock.now
        var slowest = Duration.zero
        var writes = 0
        var end: Duration?
        while end == nil {
            let before = ContinuousClock.now
            _ = try client.put("writer", ByteString("\(writes)"))
            slowest = max(slowest, before.duration(to: .now))
            writes += 1
            if writes % 20 == 0, try client.leases().isEmpty { end = began.duration(to: .now) }
            try #require(began.duration(to: .now) < .seconds(60))
        }
        print("LeaseTests: 10,000 leases expired in \(end!); \(writes) writes meanwhile, the slowest took \(slowest)")
        #expect(slowest < .seconds(5))
        #expect(try postgres.psql("select count(*) from pine.lease_deadline") == "0")

        try client.grant(1, ttl: 600)
        for start in stride(from: 0, to: 10_000, by: 100) {
            let puts = (start..<start + 100).map { RequestOp.put(PutRequest(key: ByteString("many/\($0)"), value: "v", lease: 1)) }
            _ = try client.txn(TxnRequest(success: puts))
        }
        let all = RangeRequest(key: "many/", rangeEnd: "many0", countOnly: true)
        let before = try client.range(all)
        #expect(before.count == 10_000)
        #expect(try client.timeToLive(1, keys: true).keys.count == 10_000)
        let revoked: LeaseRevokeResponse = try client.call(.leaseRevoke, LeaseRevokeRequest(id: 1))
        #expect(revoked.header?.revision == before.header!.revision + 1)
        #expect(try client.range(all).count == 0)
    }
}

extension EtcdClient {
    func grant(_ lease: LeaseID, ttl: Int64) throws {
        let answer: LeaseGrantResponse = try call(.leaseGrant, LeaseGrantRequest(ttl: ttl, id: lease))
        #expect(answer.id == lease && answer.ttl == ttl)
    }

    fileprivate func leases() throws -> [LeaseID] {
        try call(.leaseLeases, LeaseLeasesRequest(), answer: LeaseLeasesResponse.self).leases.map(\.id)
    }

    fileprivate func timeToLive(_ lease: LeaseID, keys: Bool = false) throws -> LeaseTimeToLiveResponse {
        try call(.leaseTimeToLive, LeaseTimeToLiveRequest(id: lease, keys: keys))
    }

    fileprivate func waitUntilServing() throws {
        try eventuallyBlocking("an answer") { (try? self.get("x")) != nil }
    }
}

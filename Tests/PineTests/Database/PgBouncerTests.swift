// Owns: Pine through a real PgBouncer in transaction mode: everything works, and lost connections leave no doubt.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@Suite("PgBouncer in transaction mode", .serialized, .ownThreads)
struct PgBouncerTests {
    @Test("Reads, writes, watches, leases and compaction work between two members behind it, without a flag")
    func everything() throws {
        let server = try PostgresServer.shared()
        let database = try server.psql("select current_database()", connection: try server.newDatabase())
        let pooler = try PgBouncer(server)
        let arguments = ["--postgres", pooler.connectionString(database: database), "--poll-interval", "100ms"]
        let (one, two) = (try PineProcess(arguments), try PineProcess(arguments))
        try eventuallyBlocking("a word about the pooler") { one.log.contains("a connection pooler is in front of PostgreSQL") }
        let (first, second) = (try EtcdClient(port: one.port), try EtcdClient(port: two.port))

        let watch = try second.open(.watch, answer: WatchResponse.self)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "k", prevKV: true)))
        #expect(try watch.receive()?.created == true)
        for number in 1...20 {
            let revision = try #require(try first.put("k", ByteString("\(number)")).header?.revision)
            let event = try #require(try watch.receive()?.events.first)
            #expect(event.kv?.value == ByteString("\(number)") && event.kv?.modRevision == revision)
            #expect(try second.get("k").kvs.first?.value == ByteString("\(number)"), "a linearizable read of the other member")
        }
        // Both write the same key: the loser of a race takes the row lock, in a transaction of several statements.
        var increments = 0
        for _ in 0..<20 {
            for client in [first, second] {
                let current = try #require(try client.get("k").kvs.first)
                let txn = TxnRequest(
                    compare: [Compare(target: .mod, key: "k", targetUnion: .modRevision(current.modRevision))],
                    success: [.put(PutRequest(key: "k", value: "x"))])
                if try client.txn(txn).succeeded { increments += 1 }
            }
        }
        #expect(increments == 40)

        try first.grant(7, ttl: 2)
        _ = try first.put(PutRequest(key: "leased", value: "v", lease: 7))
        try eventuallyBlocking("the lease's end") { try second.get("leased").kvs.isEmpty }
        let revision = try #require(try first.get("k").header?.revision)
        _ = try second.compact(revision, physical: true)
        #expect(throws: EtcdClientError.status(.compacted)) { try first.range(RangeRequest(key: "k", revision: revision - 1)) }
        // The key, and the leased one's row, as that is of the revision before.
        #expect(try server.psql("select count(*) from pine.changelog where kind = 1", connection: database) == "2")
        // What a transaction pool is: the server's connections were shared by the clients.
        #expect(!one.log.contains("prepared statement"))
    }

    @Test("Its connections and the server's die again and again under load: nothing is lost, nothing is done twice")
    func lostConnections() throws {
        let seed = testSeed("PgBouncerTests.lostConnections")
        var random = SeededGenerator(seed: seed)
        let server = try PostgresServer()
        let pooler = try PgBouncer(server)
        let pine = try PineProcess(["--postgres", pooler.connectionString(database: "postgres")])
        let load = WriteLoad(ports: [pine.port], clients: 4, seed: seed)
        for round in 0..<8 {
            try load.awaitAcknowledged(random.number(20...300))
            if round % 2 == 0 {
                // What an administrator's hand or a server's crash does to the pool.
                try server.psql(
                    "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'"
                )
            } else {
                try pooler.kill()
                try pooler.start()
            }
            _ = try load.serviceBack(after: .now)
            try #require(pine.isRunning, "\(pine.log.suffix(4_000))")
        }
        try load.awaitAcknowledged(50)
        let verdict = try Verdict(try load.stop()) { try server.psql($0) }
        try verdict.judge()
        try verdict.compare(with: EtcdClient(port: pine.port))
    }
}

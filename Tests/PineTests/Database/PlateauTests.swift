// Owns: what must stay as it is while a store lives for long: its tables, its memory, and the peace of a member's clients while
// another one is restarted. scripts/upkeep and scripts/soak do the same at full size.
import Bytes
import EtcdAPI
import Foundation
import Synchronization
import TestSupport
import Testing

@Suite("Plateaus", .serialized, .ownThreads)
struct PlateauTests {
    private struct Sizes {
        var table: Int
        var index: Int
        var memory: Double
    }

    private static let keyCount = 3_000

    private func scrape(_ pine: PineProcess) throws -> PrometheusText {
        try PrometheusText(try HTTPClient.get("/metrics", port: pine.port, version: "1.0").body)
    }

    private func gauge(_ name: String, _ pine: PineProcess) throws -> Double { try #require(try scrape(pine).value(name)) }

    private func integer(_ postgres: PostgresServer, _ query: String) throws -> Int { try #require(Int(try postgres.psql(query))) }

    /// Rewrites every key `times` times; gives the last revision.
    private func rewrite(_ client: EtcdClient, times: Int) throws -> Revision {
        let value = ByteString(String(repeating: "v", count: 200))
        var revision: Revision = 0
        for _ in 0..<times {
            for first in stride(from: 0, to: Self.keyCount, by: 100) {
                let puts = (first..<first + 100).map { RequestOp.put(PutRequest(key: ByteString("k\($0)"), value: value)) }
                revision = try #require(try client.txn(TxnRequest(success: puts)).header?.revision)
            }
        }
        return revision
    }

    @Test("keys rewritten again and again, compacted in between: tables and memory stay as they are, and members agree")
    func churn() throws {
        let postgres = try PostgresServer(settings: ["autovacuum_naptime": "1s"])
        let arguments = ["--postgres", postgres.connectionString, "--value-cache-bytes", "8MiB"]
        let pines = [try PineProcess(arguments), try PineProcess(arguments)]
        let client = try EtcdClient(port: pines[0].port)
        var sizes: [Sizes] = []
        var revision: Revision = 0
        for _ in 0..<5 {
            let before = try integer(postgres, "select autovacuum_count from pg_stat_user_tables where relname = 'changelog'")
            // More than the dead rows at which the migrations have autovacuum come.
            revision = try rewrite(client, times: 8)
            _ = try client.compact(revision, physical: true)
            try eventuallyBlocking("autovacuum", timeout: .seconds(60)) {
                try integer(postgres, "select autovacuum_count from pg_stat_user_tables where relname = 'changelog'") > before
            }
            sizes.append(
                Sizes(
                    table: try integer(postgres, "select pg_table_size('pine.changelog')"),
                    index: try integer(postgres, "select pg_indexes_size('pine.changelog')"),
                    memory: try gauge("process_resident_memory_bytes", pines[0])))
        }
        // Five rounds of which nothing is reclaimed would be two and a half times as large as two. Less than that says nothing: where
        // autovacuum finds the end of a table empty it cuts that off.
        #expect(sizes[4].table < max(sizes[0].table, sizes[1].table) * 2, "\(sizes)")
        #expect(sizes[4].index < max(sizes[0].index, sizes[1].index) * 2, "\(sizes)")
        #expect(sizes[4].memory < sizes[1].memory * 1.2 + 16_777_216, "\(sizes)")
        #expect(try integer(postgres, "select count(*) from pine.changelog where kind = 1") == Self.keyCount)
        for pine in pines {
            try eventuallyBlocking("dead versions leaving memory") {
                let metrics = try scrape(pine)
                return try metrics.value("pine_key_versions") == Double(Self.keyCount) && metrics.value("pine_sweep_backlog_rows") == 0
            }
        }
        // A lease more: the last row is one that no compaction takes.
        _ = try client.call(.leaseGrant, LeaseGrantRequest(ttl: 1_000, id: 7), answer: LeaseGrantResponse.self)
        try eventuallyBlocking("members with the log's digest") {
            let logs = try integer(postgres, "select digest & 4294967295 from pine.head")
            return try pines.allSatisfy { try gauge("pine_log_digest", $0) == Double(logs) }
        }
    }

    @Test("one of two members is restarted again and again; clients of the other notice nothing")
    func rollingRestart() throws {
        let postgres = try PostgresServer()
        let cluster = try PineCluster(2, postgres: postgres.connectionString)
        let writing = Writing(port: cluster.ports[1])
        let writer = Thread { writing.run() }
        writer.start()
        for restart in 0..<4 {
            func goOn() throws {
                let goal = writing.answered + 20
                try eventuallyBlocking("writes going on") { try writing.answered > goal || writing.hasFailed() }
            }
            try goOn()
            // The first is most likely the steward.
            cluster[0].kill(restart % 2 == 0 ? SIGTERM : SIGKILL)
            try cluster[0].waitForExit()
            try goOn()
            try cluster.start(0)
        }
        writing.stop()
        try eventuallyBlocking("the writer's end") { writer.isFinished }
        #expect(try !writing.hasFailed())
    }
}

/// A client that writes and reads what it wrote, to which nothing may happen.
private final class Writing: Sendable {
    private struct State {
        var isStopping = false
        var answered = 0
        var failure: (any Error)?
    }

    private let port: Int
    private let state = Mutex(State())

    init(port: Int) { self.port = port }

    var answered: Int { state.withLock { $0.answered } }

    func stop() { state.withLock { $0.isStopping = true } }

    /// False; throws what has failed.
    func hasFailed() throws -> Bool {
        if let failure = state.withLock({ $0.failure }) { throw failure }
        return false
    }

    func run() {
        do {
            let client = try EtcdClient(port: port)
            var last: Revision = 0
            while !state.withLock({ $0.isStopping }) {
                let revision = try client.put("k", ByteString("\(last)")).header?.revision ?? 0
                let found = try client.get("k")
                guard revision > last, found.kvs.first?.modRevision == revision else {
                    throw TestSupportError("revision \(revision) after \(last), and \(found)")
                }
                last = revision
                state.withLock { $0.answered += 1 }
            }
        } catch {
            state.withLock { $0.failure = error }
        }
    }
}

// Owns: compaction, deletion and space end to end: real processes on a real PostgreSQL.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Upkeep between processes", .serialized, .ownThreads)
struct UpkeepTests {
    private func rowCount(_ postgres: PostgresServer) throws -> Int {
        try #require(Int(try postgres.psql("select count(*) from pine.changelog where kind <> 7")))
    }

    @Test("automatic compaction deletes what is older than the retention, and one process does it for all")
    func automaticCompaction() throws {
        let postgres = try PostgresServer()
        let arguments = ["--postgres", postgres.connectionString, "--auto-compaction-retention", "1s"]
        let pines = [try PineProcess(arguments), try PineProcess(arguments)]
        let clients = try pines.map { try EtcdClient(port: $0.port) }
        for number in 0..<200 { _ = try clients[number % 2].put("k", ByteString("\(number)")) }
        // The newest, and the one of the revision before. Beside them there are the marks of the last compactions.
        try eventuallyBlocking("the rows to go") { try postgres.psql("select count(*) from pine.changelog where kind = 1") == "2" }
        #expect(try clients[1].get("k").kvs.map(\.value) == ["199"])
        #expect(throws: EtcdClientError.self) { try clients[0].range(RangeRequest(key: "k", revision: 100)) }
        #expect(try postgres.psql("select count(distinct origin) from pine.changelog where kind = 5") == "1")
        try eventuallyBlocking("a word about it") { pines.contains { $0.log.contains("the retention is over") } }
    }

    @Test("after the SIGKILL of the steward another process deletes the rest of what compaction made dead")
    func stewardKilled() throws {
        let postgres = try PostgresServer()
        let steward = try PineProcess(["--postgres", postgres.connectionString])
        try eventuallyBlocking("a steward") { (try? postgres.psql("select count(*) from pine.duty")) == "1" }
        let other = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: other.port)
        var revision: Revision = 0
        // Transactions of many puts: many rows, quickly.
        for round in 0..<60 {
            let puts = (0..<100).map { RequestOp.put(PutRequest(key: ByteString("k\($0)"), value: ByteString("\(round)"))) }
            revision = try #require(try client.txn(TxnRequest(success: puts)).header?.revision)
        }
        // It waits for the lock on a row that it is to delete.
        let lock = Thread {
            _ = try? postgres.psql("begin; select 1 from pine.changelog where revision = 20 for update; select pg_sleep(60)")
        }
        lock.start()
        try eventuallyBlocking("the lock") {
            try postgres.psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
        }
        _ = try client.compact(revision)
        try eventuallyBlocking("some rows to go") { try rowCount(postgres) < 6_000 }
        steward.kill()
        try steward.waitForExit()
        #expect(try rowCount(postgres) > 200)
        _ = try postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
        _ = try client.compact(try #require(try client.put("last", "v").header?.revision), physical: true)
        #expect(try rowCount(postgres) == 103, "100 keys, the last one, and two marks of compactions")
        #expect(try client.range(RangeRequest(key: "k", rangeEnd: "l", countOnly: true)).count == 100)
    }

    @Test("the quota refuses with etcd's error and lifts by itself; Status and Alarm tell of it, Defragment has nothing to do")
    func quota() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString, "--quota-backend-bytes", "1000000"])
        let client = try EtcdClient(port: pine.port)
        let value = ByteString(String(repeating: "v", count: 100_000))
        var refusal: EtcdClientError?
        for number in 0..<20 where refusal == nil {
            do throws(EtcdClientError) { _ = try client.put(ByteString("k\(number)"), value) } catch { refusal = error }
        }
        let noSpace = EtcdClientError.status(.noSpace)
        #expect(refusal == noSpace)
        func status() throws -> StatusResponse { try client.call(.status, StatusRequest()) }
        func alarms() throws -> [AlarmMember] { try client.call(.alarm, AlarmRequest(), answer: AlarmResponse.self).alarms }
        try eventuallyBlocking("the alarm") { try alarms().map(\.alarm) == [.noSpace] }
        try eventuallyBlocking("the sizes") { try status().dbSizeInUse > 0 }
        let full = try status()
        #expect(full.dbSizeQuota == 1_000_000)
        #expect(full.dbSizeInUse <= full.dbSize)
        #expect(full.errors.map { "\($0)" }.joined().contains("alarm:NOSPACE"))
        _ = try client.delete(DeleteRangeRequest(key: "k", rangeEnd: "l"))
        #expect(throws: noSpace) { try client.put("x", "") }
        _ = try client.compact(try #require(try client.get("k0").header?.revision), physical: true)
        try eventuallyBlocking("space") { try alarms().isEmpty }
        _ = try client.put("x", value)
        #expect(try status().errors == [])
        let listed = try pine.etcdctl("alarm", "list")
        #expect(listed.status == 0 && listed.stdout == "")
        let defragmented = try pine.etcdctl("defrag")
        #expect(defragmented.status == 0, "\(defragmented.stderr)")
        try eventuallyBlocking("a word about it") { pine.log.contains("nothing to defragment") }
    }
}

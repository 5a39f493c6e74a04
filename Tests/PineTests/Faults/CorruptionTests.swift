// Owns: what other hands do to the tables of a store at work, and what Pine says of it.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@Suite("Corruption", .serialized, .ownThreads)
struct CorruptionTests {
    private func isCorrupt(_ pine: PineProcess) throws -> Double? {
        try PrometheusText(try HTTPClient.get("/metrics", port: pine.port, version: "1.0").body).value("pine_log_corrupt")
    }

    @Test("a row below the compaction that other hands have altered, or taken away, is told of at the next start, and all is served")
    func noticed() throws {
        let postgres = try PostgresServer()
        let arguments = ["--postgres", postgres.connectionString]
        var pine = try PineProcess(arguments)
        var client = try EtcdClient(port: pine.port)
        for number in 0..<10 { _ = try client.put(ByteString("k\(number % 5)"), ByteString("\(number)")) }
        _ = try client.compact(11, physical: true)
        func restart() throws {
            pine.kill()
            try pine.waitForExit()
            pine = try PineProcess(arguments)
            client = try EtcdClient(port: pine.port)
            _ = try client.put("more", "rows")
        }
        try restart()
        #expect(try isCorrupt(pine) == 0)
        #expect(!pine.log.contains("not those that were written"))

        try postgres.psql("update pine.changelog set value = 'x' where revision = 8")
        try restart()
        #expect(try isCorrupt(pine) == 1)
        #expect(pine.log.contains("not those that were written") && pine.log.contains("8.0"))
        #expect(try client.get("k1").kvs.map(\.value) == ["x"])

        try postgres.psql("delete from pine.changelog where revision = 8")
        try restart()
        #expect(try isCorrupt(pine) == 1)
        #expect(pine.log.contains(#""rows_missing_or_added":"true""#))

        let done = try PineProcess.run(["migrate", "--key-digest"] + arguments)
        #expect(done.status == 0 && done.stderr.contains("the store has its digest key already"), "\(done.stderr)")
        #expect(try postgres.psql("select count(*) from pine.history where what like 'kind%' or revision = 0") == "0")
    }
}

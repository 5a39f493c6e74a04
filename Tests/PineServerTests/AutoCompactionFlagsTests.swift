import PineServer
import Replica
import Testing

@Suite("The flags of automatic compaction")
struct AutoCompactionFlagsTests {
    @Test("Retentions mean what they mean to etcd")
    func meanings() throws {
        func read(_ mode: String, _ retention: String) throws -> AutoCompaction { try AutoCompaction(mode: mode, retention: retention) }
        #expect(try read("periodic", "0") == .off)
        #expect(try read("periodic", "0s") == .off)
        #expect(try read("revision", "0") == .off)
        #expect(try read("periodic", "2") == .periodic(retentionMs: 7_200_000))
        #expect(try read("periodic", "30m") == .periodic(retentionMs: 1_800_000))
        #expect(try read("periodic", "1h30m") == .periodic(retentionMs: 5_400_000))
        #expect(try read("periodic", "1.5h") == .periodic(retentionMs: 5_400_000))
        #expect(try read("periodic", "100ms") == .periodic(retentionMs: 100))
        #expect(try read("periodic", "1us") == .periodic(retentionMs: 1))
        #expect(try read("revision", "1000") == .revision(retention: 1_000))
    }

    @Test(
        "What is no retention is refused",
        arguments: [
            ("periodic", ""), ("periodic", "1d"), ("periodic", "-1"), ("periodic", "-1h"), ("periodic", "h"), ("periodic", "."),
            ("periodic", "1h "), ("revision", "1h"), ("revision", "-1"), ("revision", ""), ("sometimes", "1"), ("", "1"),
        ])
    func refused(mode: String, retention: String) {
        #expect(throws: ServerError.self) { try AutoCompaction(mode: mode, retention: retention) }
    }
}

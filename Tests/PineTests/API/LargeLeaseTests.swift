// Owns: what is large for its link, end to end: leases of many keys, values of many bytes.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@Suite("Large leases and slow links", .serialized, .ownThreads)
struct LargeLeaseTests {
    private static func start(through proxy: FaultyProxy, to postgres: PostgresServer) throws -> (PineProcess, EtcdClient) {
        let pine = try PineProcess([
            "--postgres", postgres.connectionString.replacing(":\(postgres.port)/", with: ":\(proxy.port)/"),
        ])
        return (pine, try EtcdClient(port: pine.port))
    }

    /// Puts `count` keys on the lease, whose names have so many bytes, and keeps it alive meanwhile.
    private static func attach(_ count: Int, keyBytes: Int, to lease: LeaseID, _ client: EtcdClient) throws {
        let filler = String(repeating: "x", count: max(keyBytes - 6, 0))
        let stream: EtcdStream<LeaseKeepAliveResponse> = try client.open(.leaseKeepAlive)
        for start in stride(from: 0, to: count, by: 100) {
            if start % 1_000 == 0 {
                stream.send(LeaseKeepAliveRequest(id: lease))
                #expect(try stream.receive()?.ttl ?? 0 > 0)
            }
            let puts = (start..<min(start + 100, count)).map { number in
                let name = String(number)
                let key = String(repeating: "0", count: 6 - name.count) + name + filler
                return RequestOp.put(PutRequest(key: ByteString(key), value: "", lease: lease))
            }
            _ = try client.txn(TxnRequest(success: puts))
        }
    }

    private static func keyCount(_ client: EtcdClient) throws -> Int64 {
        try client.range(RangeRequest(key: "0", rangeEnd: "a", countOnly: true)).count
    }

    @Test("a lease ends whose revoke takes longer to arrive than the server waits for a stalled process")
    func slowLink() throws {
        let postgres = try PostgresServer()
        let proxy = try FaultyProxy(to: postgres.port)
        let (pine, client) = try Self.start(through: proxy, to: postgres)
        try client.grant(1, ttl: 4)
        try Self.attach(1_200, keyBytes: 500, to: 1, client)
        try client.grant(2, ttl: 600)
        #expect(try Self.keyCount(client) == 1_200)
        let term = try client.get("0").header?.raftTerm
        try proxy.set(.limited(bytesPerSecond: 400 << 10))
        try eventuallyBlocking("the end of the lease", timeout: .seconds(60)) { try Self.keyCount(client) == 0 }
        // At the first attempt: nothing was lost.
        #expect(try client.get("0").header?.raftTerm == term)
        #expect(!pine.log.contains("lost"))
    }

    @Test("a lease ends whose rows take longer to make than the lock is held for a small append")
    func manyKeys() throws {
        let postgres = try PostgresServer()
        let proxy = try FaultyProxy(to: postgres.port)
        let (pine, client) = try Self.start(through: proxy, to: postgres)
        try client.grant(1, ttl: 5)
        try Self.attach(6_000, keyBytes: 10, to: 1, client)
        let term = try client.get("0").header?.raftTerm
        try eventuallyBlocking("the end of the lease", timeout: .seconds(60)) { try Self.keyCount(client) == 0 }
        #expect(try client.get("0").header?.raftTerm == term)
        #expect(!pine.log.contains("lost"))
        let revisions = try postgres.psql("select count(distinct revision) from pine.changelog where kind = 2")
        #expect(revisions == "1")
    }

    @Test("values that take seconds on a slow link are stored, and no connection is taken for dead")
    func largeValues() throws {
        let postgres = try PostgresServer()
        let proxy = try FaultyProxy(to: postgres.port)
        let (pine, client) = try Self.start(through: proxy, to: postgres)
        let term = try client.put("a", "b").header?.raftTerm
        try proxy.set(.limited(bytesPerSecond: 400 << 10))
        let value = ByteString((0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) })
        for _ in 0..<3 { #expect(try client.put("a", value).header?.raftTerm == term) }
        #expect(!pine.log.contains("lost") && !pine.log.contains("away"))
    }
}

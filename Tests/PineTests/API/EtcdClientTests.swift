// Owns: checks of the tests' own client, against a real etcd: what other tests conclude from it must hold.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@Suite("The tests' client, against a real etcd", .ownThreads)
struct EtcdClientTests {
    @Test("Calls, errors, streams both ways, deadlines and lost connections")
    func everything() throws {
        let etcd = try EtcdServer()
        let client = try EtcdClient(port: etcd.port)
        let put = try client.put("foo", "bar")
        #expect(put.header?.revision == 2)
        #expect(try client.get("foo").kvs.map(\.value) == ["bar"])
        #expect(throws: EtcdClientError.status(.emptyKey)) { try client.put("", "bar") }
        // Larger than a frame, a window and what is queued.
        let large = ByteString([UInt8](repeating: 7, count: 1_500_000))
        _ = try client.put("large", large)
        for _ in 0..<10 { #expect(try client.get("large").kvs.first?.value == large) }

        // A watch: a bidirectional stream that stays open.
        let watch = try client.open(.watch, answer: WatchResponse.self)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "foo")))
        #expect(try watch.receive()?.created == true)
        #expect(throws: EtcdClientError.deadlinePassed) { try watch.receive(timeout: .milliseconds(20)) }
        _ = try client.put("foo", "baz")
        #expect(try watch.receive()?.events.first?.kv?.value == "baz")
        watch.finishSending()
        watch.cancel()
        #expect(throws: EtcdClientError.self) { try watch.receive() }

        // A server's stream.
        let snapshot = try client.collect(.snapshot, SnapshotRequest(), answer: SnapshotResponse.self)
        #expect(snapshot.reduce(0) { $0 + $1.blob.count } > 1_500_000)

        try etcd.kill()
        #expect { try client.get("foo") } throws: {
            if case EtcdClientError.connectionLost = $0 { true } else { false }
        }
        #expect(!client.isConnected)
        #expect { try EtcdClient(port: etcd.port) } throws: {
            if case EtcdClientError.connectionLost = $0 { true } else { false }
        }
    }

    @Test("Threads share a connection")
    func threads() async throws {
        let etcd = try EtcdServer()
        let client = try EtcdClient(port: etcd.port)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                group.addTask {
                    for number in 0..<50 { _ = try client.put(ByteString("\(thread)/\(number)"), ByteString("\(number)")) }
                }
            }
            try await group.waitForAll()
        }
        let all = try client.range(RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]), countOnly: true))
        #expect(all.count == 400)
        #expect(all.header?.revision == 401)
    }
}

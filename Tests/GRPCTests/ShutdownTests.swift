internal import Bytes
internal import HTTP2
internal import RawHTTP2
internal import Testing

@testable import GRPC

@Suite("Shutdown and keep-alive", .serialized)
struct ShutdownTests {
    private func connect(_ port: Int) throws -> RawClient {
        let client = try RawClient(port: port)
        try client.sendPreface()
        return client
    }

    @Test("A shutdown warns, takes what is on its way, lets calls finish, and ends endless ones with their owner's words")
    func graceful() async throws {
        try await withEchoServer(loopCount: 2) { server, port, diary in
            let client = try connect(port)
            let idle = try connect(port)
            try client.send(.headers(1, RawFrame.request("/test.Echo/Bidi")), .headers(3, RawFrame.request("/test.Echo/Unary")))
            try await diary.expect("started")
            try idle.send(.ping())
            try idle.read { $0.pingAcks == 1 }
            async let stopped: Void = server.shutdown(graceMs: 20_000)
            try client.read { $0.goAwayCount == 1 }
            #expect(client.goAway?.lastStream == Int32.max && client.goAway?.code == 0)
            try client.read { $0.goAwayCount == 2 }
            #expect(client.goAway?.lastStream == 3)
            // The call that had begun is finished.
            try client.send(.data(3, RawFrame.message([9]), endStream: true))
            #expect(try client.response(3).body == RawFrame.message([9]))
            let watch = try client.response(1)
            #expect(watch["grpc-status"] == "14" && watch["grpc-message"] == "etcdserver: server stopped")
            try client.readToEnd()
            try idle.readToEnd()
            await stopped
            #expect(diary.count("shutdown") == 2)
            #expect(throws: RawClientError.self) { try RawClient(port: port) }
        }
    }

    @Test("What doesn't end within the grace is closed")
    func impatient() async throws {
        try await withEchoServer { server, port, diary in
            let client = try connect(port)
            let silent = try RawClient(port: port)
            try client.call(1, "/test.Echo/Never", [1])
            try await diary.expect("message 1")
            let start = ContinuousClock.now
            await server.shutdown(graceMs: 300)
            #expect(ContinuousClock.now - start < .seconds(60))
            try client.readToEnd()
            try silent.readToEnd()
            #expect(diary.count("cancelled") == 1)
        }
    }

    @Test("A silent peer is pinged, and closed when it doesn't answer")
    func keepAlive() async throws {
        var policy = KeepAlivePolicy()
        policy.intervalMs = 1_000
        policy.timeoutMs = 1_000
        try await withEchoServer(keepAlive: policy) { server, port, _ in
            let alive = try connect(port)
            let dead = try connect(port)
            dead.isWellBehaved = false
            var pings = 0
            while let frame = try dead.readFrame() { pings += frame.kind == RawFrame.Kind.ping ? 1 : 0 }
            #expect(pings == 1)
            // Nobody has read on the other connection so far: its ping is answered now, late, if it isn't closed yet.
            _ = alive
            #expect(try await eventually(server) { $0.http2.counters.connectionsClosed >= 1 })
        }
    }
}

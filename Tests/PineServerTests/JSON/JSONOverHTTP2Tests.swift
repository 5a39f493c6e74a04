// Tests calls in JSON on the streams of HTTP/2 connections.
import Bytes
import EtcdAPI
import HTTP1
import RawHTTP2
import TestSupport
import Testing

@testable import PineServer

@Suite("The JSON gateway over HTTP/2", .timeLimit(.minutes(4)), .ownThreads)
struct JSONOverHTTP2Tests {
    /// A client of a server that takes its connections for encrypted.
    private func with(_ body: (JSONServer, RawClient) async throws -> Void) async throws {
        try await JSONServer.with(isSecure: true) { server in
            let client = try RawClient(port: server.port)
            try client.sendPreface()
            // The window is the server's once its settings are acknowledged.
            try client.read { !$0.settings.isEmpty }
            try await body(server, client)
        }
    }

    private func fields(_ path: String, _ method: String = "POST") -> [(String, String)] {
        [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost"), ("content-type", "application/json")]
    }

    private func post(_ client: RawClient, _ stream: Int32, _ path: String, _ body: String) throws {
        try client.send(.headers(stream, fields(path)), .data(stream, Array(body.utf8), endStream: true))
    }

    private func text(_ response: RawResponse?) -> String { String(decoding: response?.body ?? [], as: UTF8.self) }

    /// Sends it in frames, as fast as the server gives window.
    private func upload(_ client: RawClient, _ stream: Int32, _ body: [UInt8]) throws {
        var sent = 0
        while sent < body.count {
            let frame = min(16 << 10, body.count - sent)
            let window = { (client: RawClient) in
                (256 << 10) + (client.windowUpdates[stream] ?? 0) - sent >= frame || client.responses[stream]?.isOver == true
            }
            guard try client.read(until: window), client.responses[stream]?.isOver != true else { return }
            try client.send(.data(stream, Array(body[sent..<sent + frame]), endStream: sent + frame == body.count))
            sent += frame
        }
    }

    @Test("Calls, pages and gRPC share a connection")
    func together() async throws {
        try await with { server, client in
            try post(client, 1, "/v3/kv/put", #"{"key":"YQ==","value":"Yg=="}"#)
            let put = try client.response(1)
            #expect(put[":status"] == "200" && put["content-type"] == "application/json")
            #expect(put["content-length"] == "\(put.body.count)" && put["access-control-allow-origin"] == "*")
            try client.call(3, "/etcdserverpb.KV/Range", Array(RangeRequest(key: "a").encoded()))
            #expect(try client.response(3)["grpc-status"] == "0")
            try post(client, 5, "/v3/kv/range", #"{"key":"YQ=="}"#)
            #expect(text(try client.response(5)).contains(#""value":"Yg==""#))
            try client.send(.headers(7, fields("/page", "GET"), endStream: true))
            #expect(text(try client.response(7)) == "page\n")
            try client.send(.headers(9, fields("/v3/kv/range", "OPTIONS"), endStream: true))
            #expect(try client.response(9)[":status"] == "200")
            try client.send(.headers(11, fields("/v3/kv/range", "HEAD"), endStream: true))
            let head = try client.response(11)
            #expect(head[":status"] == "501" && head.body.isEmpty && head["content-length"] == "42")
            try client.send(.headers(13, fields("/v3/lease/keepalive"), endStream: true))
            let empty = try client.response(13)
            #expect(empty[":status"] == "200" && empty.body.isEmpty)
            try post(client, 15, "/v3//x", "{}")
            #expect(try client.response(15)["location"] == "/v3/x")
            #expect(try await server.openCount() == 0)
        }
    }

    @Test("Without TLS HTTP/2 is for gRPC")
    func insecure() async throws {
        try await JSONServer.with { server in
            let client = try RawClient(port: server.port)
            try client.sendPreface()
            try post(client, 1, "/v3/kv/put", #"{"key":"YQ=="}"#)
            #expect(try client.response(1)[":status"] == "415")
        }
    }

    @Test("A watch goes on while its body does, and ends with its stream or its connection")
    func watch() async throws {
        try await with { server, client in
            try client.send(.headers(1, fields("/v3/watch")), .data(1, Array(#"{"create_request":{"#.utf8)))
            try client.send(.data(1, Array(#""key":"YQ=="}}"#.utf8)))
            try client.read { text($0.responses[1]).hasSuffix("\"created\":true}}\n") }
            try client.send(.data(1, Array(#"{"create_request":{"key":"Yg=="}}"#.utf8)))
            try client.read { text($0.responses[1]).hasSuffix("\"watch_id\":\"1\",\"created\":true}}\n") }
            _ = try server.post("/v3/kv/put", #"{"key":"Yg==","value":"Yw=="}"#)
            try client.read { text($0.responses[1]).contains(#""value":"Yw==""#) }
            #expect(try await server.openCount() == 2)
            try client.send(.reset(1))
            try await eventually("the watch is cancelled") { try await server.openCount() == 0 }
            try post(client, 3, "/v3/watch", #"{"create_request":{"key":"YQ=="}}"#)
            try client.read { $0.responses[3] != nil }
            client.abort()
            try await eventually("the watch is cancelled") { try await server.openCount() == 0 }
        }
    }

    @Test("Large bodies come in; too large ones, and too many at once, are refused")
    func bodies() async throws {
        try await with { server, client in
            func put(_ count: Int) -> [UInt8] {
                Array("{\"key\":\"YQ==\",\"value\":\"\(String(repeating: "AAAA", count: count / 3))\"}".utf8)
            }
            try client.send(.headers(1, fields("/v3/kv/put")))
            try upload(client, 1, put(1_500_000))
            let whole = try client.response(1)
            #expect(whole[":status"] == "200", "\(whole.headers) \(text(whole))")
            try client.send(.headers(3, fields("/v3/kv/put")))
            try upload(client, 3, put(9_000_000))
            #expect(try client.response(3)[":status"] == "429")
            // Of many that don't end some wait for window: together they keep no more than the connection may.
            let half = Array(put(1_500_000).prefix(240 << 10))
            let streams = (0..<300).map { Int32(5 + 2 * $0) }
            for stream in streams {
                try client.send(.headers(stream, fields("/v3/kv/put")))
                for start in stride(from: 0, to: half.count, by: 16 << 10) {
                    try client.send(.data(stream, Array(half[start..<min(start + 16 << 10, half.count)])))
                }
            }
            try client.send(.ping())
            try client.read { $0.pingAcks > 0 }
            let refused = streams.count { client.responses[$0]?[":status"] == "429" }
            #expect(refused > 0)
            let open = try await server.openCount()
            #expect(open * half.count <= 65 << 20, "\(open) bodies are kept")
            client.abort()
            try await eventually("all are gone") { try await server.openCount() == 0 }
        }
    }

    @Test("A client that doesn't read holds its own calls back, and gets everything in the end")
    func slowReader() async throws {
        try await with { server, client in
            let value = String(repeating: "AAAA", count: 256 << 10)
            #expect(try server.post("/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"\(value)\"}").status == 200)
            client.isWellBehaved = false
            let streams = (0..<80).map { Int32(1 + 2 * $0) }
            for stream in streams { try post(client, stream, "/v3/kv/range", #"{"key":"YQ=="}"#) }
            // Those that are not held are answered.
            var (held, looks) = (-1, 0)
            try await eventually("nothing moves any more") {
                let count = try await server.openCount()
                looks = count == held && count < streams.count ? looks + 1 : 0
                held = count
                return looks == 20
            }
            #expect(held > 5)
            client.isWellBehaved = true
            try client.send(.windowUpdate(0, 1 << 30))
            for stream in streams {
                try client.send(.windowUpdate(stream, 4 << 20))
                let response = try client.response(stream)
                #expect(response[":status"] == "200" && response.body.count > value.utf8.count)
            }
            try await eventually("all are answered") { try await server.openCount() == 0 }
        }
    }
}

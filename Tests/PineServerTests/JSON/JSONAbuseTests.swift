// Tests what becomes of clients of the JSON gateway that are slow, greedy or gone.
import Bytes
import Foundation
import HTTP1
import TestSupport
import Testing

@testable import PineServer

@Suite("The JSON gateway and its worst clients", .timeLimit(.minutes(4)), .ownThreads)
struct JSONAbuseTests {
    /// 1 MiB.
    private static let value = String(repeating: "A", count: 4 << 18)

    @Test("A watch whose client doesn't read is kept to a buffer's worth, and brings everything once it does")
    func slowReader() async throws {
        try await JSONServer.with { server in
            let client = try server.client()
            try client.send(request("/v3/watch", #"{"create_request":{"key":"YQ=="}}"#))
            #expect(try client.head().status == 200)
            _ = try client.chunk()
            let count = 60
            for number in 0..<count {
                #expect(
                    try server.post("/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"\(Self.value)\",\"lease\":0}").status == 200, "\(number)")
                let kept = try await server.keptBytes()
                #expect(kept < 16 << 20, "\(kept) bytes wait")
            }
            var events = 0
            while events < count {
                let line = try #require(try client.chunk())
                events += String(decoding: line, as: UTF8.self).split(separator: "\"mod_revision\"").count - 1
            }
            #expect(events == count)
            try await eventually("nothing is kept") { try await server.keptBytes() == 0 }
        }
    }

    @Test("Requests that are sent ahead wait while their client doesn't read")
    func greedyPipelining() async throws {
        try await JSONServer.with { server in
            #expect(try server.post("/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"\(Self.value)\"}").status == 200)
            let client = try server.client()
            let count = 50
            try client.send([String](repeating: request("/v3/kv/range", #"{"key":"YQ=="}"#), count: count).joined())
            try await eventually("answers wait") { try await server.keptBytes() > 0 }
            for _ in 0..<20 {
                let kept = try await server.keptBytes()
                #expect(kept <= 2 << 20, "\(kept) bytes wait")
                try await Task.sleep(for: .milliseconds(5))
            }
            for _ in 0..<count { #expect(try client.answer().body.utf8.count > Self.value.utf8.count) }
            try await eventually("nothing is kept") { try await server.keptBytes() == 0 }
        }
    }

    @Test("Thousands of requests in one piece are answered one after the other")
    func flood() async throws {
        try await JSONServer.with { server in
            let client = try server.client()
            let count = 6_000
            try client.send([String](repeating: "GET /v3/ HTTP/1.1\r\n\r\n", count: count).joined())
            for _ in 0..<count { #expect(try client.answer().status == 404) }
            try client.send([String](repeating: "GET /page HTTP/1.1\r\n\r\n", count: count).joined())
            for _ in 0..<count { #expect(try client.answer().status == 200) }
        }
    }

    @Test("A body that is too large is refused in gRPC's words, and the connection goes on")
    func largeBody() async throws {
        try await JSONServer.with { server in
            let client = try server.client()
            let value = String(repeating: "AAAA", count: 800_000)
            try client.send(request("/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"\(value)\"}"))
            let refused = try client.answer()
            #expect(refused.status == 429)
            #expect(refused.body == #"{"code":8,"message":"grpc: received message larger than max (2400008 vs. 2097152)"}"#)
            // More than is ever kept: refused before its end.
            try client.send(request("/v3/kv/put", String(repeating: " ", count: 12 << 20)))
            #expect(try client.answer().status == 429)
            try client.send(request("/v3/lease/keepalive", "{\"ID\":5,\"x\":\"" + String(repeating: " ", count: 12 << 20) + "\"}"))
            #expect(try client.answer().status == 429)
            try client.send(request("/v3/kv/range", #"{"key":"YQ=="}"#))
            #expect(try client.answer().status == 200)
            try await eventually("nothing is kept") { try await server.keptBytes() == 0 }
            #expect(try await server.openCount() == 0)
        }
    }

    @Test("A body that doesn't come to its end costs no more than its time")
    func halfBody() async throws {
        var limits = HTTP1Limits()
        limits.answerTimeoutMs = 300
        try await JSONServer.with(limits) { server in
            for path in ["/v3/kv/put", "/v3/watch", "/v3/nothing"] {
                let client = try server.client()
                try client.send("POST \(path) HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"key\":\"")
                if path == "/v3/nothing" { #expect(try client.answer().status == 404) }
                #expect(try client.isClosed(), "\(path)")
            }
            try await eventually("all is forgotten") { try await server.openCount() == 0 }
            let kept = try await server.keptBytes()
            #expect(kept == 0)
            // One that began to be answered lasts.
            let client = try server.client()
            try client.send("POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            try client.send(chunk(#"{"create_request":{"key":"YQ=="}}"#))
            #expect(try client.head().status == 200)
            _ = try client.chunk()
            try await Task.sleep(for: .milliseconds(600))
            _ = try server.post("/v3/kv/put", #"{"key":"YQ=="}"#)
            #expect(try client.chunk() != nil)
        }
    }

    @Test("A client that goes away while it waits leaves nothing behind")
    func hangUp() async throws {
        try await JSONServer.with { server in
            #expect(try server.post("/v3/lease/grant", #"{"ID":5,"TTL":60}"#).status == 200)
            #expect(try server.post("/v3/lease/grant", #"{"ID":6,"TTL":60}"#).status == 200)
            #expect(try server.post("/v3/lock/lock", #"{"name":"bA==","lease":5}"#).status == 200)
            let waiting = try server.client()
            try waiting.send(request("/v3/lock/lock", #"{"name":"bA==","lease":6}"#))
            let uploading = try server.client()
            try uploading.send("POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"key\":\"")
            try await eventually("both are there") { try await server.openCount() >= 2 }
            waiting.hangUp()
            uploading.hangUp()
            try await eventually("both are gone") { try await server.openCount() == 0 }
        }
    }

    @Test("While all together keep too much, bodies beyond a connection's share are refused, and who doesn't read is sent away")
    func strain() async throws {
        var limits = HTTP1Limits()
        limits.unreadStallMs = 100
        try await JSONServer.with(limits, memoryLimit: 4 << 20) { server in
            #expect(try server.post("/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"\(Self.value)\"}").status == 200)
            let deaf = try (0..<20).map { _ in
                let client = try server.client()
                try client.send([String](repeating: request("/v3/kv/range", #"{"key":"YQ=="}"#), count: 20).joined())
                return client
            }
            try await eventually("answers wait") { try await server.keptBytes() > 1 << 20 }
            try await eventually("they are sent away") { try await server.keptBytes() < 4 << 20 }
            let talker = try server.client()
            try talker.send(request("/v3/kv/range", #"{"key":"Yg=="}"#))
            #expect(try talker.answer().status == 200)
            #expect(deaf.count == 20)
        }
    }

    @Test("A server that stops ends streams, lets calls end, and sends idle clients away")
    func shutdown() async throws {
        try await JSONServer.with { server in
            let idle = try server.client()
            try idle.send(request("/v3/kv/put", #"{"key":"YQ=="}"#))
            #expect(try idle.answer().fields["connection"] == nil)
            let watcher = try server.client()
            try watcher.send(request("/v3/watch", #"{"create_request":{"key":"YQ=="}}"#))
            #expect(try watcher.head().status == 200)
            _ = try watcher.chunk()
            await server.shutDown(graceMs: 5_000)
            let line = try watcher.chunk().map { String(decoding: $0, as: UTF8.self) }
            #expect(line == #"{"error":{"code":14,"message":"etcdserver: server stopped"}}"# + "\n")
            #expect(try watcher.chunk() == nil && watcher.isClosed())
            #expect(try idle.isClosed())
        }
    }
}

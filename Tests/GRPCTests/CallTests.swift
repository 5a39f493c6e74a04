internal import Bytes
internal import Calls
internal import Foundation
internal import HTTP2
internal import Logging
internal import NIOCore
internal import RawHTTP2
internal import Testing

@testable import GRPC

// The clients block their threads, so one at a time.
@Suite("Calls over a socket", .serialized)
struct CallTests {
    private func connect(_ port: Int) throws -> RawClient {
        let client = try RawClient(port: port)
        try client.sendPreface()
        return client
    }

    @Test("A unary call is answered with headers, one message and trailers")
    func unary() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.call(1, "/test.Echo/Unary", Array("hello".utf8))
            let response = try client.response(1)
            #expect(response.headers == [":status": "200", "content-type": "application/grpc"])
            #expect(response.body == RawFrame.message(Array("hello".utf8)))
            #expect(response.trailers == ["grpc-status": "0"])
        }
    }

    @Test("Messages of every size around the frame and window sizes come back whole, also the empty one")
    func sizes() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            var stream: Int32 = 1
            for size in [0, 1, 16_378, 16_379, 16_380, 65_530, 65_536, 262_139, 262_140, 300_000, 1 << 20, 2 << 20] {
                let message = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try client.send(.headers(stream, RawFrame.request("/test.Echo/Unary")))
                let bytes = RawFrame.message(message)
                // 16 KiB frames, as many as the window lets through at a time.
                var sent = 0
                while sent < bytes.count {
                    let window = 262_144 + (client.windowUpdates[stream] ?? 0)
                    if sent >= window {
                        try client.read { ($0.windowUpdates[stream] ?? 0) + 262_144 > window }
                        continue
                    }
                    let count = min(16_384, bytes.count - sent, window - sent)
                    try client.send(.data(stream, Array(bytes[sent..<(sent + count)]), endStream: sent + count == bytes.count))
                    sent += count
                }
                let response = try client.response(stream)
                // Compared first: on a failure the framework would take minutes to spell out the difference.
                let isSame = response.body == bytes
                #expect(isSame, "\(size)")
                #expect(response["grpc-status"] == "0")
                stream += 2
            }
        }
    }

    @Test("A message may come in frames of one byte each, padded or empty ones between them")
    func splitFrames() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.send(.headers(1, RawFrame.request("/test.Echo/Unary")))
            let bytes = RawFrame.message(Array("split to the last byte".utf8))
            for (index, byte) in bytes.enumerated() {
                if index % 3 == 0 {
                    try client.send(RawFrame(RawFrame.Kind.data, flags: RawFrame.Flag.padded, stream: 1, [4, byte, 0, 0, 0, 0]))
                } else {
                    try client.send(.data(1, []), .data(1, [byte]))
                }
            }
            try client.send(.data(1, [], endStream: true))
            #expect(try client.response(1).body == bytes)
        }
    }

    @Test("A server-streaming call gets all its messages before the trailers")
    func serverStreaming() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.call(1, "/test.Echo/Thrice", [7])
            let response = try client.response(1)
            #expect(response.body == Array(repeating: RawFrame.message([7]), count: 3).flatMap { $0 })
            #expect(response["grpc-status"] == "0")
        }
    }

    @Test("A bidirectional call answers each message while it is open, and ends when the client does")
    func bidirectional() async throws {
        try await withEchoServer { _, port, diary in
            let client = try connect(port)
            try client.send(.headers(1, RawFrame.request("/test.Echo/Bidi")))
            for number in UInt8(0)..<3 {
                try client.send(.data(1, RawFrame.message([number])))
                try client.read { ($0.responses[1]?.body.count ?? 0) == 6 * (Int(number) + 1) }
            }
            // Several messages in one frame, one of them cut.
            try client.send(.data(1, RawFrame.message([8]) + RawFrame.message([9]) + [0, 0]), .data(1, [0, 0, 1, 10], endStream: true))
            let response = try client.response(1)
            #expect(response.body == [0, 1, 2, 8, 9, 10].flatMap { RawFrame.message([$0]) })
            #expect(response.trailers == ["grpc-status": "0"])
            #expect(diary.count("ended") == 1)
            #expect(diary.count("cancelled") == 0)
        }
    }

    @Test("An error comes as trailers only, with its message percent-encoded")
    func failure() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.call(1, "/test.Echo/Fail", [])
            let response = try client.response(1)
            #expect(
                response.headers == [
                    ":status": "200", "content-type": "application/grpc", "grpc-status": "9",
                    "grpc-message": "50 %25 k%C3%A4se%0A",
                ])
            #expect(response.trailers.isEmpty && response.body.isEmpty)
        }
    }

    @Test("Requests that can't become a call are refused as Go's gRPC refuses them")
    func refusals() async throws {
        try await withEchoServer { server, port, _ in
            let client = try connect(port)
            func fields(_ changes: [String: String], _ path: String = "/test.Echo/Unary") -> [(String, String)] {
                RawFrame.request(path).map { ($0.0, changes[$0.0] ?? $0.1) }
                    + changes.filter { $0.key.hasPrefix("grpc-") }.map { ($0.key, $0.value) }
            }
            let cases: [([(String, String)], status: String, code: String, message: String)] = [
                (fields([:], "/no.Such/Method"), "200", "12", "unknown service no.Such"),
                (fields([:], "/test.Echo/Nope"), "200", "12", "unknown method Nope for service test.Echo"),
                (fields([:], "/nonsense"), "200", "12", "malformed method name: \"/nonsense\""),
                (fields(["content-type": "text/plain"]), "415", "3", "invalid gRPC request content-type \"text/plain\""),
                (fields(["content-type": "application/grpcx"]), "415", "3", "invalid gRPC request content-type \"application/grpcx\""),
                (fields([":method": "PUT"]), "405", "13", "Received a HEADERS frame with :method \"PUT\" which should be POST"),
                (fields(["grpc-timeout": "5"]), "400", "13", "malformed grpc-timeout: transport: timeout string is too short: \"5\""),
                (
                    fields(["grpc-timeout": "123456789S"]), "400", "13",
                    "malformed grpc-timeout: transport: timeout string is too long: \"123456789S\""
                ),
                (fields(["grpc-timeout": "5x"]), "400", "13", "malformed grpc-timeout: transport: timeout unit is not recognized: \"5x\""),
                (fields(["grpc-encoding": "snappy"]), "200", "12", "grpc: Decompressor is not installed for grpc-encoding \"snappy\""),
            ]
            for (index, expected) in cases.enumerated() {
                let stream = Int32(index * 2 + 1)
                // The message is still to come, and of no interest any more.
                try client.send(.headers(stream, expected.0))
                try client.read { $0.responses[stream]?.resetCode != nil }
                let response = try client.response(stream)
                #expect(response[":status"] == expected.status)
                #expect(response["grpc-status"] == expected.code)
                #expect(response["grpc-message"] == expected.message)
                #expect(response.resetCode == 0)
                if expected.3.contains("snappy") { #expect(response["grpc-accept-encoding"] == "identity,gzip") }
            }
            #expect(try await look(server) { $0.counters.refused } == cases.count)
            // The connection is as good as before.
            try client.call(101, "/test.Echo/Unary", [1])
            #expect(try client.response(101)["grpc-status"] == "0")
        }
    }

    @Test("A method that takes one message refuses none, two, half of one, and one that is too large")
    func cardinality() async throws {
        try await withEchoServer { _, port, diary in
            let client = try connect(port)
            let request = RawFrame.request("/test.Echo/Unary")
            try client.send(.headers(1, request, endStream: true))
            #expect(try client.response(1)["grpc-status"] == "13")
            try client.send(.headers(3, request), .data(3, RawFrame.message([1]) + RawFrame.message([2]), endStream: true))
            #expect(try client.response(3)["grpc-status"] == "13")
            try client.send(.headers(5, request), .data(5, [0, 0, 0, 0, 9, 1], endStream: true))
            #expect(try client.response(5)["grpc-message"] == "unexpected EOF")
            try client.send(.headers(7, request), .data(7, [0, 0, 0x20, 0, 1, 1]))
            #expect(try client.response(7)["grpc-message"] == "grpc: received message larger than max (2097153 vs. 2097152)")
            #expect(try client.response(7)["grpc-status"] == "8")
            try client.send(.headers(9, request), .data(9, [2, 0, 0, 0, 1, 1]))
            #expect(try client.response(9)["grpc-message"] == "grpc: received unexpected payload format 2")
            #expect(diary.all.isEmpty)
        }
    }

    @Test("An answer that is larger than may be sent ends its call in etcd's words, one in parts as well; one at the limit is sent")
    func tooLargeToSend() async throws {
        var messages = GRPCLimits()
        messages.sentMessageLimit = 100
        try await withEchoServer(messages: messages) { _, port, diary in
            let client = try connect(port)
            func message(_ count: Int) -> [UInt8] { RawFrame.message(Array(repeating: 1, count: count)) }
            try client.send(.headers(1, RawFrame.request("/test.Echo/Unary")), .data(1, message(101), endStream: true))
            try client.send(.headers(3, RawFrame.request("/test.Echo/Unary")), .data(3, message(100), endStream: true))
            try client.send(.headers(5, RawFrame.request("/test.Echo/Bidi")), .data(5, message(100) + message(101)))
            try client.send(.headers(7, RawFrame.request("/test.Echo/Parts")), .data(7, message(50) + message(51)))
            try client.send(.headers(9, RawFrame.request("/test.Echo/Thrice")), .data(9, message(101), endStream: true))
            for (stream, size, sent) in [(Int32(1), 101, 0), (3, 100, 100), (5, 101, 100), (7, 102, 100), (9, 101, 0)] {
                let response = try client.response(stream)
                #expect(response.body.count == (sent > 0 ? sent + 5 : 0))
                guard stream != 3 else { continue }
                #expect(response["grpc-status"] == "8")
                #expect(response["grpc-message"] == "grpc: trying to send message larger than max (\(size) vs. 100)")
            }
            // The two that were open, and the one whose handler had not ended it.
            try await diary.expect("cancelled", times: 3)
        }
    }

    @Test("Trailers from the client end its input")
    func clientTrailers() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.send(
                .headers(1, RawFrame.request("/test.Echo/Unary")), .data(1, RawFrame.message([5])),
                .headers(1, [("x-checksum", "1")], endStream: true))
            #expect(try client.response(1).body == RawFrame.message([5]))
        }
    }

    @Test("A deadline that passes ends the call and stops the work; one that doesn't, does nothing")
    func deadlines() async throws {
        try await withEchoServer { server, port, diary in
            let client = try connect(port)
            try client.call(1, "/test.Echo/Never", [1], extra: [("grpc-timeout", "30m")])
            try client.call(3, "/test.Echo/Unary", [1], extra: [("grpc-timeout", "10S")])
            try client.call(5, "/test.Echo/Unary", [1], extra: [("grpc-timeout", "99999999H")])
            try client.send(.headers(7, RawFrame.request("/test.Echo/Unary", [("grpc-timeout", "20m")])))
            try client.send(.headers(9, RawFrame.request("/test.Echo/Bidi", [("grpc-timeout", "0n")])))
            #expect(try client.response(3)["grpc-status"] == "0")
            #expect(try client.response(5)["grpc-status"] == "0")
            for stream: Int32 in [1, 7, 9] {
                let response = try client.response(stream)
                #expect(response["grpc-status"] == "4")
                #expect(response["grpc-message"] == "context deadline exceeded")
            }
            // Stream 7 never had a message and stream 9 was late from the start: the handler knows of neither.
            try await diary.expect("cancelled")
            #expect(diary.count("cancelled") == 1)
            #expect(try await look(server) { $0.wheel.count } == 0)
        }
    }

    @Test("A call is flagged by the field that the server looks for, where that is true")
    func flagged() async throws {
        try await withEchoServer { server, port, diary in
            let client = try connect(port)
            try client.send(.headers(1, RawFrame.request("/test.Echo/Bidi", [("x-flag", "true")])))
            try await diary.expect("started flagged")
            try client.send(.headers(3, RawFrame.request("/test.Echo/Bidi", [("x-flag", "false")])))
            try await diary.expect("started")
            try client.send(.headers(5, RawFrame.request("/test.Echo/Bidi")))
            try await diary.expect("started", times: 2)
            #expect(diary.count("started flagged") == 1)
        }
    }

    @Test("Calls are counted by the values of the server's field, those of too many values, and odd ones, together")
    func countedField() async throws {
        try await withEchoServer { server, port, diary in
            let client = try connect(port)
            var stream: Int32 = 1
            func begin(_ version: String?, _ path: String = "/test.Echo/Bidi") throws {
                try client.send(.headers(stream, RawFrame.request(path, version.map { [("x-version", $0)] } ?? [])))
                stream += 2
            }
            for _ in 0..<3 { try begin("3.6") }
            try begin("3.5", "/test.Echo/Never")
            try begin(nil)
            try begin(nil, "/test.Echo/Never")
            for version in ["sixteen bytes...", "odd \u{E9}", ""] { try begin(version) }
            for number in 0..<20 { try begin("v\(number)") }
            try begin("3.6")
            try begin("v19")
            #expect(try await eventually(server) { $0.counters.methods.reduce(0) { $0 + $1.started } == 31 })
            let values = try await look(server) { $0.counters.fieldValues }
            #expect(values.count == 18, "the absent, the other, and sixteen values")
            func counts(_ value: GRPCCounters.FieldValue.Value) -> [Int]? {
                values.first { $0.value == value }.map { [$0.unary, $0.streams] }
            }
            #expect(counts(.text("3.6")) == [0, 4] && counts(.text("3.5")) == [1, 0] && counts(.absent) == [1, 1])
            #expect(counts(.text("v13")) == [0, 1] && counts(.text("v14")) == nil)
            #expect(counts(.other) == [0, 3 + 6 + 1])
        }
    }

    @Test("A reset reaches the work, and what is done with the call afterwards does nothing")
    func resets() async throws {
        try await withEchoServer { server, port, diary in
            let client = try connect(port)
            try client.call(1, "/test.Echo/Never", [1])
            try client.send(.headers(3, RawFrame.request("/test.Echo/Bidi")))
            try await diary.expect("started")
            try client.send(.reset(1), .reset(3))
            try await diary.expect("cancelled", times: 2)
            for slot in UInt32(0)..<4 {
                for generation in UInt32(0)..<4 {
                    let stale = CallID(caller: 0, stream: StreamHandle(slot: slot, generation: generation))
                    try await look(server) { loop in
                        loop.respond(stale, "late")
                        _ = loop.send(stale, "late")
                        loop.finish(stale, .ok)
                    }
                }
            }
            try client.call(5, "/test.Echo/Unary", [2])
            #expect(try client.response(5).body == RawFrame.message([2]))
            #expect(client.responses[1] == nil && client.responses[3] == nil)
        }
    }

    @Test("Clients that vanish while their calls are elsewhere leave nothing behind, and late answers go nowhere")
    func vanishing() async throws {
        try await withEchoServer { server, port, diary in
            for round in 1...20 {
                let client = try connect(port)
                for stream in 0..<10 { try client.call(Int32(stream * 2 + 1), "/test.Echo/Never", [1]) }
                try await diary.expect("message 1", times: round * 10)
                let calls = try await look(server) { loop in
                    (0..<loop.callCapacity).filter { loop.calls[$0].flags.contains(.open) }.map {
                        CallID(caller: 0, stream: StreamHandle(slot: UInt32($0), generation: loop.calls[$0].generation))
                    }
                }
                #expect(calls.count == 10)
                client.abort()
                // As the engine would: from another thread, at any time.
                server.loops[0].execute { loop in for call in calls { loop.respond(call, "late") } }
            }
            #expect(try await eventually(server) { $0.http2.openStreamCount == 0 })
            let counters = try await look(server) { $0.counters.methods[4] }
            #expect(counters.started == 200)
            #expect(counters.finished.reduce(0, +) == 200)
        }
    }

    @Test("Answers posted from another thread in one batch reach their calls")
    func batches() async throws {
        try await withEchoServer(loopCount: 2) { server, port, diary in
            let client = try connect(port)
            for stream in 0..<50 { try client.call(Int32(stream * 2 + 1), "/test.Echo/Never", [1]) }
            try await diary.expect("message 1", times: 50)
            for loop in server.loops {
                loop.execute { loop in
                    for slot in 0..<loop.callCapacity where loop.calls[slot].flags.contains(.open) {
                        let stream = StreamHandle(slot: UInt32(slot), generation: loop.calls[slot].generation)
                        loop.respond(CallID(caller: loop.callerIndex, stream: stream), "done")
                    }
                }
            }
            for stream in 0..<50 {
                #expect(try client.response(Int32(stream * 2 + 1)).body == RawFrame.message(Array("done".utf8)))
            }
        }
    }

    @Test("A server listens on several addresses, unix sockets among them, and replaces a socket that was left behind")
    func addresses() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pine-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("socket").path
        for _ in 0..<2 {
            let configuration = HTTP2Configuration(
                addresses: [.tcp(host: "127.0.0.1", port: 0), .unix(path: path), .tcp(host: "127.0.0.1", port: 0)], loopCount: 2)
            let server = try await GRPCServer.start(
                configuration, methods: EchoHandler.methods, logger: Logger(label: "test")
            ) { EchoHandler($0, Diary()) }
            let ports = server.boundAddresses.compactMap(\.port)
            #expect(Set(ports).count == 2 && server.boundAddresses[1].pathname == path)
            for client in [try RawClient(port: ports[0]), try RawClient(unixPath: path), try RawClient(port: ports[1])] {
                try client.sendPreface()
                try client.call(1, "/test.Echo/Unary", [1])
                #expect(try client.response(1)["grpc-status"] == "0")
            }
            await server.shutdown(graceMs: 0)
        }
    }

    @Test("An address that is taken is an error, and nothing is left behind")
    func takenAddress() async throws {
        try await withEchoServer { _, port, _ in
            let configuration = HTTP2Configuration(
                addresses: [.tcp(host: "127.0.0.1", port: 0), .tcp(host: "127.0.0.1", port: port)], loopCount: 1)
            await #expect(throws: (any Error).self) {
                _ = try await GRPCServer.start(
                    configuration, methods: EchoHandler.methods, logger: Logger(label: "test")
                ) { EchoHandler($0, Diary()) }
            }
        }
    }

    @Test("What a loop counts adds up")
    func counters() async throws {
        try await withEchoServer { server, port, _ in
            let client = try connect(port)
            try client.call(1, "/test.Echo/Unary", [1, 2, 3])
            try client.call(3, "/test.Echo/Thrice", [1, 2])
            try client.call(5, "/test.Echo/Fail", [1])
            for stream: Int32 in [1, 3, 5] { _ = try client.response(stream) }
            let methods = try await look(server) { $0.counters.methods }
            #expect(methods[0].finished[0] == 1 && methods[0].bytesSent == 3 && methods[0].bytesReceived == 3)
            #expect(methods[1].messagesSent == 3 && methods[1].bytesSent == 6 && methods[1].messagesReceived == 1)
            #expect(methods[3].finished[9] == 1 && methods[3].messagesSent == 0)
        }
    }
}

internal import Bytes
internal import HTTP2
internal import RawHTTP2
internal import Testing

@testable import GRPC

/// Every peer here does what no honest one does. Each test ends with the connection closed where the RFC allows it, memory
/// bounded, and a neighbour's call answered.
@Suite("Abuse", .serialized)
struct AbuseTests {
    private let unary = RawFrame.request("/test.Echo/Unary")

    private func connect(_ port: Int) throws -> RawClient {
        let client = try RawClient(port: port)
        try client.sendPreface()
        return client
    }

    /// Sends what `frames` makes, for as long as the server listens, at most `limit` times. Returns whether it closed.
    private func flood(_ client: RawClient, limit: Int, _ bytes: (Int) -> [UInt8]) throws -> Bool {
        for index in 0..<limit {
            do { try client.send(bytes: bytes(index)) } catch { break }
        }
        try client.readToEnd()
        return client.isClosed
    }

    private func expectService(_ port: Int) throws {
        let neighbour = try connect(port)
        try neighbour.call(1, "/test.Echo/Unary", [1])
        #expect(try neighbour.response(1)["grpc-status"] == "0")
    }

    private let enhanceYourCalm: UInt32 = 11

    // MARK: Before the preface

    @Test("Whoever speaks something else is closed, and whoever says nothing, too, after a while")
    func noPreface() async throws {
        var limits = HTTP2Limits()
        limits.prefaceTimeoutMs = 500
        try await withEchoServer(limits: limits) { _, port, _ in
            for text in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "\u{16}\u{3}\u{1}"] {
                let client = try RawClient(port: port)
                try client.send(bytes: Array(text.utf8))
                try client.readToEnd()
            }
            let silent = try RawClient(port: port)
            let slow = try RawClient(port: port)
            try slow.send(bytes: Array(RawFrame.magic.prefix(10)))
            try silent.readToEnd()
            try slow.readToEnd()
            try expectService(port)
        }
    }

    @Test("The preface may come byte by byte")
    func slowPreface() async throws {
        try await withEchoServer { _, port, _ in
            let client = try RawClient(port: port)
            for byte in RawFrame.magic + RawFrame.settings().bytes { try client.send(bytes: [byte]) }
            try client.call(1, "/test.Echo/Unary", [1])
            #expect(try client.response(1)["grpc-status"] == "0")
        }
    }

    // MARK: Headers

    @Test("A header list over the limit is answered with 431, and the connection goes on")
    func largeHeaders() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            let bulk = (0..<12).map { ("x-\($0)", String(repeating: "v", count: 6_000)) }
            let block = RawFrame.headerBlock(unary + bulk)
            try client.send(
                RawFrame(RawFrame.Kind.headers, flags: RawFrame.Flag.endStream, stream: 1, Array(block[..<16_384])))
            for start in stride(from: 16_384, to: block.count, by: 16_384) {
                let end = min(start + 16_384, block.count)
                try client.send(
                    RawFrame(
                        RawFrame.Kind.continuation, flags: end == block.count ? RawFrame.Flag.endHeaders : 0, stream: 1,
                        Array(block[start..<end])))
            }
            #expect(try client.response(1)[":status"] == "431")
            #expect(client.settings[6] == 65_536)
            try client.call(3, "/test.Echo/Unary", [1])
            #expect(try client.response(3)["grpc-status"] == "0")
        }
    }

    @Test("A block that decompresses to far more than it is ends its stream, and many of them stay bounded")
    func compressionBomb() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            // One field of 4,000 bytes goes into the dynamic table (index 62); then one byte each calls it up again.
            let bomb = RawFrame.headerBlock(unary) + [0x40, 1, 0x78, 0x7F, 0xA1, 0x1E] + Array(repeating: 0x61, count: 4_000)
            try client.send(
                RawFrame(
                    RawFrame.Kind.headers, flags: RawFrame.Flag.endHeaders | RawFrame.Flag.endStream, stream: 1,
                    bomb + Array(repeating: 0xBE, count: 10_000)))
            try client.read { $0.responses[1]?.isOver == true }
            #expect(client.responses[1]?["grpc-status"] == nil)
            // 62 KiB each, out of a hundred bytes.
            for index in 1...3_000 {
                let stream = Int32(index * 2 + 1)
                let block = RawFrame.headerBlock(unary) + Array(repeating: 0xBE, count: 14)
                try client.send(
                    RawFrame(
                        RawFrame.Kind.headers, flags: RawFrame.Flag.endHeaders | RawFrame.Flag.endStream, stream: stream, block))
            }
            #expect(try client.response(6_001)["grpc-status"] == "13")
        }
    }

    @Test("A flood of CONTINUATION frames closes the connection")
    func continuations() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.send(.headers(1, unary, endStream: true, endHeaders: false))
            #expect(try flood(client, limit: 100_000) { _ in RawFrame(RawFrame.Kind.continuation, stream: 1, [0, 1, 0x61, 0]).bytes })
            try expectService(port)
        }
    }

    @Test("Malformed header blocks end their stream; undecodable ones the connection")
    func malformedHeaders() async throws {
        try await withEchoServer { _, port, diary in
            let client = try connect(port)
            var stream: Int32 = 1
            let bad: [[(String, String)]] = [
                [("X-Upper", "1")], [("connection", "close")], [(":status", "200")], [("te", "gzip")],
                [(":path", "/twice")], [("x", "line\nbreak")], [("content-length", "-1")], [("transfer-encoding", "chunked")],
                // What comes is one byte less, and one byte more.
                [("content-length", "7")], [("content-length", "5")],
            ]
            for extra in bad {
                try client.send(.headers(stream, unary + extra), .data(stream, RawFrame.message([1]), endStream: true))
                #expect(try client.response(stream).resetCode == 1, "\(extra)")
                stream += 2
            }
            for absent in [":method", ":scheme", ":path"] {
                try client.send(.headers(stream, unary.filter { $0.0 != absent }))
                #expect(try client.response(stream).resetCode == 1, "\(absent)")
                stream += 2
            }
            // Trailers with a pseudo-header field, and some that don't end the stream.
            for (trailers, endStream) in [([(":path", "/a")], true), ([("x", "1")], false)] {
                try client.send(
                    .headers(stream, unary), .data(stream, RawFrame.message([1])), .headers(stream, trailers, endStream: endStream))
                #expect(try client.response(stream).resetCode == 1)
                stream += 2
            }
            #expect(diary.all.isEmpty)
            try client.send(
                RawFrame(RawFrame.Kind.headers, flags: RawFrame.Flag.endHeaders, stream: stream + 2, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF]))
            try client.readToEnd()
            #expect(client.goAway?.code == 9)
            try expectService(port)
        }
    }

    // MARK: Floods

    @Test("Rapid reset closes the connection")
    func rapidReset() async throws {
        try await withEchoServer { server, port, _ in
            let client = try connect(port)
            let closed = try flood(client, limit: 100_000) { index in
                let stream = Int32(index * 2 + 1)
                return RawFrame.headers(stream, RawFrame.request("/test.Echo/Bidi")).bytes + RawFrame.reset(stream).bytes
            }
            #expect(closed)
            #expect(client.goAway?.code == enhanceYourCalm)
            #expect(try await look(server) { $0.http2.counters.connectionsRefused } == 1)
            #expect(try await look(server) { $0.counters.methods[2].started } < 8_000)
            #expect(try await eventually(server) { $0.http2.openStreamCount == 0 })
            try expectService(port)
        }
    }

    @Test("Making the server reset streams is no better than resetting them")
    func madeYouReset() async throws {
        try await withEchoServer { server, port, _ in
            let client = try connect(port)
            let closed = try flood(client, limit: 100_000) { index in
                let stream = Int32(index * 2 + 1)
                // A window update of 0 is a stream error (RFC 9113 section 6.9).
                return RawFrame.headers(stream, RawFrame.request("/test.Echo/Never")).bytes
                    + RawFrame.windowUpdate(stream, 0x7FFF_FFFF).bytes
            }
            #expect(closed)
            #expect(try await look(server) { $0.counters.methods[4].started } < 10_000)
            try expectService(port)
        }
    }

    @Test("Pings without need close the connection with too_many_pings")
    func pings() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            for value in 0..<5 { try client.send(.ping(UInt8(value))) }
            try client.readToEnd()
            #expect(client.goAway?.code == enhanceYourCalm)
            #expect(client.goAway?.debug == "too_many_pings")
            try expectService(port)
        }
    }

    @Test(
        "Frames without content, whatever their kind, close the connection when they are too many",
        arguments: ["settings", "window update", "empty data", "ping acknowledgements"])
    func emptyFrames(kind: String) async throws {
        var limits = HTTP2Limits()
        limits.controlFrameBurstLimit = 1_000
        limits.controlFramesPerSecondLimit = 10
        try await withEchoServer(limits: limits) { _, port, _ in
            let client = try connect(port)
            client.isWellBehaved = false
            try client.send(.headers(1, unary))
            let frame =
                switch kind {
                case "settings": RawFrame.settings()
                case "window update": RawFrame.windowUpdate(0, 1)
                case "empty data": RawFrame.data(1, [])
                default: RawFrame.ping(9, ack: true)
                }
            let closed = try flood(client, limit: 3_000) { _ in frame.bytes + frame.bytes }
            #expect(closed)
            try expectService(port)
        }
    }

    @Test("Answers to control frames don't pile up for a peer that doesn't read them")
    func unreadAnswers() async throws {
        var limits = HTTP2Limits()
        limits.controlFrameBurstLimit = 100_000_000
        try await withEchoServer(limits: limits) { server, port, _ in
            let client = try RawClient(port: port, receiveBuffer: 4_096)
            try client.sendPreface()
            client.isWellBehaved = false
            let burst = Array(repeating: RawFrame.settings().bytes, count: 1_000).flatMap { $0 }
            for _ in 0..<100_000 {
                do { try client.send(bytes: burst) } catch { break }
            }
            #expect(try await eventually(server) { $0.http2.counters.connectionsClosed == 1 })
            try expectService(port)
        }
    }

    @Test("Streams beyond the limit are refused or end the connection, and the limit is announced")
    func tooManyStreams() async throws {
        var limits = HTTP2Limits()
        limits.concurrentStreamsLimit = 10
        try await withEchoServer(limits: limits) { server, port, _ in
            let client = try connect(port)
            try client.read { $0.settings[3] == 10 }
            for index in 0..<10 { try client.send(.headers(Int32(index * 2 + 1), RawFrame.request("/test.Echo/Bidi"))) }
            try client.send(.ping(1))
            try client.read { $0.pingAcks == 1 }
            #expect(try await look(server) { $0.http2.openStreamCount } == 10)
            try client.send(.headers(21, RawFrame.request("/test.Echo/Bidi")))
            try client.read { $0.isClosed || $0.responses[21]?.isOver == true }
            #expect(try await look(server) { $0.http2.openStreamCount } <= 10)
            #expect(try await look(server) { $0.counters.methods[2].started } == 10)
            try expectService(port)
        }
    }

    // MARK: Frames that break the rules

    @Test(
        "Connection errors are answered with GOAWAY and the connection is closed",
        arguments: [
            ("data on stream 0", RawFrame.data(0, [1]).bytes, UInt32(1)),
            ("data on an idle stream", RawFrame.data(5, [1]).bytes, 1),
            ("a reset of an idle stream", RawFrame.reset(7).bytes, 1),
            ("a window beyond 2^31-1", RawFrame.windowUpdate(0, 0x7FFF_FFFF).bytes, 3),
            ("a window update of nothing", RawFrame.windowUpdate(0, 0).bytes, 1),
            ("settings of a wrong size", RawFrame(RawFrame.Kind.settings, [1]).bytes, 6),
            ("a ping of a wrong size", RawFrame(RawFrame.Kind.ping, [1]).bytes, 6),
            ("a push promise", RawFrame(RawFrame.Kind.pushPromise, flags: 4, stream: 1, [0, 0, 0, 2]).bytes, 1),
            ("a continuation of nothing", RawFrame(RawFrame.Kind.continuation, flags: 4, stream: 1, []).bytes, 1),
            ("an even stream", RawFrame.headers(2, RawFrame.request("/test.Echo/Unary")).bytes, 1),
            (
                "padding longer than the frame",
                RawFrame.headers(1, RawFrame.request("/test.Echo/Unary")).bytes
                    + RawFrame(RawFrame.Kind.data, flags: RawFrame.Flag.padded, stream: 1, [9, 1]).bytes, 1
            ),
        ])
    func connectionErrors(name: String, bytes: [UInt8], code: UInt32) async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.send(bytes: bytes)
            // More follows, as from a peer that has noticed nothing: our last words must reach it nevertheless.
            try? client.send(bytes: RawFrame.ping().bytes)
            try client.readToEnd()
            #expect(client.goAway?.code == code)
            try expectService(port)
        }
    }

    @Test("A frame larger than we allow closes the connection before it is read")
    func oversizedFrame() async throws {
        try await withEchoServer { _, port, _ in
            let client = try connect(port)
            try client.send(.headers(1, unary))
            try client.send(bytes: [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1])
            try client.readToEnd()
            #expect(client.goAway?.code == 6)
        }
    }

    @Test("Half a frame, half a message, half a header block: whatever is cut short by the end leaves nothing behind")
    func halfSent() async throws {
        try await withEchoServer { server, port, diary in
            let whole =
                RawFrame.magic + RawFrame.settings().bytes + RawFrame.headers(1, unary).bytes
                + RawFrame.data(1, RawFrame.message([1, 2, 3])).bytes + RawFrame.headers(3, RawFrame.request("/test.Echo/Bidi")).bytes
            for count in stride(from: 0, to: whole.count, by: 3) {
                let client = try RawClient(port: port)
                try client.send(bytes: Array(whole[..<count]))
                if count % 2 == 0 { client.abort() }
            }
            #expect(try await eventually(server) { $0.http2.openStreamCount == 0 && $0.http2.openConnectionCount == 0 })
            #expect(try await look(server) { $0.connections.allSatisfy { $0 == nil } })
            try expectService(port)
        }
    }

    @Test("Data sent beyond the window is a flow control error")
    func windowOverrun() async throws {
        var limits = HTTP2Limits()
        limits.streamWindowSize = 65_535
        var messages = GRPCLimits()
        messages.bufferedSoftLimit = 1
        try await withEchoServer(limits: limits, messages: messages) { _, port, _ in
            let client = try connect(port)
            // The first unfinished message is favoured; the second gets no window back.
            try client.send(.headers(1, unary), .data(1, [0, 0, 1, 0, 0, 1, 1]), .headers(3, unary))
            try client.send(.data(3, [0, 0, 0x10, 0, 0]))
            for _ in 0..<4 { try client.send(.data(3, Array(repeating: 1, count: 16_384))) }
            try client.read { $0.goAway != nil || $0.responses[3]?.resetCode != nil }
            #expect(client.responses[3]?.resetCode == 3 || client.goAway?.code == 3)
            #expect(client.windowUpdates[3] == nil)
            try expectService(port)
        }
    }

    // MARK: Memory

    @Test("Streams that open and never send cost little each and do nothing")
    func idleStreams() async throws {
        try await withEchoServer { server, port, diary in
            let client = try connect(port)
            for index in 0..<5_000 { try client.send(.headers(Int32(index * 2 + 1), unary)) }
            try client.send(.ping())
            try client.read { $0.pingAcks == 1 }
            #expect(try await look(server) { $0.http2.openStreamCount } == 5_000)
            #expect(diary.all.isEmpty)
            client.abort()
            #expect(try await eventually(server) { $0.http2.openStreamCount == 0 })
        }
    }

    @Test("Many large messages at once all arrive, though only few may be kept unfinished")
    func manyUploads() async throws {
        var messages = GRPCLimits()
        messages.bufferedSoftLimit = 1 << 20
        messages.bufferedHardLimit = 64 << 20
        var limits = HTTP2Limits()
        limits.streamWindowSize = 64 << 10
        try await withEchoServer(limits: limits, messages: messages) { server, port, _ in
            let client = try connect(port)
            // Our window counts once we have seen and acknowledged it.
            try client.read { $0.settings[4] == 64 << 10 }
            let count = 40
            let bytes = RawFrame.message(Array(repeating: 0x55, count: 300_000))
            var sent = [Int](repeating: 0, count: count)
            for index in 0..<count { try client.send(.headers(Int32(index * 2 + 1), unary)) }
            // Round robin, each as far as its window goes: every message is unfinished for as long as possible.
            while sent.contains(where: { $0 < bytes.count }) {
                var moved = false
                for index in 0..<count where sent[index] < bytes.count {
                    let stream = Int32(index * 2 + 1)
                    let window = (64 << 10) + (client.windowUpdates[stream] ?? 0) - sent[index]
                    let piece = min(8_192, window, bytes.count - sent[index])
                    if piece <= 0 { continue }
                    let end = sent[index] + piece
                    try client.send(.data(stream, Array(bytes[sent[index]..<end]), endStream: end == bytes.count))
                    sent[index] = end
                    moved = true
                }
                if !moved {
                    let before = client.windowUpdates
                    try client.read { $0.windowUpdates != before }
                }
            }
            for index in 0..<count {
                let response = try client.response(Int32(index * 2 + 1))
                #expect(response["grpc-status"] == "0" && response.body.count == bytes.count)
            }
            #expect(try await look(server) { $0.connections.first??.inbound.buffered } == 0)
        }
    }

    @Test("Unfinished messages over the hard limit are refused")
    func tooManyUploads() async throws {
        var messages = GRPCLimits()
        messages.bufferedSoftLimit = 32 << 10
        messages.bufferedHardLimit = 256 << 10
        try await withEchoServer(messages: messages) { server, port, _ in
            let client = try connect(port)
            for index in 0..<50 {
                let stream = Int32(index * 2 + 1)
                try client.send(.headers(stream, unary), .data(stream, [0, 0, 0x10, 0, 0] + Array(repeating: 1, count: 16_000)))
            }
            // Sixteen of 16,000 bytes fit.
            try client.read { $0.responses.values.count { $0["grpc-status"] == "8" } == 34 }
            #expect(try await look(server) { $0.connections.first??.inbound.buffered ?? 0 } < 300 << 10)
        }
    }

    @Test("A slow reader of a stream holds up its handler, not our memory, and gets everything in the end")
    func slowReader() async throws {
        try await withEchoServer { server, port, diary in
            let client = try RawClient(port: port, receiveBuffer: 16_384)
            try client.sendPreface()
            try client.call(1, "/test.Echo/Flood", [1])
            try client.call(3, "/test.Echo/Unary", [2])
            try await diary.expect("message 1", times: 2)
            // With a window of 64 KiB, hardly anything can have left.
            #expect(diary.count("writable") <= 2)
            #expect(try await look(server) { $0.http2.queuedByteCount } < 1 << 20)
            // The short answer overtakes the long one.
            #expect(try client.response(3).body == RawFrame.message([2]))
            let response = try client.response(1)
            #expect(response.body.count == EchoHandler.floodCount * (EchoHandler.floodMessage.count + 5))
            #expect(response["grpc-status"] == "0")
            #expect(diary.count("writable") > 10)
        }
    }

    @Test("Requests for large answers that nobody reads wait outside, and are served when there is room")
    func unreadResponses() async throws {
        var limits = HTTP2Limits()
        limits.connectionKeptHighWaterMark = 32 << 20
        try await withEchoServer(limits: limits) { server, port, diary in
            let client = try RawClient(port: port, receiveBuffer: 16_384)
            try client.sendPreface()
            for index in 0..<40 { try client.call(Int32(index * 2 + 1), "/test.Echo/Large", [1]) }
            #expect(try await eventually(server) { ($0.connections.first??.waiting.count ?? 0) > 30 })
            let queued = try await look(server) { $0.http2.queuedByteCount }
            #expect(queued < 64 << 20)
            #expect(diary.count("message 1") < 10)
            client.abort()
            #expect(try await eventually(server) { $0.http2.openStreamCount == 0 && $0.http2.openConnectionCount == 0 })
        }
    }

    @Test("Parked requests are answered in the end when the client reads")
    func parkedResponses() async throws {
        var limits = HTTP2Limits()
        limits.connectionKeptHighWaterMark = 4 << 20
        limits.connectionKeptLowWaterMark = 1 << 20
        try await withEchoServer(limits: limits) { server, port, diary in
            let client = try connect(port)
            for index in 0..<6 { try client.call(Int32(index * 2 + 1), "/test.Echo/Large", [1], extra: [("grpc-timeout", "1M")]) }
            for index in 0..<6 { #expect(try client.response(Int32(index * 2 + 1)).body.count == (8 << 20) + 5) }
            #expect(try await look(server) { $0.connections.first??.inbound.buffered } == 0)
        }
    }
}

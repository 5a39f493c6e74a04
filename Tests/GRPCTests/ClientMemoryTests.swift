internal import Bytes
internal import HTTP1
internal import HTTP2
internal import RawHTTP2
internal import Synchronization
internal import Testing

@testable import GRPC

/// Clients that ask and don't read. What they ask for waits outside, others are served, and when they read everything comes.
@Suite("Memory for clients that do not read", .serialized)
struct ClientMemoryTests {
    /// Of SETTINGS: what a stream may be sent, in bytes.
    private let initialWindowSize: UInt16 = 4

    private func limits(_ change: (inout HTTP2Limits) -> Void = { _ in }) -> HTTP2Limits {
        var limits = HTTP2Limits()
        limits.connectionKeptHighWaterMark = 256 << 10
        limits.connectionKeptLowWaterMark = 128 << 10
        limits.connectionWindowSize = 1 << 20
        limits.expectedAnswerBytes = 32 << 10
        change(&limits)
        return limits
    }

    /// A client whose streams may be sent nothing.
    private func closedClient(_ port: Int) throws -> RawClient {
        let client = try RawClient(port: port)
        try client.sendPreface([(initialWindowSize, 0)])
        try client.send(.ping(1))
        try client.read { $0.pingAcks == 1 && $0.settings[initialWindowSize] != nil }
        return client
    }

    private func openWindow(_ client: RawClient) throws {
        try client.send(.settings([(initialWindowSize, 1 << 30)]), .windowUpdate(0, 1 << 30))
    }

    private func expectService(_ port: Int) throws {
        let neighbour = try RawClient(port: port)
        try neighbour.sendPreface()
        for stream: Int32 in [1, 3] {
            try neighbour.call(stream, "/test.Echo/Unary", [1])
            #expect(try neighbour.response(stream)["grpc-status"] == "0")
        }
        try neighbour.send(.headers(5, RawFrame.request("/test.Echo/Bidi")), .data(5, RawFrame.message([2]), endStream: true))
        #expect(try neighbour.response(5).body == RawFrame.message([2]))
    }

    @Test(
        "Messages on streams that are not read wait; once there is window all answers come, in order",
        arguments: [(streams: 20, messages: 300), (streams: 150, messages: 40)])
    func bidirectional(streams: Int, messages: Int) async throws {
        try await withEchoServer(limits: limits()) { server, port, diary in
            let client = try closedClient(port)
            let ids = (0..<streams).map { Int32($0 * 2 + 1) }
            for id in ids { try client.send(.headers(id, RawFrame.request("/test.Echo/Bidi"))) }
            let body = (0..<messages).flatMap { RawFrame.message([UInt8($0 >> 8), UInt8($0 & 255)]) }
            // Two halves, so that many have something that waits when more comes. A message is cut in between.
            for half in [body[..<(body.count / 2)], body[(body.count / 2)...]] {
                for id in ids { try client.send(.data(id, Array(half), endStream: half.endIndex == body.count)) }
            }
            try client.send(.ping(2))
            try client.read { $0.pingAcks == 2 }
            #expect(try await look(server) { !($0.connections.first??.waiting.isEmpty ?? true) })
            let (kept, held) = try await look(server) { ($0.http2.keptByteCount, $0.connections.first??.heldBytes ?? 0) }
            // Unbounded it would be 850 KB. One frame is more than what is looked at ahead.
            #expect(kept < (256 << 10) + (200 << 10) + held + streams * 1_024)
            #expect(held > 0 && held <= 1 << 20)
            #expect(diary.count("message 2") < streams * messages)
            #expect(try await look(server) { $0.heldBackCount } == 1)
            try expectService(port)
            try openWindow(client)
            for id in ids {
                let response = try client.response(id)
                #expect(response.body == body && response["grpc-status"] == "0")
            }
            #expect(try await eventually(server) { $0.http2.keptByteCount == 0 && $0.heldInput.isEmpty })
            #expect(try await look(server) { $0.connections.first??.heldBytes } == 0)
            // The window of the connection has come back whole, or nearly.
            try client.send(.headers(9_001, RawFrame.request("/test.Echo/Unary")))
            try client.send(.data(9_001, RawFrame.message([3]), endStream: true))
            #expect(try client.response(9_001)["grpc-status"] == "0")
            let sent = streams * body.count
            #expect((client.windowUpdates[0] ?? 0) > sent - (1 << 19))
        }
    }

    @Test("Streams whose input waits may end, by the client and with their connection")
    func givenUp() async throws {
        try await withEchoServer(limits: limits()) { server, port, _ in
            let client = try closedClient(port)
            let body = (0..<600).flatMap { _ in RawFrame.message([1, 2]) }
            for id in stride(from: Int32(1), to: 80, by: 2) {
                try client.send(.headers(id, RawFrame.request("/test.Echo/Bidi")), .data(id, body))
            }
            #expect(try await eventually(server) { $0.heldInput.count > 20 })
            for id in stride(from: Int32(41), to: 80, by: 2) { try client.send(.reset(id)) }
            #expect(try await eventually(server) { $0.http2.openStreamCount == 20 && $0.heldInput.count < 20 })
            #expect(
                try await look(server) { loop in
                    loop.connections.first??.heldBytes == loop.heldInput.values.reduce(0) { $0 + $1.bytes.count }
                })
            client.abort()
            #expect(try await eventually(server) { $0.http2.openConnectionCount == 0 && $0.heldInput.isEmpty })
            #expect(try await look(server) { $0.http2.keptByteCount } == 0)
            try expectService(port)
        }
    }

    @Test("A handler that takes one message at a time gets one at a time, however they come, and the windows come back")
    func paced() async throws {
        try await withEchoServer(limits: limits { $0.connectionKeptHighWaterMark = 64 << 20 }) { server, port, diary in
            let client = try RawClient(port: port)
            try client.sendPreface()
            let bodies = (0..<3).map { call in (0..<400).flatMap { RawFrame.message([UInt8(call), UInt8($0 >> 8), UInt8($0 & 255)]) } }
            for (index, body) in bodies.enumerated() {
                let stream = Int32(index * 2 + 1)
                try client.send(.headers(stream, RawFrame.request("/test.Echo/Paced")))
                // In frames of odd sizes, which cut messages.
                for start in stride(from: 0, to: body.count, by: 1_001) {
                    try client.send(.data(stream, Array(body[start..<min(start + 1_001, body.count)])))
                }
                try client.send(.data(stream, [], endStream: true))
            }
            try client.send(.headers(7, RawFrame.request("/test.Echo/Paced")), .data(7, bodies[0]))
            for (index, body) in bodies.enumerated() {
                let response = try client.response(Int32(index * 2 + 1))
                #expect(response.body == body && response["grpc-status"] == "0")
            }
            try client.read { $0.responses[7]?.body == bodies[0] }
            #expect(diary.count("too early") == 0)
            #expect(try await look(server) { $0.heldInput.isEmpty && $0.connections.first??.heldBytes == 0 })
            try client.send(.data(7, bodies[1]))
            try client.send(.reset(7))
            #expect(try await eventually(server) { $0.http2.openStreamCount == 0 && $0.heldInput.isEmpty })
            try expectService(port)
        }
    }

    @Test("A burst of calls with large answers is handed over a few at a time")
    func burst() async throws {
        let limits = limits { $0.connectionKeptHighWaterMark = 1 << 20 }
        try await withEchoServer(limits: limits) { server, port, diary in
            let client = try closedClient(port)
            let count = 100
            var burst: [UInt8] = []
            for index in 0..<count {
                let stream = Int32(index * 2 + 1)
                burst += RawFrame.headers(stream, RawFrame.request("/test.Echo/Late")).bytes
                burst += RawFrame.data(stream, RawFrame.message([1]), endStream: true).bytes
            }
            try client.send(bytes: burst)
            try client.send(.ping(2))
            try client.read { $0.pingAcks == 2 }
            // As many as the mark has room for, were they as large as answers are taken to be at first.
            let handedOver = diary.count("message 1")
            #expect(handedOver <= 33)
            #expect(try await look(server) { $0.http2.queuedByteCount } <= 33 * (EchoHandler.lateCount + 5))
            try expectService(port)
            try openWindow(client)
            for index in 0..<count {
                #expect(try client.response(Int32(index * 2 + 1)).body.count == EchoHandler.lateCount + 5)
            }
            #expect(try await eventually(server) { $0.http2.keptByteCount == 0 })
        }
    }

    /// Three clients that have asked for so many answers of 256 KiB, all together a little more than there may be, and read none.
    private func hogs(_ port: Int, answers: [Int]) throws -> [RawClient] {
        try answers.map { count in
            let hog = try closedClient(port)
            // In one segment: what comes after too much has come would be refused.
            var calls: [UInt8] = []
            for index in 0..<count {
                let stream = Int32(index * 2 + 1)
                calls += RawFrame.headers(stream, RawFrame.request("/test.Echo/Late")).bytes
                calls += RawFrame.data(stream, RawFrame.message([1]), endStream: true).bytes
            }
            try hog.send(bytes: calls)
            return hog
        }
    }

    /// Less than 24 answers take, and more than four fifths of it.
    private let jointLimit = 5_600_000

    @Test("While all together keep too much, who keeps more than a share gets nothing new, and others are served")
    func joint() async throws {
        let limits = limits {
            $0.connectionKeptHighWaterMark = 64 << 20
            $0.clientBytesLimit = jointLimit
            $0.unreadStallMs = 600_000
        }
        try await withEchoServer(limits: limits) { server, port, diary in
            let hogs = try hogs(port, answers: [8, 8, 8])
            #expect(try await eventually(server) { $0.http2.isStrained && $0.http2.queuedByteCount > 24 << 18 })
            for hog in hogs {
                try hog.call(101, "/test.Echo/Late", [1])
                #expect(try hog.response(101)["grpc-status"] == "8")
                try expectService(port)
            }
            // One of them reads: what it has had is gone, and there is room again.
            try openWindow(hogs[0])
            for index in 0..<8 { #expect(try hogs[0].response(Int32(index * 2 + 1)).body.count == EchoHandler.lateCount + 5) }
            #expect(try await eventually(server) { !$0.http2.isStrained })
            try hogs[1].call(103, "/test.Echo/Late", [1, 2, 3])
            try await diary.expect("message 3")
            #expect(try await look(server) { $0.connectionCounters.connectionsUnread } == 0)
            for hog in hogs { hog.abort() }
            #expect(try await eventually(server) { $0.http2.openConnectionCount == 0 || $0.http2.keptByteCount == 0 })
        }
    }

    @Test("Who keeps most and has stopped to read is ended, and its memory is free for the others")
    func ended() async throws {
        let limits = limits {
            $0.connectionKeptHighWaterMark = 64 << 20
            $0.clientBytesLimit = jointLimit
            $0.unreadStallMs = 500
        }
        let reasons = Mutex<[String]>([])
        func configure(_ configuration: inout HTTP2Configuration) {
            configuration.rejected = { _, reason in reasons.withLock { $0.append(reason) } }
        }
        try await withEchoServer(limits: limits, configure: configure) { server, port, _ in
            let hogs = try hogs(port, answers: [6, 12, 6])
            try hogs[1].readToEnd()
            #expect(hogs[1].goAway?.code == 11 && hogs[1].goAway?.debug == "too many unread answers")
            #expect(reasons.withLock { $0.count == 1 && $0[0].contains("left answers unread") })
            #expect(try await look(server) { $0.connectionCounters.connectionsUnread } == 1)
            #expect(server.clientMemory.bytes < jointLimit)
            try expectService(port)
            for hog in [hogs[0], hogs[2]] {
                try openWindow(hog)
                for index in 0..<6 { #expect(try hog.response(Int32(index * 2 + 1)).body.count == EchoHandler.lateCount + 5) }
            }
        }
    }
}

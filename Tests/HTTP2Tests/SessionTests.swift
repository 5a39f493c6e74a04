internal import Bytes
internal import Testing

@testable import HTTP2

/// A client's session and a server's, joined without sockets.
private final class Pair {
    let table = StreamTable()
    let memory = SessionMemory()
    let client: HTTP2Session
    let server: HTTP2Session
    /// What happened, by side: kind and bytes.
    var serverEvents: [SessionEvent.Kind] = []
    var clientEvents: [SessionEvent.Kind] = []
    var serverBody: [UInt8] = []
    var clientBody: [UInt8] = []
    var serverStreams: [StreamPointer] = []
    var fields: [[String]] = []
    /// How much is handed over at a time.
    let grain: Int

    init(limits: HTTP2Limits = HTTP2Limits(), grain: Int = 1 << 20) {
        client = HTTP2Session(isServer: false, table: table, memory: memory, limits: limits)
        server = HTTP2Session(isServer: true, table: table, memory: memory, limits: limits)
        self.grain = grain
    }

    deinit {
        for session in [client, server] {
            while let stream = session.state.pointee.firstStream { table.release(stream) }
        }
    }

    /// Moves bytes both ways until neither side has any.
    func settle() throws {
        while true {
            let there = try move(client, server)
            let back = try move(server, client)
            if !there && !back { return }
        }
    }

    private func move(_ from: HTTP2Session, _ to: HTTP2Session) throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = try buffer.withUnsafeMutableBytes { try from.produce(into: $0) }
        note(from)
        try deliver(buffer[..<count], to)
        return count > 0
    }

    /// Hands over to the client what the server has produced.
    func deliver(_ bytes: ArraySlice<UInt8>) throws {
        note(server)
        try deliver(bytes, client)
    }

    private func deliver(_ bytes: ArraySlice<UInt8>, _ to: HTTP2Session) throws {
        var rest = bytes
        while !rest.isEmpty {
            try Array(rest.prefix(grain)).withUnsafeBytes { piece in
                var taken = 0
                while taken < piece.count {
                    taken += try to.receive(UnsafeRawBufferPointer(rebasing: piece[taken...]))
                    note(to)
                }
            }
            rest = rest.dropFirst(grain)
        }
    }

    private func note(_ session: HTTP2Session) {
        let isServer = session === server
        session.drain { event in
            if isServer { serverEvents.append(event.kind) } else { clientEvents.append(event.kind) }
            switch event.kind {
            case .headers:
                var list: [String] = []
                session.fields(of: event).visit {
                    list.append(String(decoding: $0, as: UTF8.self) + "=" + String(decoding: $1, as: UTF8.self))
                }
                fields.append(list)
                if isServer, let stream = event.stream { serverStreams.append(stream) }
            case .data:
                let bytes = UnsafeRawBufferPointer(start: event.bytes, count: event.count)
                if isServer { serverBody += bytes } else { clientBody += bytes }
                session.consumeConnection(event.count)
                if let stream = event.stream { session.consumeStream(stream, event.count) }
            default: break
            }
        }
    }
}

@Suite("A session without sockets")
struct SessionTests {
    private let request = HeaderBlock(
        [(":method", "POST"), (":scheme", "http"), (":path", "/a"), (":authority", "h"), ("x", "y")], isStatic: true)
    private let response = HeaderBlock([(":status", "200")], isStatic: true)
    private let trailers = HeaderBlock([("t", "1")], isStatic: false)

    @Test("A client and a server talk, however their bytes are cut", arguments: [1, 2, 9, 100, 1 << 20])
    func roundTrip(grain: Int) throws {
        let pair = Pair(grain: grain)
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        let stream = try #require(pair.client.submitRequest(request))
        pair.client.enqueue(stream, head: InlineBytes(9, bigEndian: 0x0102_0304), body: ByteString(bytes))
        pair.client.end(stream, trailers: nil)
        try pair.settle()
        #expect(pair.fields == [[":method=POST", ":scheme=http", ":path=/a", ":authority=h", "x=y"]])
        // Compared first: on a failure the framework would take minutes to spell out the difference.
        let isBodyRight = pair.serverBody == [9, 1, 2, 3, 4] + bytes
        #expect(isBodyRight)
        let serverStream = try #require(pair.serverStreams.first)
        #expect(serverStream.pointee.flags.contains(.inputEnded))
        pair.server.submitResponse(serverStream, response, endStream: false)
        try pair.settle()
        // Nothing to send yet: the data provider waits.
        #expect(serverStream.pointee.flags.contains(.deferred))
        for piece in 0..<10 {
            pair.server.enqueue(serverStream, head: InlineBytes(), body: ByteString(bytes[(piece * 10_000)..<(piece * 10_000 + 10_000)]))
            if piece % 3 == 0 { try pair.settle() }
        }
        pair.server.end(serverStream, trailers: trailers)
        try pair.settle()
        let isAnswerRight = pair.clientBody == bytes
        #expect(isAnswerRight)
        #expect(pair.fields.dropFirst() == [[":status=200"], ["t=1"]])
        #expect(pair.serverEvents.last == .closed && pair.clientEvents.last == .closed)
        #expect(pair.table.openCount == 0)
        #expect(pair.server.state.pointee.queuedBytes == 0 && pair.client.state.pointee.queuedBytes == 0)
    }

    @Test("A stream with much to send doesn't keep the others waiting")
    func fairness() throws {
        var limits = HTTP2Limits()
        limits.streamWindowSize = 64 << 20
        limits.connectionWindowSize = 64 << 20
        let pair = Pair(limits: limits)
        try pair.settle()
        for _ in 0..<2 {
            let stream = try #require(pair.client.submitRequest(request))
            pair.client.end(stream, trailers: nil)
        }
        try pair.settle()
        let (large, small) = (pair.serverStreams[0], pair.serverStreams[1])
        pair.server.submitResponse(large, response, endStream: false)
        pair.server.enqueue(large, head: InlineBytes(), body: ByteString([UInt8](repeating: 1, count: 4 << 20)))
        pair.server.submitResponse(small, response, endStream: false)
        pair.server.enqueue(small, head: InlineBytes(), body: ByteString([UInt8](repeating: 2, count: 100)))
        try pair.settle()
        let position = try #require(pair.clientBody.firstIndex(of: 2))
        #expect(position <= HTTP2Session.quantum + 16_384)
        #expect(pair.clientBody.count == (4 << 20) + 100)
    }

    @Test("However little room data leaves, what follows it stays inside the buffer", arguments: [0, 1, 12, 13, 40, 16_392, 16_393])
    func tightBuffer(left: Int) throws {
        let pair = Pair()
        // Its answer comes behind the large one, where there is room.
        for _ in 0..<2 {
            let stream = try #require(pair.client.submitRequest(request))
            pair.client.end(stream, trailers: nil)
        }
        try pair.settle()
        let (large, other) = (pair.serverStreams[0], pair.serverStreams[1])
        pair.server.submitResponse(large, response, endStream: false)
        try pair.settle()
        let capacity = 40_000
        // Frames of 16,384 bytes, each with a header of 9.
        let bytes = [UInt8](repeating: 1, count: capacity - left - (capacity - left + 16_392) / 16_393 * 9)
        pair.server.enqueue(large, head: InlineBytes(), body: ByteString(bytes))
        pair.server.end(large, trailers: trailers)
        pair.server.submitResponse(other, response, endStream: false)
        var memory = [UInt8](repeating: 0xEE, count: capacity + (64 << 10))
        let count = try memory.withUnsafeMutableBytes {
            try pair.server.produce(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<capacity]))
        }
        #expect(count <= capacity)
        let isRestUntouched = memory[capacity...].allSatisfy { $0 == 0xEE }
        #expect(isRestUntouched)
        try pair.deliver(memory[..<min(count, capacity)])
        try pair.settle()
        let isBodyRight = pair.clientBody == bytes
        #expect(isBodyRight)
        #expect(Array(pair.fields.dropFirst(2)).sorted { $0[0] < $1[0] } == [[":status=200"], [":status=200"], ["t=1"]])
    }

    @Test("What is queued counts whole until its last byte is sent, a large body that several hold once, and it all ends with the stream")
    func held() throws {
        let pair = Pair()
        for _ in 0..<3 {
            let stream = try #require(pair.client.submitRequest(request))
            pair.client.end(stream, trailers: nil)
        }
        try pair.settle()
        let state = pair.server.state
        let before = state.pointee.keptBytes
        let body = ByteString([UInt8](repeating: 1, count: 1 << 20))
        for stream in pair.serverStreams {
            pair.server.submitResponse(stream, response, endStream: false)
            pair.server.enqueue(stream, head: InlineBytes(9, bigEndian: 1), body: body)
            pair.server.enqueue(stream, head: InlineBytes(9, bigEndian: 1), body: "small")
        }
        #expect(state.pointee.queuedBytes == 3 * ((1 << 20) + 15))
        #expect(state.pointee.heldBytes > state.pointee.queuedBytes)
        #expect(pair.table.duplicateBytes == 2 << 20)
        let held = state.pointee.heldBytes
        // A part of each is sent; both sides' windows are 64 KiB and 256 KiB.
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        _ = try buffer.withUnsafeMutableBytes { try pair.server.produce(into: $0) }
        #expect(state.pointee.heldBytes == held && state.pointee.queuedBytes < 3 << 20)
        pair.server.reset(pair.serverStreams[0], .cancel)
        #expect(pair.table.duplicateBytes == 1 << 20)
        #expect(state.pointee.heldBytes == held / 3 * 2)
        for stream in pair.serverStreams[1...] { pair.server.reset(stream, .cancel) }
        #expect(pair.table.duplicateBytes == 0 && state.pointee.heldBytes == 0 && state.pointee.queuedBytes == 0)
        #expect(state.pointee.keptBytes == before)
    }

    @Test("Answers that are expected count as much as the others were, until they begin or never will")
    func expectedAnswers() throws {
        let pair = Pair()
        for _ in 0..<4 {
            let stream = try #require(pair.client.submitRequest(request))
            pair.client.end(stream, trailers: nil)
        }
        try pair.settle()
        let state = pair.server.state
        func expectedBytes() -> Int { state.pointee.expectedAnswers * state.pointee.expectedAnswerBytes }
        for stream in pair.serverStreams { for _ in 0..<2 { pair.server.expectAnswer(stream) } }
        #expect(expectedBytes() == 4 << 20)
        pair.server.enqueue(pair.serverStreams[0], head: InlineBytes(), body: ByteString([UInt8](repeating: 1, count: 2 << 20)))
        #expect(expectedBytes() == 6 << 20)
        pair.server.enqueue(pair.serverStreams[0], head: InlineBytes(), body: "more")
        pair.server.enqueue(pair.serverStreams[1], head: InlineBytes(), body: "small")
        #expect(expectedBytes() < 4 << 20 && expectedBytes() > 3_600_000)
        pair.server.submitResponse(pair.serverStreams[2], response, endStream: true)
        #expect(state.pointee.expectedAnswers == 1)
        pair.server.reset(pair.serverStreams[3], .cancel)
        try pair.settle()
        #expect(state.pointee.expectedAnswers == 0)
    }

    @Test("A reset drops what is queued, and nothing can be queued afterwards")
    func resets() throws {
        let pair = Pair()
        let stream = try #require(pair.client.submitRequest(request))
        try pair.settle()
        let serverStream = pair.serverStreams[0]
        pair.server.submitResponse(serverStream, response, endStream: false)
        pair.server.enqueue(serverStream, head: InlineBytes(), body: "lost")
        pair.server.reset(serverStream, .cancel)
        pair.server.enqueue(serverStream, head: InlineBytes(), body: "late")
        #expect(pair.server.state.pointee.queuedBytes == 0)
        let handle = stream.pointee.handle
        #expect(pair.table.find(handle) != nil)
        try pair.settle()
        #expect(pair.table.find(handle) == nil && pair.table.openCount == 0)
        #expect(pair.clientBody.isEmpty)
    }

    @Test("Sessions end when both sides want nothing any more")
    func goAway() throws {
        let pair = Pair()
        try pair.settle()
        #expect(pair.server.wantsRead)
        pair.server.submitShutdownNotice()
        try pair.settle()
        #expect(pair.server.wantsRead)
        pair.server.submitGoAway()
        try pair.settle()
        #expect(!pair.server.wantsRead && !pair.server.wantsWrite)
        #expect(pair.clientEvents.contains(.goAwayReceived))
    }
}

@Suite("Stream slots")
struct StreamTableTests {
    @Test("A handle finds its stream until it is released, and never another one's")
    func handles() {
        let table = StreamTable()
        let memory = SessionMemory()
        let session = HTTP2Session(isServer: true, table: table, memory: memory, limits: HTTP2Limits())
        var open: [StreamPointer] = []
        var stale: [StreamHandle] = []
        var random = SystemRandomNumberGenerator()
        for step in 0..<5_000 {
            if open.isEmpty || Int.random(in: 0..<5, using: &random) < 3 {
                open.append(table.open(streamID: Int32(step * 2 + 1), session: session.state))
            } else {
                let stream = open.remove(at: Int.random(in: 0..<open.count, using: &random))
                stale.append(stream.pointee.handle)
                table.release(stream)
            }
            #expect(table.openCount == open.count && session.state.pointee.streamCount == open.count)
        }
        #expect(open.allSatisfy { table.find($0.pointee.handle) == $0 })
        #expect(stale.allSatisfy { table.find($0) == nil })
        #expect(table.find(StreamHandle(slot: .max, generation: 0)) == nil)
        // The session's list holds exactly the open ones.
        var listed: Set<StreamPointer> = []
        var next = session.state.pointee.firstStream
        while let stream = next {
            listed.insert(stream)
            next = stream.pointee.next
        }
        #expect(listed == Set(open))
        for stream in open { table.release(stream) }
        #expect(session.state.pointee.firstStream == nil)
    }

    @Test("A queue gives back the bytes that were put into it, however they are taken")
    func queue() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var state = StreamState(slot: 0)
            var expected: [UInt8] = []
            var got: [UInt8] = []
            for _ in 0..<60 {
                if Bool.random(using: &random) {
                    let body = (0..<Int.random(in: 0..<30, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                    var head = InlineBytes()
                    for byte in 0..<UInt8.random(in: 0...8, using: &random) { head.append(byte) }
                    expected += (0..<head.count).map { UInt8($0) } + body
                    if head.count + body.count > 0 {
                        state.enqueue(OutputChunk(head: head.bits, headCount: head.count, body: ByteString(body)))
                    }
                } else {
                    let count = Int.random(in: 0...state.queuedBytes, using: &random)
                    var target = [UInt8](repeating: 0, count: count + 1)
                    target.withUnsafeMutableBytes {
                        var output = OutputCursor($0)
                        state.dequeue(count, to: &output)
                        #expect(output.count == count && output.room == 1)
                    }
                    got += target.dropLast()
                }
                #expect(state.queuedBytes == expected.count - got.count)
            }
            #expect(got[...] == expected.prefix(got.count))
        }
    }
}

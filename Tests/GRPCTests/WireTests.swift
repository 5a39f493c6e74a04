internal import Bytes
internal import CZlib
internal import Calls
internal import HTTP2
internal import RawHTTP2
internal import Testing

@testable import GRPC

@Suite("grpc-timeout")
struct GRPCTimeoutTests {
    private func parse(_ text: String) -> Int64? {
        switch Array(text.utf8).withUnsafeBytes({ GRPCTimeout.parse($0) }) {
        case .success(let value): value
        case .failure: nil
        }
    }

    @Test("Every unit, one to eight digits, saturating")
    func units() {
        #expect(parse("1H") == 3_600_000_000_000)
        #expect(parse("2M") == 120_000_000_000)
        #expect(parse("3S") == 3_000_000_000)
        #expect(parse("4m") == 4_000_000)
        #expect(parse("5u") == 5_000)
        #expect(parse("99999999n") == 99_999_999)
        #expect(parse("00000000n") == 0)
        #expect(parse("99999999H") == Int64.max)
    }

    @Test("Anything else is malformed", arguments: ["", "1", "S", "123456789S", "1s", "-1S", "+1S", "1.5S", " 1S", "1 S", "0x1S", "１S"])
    func malformed(text: String) {
        #expect(parse(text) == nil)
    }
}

@Suite("Message assembly")
struct MessageAssemblerTests {
    @Test("However the bytes are cut, the same messages come out")
    func cuts() {
        let messages: [[UInt8]] = [[], [1], Array(0..<200), [], Array(repeating: 7, count: 5_000)]
        let bytes = messages.enumerated().flatMap { RawFrame.message($1, flag: $0 == 1 ? 1 : 0) }
        for size in [1, 2, 3, 4, 5, 6, 7, 100, 205, 4_999, 6_000] {
            var assembler = MessageAssembler()
            var result: [[UInt8]] = []
            var flags: [Bool] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                Array(bytes[start..<min(start + size, bytes.count)]).withUnsafeBytes { piece in
                    var rest = piece
                    while true {
                        guard case .message(let message, let isCompressed) = assembler.take(&rest, limit: 10_000) else { break }
                        result.append(Array(message))
                        flags.append(isCompressed)
                    }
                    #expect(rest.isEmpty)
                }
            }
            #expect(result == messages, "\(size)")
            #expect(flags == [false, true, false, false, false])
            #expect(assembler.isBetweenMessages && assembler.bufferedCount == 0)
        }
    }

    @Test("A length at the limit passes, one more doesn't; flags are 0 and 1")
    func limits() {
        func outcome(_ bytes: [UInt8]) -> MessageAssembler.Outcome {
            var assembler = MessageAssembler()
            return bytes.withUnsafeBytes { bytes in
                var rest = bytes
                return assembler.take(&rest, limit: 3)
            }
        }
        #expect(outcome([0, 0, 0, 0, 3, 1, 2, 3]) == .message(ByteString([1, 2, 3]), isCompressed: false))
        #expect(outcome([0, 0, 0, 0, 4]) == .tooLarge(length: 4))
        #expect(outcome([1, 255, 255, 255, 255]) == .tooLarge(length: Int(UInt32.max)))
        #expect(outcome([2, 0, 0, 0, 0]) == .unknownFlag(2))
        #expect(outcome([0, 0, 0, 0]) == .needsMore)
    }
}

@Suite("Methods and statuses")
struct MethodTests {
    private func bytes<T>(_ text: String, _ body: (UnsafeRawBufferPointer) -> T) -> T { Array(text.utf8).withUnsafeBytes(body) }

    @Test("Every method is found by its path, and nothing else is")
    func table() {
        let methods = (0..<60).map { GRPCMethod("/service.S\($0 % 7)/Method\($0)", .unary) } + [GRPCMethod("/a", .unary)]
        let table = MethodTable(methods, GRPCFields())
        for (index, method) in methods.enumerated() {
            #expect(bytes(method.path) { table.find($0)?.rawValue } == index)
            #expect(bytes(method.path + "x") { table.find($0) } == nil)
            let shorter = method.path.dropLast()
            #expect(bytes(String(shorter)) { table.find($0)?.rawValue } == methods.firstIndex { $0.path == shorter })
        }
        #expect(bytes("") { table.find($0) } == nil)
        #expect(table.unknown("/service.S1/Nope") == GRPCStatus(.unimplemented, "unknown method Nope for service service.S1"))
        #expect(table.unknown("service.X/M") == GRPCStatus(.unimplemented, "unknown service service.X"))
        #expect(table.unknown("\u{7F}\"") == GRPCStatus(.unimplemented, "malformed method name: \"\\x7f\\\"\""))
    }

    @Test("A call's id carries caller, slot and generation unharmed")
    func callIDs() {
        for caller in [0, 1, 255] {
            for slot: UInt32 in [0, 1, 0xFF_FFFF] {
                for generation: UInt32 in [0, 1, .max] {
                    let stream = StreamHandle(slot: slot, generation: generation)
                    let call = CallID(rawValue: CallID(caller: caller, stream: stream).rawValue)
                    #expect(call.caller == caller && call.stream == stream)
                }
            }
        }
    }

    @Test("Messages are percent-encoded but for printable ASCII without the percent sign")
    func percentEncoding() {
        let printable = String(decoding: (0x20...0x7E).filter { $0 != 0x25 }.map { UInt8($0) }, as: UTF8.self)
        #expect(GRPCStatus.percentEncoded(printable) == printable)
        #expect(GRPCStatus.percentEncoded("100%\t\u{7F}é\u{1F34D}") == "100%25%09%7F%C3%A9%F0%9F%8D%8D")
    }
}

@Suite("Compressed requests")
struct GzipTests {
    /// gzip by zlib itself.
    static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        deflateInit2_(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        defer { deflateEnd(&stream) }
        var input = bytes
        var output = [UInt8](repeating: 0, count: bytes.count + 1_024)
        let capacity = output.count
        return input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { target in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(capacity)
                deflate(&stream, Z_FINISH)
            }
            return Array(output[..<(capacity - Int(stream.avail_out))])
        }
    }

    private func outcome(_ bytes: [UInt8], limit: Int) -> Result<[UInt8], GzipError> {
        Result { () throws(GzipError) in Array(try Gzip.inflated(ByteString(bytes), limit: limit)) }
    }

    @Test("What was compressed comes back, up to the limit and not a byte beyond")
    func limits() {
        for count in [0, 1, 1_000, 16_383, 16_384, 16_385, 100_000] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7) }
            let isSame = outcome(GzipTests.gzip(bytes), limit: count) == .success(bytes)
            #expect(isSame)
            if count > 0 { #expect(outcome(GzipTests.gzip(bytes), limit: count - 1) == .failure(.tooLarge)) }
        }
    }

    @Test("Every truncation, and every flipped byte that the format guards, is malformed and never a trap")
    func damage() {
        let bytes = Array("a message, a message, a message".utf8)
        let good = GzipTests.gzip(bytes)
        for count in 0..<good.count { #expect(outcome(Array(good[..<count]), limit: 1_000) == .failure(.malformed)) }
        for index in good.indices {
            var bad = good
            bad[index] ^= 0x40
            let result = outcome(bad, limit: 1_000)
            // Some bits are of no consequence (time stamp, padding), but none may make another message of it.
            if case .success(let other) = result { #expect(other == bytes, "\(index)") }
        }
        #expect(outcome(good + [0], limit: 1_000) == .failure(.malformed))
    }

    @Test("gzip and identity are taken, a bomb and a flag without an encoding are not")
    func calls() async throws {
        try await withEchoServer { _, port, _ in
            let client = try RawClient(port: port)
            try client.sendPreface()
            func call(_ stream: Int32, encoding: String?, _ body: [UInt8], flag: UInt8) throws -> RawResponse {
                let extra = encoding.map { [("grpc-encoding", $0)] } ?? []
                try client.send(
                    .headers(stream, RawFrame.request("/test.Echo/Unary", extra)),
                    .data(stream, RawFrame.message(body, flag: flag), endStream: true))
                return try client.response(stream)
            }
            let text = Array(repeating: UInt8(0x41), count: 5_000)
            #expect(try call(1, encoding: "gzip", GzipTests.gzip(text), flag: 1).body == RawFrame.message(text))
            #expect(try call(3, encoding: "gzip", text, flag: 0).body == RawFrame.message(text))
            #expect(try call(5, encoding: "identity", text, flag: 0).body == RawFrame.message(text))
            let unannounced = try call(7, encoding: nil, GzipTests.gzip(text), flag: 1)
            #expect(unannounced["grpc-status"] == "13")
            #expect(unannounced["grpc-message"] == "grpc: compressed flag set with identity or empty encoding")
            let bomb = try call(9, encoding: "gzip", GzipTests.gzip(Array(repeating: 0, count: 3 << 20)), flag: 1)
            #expect(bomb["grpc-status"] == "8")
            #expect(try call(11, encoding: "gzip", [1, 2, 3], flag: 1)["grpc-status"] == "13")
        }
    }
}

@Suite("The inbound budget")
struct InboundBudgetTests {
    private func stream(_ slot: UInt32) -> StreamHandle { StreamHandle(slot: slot, generation: 0) }

    @Test("Window comes back below the soft limit; above it to one stream at a time; above the hard one streams are refused")
    func stages() {
        var budget = InboundBudget(softLimit: 100, hardLimit: 200)
        var decisions: [InboundBudget.Decision] = []
        decisions.append(budget.received(100, growth: 100, on: stream(1)))
        decisions.append(budget.received(10, growth: 10, on: stream(2)))
        decisions.append(budget.received(10, growth: 10, on: stream(3)))
        decisions.append(budget.received(20, growth: 20, on: stream(4)))
        decisions.append(budget.received(50, growth: 50, on: stream(2)))
        decisions.append(budget.received(20, growth: 20, on: stream(5)))
        decisions.append(budget.received(90, growth: 90, on: stream(2)))
        #expect(decisions == [.give, .give, .withhold, .withhold, .give, .refuse, .give])
        var given: [StreamHandle: Int] = [:]
        // The favoured one ends: the next in line goes on.
        budget.released(150, of: stream(2)) { given[$0] = $1 }
        #expect(given == [stream(3): 10])
        given = [:]
        budget.released(100, of: stream(1)) { given[$0] = $1 }
        #expect(given == [stream(4): 20])
        #expect(budget.buffered == 50)
    }

    @Test("Whatever comes, somebody may always send, and nothing is withheld for good")
    func progress() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var budget = InboundBudget(softLimit: 1_000, hardLimit: 5_000)
            var kept: [UInt32: Int] = [:]
            var stalled: [UInt32: Int] = [:]
            for _ in 0..<400 {
                let slot = UInt32.random(in: 0..<12, using: &random)
                if Int.random(in: 0..<4, using: &random) > 0 {
                    if stalled[slot] != nil && Bool.random(using: &random) { continue }
                    let count = Int.random(in: 1..<400, using: &random)
                    kept[slot, default: 0] += count
                    switch budget.received(count, growth: count, on: stream(slot)) {
                    case .give: break
                    case .withhold: stalled[slot, default: 0] += count
                    case .refuse:
                        budget.released(kept.removeValue(forKey: slot)!, of: stream(slot)) {
                            stalled[$0.slot] = nil
                            _ = $1
                        }
                        stalled[slot] = nil
                    }
                } else if let count = kept.removeValue(forKey: slot) {
                    budget.released(count, of: stream(slot)) { given, count in
                        if given.slot != slot { #expect(stalled[given.slot] == count) }
                        stalled[given.slot] = nil
                    }
                    stalled[slot] = nil
                }
                #expect(budget.buffered == kept.values.reduce(0, +))
                #expect(stalled.isEmpty || stalled.count < kept.count)
                if budget.buffered == 0 { #expect(stalled.isEmpty) }
            }
        }
    }
}

// Checks the writer against arrays that are appended to byte by byte.
internal import Bytes
internal import Testing

@Suite struct ByteWriterTests {
    private func naiveVarint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + naiveVarint(value >> 7)
    }

    @Test("what is appended in any order and size comes out, whatever the first capacity")
    func appending() {
        for capacity in [0, 1, 16, 17, 1_000] {
            var writer = ByteWriter(capacity: capacity)
            var expected: [UInt8] = []
            for step in 0..<200 {
                let piece = (0..<step % 23).map { UInt8(truncatingIfNeeded: $0 + step) }
                switch step % 5 {
                case 0:
                    writer.append(UInt8(truncatingIfNeeded: step))
                    expected.append(UInt8(truncatingIfNeeded: step))
                case 1:
                    writer.append(ByteString(piece))
                    expected += piece
                case 2:
                    piece.withUnsafeBytes { writer.append($0) }
                    expected += piece
                case 3:
                    writer.appendVarint(UInt64(step) << UInt64(step % 60))
                    expected += naiveVarint(UInt64(step) << UInt64(step % 60))
                default:
                    writer.append(atMost: 40) { start in
                        for (index, byte) in piece.enumerated() { start[index] = byte }
                        return piece.count
                    }
                    expected += piece
                }
                #expect(writer.count == expected.count)
            }
            let same = writer.withUnsafeBytes { Array($0) == expected }
            #expect(same)
            #expect(Array(writer.finish()) == expected)
        }
    }

    @Test("varints at every boundary of a length, and their sizes")
    func varints() {
        for bits: UInt64 in 0...63 {
            for value in [1 << bits - 1, 1 << bits, 1 << bits + 1, UInt64.max >> bits] as [UInt64] {
                var writer = ByteWriter()
                writer.appendVarint(value)
                #expect(varintSize(value) == naiveVarint(value).count)
                #expect(Array(writer.finish()) == naiveVarint(value))
            }
        }
    }

    @Test("big-endian integers of every width")
    func bigEndian() {
        var writer = ByteWriter()
        writer.append(0xEE)
        writer.appendBigEndian(UInt8(1))
        writer.appendBigEndian(Int16(-2))
        writer.appendBigEndian(UInt32(0x0102_0304))
        writer.appendBigEndian(Int64.min + 5)
        #expect(Array(writer.finish()) == [0xEE, 1, 0xFF, 0xFE, 1, 2, 3, 4, 0x80, 0, 0, 0, 0, 0, 0, 5])
    }

    @Test("nested messages get their lengths, at every size where a length grows by a byte, three deep")
    func nested() {
        for size in [
            0, 1, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16_370, 16_379, 16_380, 16_383, 16_384, 16_385, 2_097_151,
            2_097_152,
        ] {
            let body = Array(repeating: UInt8(7), count: size)
            func message(_ field: UInt64, _ body: [UInt8]) -> [UInt8] {
                naiveVarint(field << 3 | 2) + naiveVarint(UInt64(body.count)) + body
            }
            var writer = ByteWriter(capacity: 1)
            writer.append(9)
            let outer = writer.beginMessage(1)
            let middle = writer.beginMessage(16)
            let inner = writer.beginMessage(2_048)
            writer.append(ByteString(body))
            writer.endMessage(inner)
            writer.append(1)
            writer.endMessage(middle)
            writer.endMessage(outer)
            writer.append(8)
            let expected = [9] + message(1, message(16, message(2_048, body) + [1])) + [8]
            #expect(Array(writer.finish()) == expected, "\(size)")
        }
    }

    @Test("truncating drops the end, and writing goes on from there")
    func truncating() {
        var writer = ByteWriter()
        writer.append(ByteString("abcdef"))
        writer.truncate(to: 6)
        writer.truncate(to: 2)
        writer.append(ByteString("xy"))
        #expect(writer.count == 4)
        #expect(writer.finish() == "abxy")
        #expect(ByteWriter().finish().isEmpty)
    }

    @Test("a writer that claims more than it reserved, or truncates to where it never was, traps with a message")
    func bugs() async {
        await #expect(processExitsWith: .failure) {
            var writer = ByteWriter()
            writer.append(atMost: 4) { _ in 5 }
        }
        await #expect(processExitsWith: .failure) {
            var writer = ByteWriter()
            writer.truncate(to: 1)
        }
    }
}

@Suite struct InvariantTests {
    @Test("an invariant that holds does nothing, one that does not prints where and why, and ends the process")
    func traps() async throws {
        invariant(true, "never shown")
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            invariant(1 > 2, "one is not more")
        }
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(text.contains("pine: invariant violated at BytesTests/ByteWriterTests.swift:"))
        #expect(text.contains(": one is not more\n"))
    }
}

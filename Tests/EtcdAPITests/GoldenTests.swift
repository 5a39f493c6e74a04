// Checks the codec against bytes that other implementations wrote, and against every way to damage those a little.
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct GoldenTests {
    @Test("every message of the API has a golden")
    func complete() {
        let covered = Set(goldens.map { "\($0.type)" })
        #expect(allMessages.filter { !covered.contains("\($0)") }.isEmpty)
    }

    @Test("what others encoded comes back byte by byte", arguments: goldens)
    func identity(_ golden: Golden) throws {
        #expect(try golden.type.reencoded(golden.bytes) == golden.bytes)
        #expect(golden.type.roundTripFailure(golden.bytes) == nil)
    }

    @Test("every prefix is an error or a message, never a trap", arguments: goldens)
    func prefixes(_ golden: Golden) throws {
        for end in 0..<golden.bytes.count {
            let prefix = golden.bytes.slice(0..<end)
            if golden.type.roundTripFailure(prefix) != nil { Issue.record("cut at \(end)") }
            // A cut between fields is a shorter message: a canonical one, so its bytes come back.
            if let encoded = try? golden.type.reencoded(prefix), encoded != prefix { Issue.record("cut at \(end)") }
        }
    }

    @Test("every byte changed to every other is an error or a message, never a trap", arguments: goldens)
    func flips(_ golden: Golden) throws {
        var bytes = Array(golden.bytes)
        for index in bytes.indices {
            let original = bytes[index]
            // All values where there are few bytes, each single bit and the extremes otherwise.
            let values: [UInt8] =
                bytes.count <= 48 ? Array(0...255) : (0..<8).map { original ^ (1 << $0) } + [0, 0x7F, 0x80, 0xFF]
            for value in values {
                bytes[index] = value
                if let failure = golden.type.roundTripFailure(ByteString(bytes)) { Issue.record("\(failure)") }
            }
            bytes[index] = original
        }
    }

    @Test("the wrong message type is an error or a message, never a trap")
    func crossed() {
        for golden in goldens {
            for type in allMessages {
                if let failure = type.roundTripFailure(golden.bytes) { Issue.record("\(failure)") }
            }
        }
    }

    @Test("bytes after and before a slice do not matter")
    func slices() throws {
        for golden in goldens {
            let padded = ByteString([0xFF, 0xFF, 0xFF] + Array(golden.bytes) + [0xFF, 0xFF])
            let slice = padded.slice(3..<3 + golden.bytes.count)
            #expect(try golden.type.reencoded(slice) == golden.bytes)
        }
    }

    @Test("unknown fields before, after and between change nothing")
    func unknownFields() throws {
        let unknown = RawWire().number(500, 1 << 63).data(501, [1, 2, 3]).fixed64(502).fixed32(503)
            .group(504, RawWire().number(1, 2).group(9, RawWire().data(2, [0x24])))
        for golden in goldens {
            let bytes = unknown.raw(Array(golden.bytes)).raw(unknown.bytes)
            #expect(try golden.type.reencoded(bytes.byteString) == golden.bytes, "\(golden.type)")
        }
    }
}

extension WireMessage {
    /// Decodes and encodes again.
    static func reencoded(_ bytes: ByteString) throws(DecodeError) -> ByteString {
        try decode(bytes).encoded()
    }
}

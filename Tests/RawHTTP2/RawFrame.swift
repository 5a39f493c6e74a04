// Owns: HTTP/2 frames as bytes, right or wrong as the test wants them (RFC 9113 section 4.1).

/// A frame of any type, with any flags, even where the two don't go together.
package struct RawFrame: Equatable, Sendable {
    package enum Kind {
        package static let data: UInt8 = 0
        package static let headers: UInt8 = 1
        package static let priority: UInt8 = 2
        package static let rstStream: UInt8 = 3
        package static let settings: UInt8 = 4
        package static let pushPromise: UInt8 = 5
        package static let ping: UInt8 = 6
        package static let goAway: UInt8 = 7
        package static let windowUpdate: UInt8 = 8
        package static let continuation: UInt8 = 9
    }
    package enum Flag {
        package static let endStream: UInt8 = 1
        package static let ack: UInt8 = 1
        package static let endHeaders: UInt8 = 4
        package static let padded: UInt8 = 8
    }

    package var kind: UInt8
    package var flags: UInt8
    package var stream: Int32
    package var payload: [UInt8]

    package init(_ kind: UInt8, flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) {
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload
    }

    package var bytes: [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), kind, flags]
            + RawFrame.bigEndian(UInt32(bitPattern: stream)) + payload
    }

    package static func bigEndian(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    /// The first four bytes of the payload at `offset`, as a number.
    package func number(at offset: Int) -> UInt32 {
        payload[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }

    // MARK: The frames that clients send

    package static let magic = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    package static func settings(_ values: [(UInt16, UInt32)] = []) -> RawFrame {
        RawFrame(Kind.settings, values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + bigEndian($0.1) })
    }

    package static let settingsAck = RawFrame(Kind.settings, flags: Flag.ack)

    package static func headers(
        _ stream: Int32, _ fields: [(String, String)], endStream: Bool = false, endHeaders: Bool = true
    ) -> RawFrame {
        RawFrame(
            Kind.headers, flags: (endStream ? Flag.endStream : 0) | (endHeaders ? Flag.endHeaders : 0), stream: stream,
            headerBlock(fields))
    }

    package static func data(_ stream: Int32, _ bytes: [UInt8], endStream: Bool = false) -> RawFrame {
        RawFrame(Kind.data, flags: endStream ? Flag.endStream : 0, stream: stream, bytes)
    }

    package static func reset(_ stream: Int32, code: UInt32 = 8) -> RawFrame {
        RawFrame(Kind.rstStream, stream: stream, bigEndian(code))
    }

    package static func windowUpdate(_ stream: Int32, _ increment: UInt32) -> RawFrame {
        RawFrame(Kind.windowUpdate, stream: stream, bigEndian(increment))
    }

    package static func ping(_ value: UInt8 = 0, ack: Bool = false) -> RawFrame {
        RawFrame(Kind.ping, flags: ack ? Flag.ack : 0, Array(repeating: value, count: 8))
    }

    // MARK: HPACK, as literals without indexing and without Huffman codes (RFC 7541 section 6.2.2)

    package static func headerBlock(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + string($0.0) + string($0.1) }
    }

    private static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
        var length: [UInt8] = [127]
        var rest = bytes.count - 127
        while rest >= 128 {
            length.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        length.append(UInt8(rest))
        return length + bytes
    }

    // MARK: gRPC

    /// A message with its prefix.
    package static func message(_ bytes: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        [flag] + bigEndian(UInt32(bytes.count)) + bytes
    }

    /// The fields of an ordinary request.
    package static func request(_ path: String, _ extra: [(String, String)] = []) -> [(String, String)] {
        [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ] + extra
    }
}

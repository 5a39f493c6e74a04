// Owns: what an input of the fuzzer means: bytes as they come, or a conversation with valid frames around chosen content.
// Must never: refuse an input: every sequence of bytes means something.
internal import Bytes
internal import EtcdAPI
internal import NIOCore

@testable internal import PineServer

/// Plays `input` against a server of its own. The first byte says how it is read.
package func play(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    let server = FuzzServer(isSecure: first == jsonOverHTTP2)
    var reader = InputReader(rest: input[1...])
    switch first {
    case jsonOverHTTP1, jsonOverHTTP2: playJSON(&reader, server, overHTTP2: first == jsonOverHTTP2)
    case _ where first & 1 == 0: playBytes(&reader, server)
    default: playConversation(&reader, server)
    }
    server.close()
}

/// `J` and `K`.
private let jsonOverHTTP1: UInt8 = 0x4A
private let jsonOverHTTP2: UInt8 = 0x4B

struct InputReader {
    var rest: Slice<UnsafeRawBufferPointer>

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func bytes(_ count: Int) -> [UInt8] {
        let taken = Array(rest.prefix(count))
        rest = rest.dropFirst(count)
        return taken
    }

    /// One byte up to 250, else 250 and more by the next.
    mutating func count() -> Int {
        let first = Int(byte())
        return first < 250 ? first : 250 + (first - 250) * 256 + Int(byte())
    }
}

let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

/// Bytes in pieces: a length, then as many bytes. Frames that begin in one piece end in another.
private func playBytes(_ reader: inout InputReader, _ server: FuzzServer) {
    let mode = reader.byte()
    if mode & 1 == 0 { server.receive(ByteBuffer(bytes: preface + frame(.settings, 0, 0, []))) }
    while !reader.isAtEnd {
        let piece = mode & 2 == 0 ? reader.bytes(reader.count()) : reader.bytes(.max >> 1)
        server.receive(ByteBuffer(bytes: piece))
        server.work(turns: 2)
    }
}

enum FrameType: UInt8 {
    case data = 0
    case headers = 1
    case reset = 3
    case settings = 4
    case ping = 6
    case goAway = 7
    case windowUpdate = 8
}

/// RFC 9113 section 4.1.
func frame(_ type: FrameType, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type.rawValue, flags]
        + bigEndian(stream) + payload
}

func bigEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

/// RFC 7541: the head of a gRPC request, nothing of it in the dynamic table, nothing Huffman-coded.
func requestHead(_ path: String, type: String = "application/grpc", extra: [(String, [UInt8])]) -> [UInt8] {
    func literal(_ name: String, _ value: [UInt8]) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.count)] + value
    }
    // 0x83: `:method: POST`, 0x86: `:scheme: http`, of the static table.
    var head: [UInt8] = [0x83, 0x86] + literal(":path", Array(path.utf8)) + literal(":authority", Array("pine".utf8))
    head += literal("te", Array("trailers".utf8)) + literal("content-type", Array(type.utf8))
    for (name, value) in extra { head += literal(name, value) }
    return head
}

/// Operations, each a byte and what it takes.
private func playConversation(_ reader: inout InputReader, _ server: FuzzServer) {
    server.receive(ByteBuffer(bytes: preface + frame(.settings, 0, 0, [])))
    server.work(turns: 20)
    var next: UInt32 = 1
    func stream() -> UInt32 { next > 1 ? 1 + UInt32(reader.byte()) % (next / 2) * 2 : 1 }
    func message() -> [UInt8] {
        let flag = reader.byte()
        let payload = reader.bytes(reader.count())
        // Now and then the length that is told is not the payload's.
        let length = flag & 0xF0 == 0xF0 ? UInt32(reader.byte()) : UInt32(payload.count)
        return [flag & 0x08 == 0 ? 0 : flag & 7] + bigEndian(length) + payload
    }
    while !reader.isAtEnd {
        let operation = reader.byte()
        switch operation & 15 {
        case 0...4:
            let method = ServedMethod.all[Int(reader.byte()) % ServedMethod.all.count].method
            var extra: [(String, [UInt8])] = []
            if operation & 0x40 != 0 { extra.append(("grpc-timeout", reader.bytes(Int(reader.byte() & 15)))) }
            if operation & 0x80 != 0 { extra.append(("grpc-encoding", Array("gzip".utf8))) }
            server.receive(ByteBuffer(bytes: frame(.headers, 4, next, requestHead(method.path, extra: extra))))
            let isEnd: UInt8 = operation & 0x10 == 0 ? 1 : 0
            if operation & 0x20 == 0 { server.receive(ByteBuffer(bytes: frame(.data, isEnd, next, message()))) }
            next += 2
        case 5, 6: server.receive(ByteBuffer(bytes: frame(.data, operation >> 4 & 1, stream(), message())))
        case 7: server.receive(ByteBuffer(bytes: frame(.reset, 0, stream(), bigEndian(UInt32(operation >> 4)))))
        case 8:
            let size = UInt32(reader.byte()) << (operation >> 4)
            server.receive(ByteBuffer(bytes: frame(.windowUpdate, 0, operation & 0x10 == 0 ? 0 : stream(), bigEndian(size))))
        case 9: server.receive(ByteBuffer(bytes: frame(.ping, operation >> 4 & 1, 0, [0, 0, 0, 0, 0, 0, 0, reader.byte()])))
        case 10:
            // Of the settings of RFC 9113 section 6.5.2: small windows are what makes answers wait.
            let value = bigEndian(UInt32(reader.byte()) << (operation >> 4))
            server.receive(ByteBuffer(bytes: frame(.settings, 0, 0, [0, reader.byte() & 7] + value)))
        case 11: server.work(turns: 1 + Int(operation >> 4))
        case 12: server.receive(ByteBuffer(bytes: reader.bytes(reader.count())))
        case 13: server.setWritable(operation & 0x10 != 0)
        case 14:
            server.passTime(ms: Int(reader.byte()) << (operation >> 4))
            server.work(turns: 3)
        case 15 where operation & 0x10 != 0:
            // More than the rest of an input can hold: what it takes to have answers that fill buffers and wait for windows.
            let key = reader.byte()
            let size = (Int(reader.byte()) << 8 | Int(reader.byte())) + (operation & 0x20 == 0 ? 0 : 1 << 16)
            var put = PutRequest()
            put.key = ByteString([key])
            put.value = ByteString(Array(repeating: key, count: size))
            let encoded = put.encoded()
            server.receive(ByteBuffer(bytes: frame(.headers, 4, next, requestHead("/etcdserverpb.KV/Put", extra: []))))
            let whole = [0] + bigEndian(UInt32(encoded.count)) + Array(encoded)
            for start in stride(from: 0, to: whole.count, by: 16_384) {
                let end = min(start + 16_384, whole.count)
                server.receive(ByteBuffer(bytes: frame(.data, end == whole.count ? 1 : 0, next, Array(whole[start..<end]))))
            }
            server.work(turns: 3)
            next += 2
        default:
            server.expireLeases()
            server.passTime(ms: 10_000)
            server.work(turns: 10)
        }
        if operation & 15 < 11 { server.work(turns: 3) }
    }
    server.setWritable(true)
    server.work(turns: 50)
}

#if PINE_FUZZER
    /// libFuzzer's entry point.
    @_cdecl("LLVMFuzzerTestOneInput")
    public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        play(UnsafeRawBufferPointer(start: start, count: count))
        return 0
    }
#endif

// Owns: what an input of the fuzzer means as a conversation in JSON, over HTTP/1.1 or HTTP/2.
// Must never: refuse an input: every sequence of bytes means something.
internal import NIOCore

@testable internal import Gateway

/// Operations, each a byte and what it takes.
func playJSON(_ reader: inout InputReader, _ server: FuzzServer, overHTTP2: Bool) {
    if overHTTP2 { server.receive(ByteBuffer(bytes: preface + frame(.settings, 0, 0, []))) }
    server.work(turns: 20)
    var next: UInt32 = 1
    while !reader.isAtEnd {
        let operation = reader.byte()
        switch operation & 15 {
        case 11: server.work(turns: 1 + Int(operation >> 4))
        case 12: server.receive(ByteBuffer(bytes: reader.bytes(reader.count())))
        case 13: server.setWritable(operation & 0x10 != 0)
        case 14:
            server.expireLeases()
            server.passTime(ms: Int(reader.byte()) << (operation >> 4))
            server.work(turns: 10)
        default:
            let bytes = overHTTP2 ? http2Bytes(operation, &reader, &next) : http1Bytes(operation, &reader)
            server.receive(ByteBuffer(bytes: bytes))
        }
        if operation & 15 < 11 { server.work(turns: 3) }
    }
    server.setWritable(true)
    server.work(turns: 50)
}

private func path(_ reader: inout InputReader) -> String { Route.all[Int(reader.byte()) % Route.all.count].path }

/// What most requests need, or the input's own.
private func body(_ reader: inout InputReader) -> [UInt8] {
    let kind = reader.byte()
    let key = #""key":"YQ==""#
    switch kind {
    case 0: return Array("{\(key)}".utf8)
    case 1: return Array("{\(key),\"value\":\"\(String(repeating: "AAAA", count: reader.count()))\"}".utf8)
    case 2: return Array("{\"create_request\":{\(key),\"range_end\":\"AA==\",\"start_revision\":\(reader.byte())}}".utf8)
    case 3: return Array(#"{"ID":\#(reader.byte() & 3),"TTL":60}"#.utf8)
    case 4: return Array(#"{"name":"bA==","lease":\#(reader.byte() & 3)}"#.utf8)
    case 5: return Array("{\(key),\"value\":\"\(String(repeating: "AAAA", count: reader.count() * 16))\"}".utf8)
    default: return reader.bytes(reader.count())
    }
}

private func http1Bytes(_ operation: UInt8, _ reader: inout InputReader) -> [UInt8] {
    let version = operation & 0x80 == 0 ? "1.1" : "1.0"
    switch operation & 15 {
    case 0...3:
        let head = "POST \(path(&reader)) HTTP/\(version)\r\n"
        let body = body(&reader)
        let missing = operation & 0x40 == 0 ? 0 : Int(reader.byte())
        return Array("\(head)Content-Length: \(body.count + missing)\r\n\r\n".utf8) + body
    case 4, 5: return Array("POST \(path(&reader)) HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
    case 6, 7:
        let body = body(&reader)
        return body.isEmpty ? [] : Array("\(String(body.count, radix: 16))\r\n".utf8) + body + Array("\r\n".utf8)
    case 8: return Array("0\r\n\r\n".utf8)
    case 9:
        let one = "\(operation & 0x20 == 0 ? "GET" : "OPTIONS") \(path(&reader)) HTTP/\(version)\r\n\r\n"
        return Array(String(repeating: one, count: 1 + Int(operation >> 6)).utf8)
    default: return body(&reader)
    }
}

private func http2Bytes(_ operation: UInt8, _ reader: inout InputReader, _ next: inout UInt32) -> [UInt8] {
    func stream(_ reader: inout InputReader) -> UInt32 { next > 1 ? 1 + UInt32(reader.byte()) % (next / 2) * 2 : 1 }
    let isEnd = operation >> 4 & 1
    switch operation & 15 {
    case 0...4:
        let head = frame(.headers, 4 | isEnd, next, requestHead(path(&reader), type: "text/json", extra: []))
        let data = isEnd == 0 && operation & 0x20 == 0 ? frame(.data, operation >> 6 & 1, next, body(&reader)) : []
        next += 2
        return head + data
    case 5, 6: return frame(.data, isEnd, stream(&reader), body(&reader))
    case 7: return frame(.reset, 0, stream(&reader), bigEndian(UInt32(operation >> 4)))
    case 8:
        let target = isEnd == 0 ? 0 : stream(&reader)
        return frame(.windowUpdate, 0, target, bigEndian(UInt32(reader.byte()) << (operation >> 4)))
    case 9: return frame(.settings, 0, 0, [0, reader.byte() & 7] + bigEndian(UInt32(reader.byte()) << (operation >> 4)))
    default: return frame(.ping, isEnd, 0, [0, 0, 0, 0, 0, 0, 0, reader.byte()])
    }
}

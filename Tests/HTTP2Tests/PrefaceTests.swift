internal import Testing

@testable import HTTP2

@Suite("The preface")
struct PrefaceTests {
    private let magic = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private func examine(_ bytes: [UInt8]) -> Preface { bytes.withUnsafeBytes { Preface.examine($0) } }

    @Test("Every part of it is incomplete, the whole is HTTP/2, whatever follows")
    func prefixes() {
        for count in 0..<magic.count { #expect(examine(Array(magic.prefix(count))) == .incomplete) }
        #expect(examine(magic) == .http2)
        #expect(examine(magic + [1, 2, 3]) == .http2)
    }

    @Test("One wrong byte anywhere makes it something else")
    func others() {
        for index in magic.indices {
            var bytes = magic
            bytes[index] ^= 1
            #expect(examine(bytes) == .other)
            #expect(examine(Array(bytes.prefix(index + 1))) == .other)
        }
        #expect(examine(Array("GET / HTTP/1.1\r\n".utf8)) == .other)
        #expect(examine([0x16, 3, 1]) == .other)
    }
}

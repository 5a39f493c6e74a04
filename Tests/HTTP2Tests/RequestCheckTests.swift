internal import Testing

@testable import HTTP2

@Suite("The fields of a request")
struct RequestCheckTests {
    private typealias Fields = [(name: String, value: String)]

    private func isWellFormed(_ fields: Fields, isTrailers: Bool = false) -> Bool {
        var check = RequestCheck()
        check.begin(isTrailers: isTrailers)
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in Array(value.utf8).withUnsafeBytes { check.take(name, $0) } }
        }
        return check.isWellFormed
    }

    private let pseudo: Fields = [(":method", "POST"), (":scheme", "http"), (":path", "/a"), (":authority", "h")]

    @Test("Pseudo-header fields come first, each once, in any order; all but :authority must be there, and say something")
    func pseudoFields() {
        #expect(isWellFormed(pseudo) && isWellFormed(pseudo.reversed()))
        #expect(isWellFormed(pseudo + [("host", "h"), ("x", "")]))
        for index in pseudo.indices {
            let name = pseudo[index].name
            var rest = pseudo
            rest.remove(at: index)
            #expect(isWellFormed(rest) == (name == ":authority"), "\(name) is absent")
            #expect(!isWellFormed(pseudo + [pseudo[index]]), "\(name) comes twice")
            #expect(!isWellFormed(rest + [("x", "1"), pseudo[index]]), "\(name) comes late")
            #expect(isWellFormed(rest + [(name, "")]) == (name == ":authority"), "\(name) is empty")
        }
        for other in [":status", ":protocol", ":", ":Path"] { #expect(!isWellFormed(pseudo + [(other, "1")]), "\(other)") }
        #expect(isWellFormed([(":method", "CONNECT"), (":authority", "h:1")]))
        #expect(!isWellFormed([(":method", "CONNECT")]) && !isWellFormed([(":method", "CONNECT")] + pseudo.dropFirst()))
    }

    @Test("Names are tokens in small letters, values hold no control characters but tabs")
    func characters() {
        for byte in UInt8.min...UInt8.max {
            let isToken =
                (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
            let isText = (byte >= 0x20 && byte != 0x7F) || byte == 0x09
            for place in 0..<3 {
                var bytes = Array("xyz".utf8)
                bytes[place] = byte
                func outcome(_ name: [UInt8], _ value: [UInt8]) -> Bool {
                    var check = RequestCheck()
                    check.begin(isTrailers: true)
                    name.withUnsafeBytes { name in value.withUnsafeBytes { check.take(name, $0) } }
                    return check.isWellFormed
                }
                #expect(outcome(bytes, [1 << 6]) == isToken, "\(byte) in a name")
                #expect(outcome([0x78], bytes) == isText, "\(byte) in a value")
            }
        }
        #expect(!isWellFormed(pseudo + [("", "1")]))
        #expect(!isWellFormed(Array(pseudo.dropLast()) + [(":authority", "a\u{0}b")]))
    }

    @Test("Fields of the connection are nobody's, te asks for trailers at most, host comes once")
    func connectionFields() {
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            #expect(!isWellFormed(pseudo + [(name, "x")]), "\(name)")
        }
        #expect(isWellFormed(pseudo + [("te", "trailers")]) && isWellFormed(pseudo + [("te", "Trailers")]))
        #expect(!isWellFormed(pseudo + [("te", "gzip")]))
        #expect(!isWellFormed(pseudo + [("host", "a"), ("host", "a")]))
    }

    @Test("content-length is one number", arguments: ["", "-1", "+1", "1 ", "0x1", "1234567890123456789"])
    func contentLength(text: String) {
        #expect(!isWellFormed(pseudo + [("content-length", text)]))
        #expect(isWellFormed(pseudo + [("content-length", "0123456789")]))
        #expect(!isWellFormed(pseudo + [("content-length", "1"), ("content-length", "1")]))
    }

    @Test("Trailers hold no pseudo-header field, and need none")
    func trailers() {
        #expect(isWellFormed([], isTrailers: true) && isWellFormed([("x", "1")], isTrailers: true))
        for field in pseudo { #expect(!isWellFormed([field], isTrailers: true)) }
        #expect(!isWellFormed([("connection", "close")], isTrailers: true))
    }
}

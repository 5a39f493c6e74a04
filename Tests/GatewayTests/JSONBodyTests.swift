// Tests cutting a body into values.
import Bytes
import TestSupport
import Testing

@testable import Gateway

@Suite("A body in pieces", .ownThreads)
struct JSONBodyTests {
    /// All values of `text`, which comes in pieces of `size` bytes, and the rest.
    private func cut(_ text: String, by size: Int) -> (values: [String], rest: String) {
        var body = JSONBody()
        var values: [String] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { body.append($0) }
            while let value = body.nextValue() { values.append(String(decoding: value, as: UTF8.self)) }
        }
        return (values, String(decoding: body.takeRest(), as: UTF8.self))
    }

    @Test("However it is cut, the values are the same")
    func pieces() {
        let values = [#"{}"#, #"{"a":"}\"{"}"#, #" {"b":[{"c":"\\"},[1]]}"#, "\n\t{\"d\":\"é\"}"]
        let text = values.joined() + " {\"half"
        for size in 1...text.utf8.count {
            let (found, rest) = cut(text, by: size)
            #expect(found == values && rest == " {\"half", "\(size)")
        }
    }

    @Test("What can't be an object is one value with all that is there")
    func faults() {
        #expect(cut(#"{} x{}"#, by: 100).values == ["{}", " x{}"])
        #expect(cut("7", by: 1).values == ["7"])
        #expect(cut("[{}]", by: 4).values == ["[{}]"])
        #expect(cut(#"{"a":}}"#, by: 100).values == [#"{"a":}"#, "}"])
        #expect(cut("  \n ", by: 2) == ([], "  \n "))
    }

    @Test("Of values that were taken nothing is kept")
    func memory() {
        var body = JSONBody()
        let value = Array(#"{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#.utf8)
        for _ in 0..<1_000 {
            value.withUnsafeBytes { body.append($0) }
            #expect(body.nextValue()?.count == value.count)
            #expect(body.count == 0)
        }
    }
}

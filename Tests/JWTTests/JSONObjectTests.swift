// Checks JSON against the grammar's corners.
internal import Bytes
internal import JWT
internal import Testing

@Suite struct JSONObjectTests {
    @Test("texts and numbers of an object, the last of a name")
    func values() throws {
        let object = try #require(JSONObject(#" { "a" : "x\n\"\\\/\u00e9\ud800" , "b":-0.5e+2,"c":{"a":[1,{}]},"d":true,"b":3 } "#))
        #expect(object.text("a") == ByteString("x\n\"\\/é\u{FFFD}"))
        #expect(object.number("b") == 3)
        #expect(object.text("b") == nil)
        #expect(object.has("c") && object.has("d") && !object.has("e"))
        #expect(object.text("c") == nil && object.number("d") == nil)
    }

    @Test("what is no object is refused, and every prefix of one")
    func refused() {
        let whole: ByteString = #"{"a":"\ud83d\ude00","b":[1.5e3,true,false,null,{"c":-0}]}"#
        #expect(JSONObject(whole) != nil)
        for end in 0..<whole.count { #expect(JSONObject(whole.slice(0..<end)) == nil) }
        for index in 0..<whole.count {
            for value in [0, 0x22, 0x5C, 0x7B, 0x5D, 0x80, 0xFF] as [UInt8] {
                var bytes = Array(whole)
                bytes[index] = value
                _ = JSONObject(ByteString(bytes))
            }
        }
        for text in [#"{"a":01}"#, #"{"a":1.}"#, #"{"a":.5}"#, #"{"a":+1}"#, #"{"a":1e}"#, #"{"a":1e999}"#, #"{"a":nul}"#, #"{"a" 1}"#] {
            #expect(JSONObject(ByteString(text)) == nil, "\(text)")
        }
        for text in [#"{"a":1,}"#, #"{,}"#, #"{a:1}"#, #"{"a":"\x"}"#, #"{"a":"\u12g4"}"#, "{\"a\":\"\n\"}", #"{"a":[1,]}"#, "{} {}"] {
            #expect(JSONObject(ByteString(text)) == nil, "\(text)")
        }
        #expect(JSONObject(ByteString(Array(#"{"a":""#.utf8) + [0xFF, 0x22, 0x7D])) == nil)
    }

    @Test("nesting is bounded")
    func depth() {
        func nested(_ depth: Int) -> ByteString {
            ByteString("{\"a\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}")
        }
        #expect(JSONObject(nested(JSONObject.depthLimit)) != nil)
        #expect(JSONObject(nested(JSONObject.depthLimit + 1)) == nil)
        #expect(JSONObject(nested(100_000)) == nil)
    }

    @Test("a text that is written is read again")
    func written() throws {
        let text = ByteString((1..<128).map { UInt8($0) })
        var writer = ByteWriter()
        writer.append(ByteString("{\"a\":"))
        JSONObject.append(text, to: &writer)
        writer.append(ByteString("}"))
        #expect(try #require(JSONObject(writer.finish())).text("a") == text)
    }
}

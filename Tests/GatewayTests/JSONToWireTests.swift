// Requests in every spelling that etcd accepts, and in those that it refuses: what a recording of etcd shows, and what protojson says.
internal import Bytes
internal import EtcdAPI
internal import Gateway
internal import Testing

@Suite struct JSONToWireTests {
    private func put(_ json: String) throws -> PutRequest { try PutRequest.decode(wire(json, "PutRequest")) }

    @Test(
        "bytes are base64 of either alphabet, with or without padding",
        arguments: [
            ("YQ==", [0x61]), ("YQ", [0x61]), ("_-8=", [0xFF, 0xEF]), ("_-8", [0xFF, 0xEF]), ("/+8=", [0xFF, 0xEF]), ("/+8", [0xFF, 0xEF]),
            ("", []), ("YWJj", [0x61, 0x62, 0x63]), ("YR==", [0x61]), ("YWJj\\n\\n\\n\\nZA==", [0x61, 0x62, 0x63, 0x64]),
            ("\\u0059Q==", [0x61]), ("\\/+8", [0xFF, 0xEF]),
        ] as [(String, [UInt8])])
    func base64(_ text: String, _ bytes: [UInt8]) throws {
        #expect(try put(#"{"key":"\#(text)"}"#).key == ByteString(bytes))
    }

    @Test(
        "what is no base64 is refused",
        arguments: ["/-8=", "Y", "Y===", "YQ==\\n", " YQ==", "*", "YQ=", "====", "YQ==YQ==", "Y=Q=", "YQ\\u00e9=", "é"])
    func notBase64(_ text: String) throws {
        #expect(try fault(#"{"key":"\#(text)"}"#, "PutRequest").message.hasPrefix("proto: (line 1:8): invalid value for bytes field key: "))
    }

    @Test(
        "integers are numbers or strings, whatever their form",
        arguments: [
            ("0", 0), (#""0""#, 0), ("0.0", 0), ("-0", 0), ("0e999", 0), ("1e0", 1), (#""1e0""#, 1), ("1.0", 1), ("0.05e2", 5),
            ("10e-1", 1),
            ("7", 7), ("1E+2", 100), (#""-12""#, -12), ("9223372036854775807", .max), (#""9223372036854775807""#, .max),
            ("-9223372036854775808", .min), ("9.223372036854775807e18", .max), ("null", 0),
        ] as [(String, Int64)])
    func integers(_ text: String, _ value: Int64) throws {
        #expect(try put(#"{"lease":\#(text)}"#).lease.rawValue == value)
    }

    @Test(
        "what is no 64-bit integer is refused",
        arguments: [
            "1.5", #""""#, #""x""#, #""+7""#, #"" 7""#, #""7 ""#, #""07""#, #""0x7""#, #""7,""#, #""7 8""#, "9223372036854775808",
            "-9223372036854775809", "true", "[]", "{}", "1e20", "1e99999999999999999999", "15e-1", "1e-1", #""null""#,
            "100000000000000000000000000000000000000000000",
        ])
    func notIntegers(_ text: String) throws {
        #expect(
            try fault(#"{"lease":\#(text)}"#, "PutRequest").message.hasPrefix("proto: (line 1:10): invalid value for int64 field lease: "))
    }

    @Test("unsigned and 32-bit integers have their own bounds")
    func bounds() throws {
        #expect(
            try wire(#"{"ID":"18446744073709551615"}"#, "MemberRemoveRequest")
                == ByteString([0x08] + [UInt8](repeating: 0xFF, count: 9) + [1]))
        for text in ["-1", "18446744073709551616", "1e20"] {
            #expect(try fault(#"{"ID":\#(text)}"#, "MemberRemoveRequest").message.contains("uint64 field ID"))
        }
        #expect(try wire(#"{"hash":4294967295}"#, "HashResponse") == ByteString([0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]))
        #expect(try fault(#"{"hash":4294967296}"#, "HashResponse").message.contains("uint32 field hash"))
    }

    @Test(
        "enums are names or numbers; unknown names count as none",
        arguments: [
            (#""DESCEND""#, 2), (#""descend""#, 0), (#""BOTH""#, 0), ("2", 2), (#""2""#, 0), ("9", 9), ("null", 0), ("-1", -1),
            ("2147483647", .max), ("2e0", 2), (#""DESC\u0045ND""#, 2),
        ] as [(String, Int32)])
    func enums(_ text: String, _ value: Int32) throws {
        #expect(try RangeRequest.decode(wire(#"{"sort_order":\#(text)}"#, "RangeRequest")).sortOrder.rawValue == value)
    }

    @Test("enum numbers beyond 32 bits, and other values, are refused", arguments: ["2147483648", "-2147483649", "1.5", "true", "{}"])
    func notEnums(_ text: String) throws {
        #expect(
            try fault(#"{"sort_order":\#(text)}"#, "RangeRequest").message.hasPrefix("proto: (line 1:15): invalid value for enum field"))
    }

    @Test("booleans are true and false only", arguments: [#""true""#, "1", "0", "[]", #""""#])
    func booleans(_ text: String) throws {
        #expect(try put(#"{"prev_kv":true}"#).prevKV && !put(#"{"prev_kv":false}"#).prevKV)
        #expect(
            try fault(#"{"prev_kv":\#(text)}"#, "PutRequest").message.hasPrefix("proto: (line 1:12): invalid value for bool field prevKv: ")
        )
    }

    @Test("fields have either name; other names are ignored with whatever they hold")
    func names() throws {
        #expect(try put(#"{"prevKv":true,"ignore_lease":true}"#) == PutRequest(prevKV: true, ignoreLease: true))
        #expect(try put(#"{"KEY":"YQ==","1":"YQ==","":0,"prevkv":1,"x":{"a":[1,null,{}],"b":{}},"y":[[],[[]]]}"#) == PutRequest())
        #expect(try put(#"{"k\u0065y":"YQ=="}"#).key == "a")
    }

    @Test("a field or a union given twice is refused, null or not")
    func twice() throws {
        #expect(try fault(#"{"key":"YQ==","key":"Yg=="}"#, "PutRequest").message == #"proto: (line 1:15): duplicate field "key""#)
        for json in [#"{"prev_kv":true,"prevKv":true}"#, #"{"lease":null,"lease":1}"#, #"{"lease":0,"lease":0}"#] {
            #expect(try fault(json, "PutRequest").message.contains("duplicate field"))
        }
        let both = try fault(#"{"version":"1","value":"YQ=="}"#, "Compare")
        #expect(both.message == #"proto: (line 1:16): error parsing "value", oneof Compare.target_union is already set"#)
        #expect(try Compare.decode(wire(#"{"version":null,"value":"YQ=="}"#, "Compare")).encoded() == ByteString([0x3A, 1, 0x61]))
    }

    @Test("a union's member that is zero is set; an empty message too")
    func presence() throws {
        #expect(try wire(#"{"version":0}"#, "Compare") == ByteString([0x20, 0]))
        #expect(try wire(#"{"value":""}"#, "Compare") == ByteString([0x3A, 0]))
        #expect(try wire(#"{"request_range":{}}"#, "RequestOp") == ByteString([0x0A, 0]))
        #expect(try wire(#"{"progress_request":{}}"#, "WatchRequest") == ByteString([0x1A, 0]))
        #expect(try wire(#"{"key":"","lease":"0","prev_kv":false}"#, "PutRequest").isEmpty)
    }

    @Test("lists are lists of the element's type, without nulls")
    func lists() throws {
        let request = try WatchCreateRequest.decode(wire(#"{"filters":["NODELETE",0,"NONE",7]}"#, "WatchCreateRequest"))
        #expect(request.filters.map(\.rawValue) == [1, 0, 7])
        #expect(try wire(#"{"peerURLs":["a","","é"]}"#, "MemberAddRequest") == ByteString([0x0A, 1, 0x61, 0x0A, 0, 0x0A, 2, 0xC3, 0xA9]))
        #expect(try wire(#"{"peerURLs":[]}"#, "MemberAddRequest").isEmpty && wire(#"{"success":null}"#, "TxnRequest").isEmpty)
        for json in [#"{"success":{}}"#, #"{"success":[null]}"#, #"{"success":[1]}"#, #"{"success":"x"}"#] {
            #expect(try fault(json, "TxnRequest").message.hasPrefix("proto: syntax error (line 1:1"), "\(json)")
        }
        #expect(try fault(#"{"peerURLs":[null]}"#, "MemberAddRequest").message.contains("invalid value for string field peerURLs"))
    }

    @Test("an empty body is none; what follows the first value is ignored, and where it begins is told")
    func ends() throws {
        let message = try #require(Schema.index(of: "PutRequest"))
        for empty in ["", " \n\t\r"] { #expect(try JSONToWire.convert(ByteString(empty), message: message) == nil) }
        let two: ByteString = " \n{ \"key\" : \"YQ==\" }{\"key\":\"Yg==\"} x"
        let first = try #require(try JSONToWire.convert(two, message: message))
        #expect(try PutRequest.decode(first.message).key == "a")
        let second = try #require(try JSONToWire.convert(two, from: first.end, message: message))
        #expect(try PutRequest.decode(second.message).key == "b" && second.end == two.count - 2)
        #expect(throws: JSONFault.self) { try JSONToWire.convert(two, from: second.end, message: message) }
    }

    @Test(
        "what is no JSON object is refused",
        arguments: [
            ("null", "proto: syntax error (line 1:1): unexpected token null"), ("[]", "proto: syntax error (line 1:1): unexpected token ["),
            (#""""#, #"proto: syntax error (line 1:1): unexpected token """#), ("7", "proto: syntax error (line 1:1): unexpected token 7"),
            ("{", "unexpected EOF"), ("}", "invalid character '}' looking for beginning of value"),
            ("{]", "invalid character ']' looking for beginning of object key string"),
            (#"{"key"}"#, "invalid character '}' after object key"),
            (#"{"key":}"#, "invalid character '}' looking for beginning of value"),
            ("{'key':'YQ=='}", #"invalid character '\'' looking for beginning of object key string"#),
            (#"{"key":"YQ==",}"#, "invalid character '}' looking for beginning of object key string"),
            (#"{"key":"YQ==""#, "unexpected EOF"),
            ("\u{FEFF}{}", #"invalid character '\xef' looking for beginning of value"#),
            ("// no\n{}", "invalid character '/' looking for beginning of value"),
            (#"{"key":NaN}"#, "invalid character 'N' looking for beginning of value"),
            (#"{"lease":07}"#, "invalid character '7' after object key:value pair"),
            (#"{"x":[1,]}"#, "invalid character ']' looking for beginning of value"),
            (#"{"x":[1}"#, "invalid character '}' after array element"),
            (#"{"x":1.}"#, "invalid character '}' after decimal point in numeric literal"),
            (#"{"x":-}"#, "invalid character '}' in numeric literal"),
            (#"{"x":1e}"#, "invalid character '}' in exponent of numeric literal"),
            (#"{"x":nul}"#, "invalid character '}' in literal null"), (#"{"x":"\x"}"#, "invalid character 'x' in string escape code"),
            (#"{"x":"\u12g4"}"#, #"invalid character 'g' in \u hexadecimal character escape"#),
            ("{\"x\":\"\n\"}", #"invalid character '\x0a' in string literal"#),
            (#"{"key":[}"#, "invalid character '}' looking for beginning of value"),
        ])
    func notJSON(_ json: String, _ message: String) throws {
        #expect(try fault(json, "PutRequest").message == message)
    }

    @Test("text that is no UTF-8 and lone surrogates are refused, wherever they stand")
    func notText() throws {
        for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xC3], [0xF5, 0x80, 0x80, 0x80]] as [[UInt8]] {
            for start in [#"{"key":""#, #"{"x":"\n"#, #"{""#] {
                let input = ByteString(Array(start.utf8) + bytes + Array(#"":1}"#.utf8))
                #expect(throws: JSONFault.self) { try wire(input, "PutRequest") }
            }
        }
        for escape in [#"\ud800"#, #"\ud800\n"#, #"\ud800A"#, #"\ud800\u0041"#, #"\udc00"#] {
            #expect(try fault(#"{"x":"\#(escape)"}"#, "PutRequest").message.contains("surrogate"))
        }
        #expect(try wire(#"{"name":"\ud83c\udf32é\u00e9\t"}"#, "AuthUserGetRequest") == ByteString([0x0A, 9] + Array("🌲éé\t".utf8)))
    }

    @Test("what ends or breaks a string is found at every distance from its beginning")
    func stringScan() throws {
        for count in 0...20 {
            let plain = String(repeating: "~", count: count)
            for rest in 0...9 {
                let tail = String(repeating: " ", count: rest)
                for (inner, byte) in [
                    (#"\""#, "\""), ("\u{7F}", "\u{7F}"), ("é", "é"), (#"\\"#, "\\"), ("!", "!"), ("#", "#"), ("[]", "[]"),
                ] {
                    let text = plain + byte + tail
                    let expected = ByteString([0x0A, UInt8(text.utf8.count)] + Array(text.utf8))
                    #expect(try wire(#"{"name":"\#(plain)\#(inner)\#(tail)"}"#, "AuthUserGetRequest") == expected)
                }
                for byte in [0, 0x1F, 0x80, 0xFF] as [UInt8] {
                    let json = ByteString(Array(#"{"name":"\#(plain)"#.utf8) + [byte] + Array((tail + #""}"#).utf8))
                    #expect(throws: JSONFault.self) { try wire(json, "AuthUserGetRequest") }
                }
            }
        }
    }

    @Test("every beginning of a request is unfinished, not wrong")
    func unfinished() throws {
        let text =
            #"{"success":[{"request_put":{"key":"\ud83c\udf32YQ==","lease":-1.5e-3,"prev_kv":true,"x":[null,{"é":false}]}}],"compare":[]}"#
        let whole = Array(text.utf8)
        for count in 1..<whole.count {
            let json = ByteString(whole[..<count])
            let index = try #require(Schema.index(of: "LeaseLeasesRequest"))
            let error = #expect(throws: JSONFault.self) { try JSONToWire.convert(json, message: index) }
            #expect(error?.isUnfinished == true, "\(json)")
        }
        #expect(try wire(text, "LeaseLeasesRequest").isEmpty)
    }
}

// Answers as a recording of etcd has them, and faults of the wire.
internal import Bytes
internal import EtcdAPI
internal import Gateway
internal import Testing

@Suite struct WireToJSONTests {
    private let header = ResponseHeader(clusterID: .max, memberID: 2, revision: 20, raftTerm: 0)
    private let headerJSON = #"{"cluster_id":"18446744073709551615","member_id":"2","revision":"20"}"#

    @Test("names are the files', 64-bit integers strings, bytes base64, zeros left out")
    func range() throws {
        let answer = RangeResponse(
            header: header,
            kvs: [
                KeyValue(key: "a", createRevision: 2, modRevision: 20, version: 15, value: "ab", lease: -1),
                KeyValue(key: ByteString([0xFF, 0xEF, 0xFE])),
            ], more: true, count: 2)
        let kvs =
            #"[{"key":"YQ==","create_revision":"2","mod_revision":"20","version":"15","value":"YWI=","lease":"-1"},{"key":"/+/+"}]"#
        #expect(try json(answer.encoded(), "RangeResponse") == #"{"header":\#(headerJSON),"kvs":\#(kvs),"more":true,"count":"2"}"#)
        #expect(try json(ByteString(), "RangeResponse") == "{}")
    }

    @Test("empty messages that are there stay, in unions too")
    func presence() throws {
        let inner = TxnResponse(header: ResponseHeader(), responses: [.put(PutResponse()), .empty])
        let answer = TxnResponse(header: header, succeeded: true, responses: [.txn(inner)])
        #expect(
            try json(answer.encoded(), "TxnResponse")
                == #"{"header":\#(headerJSON),"succeeded":true,"responses":[{"response_txn":{"header":{},"#
                + #""responses":[{"response_put":{}},{}]}}]}"#)
    }

    @Test("enums are names where they have one, 32-bit integers numbers")
    func enums() throws {
        #expect(
            try json(Event(type: .delete, kv: KeyValue(key: "a")).encoded(), "Event") == #"{"type":"DELETE","kv":{"key":"YQ=="}}"#)
        #expect(try json(Event(type: Event.EventType(rawValue: 7)).encoded(), "Event") == #"{"type":7}"#)
        #expect(try json(Event(type: Event.EventType(rawValue: -7)).encoded(), "Event") == #"{"type":-7}"#)
        #expect(try json(ByteString([0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "HashResponse") == #"{"hash":4294967295}"#)
        #expect(try json(ByteString([0x28, 0, 0x28, 1, 0x28, 9]), "WatchCreateRequest") == #"{"filters":["NOPUT","NODELETE",9]}"#)
    }

    @Test("text is escaped as JSON wants it, and no more")
    func text() throws {
        let text = "\"\\/\u{8}\u{C}\n\r\t\u{0}\u{1F}\u{7F}<é🌲"
        let name = RawText(text).wire
        #expect(try json(name, "AuthUserGetRequest") == #"{"name":"\"\\/\b\f\n\r\t\u0000\u001f"# + "\u{7F}<é🌲\"}")
        #expect(try wire(json(name, "AuthUserGetRequest"), "AuthUserGetRequest") == name)
    }

    private struct RawText {
        var wire: ByteString
        init(_ text: String) { wire = ByteString([0x0A, UInt8(text.utf8.count)] + Array(text.utf8)) }
    }

    @Test(
        "what is not as the schema says is a fault",
        arguments: [
            [0x0A], [0x0A, 5, 1], [0x18, 0x80], [0x18] + [UInt8](repeating: 0xFF, count: 11), [0x08, 1], [0x1A, 0],
            [0x21, 0, 0, 0, 0, 0, 0, 0, 0],
            [0x78, 1], [0x0A, 0, 0x0A, 0], [0x12, 0, 0x18, 1, 0x12, 0], [0x0A, 2, 0x18, 0x80, 0x18, 1], [],
        ] as [[UInt8]])
    func faults(_ bytes: [UInt8]) throws {
        if bytes.isEmpty {
            #expect(throws: WireFault.self) { try json(ByteString([0x0A, 1, 0xFF]), "AuthUserGetRequest") }
        } else {
            #expect(throws: WireFault.self) { try json(ByteString(bytes), "RangeResponse") }
        }
    }

    @Test("statuses have etcd's HTTP statuses and bodies")
    func statuses() {
        let http = (0...17).map { GatewayStatus(code: $0, message: "").httpStatus }
        #expect(http == [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500])
        let status = GatewayStatus(code: 5, message: "no \"lease\"\n")
        #expect(status.body == #"{"code":5,"message":"no \"lease\"\n"}"#)
        #expect(status.line == #"{"error":{"code":5,"message":"no \"lease\"\n"}}"#)
        #expect(GatewayStatus.notFound.body == #"{"code":5,"message":"Not Found"}"#)
    }
}

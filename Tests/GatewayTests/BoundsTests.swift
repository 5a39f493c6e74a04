// What a request may cost: depth, size, and bytes that are anything at all.
internal import Bytes
internal import EtcdAPI
internal import Gateway
internal import Testing

@Suite struct BoundsTests {
    private func nested(_ count: Int) -> String {
        String(repeating: #"{"success":[{"request_txn":"#, count: count) + "{}" + String(repeating: "}]}", count: count)
    }

    @Test("messages nest as deep as the decoder of the wire format takes them, and no deeper")
    func depth() throws {
        // Each level is two messages; the innermost is one more.
        let levels = (JSONToWire.depthLimit - 1) / 2
        let deepest = try wire(nested(levels), "TxnRequest")
        #expect(try TxnRequest.decode(deepest).encoded() == deepest)
        #expect(try wire(json(deepest, "TxnRequest"), "TxnRequest") == deepest)
        #expect(try fault(nested(levels + 1), "TxnRequest").message == "proto: exceeded max recursion depth")
        #expect(try fault(nested(20_000), "TxnRequest").message == "proto: exceeded max recursion depth")
    }

    @Test("unknown values nest ten thousand deep, without recursion")
    func unknownDepth() throws {
        func unknown(_ count: Int) -> String {
            #"{"x":"# + String(repeating: "[", count: count) + String(repeating: "]", count: count) + "}"
        }
        #expect(try wire(unknown(10_000), "PutRequest").isEmpty)
        #expect(try fault(unknown(10_001), "PutRequest").message == "json: exceeded max depth")
        #expect(try fault(#"{"x":"# + String(repeating: #"{"a":"#, count: 1_000_000), "PutRequest").message == "json: exceeded max depth")
    }

    @Test("lengths of any size stand in front of what they count, at any depth")
    func lengths() throws {
        for size in [0, 1, 90, 91, 92, 120, 127, 128, 129, 16_370, 16_380, 16_384, 70_000] {
            let put = PutRequest(key: "a", value: ByteString([UInt8](repeating: 7, count: size)))
            var request = TxnRequest()
            request.success = [.put(put), .empty, .put(put)]
            for _ in 0..<3 {
                var outer = TxnRequest()
                outer.failure = [.txn(request), .put(PutRequest(key: "b"))]
                request = outer
            }
            #expect(try wire(json(request.encoded(), "TxnRequest"), "TxnRequest") == request.encoded(), "\(size)")
        }
    }

    @Test("errors do not repeat large values")
    func shortErrors() throws {
        let value = String(repeating: "é", count: 100_000)
        #expect(try fault(#"{"key":"\#(value)"}"#, "PutRequest").message.utf8.count < 512)
        #expect(try fault(#"{"lease":1\#(String(repeating: "0", count: 100_000))}"#, "PutRequest").message.utf8.count < 512)
    }

    @Test("a message of the wire is at most four times its JSON")
    func growth() throws {
        let numbers = "[" + String(repeating: "-1,", count: 9_999) + "-1]"
        let text = #"{"filters":\#(numbers)}"#
        let filters = try wire(text, "WatchCreateRequest")
        #expect(filters.count <= 4 * text.utf8.count)
        let empties = #"{"success":["# + String(repeating: "{},", count: 9_999) + "{}]}"
        #expect(try wire(empties, "TxnRequest").count == 20_000)
    }
}

// Checks the rules of the wire format, one by one, on the simplest message that shows them.
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct WireReaderTests {
    private func revision(_ bytes: [UInt8]) throws(DecodeError) -> Int64 {
        try CompactionRequest.decode(ByteString([0x08] + bytes)).revision.rawValue
    }

    // MARK: Varints

    @Test("varints of every length decode, the shortest and the longest of each")
    func varintLengths() throws {
        for length in 1...10 {
            let smallest: UInt64 = length == 1 ? 0 : 1 << UInt64(7 * (length - 1))
            let largest: UInt64 = length == 10 ? .max : (1 << UInt64(7 * length)) - 1
            for value in [smallest, smallest + 1, largest - 1, largest] {
                let bytes = RawWire.varint(value)
                #expect(bytes.count == length)
                #expect(varintSize(value) == length)
                #expect(try revision(bytes) == Int64(bitPattern: value))
                #expect(
                    CompactionRequest(revision: Revision(Int64(bitPattern: value))).encoded().dropFirst().elementsEqual(
                        value == 0 ? [] : bytes))
                for cut in 0..<length {
                    #expect(throws: DecodeError.truncated) { try revision(Array(bytes[..<cut])) }
                }
            }
        }
    }

    @Test("a varint may be longer than it needs to be, up to ten bytes")
    func longVarints() throws {
        for zeros in 0...8 {
            #expect(try revision([0x85] + Array(repeating: 0x80, count: zeros) + [0x00]) == 5)
        }
        #expect(throws: DecodeError.varintOverflow) { try revision([0x85] + Array(repeating: 0x80, count: 9) + [0x00]) }
    }

    @Test("a varint of more than 64 bits is an error")
    func varintOverflow() throws {
        let nine = Array(repeating: UInt8(0xFF), count: 9)
        #expect(try revision(nine + [0x01]) == -1)
        #expect(throws: DecodeError.varintOverflow) { try revision(nine + [0x02]) }
        #expect(throws: DecodeError.varintOverflow) { try revision(nine + [0x81, 0x00]) }
        #expect(throws: DecodeError.varintOverflow) { try revision(nine + [0x80, 0x00]) }
    }

    @Test("bools are true for any number but 0, enums and uint32 keep the low 32 bits")
    func narrowNumbers() throws {
        #expect(try CompactionRequest.decode(RawWire().number(2, 2).byteString).physical)
        #expect(try CompactionRequest.decode(RawWire().number(2, 1 << 63).byteString).physical)
        #expect(try !CompactionRequest.decode(RawWire().number(2, 1).number(2, 0).byteString).physical)
        #expect(try RangeRequest.decode(RawWire().number(5, 7).byteString).sortOrder.rawValue == 7)
        #expect(try RangeRequest.decode(RawWire().number(5, .max).byteString).sortOrder.rawValue == -1)
        #expect(try RangeRequest.decode(RawWire().number(5, 1 << 32 | 2).byteString).sortOrder == .descend)
        #expect(try HashResponse.decode(RawWire().number(2, 1 << 32 | 9).byteString).hash == 9)
    }

    @Test("a negative enum number is written in ten bytes and comes back")
    func negativeEnum() throws {
        let request = RangeRequest(sortOrder: .init(rawValue: -3))
        #expect(request.encoded() == RawWire().number(5, UInt64(bitPattern: -3)).byteString)
        #expect(try RangeRequest.decode(request.encoded()) == request)
    }

    // MARK: Tags

    @Test("field number 0, numbers above 2^29 - 1 and the wire types 6 and 7 are errors")
    func invalidTags() throws {
        for bytes in [
            RawWire().number(0, 1), RawWire().number(1 << 29, 1), RawWire().number(.max >> 3, 1), RawWire().tag(1, 6),
            RawWire().tag(90, 7),
        ] {
            #expect(throws: DecodeError.invalidTag) { try CompactionRequest.decode(bytes.byteString) }
        }
        #expect(try CompactionRequest.decode(RawWire().number(1 << 29 - 1, 1).byteString) == CompactionRequest())
        #expect(
            try CompactionRequest.decode(ByteString([0x88, 0x00, 0x05])).revision == 5, "a tag in two bytes where one would do")
    }

    @Test("a known field of another wire type is skipped as an unknown one, as Go does")
    func otherWireTypes() throws {
        let wire = RawWire().data(1, [9]).fixed64(1).fixed32(1).group(1, RawWire().number(1, 3)).number(2, 1)
        #expect(try CompactionRequest.decode(wire.byteString) == CompactionRequest(physical: true))
        #expect(try PutRequest.decode(RawWire().number(1, 5).byteString) == PutRequest())
        #expect(try PutResponse.decode(RawWire().number(1, 5).byteString) == PutResponse())
        #expect(try Compare.decode(RawWire().number(4, 5).data(4, [1]).byteString).targetUnion == .version(5))
        #expect(try RequestOp.decode(RawWire().message(2, RawWire()).number(1, 5).byteString) == .put(PutRequest()))
    }

    // MARK: Lengths and groups

    @Test("a length that goes past the end is an error, however large")
    func lengths() {
        for length: UInt64 in [2, 3, 0x7F, 0x80, 1 << 31, 1 << 32, 1 << 62, 1 << 63 - 1, 1 << 63, .max] {
            for field: UInt64 in [1, 77] {
                let wire = RawWire().tag(field, 2).raw(RawWire.varint(length)).raw([0x61])
                #expect(throws: DecodeError.truncated) { try PutRequest.decode(wire.byteString) }
                #expect(throws: DecodeError.truncated) { try PutResponse.decode(wire.byteString) }
                #expect(throws: DecodeError.truncated) { try LeaseTimeToLiveResponse.decode(wire.byteString) }
            }
        }
        #expect(throws: DecodeError.truncated) {
            try PutRequest.decode(RawWire().tag(9, 1).raw([1, 2, 3, 4, 5, 6, 7]).byteString)
        }
        #expect(throws: DecodeError.truncated) { try PutRequest.decode(RawWire().tag(9, 5).raw([1, 2, 3]).byteString) }
    }

    @Test("a sub-message may not reach past its own end, even where the input goes on")
    func innerEnd() {
        let wire = RawWire().message(2, RawWire().raw([0x0A, 0x05, 0x61])).data(9, [1, 2, 3, 4, 5, 6])
        #expect(throws: DecodeError.truncated) { try PutResponse.decode(wire.byteString) }
        let packed = RawWire().data(5, [0x80]).number(6, 1)
        #expect(throws: DecodeError.truncated) { try WatchCreateRequest.decode(packed.byteString) }
    }

    @Test("groups must end with their own number, inside their message")
    func groups() throws {
        let inner = RawWire().group(7, RawWire().fixed64(1).group(7, RawWire()))
        #expect(try CompactionRequest.decode(inner.group(8, inner).number(1, 4).byteString).revision == 4)
        for bad in [
            RawWire().tag(7, 3).tag(8, 4), RawWire().tag(7, 4), RawWire().tag(1, 4),
            RawWire().tag(7, 3).tag(8, 3).tag(7, 4).tag(8, 4),
        ] {
            #expect(throws: DecodeError.unmatchedGroupEnd) { try CompactionRequest.decode(bad.byteString) }
        }
        #expect(throws: DecodeError.truncated) { try CompactionRequest.decode(RawWire().tag(7, 3).byteString) }
        #expect(throws: DecodeError.truncated) {
            try PutResponse.decode(RawWire().message(2, RawWire().tag(7, 3)).tag(7, 4).byteString)
        }
    }

    @Test("groups may nest ten thousand deep and no deeper")
    func groupDepth() throws {
        func nested(_ depth: Int) -> ByteString {
            ByteString(Array(repeating: UInt8(0x7B), count: depth) + Array(repeating: UInt8(0x7C), count: depth))
        }
        #expect(try CompactionRequest.decode(nested(WireReader.groupDepthLimit)) == CompactionRequest())
        #expect(throws: DecodeError.nestedTooDeep) { try CompactionRequest.decode(nested(WireReader.groupDepthLimit + 2)) }
        #expect(throws: DecodeError.nestedTooDeep) {
            try CompactionRequest.decode(ByteString(Array(repeating: 0x7B, count: 1 << 20)))
        }
    }

    // MARK: Values

    @Test("strings must be UTF-8, byte strings need not")
    func utf8() throws {
        let invalid: [[UInt8]] = [
            [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82], [0xF4, 0x90, 0x80, 0x80], [0x61, 0x80],
        ]
        for bytes in invalid {
            #expect(throws: DecodeError.invalidUTF8) { try MemberAddRequest.decode(RawWire().data(1, bytes).byteString) }
            #expect(throws: DecodeError.invalidUTF8) { try DowngradeRequest.decode(RawWire().data(2, bytes).byteString) }
            #expect(try PutRequest.decode(RawWire().data(1, bytes).byteString).key == ByteString(bytes))
        }
        for text in ["", "a", "é", "€", "𝄞", "\0"] {
            #expect(try DowngradeRequest.decode(RawWire().text(2, text).byteString).version == ByteString(text))
        }
    }

    @Test("the last of several values of a field wins")
    func lastWins() throws {
        let wire = RawWire().text(1, "a").number(3, 1).text(1, "b").number(3, 2).text(2, "v").text(2, "")
        #expect(try PutRequest.decode(wire.byteString) == PutRequest(key: "b", lease: 2))
    }

    @Test("a sub-message that occurs twice merges")
    func merging() throws {
        let wire = RawWire().message(2, RawWire().text(1, "k").number(2, 5).number(4, 1)).number(9, 9)
            .message(2, RawWire().number(4, 2).text(5, "v")).message(1, RawWire()).message(1, RawWire().number(3, 7))
        let expected = PutResponse(
            header: ResponseHeader(revision: 7), prevKV: KeyValue(key: "k", createRevision: 5, version: 2, value: "v"))
        #expect(try PutResponse.decode(wire.byteString) == expected)
        let streamed = RawWire().message(1, RawWire().message(2, RawWire().text(1, "a")))
            .message(1, RawWire().message(2, RawWire().text(1, "b")).number(4, 2))
        #expect(
            try RangeStreamResponse.decode(streamed.byteString).rangeResponse
                == RangeResponse(kvs: [KeyValue(key: "a"), KeyValue(key: "b")], count: 2))
    }

    @Test("enums in a list may be packed, unpacked, or both")
    func packed() throws {
        let wire = RawWire().number(5, 1).data(5, [0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]).data(5, [])
            .number(5, 0)
        let filters = try WatchCreateRequest.decode(wire.byteString).filters.map(\.rawValue)
        #expect(filters == [1, 0, 1, -1, 0])
    }

    @Test("fields are slices of the input, not copies")
    func slices() throws {
        let input = RawWire().data(1, Array(repeating: 0x6B, count: 40)).data(2, Array(repeating: 0x76, count: 400)).byteString
        let request = try PutRequest.decode(input)
        input.withUnsafeBytes { whole in
            request.key.withUnsafeBytes { #expect($0.baseAddress == whole.baseAddress! + 2) }
            request.value.withUnsafeBytes { #expect($0.baseAddress == whole.baseAddress! + 45) }
        }
    }

    // MARK: Bounds

    private func nestedTxn(_ depth: Int) -> ByteString {
        var body: [UInt8] = []
        for _ in 0..<depth { body = RawWire().message(2, RawWire().data(4, body)).bytes }
        return ByteString(body)
    }

    @Test("transactions may nest 512 deep, four times what etcd allows, and no deeper than the limit")
    func depth() throws {
        let deep = nestedTxn(512)
        let message = try TxnRequest.decode(deep)
        #expect(message.encoded() == deep)
        #expect(try TxnRequest.decode(deep) == message)
        #expect(message.hashValue == message.hashValue)
        #expect(throws: DecodeError.nestedTooDeep) { try TxnRequest.decode(nestedTxn(WireReader.depthLimit / 2 + 1)) }
        #expect(throws: DecodeError.nestedTooDeep) { try TxnRequest.decode(nestedTxn(5_000)) }
        #expect(DecodeError.nestedTooDeep.status == .tooManyOps)
    }

    @Test("elements that take far more memory than input are refused, all that etcd would serve are not")
    func memory() throws {
        func ops(_ op: RawWire, _ count: Int) -> ByteString {
            let one = RawWire().message(2, op).bytes
            return ByteString((0..<count).flatMap { _ in one })
        }
        #expect(throws: DecodeError.tooManyElements) { try TxnRequest.decode(ops(RawWire(), 100_000)) }
        #expect(throws: DecodeError.tooManyElements) { try TxnRequest.decode(ops(RawWire().message(1, RawWire()), 100_000)) }
        #expect(DecodeError.tooManyElements.status == .tooManyOps)
        // The smallest operation and the smallest compare that are valid.
        #expect(try TxnRequest.decode(ops(RawWire().message(1, RawWire().text(1, "k")), 100_000)).success.count == 100_000)
        let compare = RawWire().message(1, RawWire().text(3, "k")).bytes
        #expect(try TxnRequest.decode(ByteString((0..<100_000).flatMap { _ in compare })).compare.count == 100_000)
        // Few are served whatever they hold, so that etcd's own answer is given.
        #expect(try TxnRequest.decode(ops(RawWire(), 500)).success.count == 500)
    }

    @Test("a transaction in pieces merges without copying what it has each time")
    func mergingIsLinear() throws {
        let piece = RawWire().message(4, RawWire().message(2, RawWire().message(1, RawWire().text(1, "k")))).bytes
        let wire = RawWire().data(2, (0..<60_000).flatMap { _ in piece })
        guard case .txn(let inner)? = try TxnRequest.decode(wire.byteString).success.first else {
            Issue.record("not a transaction")
            return
        }
        #expect(inner.success.count == 60_000)
        // The stretch that quadratic copying would take (minutes) is the check; no clock is needed.
    }

    @Test("errors say what grpc-go says")
    func texts() {
        #expect(
            DecodeError.truncated.status
                == EtcdError(
                    code: .internal,
                    text: "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data: unexpected end"))
        for error: DecodeError in [.varintOverflow, .invalidTag, .unmatchedGroupEnd, .invalidUTF8] {
            #expect(error.status.code == .internal)
            #expect(error.status.text.hasPrefix("grpc: error unmarshalling request: proto: "))
        }
    }
}

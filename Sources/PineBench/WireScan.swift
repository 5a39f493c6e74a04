// Owns: reading answers where they lie, without a copy: only what a check needs.
// Must never: trap on any input, or read outside of it.
internal import EtcdAPI

/// An answer that is not what etcd would have said.
struct WrongAnswer: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Walks over the fields of one message.
struct WireScan {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    /// The field that `next` found.
    private(set) var field = 0
    /// Its value, where it is a number.
    private(set) var number: UInt64 = 0
    /// Its value, where it has a length.
    private(set) var body = UnsafeRawBufferPointer(start: nil, count: 0)

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var int64: Int64 { Int64(bitPattern: number) }

    /// Goes on to the next field; false at the end.
    mutating func next() throws(WrongAnswer) -> Bool {
        if position == bytes.count { return false }
        let tag = try varint()
        field = Int(truncatingIfNeeded: tag >> 3)
        switch tag & 7 {
        case 0: number = try varint()
        case 1: try skip(8)
        case 2: body = try take(try varint())
        case 5: try skip(4)
        default: throw WrongAnswer("the answer is no protobuf message")
        }
        return true
    }

    private mutating func varint() throws(WrongAnswer) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < bytes.count, shift < 64 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw WrongAnswer("the answer is cut short")
    }

    private mutating func take(_ length: UInt64) throws(WrongAnswer) -> UnsafeRawBufferPointer {
        guard length <= UInt64(bytes.count - position) else { throw WrongAnswer("the answer is cut short") }
        let start = position
        position += Int(length)
        return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
    }

    private mutating func skip(_ length: UInt64) throws(WrongAnswer) { _ = try take(length) }
}

/// The revision in an answer's header, which is every answer's field 1.
func headerRevision(_ header: UnsafeRawBufferPointer) throws(WrongAnswer) -> Revision {
    var scan = WireScan(header)
    while try scan.next() {
        if scan.field == 3 { return Revision(scan.int64) }
    }
    return 0
}

/// A KeyValue in place.
struct KeyValueView {
    var key = UnsafeRawBufferPointer(start: nil, count: 0)
    var value = UnsafeRawBufferPointer(start: nil, count: 0)
    var modRevision: Revision = 0
    var version: Int64 = 0

    init(_ bytes: UnsafeRawBufferPointer) throws(WrongAnswer) {
        var scan = WireScan(bytes)
        while try scan.next() {
            switch scan.field {
            case 1: key = scan.body
            case 3: modRevision = Revision(scan.int64)
            case 4: version = scan.int64
            case 5: value = scan.body
            default: break
            }
        }
    }
}

/// A RangeResponse in place.
struct RangeView {
    var revision: Revision = 0
    var kvs = 0
    var more = false
    var count: Int64 = 0

    init() {}

    /// `each` sees every key in order.
    init(
        _ bytes: UnsafeRawBufferPointer, _ each: (borrowing KeyValueView) throws(WrongAnswer) -> Void
    ) throws(WrongAnswer) {
        try take(bytes, each)
    }

    /// Takes further fields in, none of which is cut.
    mutating func take(
        _ bytes: UnsafeRawBufferPointer, _ each: (borrowing KeyValueView) throws(WrongAnswer) -> Void
    ) throws(WrongAnswer) {
        var scan = WireScan(bytes)
        while try scan.next() {
            switch scan.field {
            case 1: revision = try headerRevision(scan.body)
            case 2:
                kvs += 1
                try each(try KeyValueView(scan.body))
            case 3: more = scan.number != 0
            case 4: count = scan.int64
            default: break
            }
        }
    }
}

/// A TxnResponse in place, of a transaction whose branches have one operation.
struct TxnView {
    var revision: Revision = 0
    var succeeded = false
    var responses = 0
    /// The union's member that the last response was: see `ResponseOpMember`.
    var member = 0
    var response = UnsafeRawBufferPointer(start: nil, count: 0)

    init(_ bytes: UnsafeRawBufferPointer) throws(WrongAnswer) {
        var scan = WireScan(bytes)
        while try scan.next() {
            switch scan.field {
            case 1: revision = try headerRevision(scan.body)
            case 2: succeeded = scan.number != 0
            case 3:
                responses += 1
                var op = WireScan(scan.body)
                while try op.next() {
                    member = op.field
                    response = op.body
                }
            default: break
            }
        }
    }
}

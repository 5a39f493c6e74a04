// Owns: a naive writer of the wire format, for tests that need bytes no encoder of ours would write.
internal import Bytes

/// Wire bytes, put together piece by piece.
struct RawWire {
    var bytes: [UInt8] = []

    static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7)
    }

    func tag(_ field: UInt64, _ type: UInt64) -> RawWire { RawWire(bytes: bytes + Self.varint(field << 3 | type)) }
    func raw(_ more: [UInt8]) -> RawWire { RawWire(bytes: bytes + more) }
    func number(_ field: UInt64, _ value: UInt64) -> RawWire { tag(field, 0).raw(Self.varint(value)) }
    func data(_ field: UInt64, _ body: [UInt8]) -> RawWire { tag(field, 2).raw(Self.varint(UInt64(body.count))).raw(body) }
    func text(_ field: UInt64, _ body: String) -> RawWire { data(field, Array(body.utf8)) }
    func message(_ field: UInt64, _ body: RawWire) -> RawWire { data(field, body.bytes) }
    func fixed64(_ field: UInt64) -> RawWire { tag(field, 1).raw([1, 2, 3, 4, 5, 6, 7, 8]) }
    func fixed32(_ field: UInt64) -> RawWire { tag(field, 5).raw([1, 2, 3, 4]) }
    func group(_ field: UInt64, _ body: RawWire) -> RawWire { tag(field, 3).raw(body.bytes).tag(field, 4) }

    var byteString: ByteString { ByteString(bytes) }
}

// Owns: the writing half of the protobuf wire format: one method a kind of field, with proto3's rule that what is zero
// or empty is left out.
package import Bytes

extension ByteWriter {
    @inline(__always)
    mutating func appendTag(_ field: Int, _ type: WireType) {
        appendVarint(UInt64(truncatingIfNeeded: field) << 3 | UInt64(type.rawValue))
    }

    /// An int64 field; left out where it is 0.
    @inline(__always)
    mutating func appendInt64(_ field: Int, _ value: Int64) {
        appendUInt64(field, UInt64(bitPattern: value))
    }

    /// An int64 field with a type of its own; left out where it is 0.
    @inline(__always)
    mutating func appendInt64(_ field: Int, _ value: some WireNumber) {
        appendInt64(field, value.rawValue)
    }

    /// A uint64 or uint32 field; left out where it is 0.
    @inline(__always)
    mutating func appendUInt64(_ field: Int, _ value: UInt64) {
        if value != 0 { appendUnionUInt64(field, value) }
    }

    /// A member of a union, or an element: written even where it is 0.
    @inline(__always)
    mutating func appendUnionUInt64(_ field: Int, _ value: UInt64) {
        appendTag(field, .varint)
        appendVarint(value)
    }

    /// A bool field; left out where it is false.
    @inline(__always)
    mutating func appendBool(_ field: Int, _ value: Bool) {
        if value { appendUnionUInt64(field, 1) }
    }

    /// An enum field; left out where it is 0. A negative number takes ten bytes, as in every protobuf.
    @inline(__always)
    mutating func appendEnum(_ field: Int, _ value: some WireEnum) {
        appendInt64(field, Int64(value.rawValue))
    }

    /// A bytes or string field; left out where it is empty.
    @inline(__always)
    mutating func appendBytes(_ field: Int, _ value: ByteString) {
        if !value.isEmpty { appendUnionBytes(field, value) }
    }

    /// A member of a union, or an element: written even where it is empty.
    @inline(__always)
    mutating func appendUnionBytes(_ field: Int, _ value: ByteString) {
        appendTag(field, .bytes)
        appendVarint(UInt64(truncatingIfNeeded: value.count))
        append(value)
    }

    /// A repeated bytes or string field.
    package mutating func appendRepeated(_ field: Int, _ values: [ByteString]) {
        for value in values { appendUnionBytes(field, value) }
    }

    /// A repeated enum field, packed.
    mutating func appendPacked(_ field: Int, _ values: [some WireEnum]) {
        if values.isEmpty { return }
        let list = beginMessage(field)
        for value in values { appendVarint(UInt64(bitPattern: Int64(value.rawValue))) }
        endMessage(list)
    }

    /// A sub-message that is set, however empty.
    mutating func appendMessage(_ field: Int, _ message: some WireMessage) {
        let start = beginMessage(field)
        message.encode(into: &self)
        endMessage(start)
    }

    /// A sub-message; left out where it is not set.
    mutating func appendMessage(_ field: Int, _ message: (some WireMessage)?) {
        if let message { appendMessage(field, message) }
    }

    /// A repeated sub-message.
    package mutating func appendRepeated(_ field: Int, _ messages: [some WireMessage]) {
        for message in messages { appendMessage(field, message) }
    }
}

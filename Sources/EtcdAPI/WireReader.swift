// Owns: the reading half of the protobuf wire format (protobuf.dev/programming-guides/encoding).
// Must never: trap on any input, read outside of it, or copy a field's bytes.
// Invariant: position <= end <= the input's length.
internal import Bytes

/// How a field's value is laid out. The raw values are those of the wire.
package enum WireType: UInt8, Sendable {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case groupStart = 3
    case groupEnd = 4
    case fixed32 = 5
}

/// What stands before each field's value.
package struct WireTag {
    /// 1 ..< 2^29.
    package var field: UInt32
    package var type: WireType
}

/// A position in an input, and what may still be spent on it.
///
/// The bytes themselves are handed to each call, and fields are sliced from them. Their accesses are bounds-checked: a mistake
/// in here could trap, but not read foreign memory.
package struct WireReader {
    private var position = 0
    /// Where the message that is being read ends.
    private var end: Int
    private var depth = 0
    private var memoryLeft: Int

    /// How deep messages may nest. A transaction in a transaction takes two levels, so this is 512 of them: etcd refuses
    /// more than `--max-txn-ops` (128) with an error of its own, which this leaves room for. Decoding, comparing and releasing
    /// such a message all recurse, so Go's limit of 10,000 would ask for too large stacks.
    package static let depthLimit = 1_030
    /// How deep unknown groups may nest, as in Go. Skipping them does not recurse.
    package static let groupDepthLimit = 10_000

    /// How many bytes the elements of repeated messages may take for an input of `count` bytes.
    ///
    /// Two bytes of input make an empty element of a hundred bytes in memory; every element that etcd would accept needs at least
    /// a 16th of its size in the input.
    package static func memoryLimit(for count: Int) -> Int { 65_536 + 16 * count }

    /// At the start of an input of `count` bytes.
    init(count: Int) {
        end = count
        memoryLeft = Self.memoryLimit(for: count)
    }

    // MARK: Tags

    /// The next field's tag, or nil at the end of the message.
    @inline(__always)
    mutating func nextTag(_ bytes: ByteString) throws(DecodeError) -> WireTag? {
        if position == end { return nil }
        let raw = try varint(bytes)
        let field = raw >> 3
        guard field >= 1, field < 1 << 29, let type = WireType(rawValue: UInt8(truncatingIfNeeded: raw & 7)) else {
            throw .invalidTag
        }
        return WireTag(field: UInt32(truncatingIfNeeded: field), type: type)
    }

    // MARK: Values

    @inline(__always)
    mutating func varint(_ bytes: ByteString) throws(DecodeError) -> UInt64 {
        guard position < end else { throw .truncated }
        let first = bytes[position]
        if first < 0x80 {
            position += 1
            return UInt64(first)
        }
        // Two bytes are the length of nearly every value.
        if position + 1 < end {
            let second = bytes[position + 1]
            if second < 0x80 {
                position += 2
                return UInt64(first & 0x7F) | UInt64(second) << 7
            }
        }
        return try longVarint(bytes)
    }

    @inline(never)
    private mutating func longVarint(_ bytes: ByteString) throws(DecodeError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end {
            let byte = bytes[position]
            position += 1
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 { throw .varintOverflow }
            value |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw .truncated
    }

    @inline(__always)
    mutating func int64(_ bytes: ByteString) throws(DecodeError) -> Int64 {
        Int64(bitPattern: try varint(bytes))
    }

    @inline(__always)
    mutating func int64<N: WireNumber>(_ bytes: ByteString) throws(DecodeError) -> N {
        N(try int64(bytes) as Int64)
    }

    @inline(__always)
    mutating func uint32(_ bytes: ByteString) throws(DecodeError) -> UInt32 {
        UInt32(truncatingIfNeeded: try varint(bytes))
    }

    @inline(__always)
    mutating func bool(_ bytes: ByteString) throws(DecodeError) -> Bool {
        try varint(bytes) != 0
    }

    @inline(__always)
    mutating func enumeration<E: WireEnum>(_ bytes: ByteString) throws(DecodeError) -> E {
        E(rawValue: Int32(truncatingIfNeeded: try varint(bytes)))
    }

    /// The length of what follows, which all lies before the end.
    @inline(__always)
    private mutating func length(_ bytes: ByteString) throws(DecodeError) -> Int {
        let length = try varint(bytes)
        guard length <= UInt64(truncatingIfNeeded: end - position) else { throw .truncated }
        return Int(truncatingIfNeeded: length)
    }

    /// A bytes field, as a slice of the input.
    @inline(__always)
    mutating func byteString(_ bytes: ByteString) throws(DecodeError) -> ByteString {
        let length = try length(bytes)
        let start = position
        position += length
        return bytes.slice(start..<position)
    }

    /// A string field, as a slice of the input that is valid UTF-8.
    mutating func text(_ bytes: ByteString) throws(DecodeError) -> ByteString {
        let text = try byteString(bytes)
        guard text.isValidUTF8 else { throw .invalidUTF8 }
        return text
    }

    // MARK: Messages

    /// Reads a sub-message into `message`.
    mutating func merge<M: WireMessage>(_ bytes: ByteString, into message: inout M) throws(DecodeError) {
        let length = try length(bytes)
        guard depth < Self.depthLimit else { throw .nestedTooDeep }
        let outerEnd = end
        end = position + length
        depth += 1
        try message.merge(bytes, &self)
        depth -= 1
        end = outerEnd
    }

    /// Reads a sub-message into `message`, which is set from here on.
    mutating func merge<M: WireMessage>(_ bytes: ByteString, into message: inout M?) throws(DecodeError) {
        var merged = message ?? M()
        // The field lets go of what is merged, or arrays in it would be copied with each occurrence.
        message = nil
        try merge(bytes, into: &merged)
        message = merged
    }

    /// Reads one more element of a repeated message.
    mutating func append<M: WireMessage>(_ bytes: ByteString, to messages: inout [M]) throws(DecodeError) {
        memoryLeft -= MemoryLayout<M>.stride
        guard memoryLeft >= 0 else { throw .tooManyElements }
        var message = M()
        try merge(bytes, into: &message)
        messages.append(message)
    }

    /// Reads a packed list of enum numbers.
    mutating func appendPacked<E: WireEnum>(_ bytes: ByteString, to values: inout [E]) throws(DecodeError) {
        let length = try length(bytes)
        let outerEnd = end
        end = position + length
        while position < end { values.append(try enumeration(bytes)) }
        end = outerEnd
    }

    // MARK: Skipping

    /// Passes over the value of a field that is unknown, or known with another wire type.
    @inline(never)
    mutating func skip(_ bytes: ByteString, _ tag: WireTag) throws(DecodeError) {
        if tag.type != .groupStart { return try skipValue(bytes, tag.type) }
        // A group ends with a tag of its own number. An array instead of recursion: its depth is the peer's choice.
        var open = [tag.field]
        while let group = open.last {
            guard let inner = try nextTag(bytes) else { throw .truncated }
            switch inner.type {
            case .groupStart:
                guard open.count <= Self.groupDepthLimit else { throw .nestedTooDeep }
                open.append(inner.field)
            case .groupEnd:
                guard inner.field == group else { throw .unmatchedGroupEnd }
                open.removeLast()
            default:
                try skipValue(bytes, inner.type)
            }
        }
    }

    private mutating func skipValue(_ bytes: ByteString, _ type: WireType) throws(DecodeError) {
        let length: Int
        switch type {
        case .varint:
            _ = try varint(bytes)
            return
        case .fixed64: length = 8
        case .fixed32: length = 4
        case .bytes: length = try self.length(bytes)
        case .groupStart, .groupEnd: throw .unmatchedGroupEnd
        }
        guard length <= end - position else { throw .truncated }
        position += length
    }
}

extension ByteString {
    fileprivate var isValidUTF8: Bool {
        withUnsafeBytes { raw in
            (try? UTF8Span(validating: raw.bindMemory(to: UInt8.self).span)) != nil
        }
    }
}

// Owns: turning an answer's wire format into JSON, in one pass, by the schema, as protojson of Go writes it with the names of the .proto.
// Must never: read outside of the message; trap on any input.
package import Bytes

/// An answer is not what its schema says. Answers are our own, so somebody should look.
package struct WireFault: Error, Sendable, Hashable {
    package var message: String
}

package struct WireToJSON {
    private let bytes: UnsafeRawBufferPointer
    private var position: Int
    private var depth = 0

    private init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        position = 0
    }

    /// Appends the object that `wire` is as the message at this index of the schema.
    ///
    /// Zero fields are left out. Lists must stand in one piece, and fields once, as Pine's encoder writes them.
    package static func append(_ wire: ByteString, message: Int, to writer: inout ByteWriter) throws(WireFault) {
        writer.reserve(wire.count + wire.count / 2 + 64)
        try wire.withUnsafeBytes { bytes throws(WireFault) in
            var conversion = WireToJSON(bytes)
            try conversion.message(message, end: bytes.count, to: &writer)
        }
    }

    private mutating func message(_ index: Int, end: Int, to writer: inout ByteWriter) throws(WireFault) {
        depth += 1
        if depth > JSONToWire.depthLimit { throw WireFault(message: "messages nest too deep") }
        defer { depth -= 1 }
        let fields = Schema.messages[index].fields
        var seen: UInt64 = 0
        var isFirst = true
        writer.append(UInt8(ascii: "{"))
        while position < end {
            let tag = try varint(end)
            guard let place = fields.firstIndex(where: { UInt64($0.number) == tag >> 3 }) else {
                throw WireFault(message: "\(Schema.messages[index].name) has an unknown field \(tag >> 3)")
            }
            if seen & 1 << UInt64(place) != 0 {
                throw WireFault(message: "\(Schema.messages[index].name).\(fields[place].name) is there twice")
            }
            seen |= 1 << UInt64(place)
            try field(fields[place], tag: tag, end: end, isFirst: &isFirst, to: &writer)
        }
        writer.append(UInt8(ascii: "}"))
    }

    /// A field behind its tag, with all of its list.
    private mutating func field(
        _ field: Field, tag: UInt64, end: Int, isFirst: inout Bool, to writer: inout ByteWriter
    ) throws(WireFault) {
        let start = writer.count
        if !isFirst { writer.append(UInt8(ascii: ",")) }
        writer.append(field.label)
        var isWritten = true
        if !field.isRepeated {
            isWritten = try value(field, type: tag & 7, end: end, to: &writer)
        } else {
            writer.append(UInt8(ascii: "["))
            _ = try value(field, type: tag & 7, end: end, to: &writer)
            while try hasNext(tag, end) {
                writer.append(UInt8(ascii: ","))
                _ = try value(field, type: tag & 7, end: end, to: &writer)
            }
            writer.append(UInt8(ascii: "]"))
        }
        if isWritten { isFirst = false } else { writer.truncate(to: start) }
    }

    /// Whether another element of the list follows. Then moves past its tag.
    private mutating func hasNext(_ tag: UInt64, _ end: Int) throws(WireFault) -> Bool {
        if position == end { return false }
        let start = position
        if try varint(end) == tag { return true }
        position = start
        return false
    }

    /// Answers false, having written anything or nothing, for a zero that JSON leaves out.
    private mutating func value(_ field: Field, type: UInt64, end: Int, to writer: inout ByteWriter) throws(WireFault) -> Bool {
        switch field.kind {
        case .int64, .uint64, .uint32, .bool, .enumeration:
            if type != 0 { throw WireFault(message: "\(field.name) has the wire type \(type)") }
            let bits = try varint(end)
            if bits == 0 && !field.hasPresence { return false }
            append(bits, field.kind, to: &writer)
        case .bytes, .string, .message:
            if type != 2 { throw WireFault(message: "\(field.name) has the wire type \(type)") }
            let length = try varint(end)
            if length > UInt64(end - position) { throw WireFault(message: "\(field.name) is longer than what it is in") }
            let bodyEnd = position + Int(length)
            if case .message = field.kind {
                try message(field.target, end: bodyEnd, to: &writer)
                return true
            }
            let body = UnsafeRawBufferPointer(rebasing: bytes[position..<bodyEnd])
            position = bodyEnd
            if length == 0 && !field.hasPresence { return false }
            if field.kind == .bytes {
                writer.append(UInt8(ascii: "\""))
                Base64.append(body, to: &writer)
                writer.append(UInt8(ascii: "\""))
            } else {
                if !JSONReader.isText(body) { throw WireFault(message: "\(field.name) is no UTF-8") }
                Quoted.appendJSON(body, to: &writer)
            }
        }
        return true
    }

    private func append(_ bits: UInt64, _ kind: Field.Kind, to writer: inout ByteWriter) {
        switch kind {
        case .int64: JSONText.append(String(Int64(bitPattern: bits)), isQuoted: true, to: &writer)
        case .uint64: JSONText.append(String(bits), isQuoted: true, to: &writer)
        case .uint32: JSONText.append(String(UInt32(truncatingIfNeeded: bits)), isQuoted: false, to: &writer)
        case .bool: JSONText.append(bits != 0 ? "true" : "false", isQuoted: false, to: &writer)
        case .enumeration(let names):
            let number = Int32(truncatingIfNeeded: bits)
            if names.indices.contains(Int(number)) {
                JSONText.append(names[Int(number)], isQuoted: true, to: &writer)
            } else {
                JSONText.append(String(number), isQuoted: false, to: &writer)
            }
        case .bytes, .string, .message: violated("\(kind) is no number")
        }
    }

    private mutating func varint(_ end: Int) throws(WireFault) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end && shift < 70 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw WireFault(message: "a number does not end")
    }
}

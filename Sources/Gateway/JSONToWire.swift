// Owns: turning a request's JSON into the message's wire format, in one pass, by the schema.
// Must never: trap on any input; take memory beyond a few times the input's.
package import Bytes

/// A request as the services take it.
package struct WireRequest: Sendable {
    package var message: ByteString
    /// Where in the input the value ended. What follows is the next message of a stream; behind a unary request it is ignored.
    package var end: Int
}

package struct JSONToWire: ~Copyable {
    private var reader: JSONReader
    private var writer: ByteWriter
    /// Nested messages, in the order in which they begin: their lengths go in front of them when all are known.
    private var nested: [Nested] = []
    /// Bytes that the lengths known so far will take.
    private var lengthBytes = 0
    private var depth = 0

    private struct Nested {
        /// Where its body begins among the bytes written.
        var start: Int
        var length: Int
    }

    /// How deep messages may nest. Pine's decoder of the wire format takes no more; etcd refuses such transactions for their
    /// operations.
    package static let depthLimit = 1_030

    private init(_ reader: JSONReader) {
        self.reader = reader
        writer = ByteWriter(capacity: Swift.min(reader.bytes.count + 16, 1 << 20))
    }

    /// The first value of `json` from `start` on, as the message at this index of the schema. nil where there is none: an empty body
    /// is an empty request to a unary call.
    package static func convert(_ json: ByteString, from start: Int = 0, message: Int) throws(JSONFault) -> WireRequest? {
        try json.withUnsafeBytes { bytes throws(JSONFault) -> WireRequest? in
            var reader = JSONReader(bytes, from: start)
            guard let first = reader.peek() else { return nil }
            var conversion = JSONToWire(reader)
            if first != UInt8(ascii: "{") { throw conversion.unexpectedToken() }
            try conversion.message(message)
            let end = conversion.reader.position
            return WireRequest(message: conversion.finish(), end: end)
        }
    }

    /// Puts the lengths in.
    private consuming func finish() -> ByteString {
        if nested.isEmpty { return writer.finish() }
        var result = ByteWriter(capacity: writer.count + lengthBytes)
        writer.withUnsafeBytes { body in
            var from = 0
            for one in nested {
                result.append(UnsafeRawBufferPointer(rebasing: body[from..<one.start]))
                result.appendVarint(UInt64(one.length))
                from = one.start
            }
            result.append(UnsafeRawBufferPointer(rebasing: body[from...]))
        }
        return result.finish()
    }

    // MARK: Messages

    /// The object that begins here.
    private mutating func message(_ index: Int) throws(JSONFault) {
        depth += 1
        if depth > Self.depthLimit { throw .tooDeep }
        defer { depth -= 1 }
        reader.advance()
        if try reader.next() == UInt8(ascii: "}") {
            reader.advance()
            return
        }
        var seen: UInt64 = 0
        var seenOneofs: UInt64 = 0
        while true {
            try member(of: index, &seen, &seenOneofs)
            let byte = try reader.next()
            reader.advance()
            if byte == UInt8(ascii: "}") { return }
            if byte != UInt8(ascii: ",") { throw .invalid(byte, "after object key:value pair") }
        }
    }

    /// A key and its value.
    private mutating func member(of message: Int, _ seen: inout UInt64, _ seenOneofs: inout UInt64) throws(JSONFault) {
        _ = reader.peek()
        let start = reader.position
        let key = try reader.key()
        guard let (index, field) = self.field(key, of: message) else {
            try reader.skipValue()
            return
        }
        if seen & 1 << UInt64(index) != 0 {
            throw JSONFault("proto: \(reader.place(start)): duplicate field \"\(field.name)\"")
        }
        seen |= 1 << UInt64(index)
        let byte = try reader.next()
        if byte == UInt8(ascii: "n") {
            try reader.literal("null")
        } else if field.isRepeated {
            try list(field, byte)
        } else {
            if seenOneofs & field.oneofBit != 0 {
                let oneof = "\(Schema.messages[message].name).\(field.oneof ?? "")"
                throw JSONFault("proto: \(reader.place(start)): error parsing \"\(field.name)\", oneof \(oneof) is already set")
            }
            seenOneofs |= field.oneofBit
            try value(field, byte)
        }
    }

    private func field(_ key: JSONString, of message: Int) -> (index: Int, field: Field)? {
        if let unescaped = key.unescaped { return unescaped.withUnsafeBytes { JSONToWire.field($0, of: message) } }
        return JSONToWire.field(UnsafeRawBufferPointer(rebasing: reader.bytes[key.range]), of: message)
    }

    private static func field(_ key: UnsafeRawBufferPointer, of message: Int) -> (index: Int, field: Field)? {
        let fields = Schema.messages[message].fields
        for index in fields.indices where isEqual(fields[index].nameBytes, key) || isEqual(fields[index].jsonNameBytes, key) {
            return (index, fields[index])
        }
        return nil
    }

    private static func isEqual(_ name: ByteString, _ key: UnsafeRawBufferPointer) -> Bool {
        name.count == key.count && name.withUnsafeBytes { $0.elementsEqual(key) }
    }

    private mutating func list(_ field: Field, _ first: UInt8) throws(JSONFault) {
        if first != UInt8(ascii: "[") { throw unexpectedToken() }
        reader.advance()
        if try reader.next() == UInt8(ascii: "]") {
            reader.advance()
            return
        }
        while true {
            try value(field, try reader.next())
            let byte = try reader.next()
            reader.advance()
            if byte == UInt8(ascii: "]") { return }
            if byte != UInt8(ascii: ",") { throw .invalid(byte, "after array element") }
        }
    }

    // MARK: Values

    /// A value of the field, or an element of its list, which begins with `first`.
    private mutating func value(_ field: Field, _ first: UInt8) throws(JSONFault) {
        switch field.kind {
        case .message:
            if first != UInt8(ascii: "{") { throw unexpectedToken() }
            writer.appendVarint(UInt64(field.number) << 3 | 2)
            let place = nested.count
            let bytesBefore = lengthBytes
            nested.append(Nested(start: writer.count, length: 0))
            try message(field.target)
            let length = writer.count - nested[place].start + lengthBytes - bytesBefore
            nested[place].length = length
            lengthBytes += varintSize(UInt64(length))
        case .bytes, .string:
            let start = reader.position
            if first != UInt8(ascii: "\"") { throw invalidValue(field) }
            let text = try reader.string()
            let isValid =
                if let unescaped = text.unescaped { unescaped.withUnsafeBytes { append($0, field) } } else {
                    append(UnsafeRawBufferPointer(rebasing: reader.bytes[text.range]), field)
                }
            if !isValid { throw invalidValue(field, at: start..<reader.position) }
        case .bool:
            switch first {
            case UInt8(ascii: "t"):
                try reader.literal("true")
                append(1, field)
            case UInt8(ascii: "f"):
                try reader.literal("false")
                append(0, field)
            default: throw invalidValue(field)
            }
        case .int64, .uint64, .uint32, .enumeration:
            try number(field, first)
        }
    }

    /// Answers whether the text is one of the field's type.
    private mutating func append(_ text: UnsafeRawBufferPointer, _ field: Field) -> Bool {
        let tag = UInt64(field.number) << 3 | 2
        if field.kind == .bytes { return BytesText.append(text, tag: tag, isOptional: !field.hasPresence, to: &writer) }
        if text.isEmpty && !field.hasPresence { return true }
        writer.appendVarint(tag)
        writer.appendVarint(UInt64(text.count))
        writer.append(text)
        return true
    }

    private mutating func append(_ bits: UInt64, _ field: Field) {
        if bits == 0 && !field.hasPresence { return }
        writer.appendVarint(UInt64(field.number) << 3)
        writer.appendVarint(bits)
    }

    private mutating func number(_ field: Field, _ first: UInt8) throws(JSONFault) {
        let start = reader.position
        var bits: UInt64?
        if first == UInt8(ascii: "\"") {
            let text = try reader.string()
            if case .enumeration(let names) = field.kind {
                // A name that is unknown counts as none.
                if let number = names.firstIndex(where: { equals(text, $0) }) { append(UInt64(number), field) }
                return
            }
            if let unescaped = text.unescaped {
                bits = unescaped.withUnsafeBytes { JSONToWire.bits($0, field.kind) }
            } else {
                bits = JSONToWire.bits(UnsafeRawBufferPointer(rebasing: reader.bytes[text.range]), field.kind)
            }
        } else if first == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) {
            let range = try reader.number()
            bits = JSONToWire.bits(UnsafeRawBufferPointer(rebasing: reader.bytes[range]), field.kind)
        } else {
            throw invalidValue(field)
        }
        guard let bits else { throw invalidValue(field, at: start..<reader.position) }
        append(bits, field)
    }

    private func equals(_ text: JSONString, _ name: String) -> Bool {
        if let unescaped = text.unescaped { return unescaped.elementsEqual(name.utf8) }
        return reader.bytes[text.range].elementsEqual(name.utf8)
    }

    /// The varint of what must be nothing but a number; nil where it is none of the type.
    private static func bits(_ text: UnsafeRawBufferPointer, _ kind: Field.Kind) -> UInt64? {
        guard let first = text.first, first == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return nil
        }
        var reader = JSONReader(text)
        guard let range = try? reader.number(), range.count == text.count, let number = IntegerText(text) else { return nil }
        switch kind {
        case .int64: return number.int64Bits
        case .uint64: return number.uint64Bits
        case .uint32: return number.uint32Bits
        case .enumeration: return number.int32Bits
        case .bool, .bytes, .string, .message: violated("\(kind) is no number")
        }
    }

    // MARK: Faults

    /// How much of what was wrong an error repeats, in bytes.
    private static let quoteLimit = 128

    /// The value that begins here should begin otherwise. What is not JSON at all is said first, as etcd does.
    private mutating func unexpectedToken() -> JSONFault {
        let start = reader.position
        if let fault = skipped() { return fault }
        return JSONFault("proto: syntax error \(reader.place(start)): unexpected token \(quote(start..<reader.position))")
    }

    /// The value that begins here is not one of the field's type.
    private mutating func invalidValue(_ field: Field) -> JSONFault {
        let start = reader.position
        if let fault = skipped() { return fault }
        return invalidValue(field, at: start..<reader.position)
    }

    private func invalidValue(_ field: Field, at range: Range<Int>) -> JSONFault {
        JSONFault(
            "proto: \(reader.place(range.lowerBound)): invalid value for \(field.typeName) field \(field.jsonName): \(quote(range))")
    }

    private mutating func skipped() -> JSONFault? {
        do throws(JSONFault) {
            try reader.skipValue()
            return nil
        } catch {
            return error
        }
    }

    /// The token in the input: a bracket, or the whole scalar where it is short.
    private func quote(_ range: Range<Int>) -> String {
        let first = reader.bytes[range.lowerBound]
        if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") { return String(Unicode.Scalar(first)) }
        return String(decoding: reader.bytes[range].prefix(Self.quoteLimit), as: UTF8.self)
    }
}

// Owns: JSON objects (RFC 8259) as tokens have them: the texts and numbers that an object holds itself. What is nested is checked, not kept.
// Must never: trap, or recurse deeper than a bound, on any input.
package import Bytes

package struct JSONObject: Hashable, Sendable {
    private enum Value: Hashable, Sendable {
        case text(ByteString)
        case number(Double)
        case other
    }

    /// How deep values may nest.
    package static let depthLimit = 32

    /// The last of several with a name counts, as in Go.
    private var values: [ByteString: Value] = [:]

    /// nil for what is not one object, all of it.
    package init?(_ bytes: ByteString) {
        var reader = Reader(bytes: bytes)
        reader.skipSpace()
        guard reader.peek == UInt8(ascii: "{"), reader.members({ values[$0] = $1 }) else { return nil }
        reader.skipSpace()
        guard reader.peek == nil else { return nil }
    }

    package func has(_ name: String) -> Bool { values[ByteString(name)] != nil }

    package func text(_ name: String) -> ByteString? {
        if case .text(let text) = values[ByteString(name)] { text } else { nil }
    }

    package func number(_ name: String) -> Double? {
        if case .number(let number) = values[ByteString(name)] { number } else { nil }
    }

    /// A text in quotes, as Go's encoding/json writes it, but for the escapes that only HTML needs.
    package static func append(_ text: ByteString, to writer: inout ByteWriter) {
        writer.append(UInt8(ascii: "\""))
        for byte in text {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                writer.append(UInt8(ascii: "\\"))
                writer.append(byte)
            } else if byte < 0x20 {
                let hex = String(byte, radix: 16)
                writer.append(ByteString("\\u00" + (hex.count == 1 ? "0" : "") + hex))
            } else {
                writer.append(byte)
            }
        }
        writer.append(UInt8(ascii: "\""))
    }

    private struct Reader {
        let bytes: ByteString
        var position = 0
        var depth = 0

        init(bytes: ByteString) { self.bytes = bytes }

        var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func skipSpace() {
            while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
        }

        /// Passes over a byte, if it is the next one but for space.
        mutating func take(_ byte: Unicode.Scalar) -> Bool {
            skipSpace()
            guard peek == UInt8(ascii: byte) else { return false }
            position += 1
            return true
        }

        /// An object, whose members go to `found`.
        mutating func members(_ found: (ByteString, Value) -> Void) -> Bool {
            guard take("{") else { return false }
            if take("}") { return true }
            repeat {
                skipSpace()
                guard let name = string(), take(":"), let value = value() else { return false }
                found(name, value)
            } while take(",")
            return take("}")
        }

        private mutating func value() -> Value? {
            skipSpace()
            guard let first = peek, depth < JSONObject.depthLimit else { return nil }
            depth += 1
            defer { depth -= 1 }
            switch first {
            case UInt8(ascii: "\""): return string().map(Value.text)
            case UInt8(ascii: "{"): return members { _, _ in } ? .other : nil
            case UInt8(ascii: "["): return elements() ? .other : nil
            case UInt8(ascii: "t"): return word("true") ? .other : nil
            case UInt8(ascii: "f"): return word("false") ? .other : nil
            case UInt8(ascii: "n"): return word("null") ? .other : nil
            default: return number().map(Value.number)
            }
        }

        private mutating func elements() -> Bool {
            guard take("[") else { return false }
            if take("]") { return true }
            repeat {
                if value() == nil { return false }
            } while take(",")
            return take("]")
        }

        private mutating func word(_ word: StaticString) -> Bool {
            let count = word.utf8CodeUnitCount
            guard bytes.count - position >= count, (0..<count).allSatisfy({ bytes[position + $0] == word.utf8Start[$0] }) else {
                return false
            }
            position += count
            return true
        }

        private mutating func digits() -> Int {
            let start = position
            while let byte = peek, byte >= 0x30 && byte <= 0x39 { position += 1 }
            return position - start
        }

        private mutating func number() -> Double? {
            let start = position
            if peek == UInt8(ascii: "-") { position += 1 }
            let leadsWithZero = peek == UInt8(ascii: "0")
            let whole = digits()
            guard whole > 0, whole == 1 || !leadsWithZero else { return nil }
            if peek == UInt8(ascii: ".") {
                position += 1
                if digits() == 0 { return nil }
            }
            if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
                position += 1
                if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
                if digits() == 0 { return nil }
            }
            guard let number = Double(String(decoding: bytes.slice(start..<position), as: UTF8.self)), number.isFinite else { return nil }
            return number
        }

        private mutating func string() -> ByteString? {
            guard peek == UInt8(ascii: "\"") else { return nil }
            position += 1
            var text: [UInt8] = []
            while let byte = peek {
                position += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self) == nil ? nil : ByteString(text)
                case UInt8(ascii: "\\"):
                    guard let escaped = escape() else { return nil }
                    text += escaped
                case 0..<0x20: return nil
                default: text.append(byte)
                }
            }
            return nil
        }

        private mutating func escape() -> [UInt8]? {
            guard let byte = peek else { return nil }
            position += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
            case UInt8(ascii: "b"): return [0x08]
            case UInt8(ascii: "f"): return [0x0C]
            case UInt8(ascii: "n"): return [0x0A]
            case UInt8(ascii: "r"): return [0x0D]
            case UInt8(ascii: "t"): return [0x09]
            case UInt8(ascii: "u"):
                guard let first = hex() else { return nil }
                return Array(String(Character(scalar(first))).utf8)
            default: return nil
            }
        }

        /// The character that a code unit begins. Half a pair is the replacement character, as in Go.
        private mutating func scalar(_ unit: UInt32) -> Unicode.Scalar {
            if let scalar = Unicode.Scalar(unit) { return scalar }
            let start = position
            if unit < 0xDC00, peek == UInt8(ascii: "\\"), position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "u") {
                position += 2
                if let second = hex(), second >= 0xDC00, second < 0xE000,
                    let pair = Unicode.Scalar(0x1_0000 + (unit - 0xD800) << 10 + (second - 0xDC00))
                {
                    return pair
                }
                position = start
            }
            return "\u{FFFD}"
        }

        private mutating func hex() -> UInt32? {
            guard bytes.count - position >= 4 else { return nil }
            var unit: UInt32 = 0
            for _ in 0..<4 {
                guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else { return nil }
                unit = unit << 4 | UInt32(digit)
                position += 1
            }
            return unit
        }
    }
}

// Owns: the grammar of JSON (RFC 8259), a token at a time, without building values.
// Must never: read outside of the input; recurse; trap on any input.
// Invariant: position <= bytes.count.
internal import Bytes

/// A string as it stands in the input, or with its escapes resolved.
struct JSONString {
    /// Between the quotes.
    let range: Range<Int>
    /// nil where there are no escapes.
    let unescaped: [UInt8]?
}

struct JSONReader {
    /// Good as long as the call that made the reader.
    let bytes: UnsafeRawBufferPointer
    private(set) var position: Int

    /// How deep values may nest that are skipped, as in Go.
    static let depthLimit = 10_000

    init(_ bytes: UnsafeRawBufferPointer, from position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    // MARK: Tokens

    /// The next byte that is no space, which stays; nil at the end.
    @inline(__always)
    mutating func peek() -> UInt8? {
        while position < bytes.count {
            let byte = bytes[position]
            if byte > 0x20 || (byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09) { return byte }
            position += 1
        }
        return nil
    }

    /// The same where the input may not end.
    @inline(__always)
    mutating func next() throws(JSONFault) -> UInt8 {
        guard let byte = peek() else { throw .unfinished }
        return byte
    }

    /// Moves past the byte that `peek` gave.
    @inline(__always)
    mutating func advance() { position += 1 }

    /// An object's key, with the colon.
    mutating func key() throws(JSONFault) -> JSONString {
        let byte = try next()
        if byte != UInt8(ascii: "\"") { throw .invalid(byte, "looking for beginning of object key string") }
        let key = try string()
        let colon = try next()
        if colon != UInt8(ascii: ":") { throw .invalid(colon, "after object key") }
        position += 1
        return key
    }

    /// The string that begins here, at its quote.
    mutating func string() throws(JSONFault) -> JSONString {
        let start = position + 1
        let bytes = bytes
        var index = JSONReader.plainEnd(bytes, from: start)
        var union: UInt8 = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                position = index + 1
                if union >= 0x80 { try checkText(UnsafeRawBufferPointer(rebasing: bytes[start..<index]), at: start - 1) }
                return JSONString(range: start..<index, unescaped: nil)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start, firstEscape: index) }
            if byte < 0x20 { throw .invalid(byte, "in string literal") }
            union |= byte
            index += 1
        }
        throw .unfinished
    }

    /// The end of the run of plain ASCII from `start` on, to within eight bytes: what `string` need not look at byte by byte.
    private static func plainEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        /// Top bits set where a byte is zero, if no byte before it in the word has its top bit set.
        func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & tops }
        var index = start
        while index + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let controls = (word &- ones &* 0x20) & ~word & tops
            let special = word & tops | controls | zeros(word ^ ones &* 0x22) | zeros(word ^ ones &* 0x5C)
            if special != 0 { break }
            index += 8
        }
        return index
    }

    private mutating func escapedString(from start: Int, firstEscape: Int) throws(JSONFault) -> JSONString {
        var result = Array(bytes[start..<firstEscape])
        var index = firstEscape
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                position = index
                let isText = result.withUnsafeBytes { JSONReader.isText($0) }
                if !isText { throw notText(at: start - 1) }
                return JSONString(range: start..<index - 1, unescaped: result)
            case UInt8(ascii: "\\"): try escape(&index, into: &result)
            case 0..<0x20: throw .invalid(byte, "in string literal")
            default: result.append(byte)
            }
        }
        throw .unfinished
    }

    /// What follows a backslash.
    private func escape(_ index: inout Int, into result: inout [UInt8]) throws(JSONFault) {
        if index >= bytes.count { throw .unfinished }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"):
            var unit = try hexUnit(&index)
            if (0xD800..<0xE000).contains(unit) {
                try lowSurrogateFollows(index, unit)
                index += 2
                let low = try hexUnit(&index)
                guard (0xDC00..<0xE000).contains(low) else { throw JSONFault("proto: syntax error: lone surrogate in string") }
                unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(unit) else { violated("a surrogate was taken for a scalar") }
            result.append(contentsOf: UTF8.encode(scalar)!)
        default: throw .invalid(byte, "in string escape code")
        }
    }

    /// A high surrogate means nothing without a low one behind it.
    private func lowSurrogateFollows(_ index: Int, _ high: UInt32) throws(JSONFault) {
        let lone = JSONFault("proto: syntax error: lone surrogate in string")
        if high >= 0xDC00 { throw lone }
        for (offset, byte) in [UInt8(ascii: "\\"), UInt8(ascii: "u")].enumerated() {
            if index + offset >= bytes.count { throw .unfinished }
            if bytes[index + offset] != byte { throw lone }
        }
    }

    private func hexUnit(_ index: inout Int) throws(JSONFault) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            if index >= bytes.count { throw .unfinished }
            let byte = bytes[index]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw .invalid(byte, "in \\u hexadecimal character escape")
            }
            unit = unit << 4 | UInt32(digit)
            index += 1
        }
        return unit
    }

    /// The number that begins here, as it stands.
    mutating func number() throws(JSONFault) -> Range<Int> {
        let start = position
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        if position < bytes.count, bytes[position] == UInt8(ascii: "0") {
            position += 1
        } else {
            try digits("in numeric literal")
        }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            position += 1
            try digits("after decimal point in numeric literal")
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") { position += 1 }
            try digits("in exponent of numeric literal")
        }
        return start..<position
    }

    /// One digit or more.
    private mutating func digits(_ place: String) throws(JSONFault) {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
        if position > start { return }
        if position == bytes.count { throw .unfinished }
        throw .invalid(bytes[position], place)
    }

    /// `word`, of which the first letter stands here.
    mutating func literal(_ word: StaticString) throws(JSONFault) {
        for offset in 0..<word.utf8CodeUnitCount {
            if position == bytes.count { throw .unfinished }
            if bytes[position] != word.utf8Start[offset] { throw .invalid(bytes[position], "in literal \(word)") }
            position += 1
        }
    }

    // MARK: Values that are not looked at

    mutating func skipValue() throws(JSONFault) {
        // The closing brackets that are owed.
        var open: [UInt8] = []
        while true {
            if try skipStart(&open) { continue }
            while true {
                guard let closer = open.last else { return }
                let byte = try next()
                if byte == closer {
                    position += 1
                    open.removeLast()
                } else if byte == UInt8(ascii: ",") {
                    position += 1
                    if closer == UInt8(ascii: "}") { _ = try key() }
                    break
                } else {
                    throw .invalid(byte, closer == UInt8(ascii: "}") ? "after object key:value pair" : "after array element")
                }
            }
        }
    }

    /// Skips a value, or the bracket that it begins with. Whether a value must follow.
    private mutating func skipStart(_ open: inout [UInt8]) throws(JSONFault) -> Bool {
        let byte = try next()
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            if open.count == Self.depthLimit { throw JSONFault("json: exceeded max depth") }
            position += 1
            // `}` and `]` stand two behind their openers.
            if try next() == byte + 2 {
                position += 1
                return false
            }
            open.append(byte + 2)
            if byte == UInt8(ascii: "{") { _ = try key() }
            return true
        default: try skipScalar(byte)
        }
        return false
    }

    private mutating func skipScalar(_ byte: UInt8) throws(JSONFault) {
        switch byte {
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): _ = try number()
        default: throw .invalid(byte, "looking for beginning of value")
        }
    }

    // MARK: Text

    static func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var union: UInt8 = 0
        for byte in bytes { union |= byte }
        return union < 0x80 || String(validating: bytes, as: UTF8.self) != nil
    }

    private func checkText(_ text: UnsafeRawBufferPointer, at position: Int) throws(JSONFault) {
        if String(validating: text, as: UTF8.self) == nil { throw notText(at: position) }
    }

    private func notText(at position: Int) -> JSONFault {
        JSONFault("proto: syntax error \(place(position)): invalid UTF-8 in string")
    }

    /// `(line 1:8)`, counted in characters.
    func place(_ position: Int) -> String {
        var line = 1
        var column = 1
        for byte in bytes[..<position] {
            if byte == 0x0A {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return "(line \(line):\(column))"
    }
}

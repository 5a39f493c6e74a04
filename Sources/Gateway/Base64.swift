// Owns: base64 between JSON and the wire, both ways without a copy in between.
// Must never: write more than it announced.
internal import Bytes

enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// Each byte's value in both alphabets, and beyond its six bits what is to be said of the byte.
    private static let values: [UInt16] = {
        var values = [UInt16](repeating: Mark.alien, count: 256)
        for (value, byte) in alphabet.prefix(62).enumerated() { values[Int(byte)] = UInt16(value) }
        values[Int(UInt8(ascii: "+"))] = 62 | Mark.standardOnly
        values[Int(UInt8(ascii: "/"))] = 63 | Mark.standardOnly
        values[Int(UInt8(ascii: "-"))] = 62 | Mark.urlOnly
        values[Int(UInt8(ascii: "_"))] = 63 | Mark.urlOnly
        return values
    }()

    private enum Mark {
        static let standardOnly: UInt16 = 0x100
        static let urlOnly: UInt16 = 0x200
        static let alien: UInt16 = 0x400
    }

    // MARK: Encode

    /// Padded, in the standard alphabet.
    static func append(_ bytes: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
        let length = (bytes.count + 2) / 3 * 4
        alphabet.withUnsafeBufferPointer { alphabet in
            writer.append(atMost: length) { target in
                var at = 0
                var index = 0
                while index + 2 < bytes.count {
                    let group = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
                    target[at] = alphabet[group >> 18]
                    target[at + 1] = alphabet[group >> 12 & 63]
                    target[at + 2] = alphabet[group >> 6 & 63]
                    target[at + 3] = alphabet[group & 63]
                    index += 3
                    at += 4
                }
                if index < bytes.count {
                    let hasTwo = index + 1 < bytes.count
                    let group = Int(bytes[index]) << 16 | (hasTwo ? Int(bytes[index + 1]) << 8 : 0)
                    target[at] = alphabet[group >> 18]
                    target[at + 1] = alphabet[group >> 12 & 63]
                    target[at + 2] = hasTwo ? alphabet[group >> 6 & 63] : UInt8(ascii: "=")
                    target[at + 3] = UInt8(ascii: "=")
                }
                return length
            }
        }
    }

    // MARK: Decode

    /// Reads `text` as protojson does: either alphabet, padded where its length is a multiple of four, else not; and as Go's
    /// decoder does: line breaks are skipped, stray bits at the end ignored. Appends a length and the bytes, after `tag`; nothing where it
    /// decodes to nothing and `isOptional`. Answers whether it was base64.
    static func decode(_ text: UnsafeRawBufferPointer, tag: UInt64, isOptional: Bool, to writer: inout ByteWriter) -> Bool {
        let isPadded = text.count % 4 == 0
        if decode(text, isPadded: isPadded, tag: tag, isOptional: isOptional, to: &writer) { return true }
        let joined = text.filter { $0 != 0x0A && $0 != 0x0D }
        if joined.count == text.count { return false }
        return joined.withUnsafeBytes { decode($0, isPadded: isPadded, tag: tag, isOptional: isOptional, to: &writer) }
    }

    /// The same without line breaks.
    private static func decode(
        _ text: UnsafeRawBufferPointer, isPadded: Bool, tag: UInt64, isOptional: Bool, to writer: inout ByteWriter
    ) -> Bool {
        var count = text.count
        if isPadded {
            if count % 4 != 0 { return false }
            for _ in 0..<2 where count > 0 && text[count - 1] == UInt8(ascii: "=") { count -= 1 }
        }
        if count % 4 == 1 { return false }
        if count == 0 && isOptional { return true }
        let start = writer.count
        let length = count / 4 * 3 + (count % 4 == 0 ? 0 : count % 4 - 1)
        writer.appendVarint(tag)
        writer.appendVarint(UInt64(length))
        let digits = UnsafeRawBufferPointer(rebasing: text[..<count])
        var marks: UInt16 = 0
        writer.append(atMost: length) { target in
            marks = decode(digits, into: target)
            return length
        }
        // A text is in one alphabet.
        if marks & Mark.alien == 0 && marks & (Mark.standardOnly | Mark.urlOnly) != Mark.standardOnly | Mark.urlOnly { return true }
        writer.truncate(to: start)
        return false
    }

    /// Answers the marks of all digits.
    private static func decode(_ digits: UnsafeRawBufferPointer, into target: UnsafeMutablePointer<UInt8>) -> UInt16 {
        values.withUnsafeBufferPointer { values in
            var union: UInt16 = 0
            var at = 0
            var index = 0
            while index + 3 < digits.count {
                let a = values[Int(digits[index])]
                let b = values[Int(digits[index + 1])]
                let c = values[Int(digits[index + 2])]
                let d = values[Int(digits[index + 3])]
                union |= a | b | c | d
                target[at] = UInt8(truncatingIfNeeded: a << 2 | b >> 4 & 0x03)
                target[at + 1] = UInt8(truncatingIfNeeded: b << 4 | c >> 2 & 0x0F)
                target[at + 2] = UInt8(truncatingIfNeeded: c << 6 | d & 0x3F)
                index += 4
                at += 3
            }
            if index + 1 < digits.count {
                let a = values[Int(digits[index])]
                let b = values[Int(digits[index + 1])]
                union |= a | b
                target[at] = UInt8(truncatingIfNeeded: a << 2 | b >> 4 & 0x03)
                if index + 2 < digits.count {
                    let c = values[Int(digits[index + 2])]
                    union |= c
                    target[at + 1] = UInt8(truncatingIfNeeded: b << 4 | c >> 2 & 0x0F)
                }
            }
            return union
        }
    }
}

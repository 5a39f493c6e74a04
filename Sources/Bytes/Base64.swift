// Owns: base64 (RFC 4648): the alphabet for URLs without padding, for tokens, and the standard one, for JSON and for the hashed passwords
// that clients send.

public enum Base64 {
    private static let standardAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// Each byte's value in both alphabets, and beyond its six bits what is to be said of the byte.
    private static let values: [UInt16] = {
        var values = [UInt16](repeating: Marks.alien.rawValue, count: 256)
        for (value, byte) in standardAlphabet.prefix(62).enumerated() { values[Int(byte)] = UInt16(value) }
        values[Int(UInt8(ascii: "+"))] = 62 | Marks.standardOnly.rawValue
        values[Int(UInt8(ascii: "/"))] = 63 | Marks.standardOnly.rawValue
        values[Int(UInt8(ascii: "-"))] = 62 | Marks.urlOnly.rawValue
        values[Int(UInt8(ascii: "_"))] = 63 | Marks.urlOnly.rawValue
        return values
    }()

    /// What was met in a text that was decoded.
    public struct Marks: OptionSet, Sendable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// Digits that only the standard alphabet has, or only the one for URLs.
        public static let standardOnly = Marks(rawValue: 0x100)
        public static let urlOnly = Marks(rawValue: 0x200)
        /// Bytes that are no digits.
        public static let alien = Marks(rawValue: 0x400)
        /// The last digit has bits that no byte takes.
        public static let strayBits = Marks(rawValue: 0x800)
    }

    // MARK: Encode

    /// Padded, in the standard alphabet.
    public static func append(_ bytes: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
        let length = (bytes.count + 2) / 3 * 4
        writer.append(atMost: length) { target in
            let count = encode(bytes, standardAlphabet, into: target)
            for at in count..<length { target[at] = UInt8(ascii: "=") }
            return length
        }
    }

    /// Without padding.
    public static func encodeForURL(_ bytes: ByteString) -> ByteString {
        let length = (bytes.count * 4 + 2) / 3
        var writer = ByteWriter(capacity: length)
        bytes.withUnsafeBytes { bytes in
            writer.append(atMost: length) { encode(bytes, urlAlphabet, into: $0) }
        }
        return writer.finish()
    }

    /// Answers how many digits there are.
    private static func encode(_ bytes: UnsafeRawBufferPointer, _ alphabet: [UInt8], into target: UnsafeMutablePointer<UInt8>) -> Int {
        alphabet.withUnsafeBufferPointer { alphabet in
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
            if index == bytes.count { return at }
            let hasTwo = index + 1 < bytes.count
            let group = Int(bytes[index]) << 16 | (hasTwo ? Int(bytes[index + 1]) << 8 : 0)
            target[at] = alphabet[group >> 18]
            target[at + 1] = alphabet[group >> 12 & 63]
            if hasTwo { target[at + 2] = alphabet[group >> 6 & 63] }
            return at + (hasTwo ? 3 : 2)
        }
    }

    // MARK: Decode

    /// How many bytes so many digits are; nil where there can't be so many.
    public static func byteCount(ofDigits count: Int) -> Int? {
        count % 4 == 1 ? nil : count / 4 * 3 + (count % 4 == 0 ? 0 : count % 4 - 1)
    }

    /// Digits of both alphabets, without padding; `byteCount(ofDigits:)` bytes are written whatever is met.
    public static func decode(_ digits: UnsafeRawBufferPointer, into target: UnsafeMutablePointer<UInt8>) -> Marks {
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
            var marks = Marks()
            if index + 1 < digits.count {
                let a = values[Int(digits[index])]
                let b = values[Int(digits[index + 1])]
                union |= a | b
                target[at] = UInt8(truncatingIfNeeded: a << 2 | b >> 4 & 0x03)
                var stray = b & 0x0F
                if index + 2 < digits.count {
                    let c = values[Int(digits[index + 2])]
                    union |= c
                    target[at + 1] = UInt8(truncatingIfNeeded: b << 4 | c >> 2 & 0x0F)
                    stray = c & 0x03
                }
                if stray != 0 { marks.insert(.strayBits) }
            }
            marks.formUnion(Marks(rawValue: union).intersection([.standardOnly, .urlOnly, .alien]))
            return marks
        }
    }

    /// nil for what `encodeForURL` would not have written: bits that count for nothing must be zero, so that a token has one spelling.
    public static func decodeForURL(_ text: ByteString) -> ByteString? {
        text.withUnsafeBytes { decode($0) { $0.isDisjoint(with: [.standardOnly, .alien, .strayBits]) } }
    }

    /// The standard alphabet as Go decodes it: line breaks are skipped, padding must be there, bits that count for nothing may be anything.
    public static func decodeStandard(_ text: ByteString) -> ByteString? {
        let kept = text.filter { $0 != 0x0A && $0 != 0x0D }
        guard kept.count % 4 == 0 else { return nil }
        let padding = kept.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
        return kept.withUnsafeBytes { kept in
            decode(UnsafeRawBufferPointer(rebasing: kept.dropLast(padding))) { $0.isDisjoint(with: [.urlOnly, .alien]) }
        }
    }

    private static func decode(_ digits: UnsafeRawBufferPointer, where isFine: (Marks) -> Bool) -> ByteString? {
        guard let length = byteCount(ofDigits: digits.count) else { return nil }
        var writer = ByteWriter(capacity: length)
        var marks = Marks()
        writer.append(atMost: length) { target in
            marks = decode(digits, into: target)
            return length
        }
        return isFine(marks) ? writer.finish() : nil
    }
}

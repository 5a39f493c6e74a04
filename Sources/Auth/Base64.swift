// Owns: base64 (RFC 4648): the alphabet for URLs without padding, for tokens; and the standard one as Go's library reads it, for the
// hashed passwords that clients send.
package import Bytes

package enum Base64 {
    private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    private static let standardAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlValues = values(urlAlphabet)
    private static let standardValues = values(standardAlphabet)

    /// The value of each byte, 0xFF for one that is not in the alphabet.
    private static func values(_ alphabet: [UInt8]) -> [UInt8] {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }

    package static func encodeForURL(_ bytes: ByteString) -> ByteString {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 4 + 2) / 3)
        var pending: UInt32 = 0
        var bits: UInt32 = 0
        for byte in bytes {
            pending = pending << 8 | UInt32(byte)
            bits += 8
            while bits >= 6 {
                bits -= 6
                text.append(urlAlphabet[Int(pending >> bits & 63)])
            }
        }
        if bits > 0 { text.append(urlAlphabet[Int(pending << (6 - bits) & 63)]) }
        return ByteString(text)
    }

    /// nil for what `encodeForURL` would not have written: bits that count for nothing must be zero, so that a token has one spelling.
    package static func decodeForURL(_ text: ByteString) -> ByteString? {
        guard let (bytes, leftover) = decode(text, urlValues), text.count % 4 != 1, leftover == 0 else { return nil }
        return bytes
    }

    /// As Go decodes: line breaks are skipped, padding must be there, bits that count for nothing may be anything.
    package static func decodeStandard(_ text: ByteString) -> ByteString? {
        let kept = text.filter { $0 != 0x0A && $0 != 0x0D }
        guard kept.count % 4 == 0 else { return nil }
        let padding = kept.suffix(2).reversed().prefix { $0 == 0x3D }.count
        return decode(ByteString(kept.dropLast(padding)), standardValues)?.bytes
    }

    private static func decode(_ text: ByteString, _ values: [UInt8]) -> (bytes: ByteString, leftover: UInt32)? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count * 3 / 4)
        var pending: UInt32 = 0
        var bits: UInt32 = 0
        for byte in text {
            let value = values[Int(byte)]
            if value == 0xFF { return nil }
            pending = pending << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: pending >> bits))
            }
            pending &= 1 << bits - 1
        }
        return (ByteString(bytes), pending)
    }
}

// Owns: how JSON's base64 becomes a field of the wire format, without a copy in between.
// Must never: leave anything of a text that is no base64.
internal import Bytes

enum BytesText {
    /// Reads `text` as protojson does: either alphabet, padded where its length is a multiple of four, else not; and as Go's
    /// decoder does: line breaks are skipped, stray bits at the end ignored. Appends a length and the bytes, after `tag`; nothing where it
    /// decodes to nothing and `isOptional`. Answers whether it was base64.
    static func append(_ text: UnsafeRawBufferPointer, tag: UInt64, isOptional: Bool, to writer: inout ByteWriter) -> Bool {
        let isPadded = text.count % 4 == 0
        if append(text, isPadded: isPadded, tag: tag, isOptional: isOptional, to: &writer) { return true }
        let joined = text.filter { $0 != 0x0A && $0 != 0x0D }
        if joined.count == text.count { return false }
        return joined.withUnsafeBytes { append($0, isPadded: isPadded, tag: tag, isOptional: isOptional, to: &writer) }
    }

    /// The same without line breaks.
    private static func append(
        _ text: UnsafeRawBufferPointer, isPadded: Bool, tag: UInt64, isOptional: Bool, to writer: inout ByteWriter
    ) -> Bool {
        var count = text.count
        if isPadded {
            if count % 4 != 0 { return false }
            for _ in 0..<2 where count > 0 && text[count - 1] == UInt8(ascii: "=") { count -= 1 }
        }
        guard let length = Base64.byteCount(ofDigits: count) else { return false }
        if count == 0 && isOptional { return true }
        let start = writer.count
        writer.appendVarint(tag)
        writer.appendVarint(UInt64(length))
        let digits = UnsafeRawBufferPointer(rebasing: text[..<count])
        var marks = Base64.Marks()
        writer.append(atMost: length) { target in
            marks = Base64.decode(digits, into: target)
            return length
        }
        // A text is in one alphabet.
        if !marks.contains(.alien) && !marks.isSuperset(of: [.standardOnly, .urlOnly]) { return true }
        writer.truncate(to: start)
        return false
    }
}

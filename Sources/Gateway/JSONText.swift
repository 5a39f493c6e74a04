// Owns: text and numbers as JSON has them in answers.
internal import Bytes

enum JSONText {
    private static let hexDigits = Array("0123456789abcdef".utf8)

    /// Quoted and escaped. `text` must be UTF-8.
    static func append(_ text: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
        writer.append(UInt8(ascii: "\""))
        var from = 0
        for index in text.indices {
            let byte = text[index]
            if byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") { continue }
            writer.append(UnsafeRawBufferPointer(rebasing: text[from..<index]))
            from = index + 1
            writer.append(UInt8(ascii: "\\"))
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): writer.append(byte)
            case 0x08: writer.append(UInt8(ascii: "b"))
            case 0x0C: writer.append(UInt8(ascii: "f"))
            case 0x0A: writer.append(UInt8(ascii: "n"))
            case 0x0D: writer.append(UInt8(ascii: "r"))
            case 0x09: writer.append(UInt8(ascii: "t"))
            default:
                for letter in "u00".utf8 { writer.append(letter) }
                writer.append(hexDigits[Int(byte >> 4)])
                writer.append(hexDigits[Int(byte & 15)])
            }
        }
        writer.append(UnsafeRawBufferPointer(rebasing: text[from...]))
        writer.append(UInt8(ascii: "\""))
    }

    /// What needs no escapes: numbers and names.
    static func append(_ word: String, isQuoted: Bool, to writer: inout ByteWriter) {
        if isQuoted { writer.append(UInt8(ascii: "\"")) }
        var word = word
        word.withUTF8 { writer.append(UnsafeRawBufferPointer($0)) }
        if isQuoted { writer.append(UInt8(ascii: "\"")) }
    }
}

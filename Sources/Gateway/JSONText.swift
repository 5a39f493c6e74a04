// Owns: numbers and names as JSON has them in answers.
internal import Bytes

enum JSONText {
    /// What needs no escapes: numbers and names.
    static func append(_ word: String, isQuoted: Bool, to writer: inout ByteWriter) {
        if isQuoted { writer.append(UInt8(ascii: "\"")) }
        var word = word
        word.withUTF8 { writer.append(UnsafeRawBufferPointer($0)) }
        if isQuoted { writer.append(UInt8(ascii: "\"")) }
    }
}

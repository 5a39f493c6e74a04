// Owns: what is wrong with a request's JSON. All of it is an INVALID_ARGUMENT.

/// Begins as the texts of etcd's JSON libraries do, since clients look for them.
package struct JSONFault: Error, Sendable, Hashable {
    package var message: String
    /// The input ended in the middle of a value: more of it may be on its way.
    package var isUnfinished = false

    init(_ message: String) { self.message = message }

    static let unfinished = {
        var fault = JSONFault("unexpected EOF")
        fault.isUnfinished = true
        return fault
    }()
    static let tooDeep = JSONFault("proto: exceeded max recursion depth")

    /// `byte` can't stand there.
    static func invalid(_ byte: UInt8, _ place: String) -> JSONFault {
        let character: String =
            switch byte {
            case UInt8(ascii: "'"): "\\'"
            case UInt8(ascii: "\\"): "\\\\"
            case 0x20..<0x7F: String(Unicode.Scalar(byte))
            default: "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        return JSONFault("invalid character '\(character)' \(place)")
    }
}

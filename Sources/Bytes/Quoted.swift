// Owns: text as other formats write it, one function a format.
// Must never: write a character that ends the text, or its line, where the format has a spelling for it.

public enum Quoted {
    private static let hexDigits = Array("0123456789abcdef".utf8)

    // MARK: JSON

    /// A JSON string.
    public static func json(_ text: String) -> String {
        var text = text
        return text.withUTF8 { text in
            var writer = ByteWriter(capacity: text.count + 2)
            appendJSON(UnsafeRawBufferPointer(text), to: &writer)
            return writer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        }
    }

    /// The same of UTF-8.
    public static func appendJSON(_ text: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
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

    // MARK: Messages

    /// In double quotes, in printable ASCII: quotes and backslashes behind a backslash, all else as `\xHH` or `\u{H}`.
    public static func printable(_ text: String) -> String {
        let body = respelled(text) { scalar in
            switch scalar {
            case "\"": return "\\\""
            case "\\": return "\\\\"
            case " "..."~": return nil
            default:
                let hex = String(scalar.value, radix: 16)
                return scalar.value < 0x80 ? "\\x" + (hex.count == 1 ? "0" : "") + hex : "\\u{\(hex)}"
            }
        }
        return "\"\(body)\""
    }

    // MARK: PostgreSQL

    /// An identifier of SQL, whose letters are taken as they are.
    public static func sqlIdentifier(_ text: String) -> String { "\"\(respelled(text) { $0 == "\"" ? "\"\"" : nil })\"" }

    /// A value in postgresql.conf.
    public static func postgresSetting(_ text: String) -> String {
        "'\(respelled(text) { $0 == "'" ? "''" : $0 == "\\" ? "\\\\" : nil })'"
    }

    /// A value in a connection string of libpq, in quotes where it needs them.
    public static func connectionValue(_ text: String) -> String {
        let isPlain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-+:@".contains($0)) }
        if isPlain, !text.isEmpty { return text }
        return "'\(respelled(text) { $0 == "'" || $0 == "\\" ? "\\\($0)" : nil })'"
    }

    // MARK: Pages

    /// The value of a label in Prometheus's text format, without its quotes.
    public static func prometheusLabel(_ text: String) -> String {
        respelled(text) { $0 == "\\" ? "\\\\" : $0 == "\n" ? "\\n" : $0 == "\"" ? "\\\"" : nil }
    }

    /// The text of a HELP line.
    public static func prometheusHelp(_ text: String) -> String {
        respelled(text) { $0 == "\\" ? "\\\\" : $0 == "\n" ? "\\n" : nil }
    }

    /// Text, or an attribute's value in double quotes.
    public static func html(_ text: String) -> String {
        respelled(text) { $0 == "&" ? "&amp;" : $0 == "<" ? "&lt;" : $0 == ">" ? "&gt;" : $0 == "\"" ? "&quot;" : nil }
    }

    /// Scalar by scalar: a quote before a combining mark, or a line break after a carriage return, is not a character of its own.
    private static func respelled(_ text: String, _ spelling: (Unicode.Scalar) -> String?) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            if let spelled = spelling(scalar) { result += spelled } else { result.unicodeScalars.append(scalar) }
        }
        return result
    }
}

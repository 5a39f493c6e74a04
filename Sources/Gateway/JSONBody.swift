// Owns: what has come of a request's body, and cutting it into JSON values.
// Must never: look at a byte again that it has looked at, however the body is cut into pieces.
// Invariant: start <= scanned <= writer.count; before `start` all values are taken.
package import Bytes

package struct JSONBody: ~Copyable {
    private var writer = ByteWriter(capacity: 0)
    /// Where the next value begins, or the space in front of it.
    private var start = 0
    private var scanned = 0
    /// Of the value that begins at `start`, up to `scanned`.
    private var nesting = Nesting()

    package init() {}

    /// Bytes that are kept.
    package var count: Int { writer.count - start }

    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if start > 0, start * 2 >= writer.count { drop() }
        writer.append(bytes)
    }

    /// The next value of a stream, nil where it isn't complete. What can't be an object is given as it stands, with all that follows.
    package mutating func nextValue() -> ByteString? {
        let (start, scanned) = (start, scanned)
        var nesting = nesting
        let (value, end) = writer.withUnsafeBytes { bytes -> (ByteString?, Int) in
            var index = scanned
            if !nesting.isInValue {
                while index < bytes.count, JSONBody.isSpace(bytes[index]) { index += 1 }
                if index < bytes.count, bytes[index] != UInt8(ascii: "{") {
                    return (ByteString(copying: UnsafeRawBufferPointer(rebasing: bytes[start...])), bytes.count)
                }
            }
            while index < bytes.count {
                let isEnd = nesting.take(bytes[index])
                index += 1
                if isEnd { return (ByteString(copying: UnsafeRawBufferPointer(rebasing: bytes[start..<index])), index) }
            }
            return (nil, index)
        }
        self.nesting = nesting
        self.scanned = end
        if value != nil { self.start = end }
        return value
    }

    /// All that is left.
    package mutating func takeRest() -> ByteString {
        if start > 0 { drop() }
        var rest = ByteWriter(capacity: 0)
        swap(&rest, &writer)
        scanned = 0
        nesting = Nesting()
        return rest.finish()
    }

    /// Forgets what was taken.
    private mutating func drop() {
        let start = start
        var rest = ByteWriter(capacity: writer.count - start)
        writer.withUnsafeBytes { rest.append(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        swap(&rest, &writer)
        scanned -= start
        self.start = 0
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }
}

/// Where in a value the scan is. Brackets need not match: the reader of the value says so.
private struct Nesting {
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    var isInValue: Bool { depth > 0 }

    /// Whether the value ends with this byte.
    mutating func take(_ byte: UInt8) -> Bool {
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
            }
            return false
        }
        switch byte {
        case UInt8(ascii: "\""): isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth -= 1
            return depth == 0
        default: break
        }
        return false
    }
}

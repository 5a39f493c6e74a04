// Owns: whether a request's fields are well-formed (RFC 9113 section 8), field by field as they come. nghttp2's own check is switched off:
// it holds `:authority` to RFC 3986, and gRPC's clients don't. Go's sends whatever it was told to dial: a list of URLs, the path of a
// socket, nothing at all.
// Must never: allocate, or judge what a field means to gRPC.
internal import Bytes

/// The fields of one header block: `begin`, `take` for each field, `isWellFormed` at the end.
struct RequestCheck {
    private struct Seen: OptionSet {
        var rawValue: UInt8
        static let method = Seen(rawValue: 1)
        static let scheme = Seen(rawValue: 2)
        static let path = Seen(rawValue: 4)
        static let authority = Seen(rawValue: 8)
        static let host = Seen(rawValue: 16)
        static let regularField = Seen(rawValue: 32)
        static let connect = Seen(rawValue: 64)
    }

    private var seen: Seen = []
    private var isTrailers = false
    private(set) var isMalformed = false
    /// The value of `content-length`; -1 where there is none.
    private(set) var contentLength = -1

    /// `isTrailers`: the block comes after the content, and may hold no pseudo-header field (section 8.1).
    mutating func begin(isTrailers: Bool) {
        self = RequestCheck()
        self.isTrailers = isTrailers
    }

    @inline(__always)
    mutating func take(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        // After the first fault nothing more can be wrong.
        if isMalformed { return }
        if !RequestCheck.isValue(value) || !judge(name, value) { isMalformed = true }
    }

    /// Whether the whole block is a request, or the trailers of one.
    var isWellFormed: Bool {
        if isMalformed { return false }
        if isTrailers { return true }
        // Section 8.5: CONNECT has a target, and neither scheme nor path.
        if seen.contains(.connect) { return seen.contains(.authority) && seen.isDisjoint(with: [.scheme, .path]) }
        return seen.isSuperset(of: [.method, .scheme, .path])
    }

    private mutating func judge(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        if name.first == UInt8(ascii: ":") { return judgePseudo(name, value) }
        guard RequestCheck.isName(name) else { return false }
        seen.insert(.regularField)
        switch name.count {
        case 2 where name.spells("te"): return value.spells("trailers", ignoringCase: true)
        case 4 where name.spells("host"): return note(.host)
        case 7 where name.spells("upgrade"), 10 where name.spells("connection") || name.spells("keep-alive"),
            16 where name.spells("proxy-connection"), 17 where name.spells("transfer-encoding"):
            // Section 8.2.2.
            return false
        case 14 where name.spells("content-length"): return takeContentLength(value)
        default: return true
        }
    }

    /// Section 8.3: each once, before all other fields.
    private mutating func judgePseudo(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        if isTrailers || seen.contains(.regularField) { return false }
        switch name.count {
        case 5 where name.spells(":path"): return !value.isEmpty && note(.path)
        case 7 where name.spells(":method"):
            if value.spells("CONNECT") { seen.insert(.connect) }
            return !value.isEmpty && note(.method)
        case 7 where name.spells(":scheme"): return !value.isEmpty && note(.scheme)
        case 10 where name.spells(":authority"): return note(.authority)
        default: return false
        }
    }

    /// False where it was there before.
    private mutating func note(_ field: Seen) -> Bool { seen.insert(field).inserted }

    private mutating func takeContentLength(_ value: UnsafeRawBufferPointer) -> Bool {
        guard contentLength < 0, !value.isEmpty, value.count <= RequestCheck.contentLengthDigitLimit else { return false }
        var length = 0
        for byte in value {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return false }
            length = length * 10 + Int(byte - UInt8(ascii: "0"))
        }
        contentLength = length
        return true
    }

    /// So many decimal digits fit into 64 bits.
    private static let contentLengthDigitLimit = 18

    /// Section 8.2.1 and, as Go's server sees it, no other control character either.
    @inline(__always)
    private static func isValue(_ value: UnsafeRawBufferPointer) -> Bool {
        var hasControl = false
        // Without a way out in the middle the compiler takes many bytes at once.
        for byte in value { hasControl = hasControl || (byte < 0x20 && byte != 0x09) || byte == 0x7F }
        return !hasControl
    }

    /// A token of RFC 9110 section 5.6.2, in lower case.
    private static func isName(_ name: UnsafeRawBufferPointer) -> Bool {
        if name.isEmpty { return false }
        for byte in name {
            let bits = byte < 64 ? lowTokenBits : byte < 128 ? highTokenBits : 0
            if bits >> UInt64(byte & 63) & 1 == 0 { return false }
        }
        return true
    }

    /// Which of the bytes 0 to 63, and 64 to 127, may be in a name: `!#$%&'*+-.^_|~`, the backquote, digits and small letters.
    private static let lowTokenBits: UInt64 = 0x03FF_6CFA_0000_0000
    private static let highTokenBits: UInt64 = 0x57FF_FFFF_C000_0000
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are `text`. `ignoringCase` takes ASCII letters of these bytes as small ones.
    @inline(__always)
    fileprivate func spells(_ text: StaticString, ignoringCase: Bool = false) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in 0..<count {
            var byte = self[index]
            if ignoringCase && byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if byte != text.utf8Start[index] { return false }
        }
        return true
    }
}

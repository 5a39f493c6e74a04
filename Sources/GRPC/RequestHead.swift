// Owns: what a request's header fields say to gRPC.
internal import HTTP2
internal import Bytes

struct RequestHead {
    enum Encoding {
        case identity
        case gzip
        case other(String)
    }

    /// The method's index, nil where the path names none.
    var method: Int?
    /// Set where the path names no method of ours.
    var unknownMethod: GRPCStatus?
    /// Set where `:method` isn't POST.
    var wrongHTTPMethod: String?
    /// Whether the content type is `application/grpc` with anything behind it that gRPC allows.
    var isGRPC = false
    var contentType = ""
    /// Nanoseconds from now.
    var timeout: Int64?
    var malformedTimeout: GRPCTimeout.Malformed?
    var encoding = Encoding.identity
    /// Whether a `grpc-encoding` other than identity was given.
    var isCompressed: Bool { if case .identity = encoding { false } else { true } }

    init(_ fields: HeaderFields, methods: MethodTable) {
        fields.forEach { name, value in
            switch name.count {
            case 5 where name.equals(":path"):
                method = methods.find(value)
                if method == nil { unknownMethod = methods.unknown(value) }
            case 7 where name.equals(":method"):
                if !value.equals("POST") { wrongHTTPMethod = String(decoding: value, as: UTF8.self) }
            case 12 where name.equals("content-type"):
                isGRPC = RequestHead.isGRPCContentType(value)
                if !isGRPC { contentType = String(decoding: value, as: UTF8.self) }
            case 12 where name.equals("grpc-timeout"):
                switch GRPCTimeout.parse(value) {
                case .success(let nanoseconds): timeout = nanoseconds
                case .failure(let malformed): malformedTimeout = malformed
                }
            case 13 where name.equals("grpc-encoding"):
                if value.equals("gzip") {
                    encoding = .gzip
                } else if !value.equals("identity") && !value.isEmpty {
                    encoding = .other(String(decoding: value, as: UTF8.self))
                }
            default:
                break
            }
        }
    }

    /// `application/grpc`, alone or followed by `+` or `;`.
    private static func isGRPCContentType(_ value: UnsafeRawBufferPointer) -> Bool {
        let base: StaticString = "application/grpc"
        guard value.count >= base.utf8CodeUnitCount else { return false }
        guard UnsafeRawBufferPointer(rebasing: value.prefix(base.utf8CodeUnitCount)).equals(base, ignoringCase: true) else {
            return false
        }
        if value.count == base.utf8CodeUnitCount { return true }
        let next = value[base.utf8CodeUnitCount]
        return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are `text`. `ignoringCase` takes ASCII letters of these bytes as small ones.
    @inline(__always)
    func equals(_ text: StaticString, ignoringCase: Bool = false) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in 0..<count {
            var byte = self[index]
            if ignoringCase && byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if byte != text.utf8Start[index] { return false }
        }
        return true
    }
}

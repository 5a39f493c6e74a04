// Owns: what a request's header fields say to gRPC.
// Must never: make a string on the way to a call: this runs for every one of them. What is wrong with a request is put
//             into words by a second look at the fields.
internal import Bytes
internal import Calls
internal import HTTP2

struct RequestHead {
    struct Problems: OptionSet {
        var rawValue: UInt8
        static let contentType = Problems(rawValue: 1)
        static let httpMethod = Problems(rawValue: 2)
        static let timeout = Problems(rawValue: 4)
        static let path = Problems(rawValue: 8)
        static let encoding = Problems(rawValue: 16)
    }

    /// The method's index, where no problem says otherwise.
    var method = MethodIndex(rawValue: 0)
    /// A field takes its own problem away when it is there and right.
    var problems: Problems = [.contentType, .path]
    /// Nanoseconds from now; negative where none was given.
    var timeout: Int64 = -1
    /// Whether compressed messages are gzip.
    var isGzip = false
    /// Whether the field that the server looks for is there, and `true`.
    var isFlagged = false
    /// The value of the field that the server counts by, good as long as the fields are.
    var counted: UnsafeRawBufferPointer?
    /// What the client shows to say who it is, good as long as the fields are.
    var token: UnsafeRawBufferPointer?

    init(_ fields: HeaderFields, methods: MethodTable) {
        fields.visit { name, value in
            switch name.count {
            case 5 where name.equals(":path"):
                if let found = methods.find(value) {
                    method = found
                    problems.remove(.path)
                }
            case 7 where name.equals(":method"):
                if !value.equals("POST") { problems.insert(.httpMethod) }
            case 12 where name.equals("content-type"):
                if RequestHead.isGRPCContentType(value) { problems.remove(.contentType) }
            case 12 where name.equals("grpc-timeout"):
                switch GRPCTimeout.parse(value) {
                case .success(let nanoseconds): timeout = nanoseconds
                case .failure: problems.insert(.timeout)
                }
            case 13 where name.equals("grpc-encoding"):
                if value.equals("gzip") {
                    isGzip = true
                } else if !value.equals("identity") && !value.isEmpty {
                    problems.insert(.encoding)
                }
            default:
                if let field = methods.flagField, name.equals(field), value.equals("true") { isFlagged = true }
                if let field = methods.countedField, name.equals(field) { counted = value }
                // The server's own field is stronger than HTTP's.
                if let field = methods.tokenField {
                    if name.equals(field) || token == nil && name.equals("authorization") { token = value }
                }
            }
        }
    }

    /// The whole answer to a request that doesn't become a call, in the words that Go's gRPC uses.
    func refusal(_ fields: HeaderFields, methods: MethodTable) -> HeaderBlock {
        func value(_ name: StaticString) -> String {
            var text = ""
            fields.visit { if $0.equals(name) { text = String(decoding: $1, as: UTF8.self) } }
            return text
        }
        if problems.contains(.contentType) {
            let type = value("content-type")
            return GRPCStatus(.invalidArgument, "invalid gRPC request content-type \(Quoted.printable(type))").trailersOnly(httpStatus: 415)
        }
        if problems.contains(.httpMethod) {
            let words = "Received a HEADERS frame with :method \(Quoted.printable(value(":method"))) which should be POST"
            return GRPCStatus(.internal, words).trailersOnly(httpStatus: 405)
        }
        if problems.contains(.timeout) {
            var timeout = value("grpc-timeout")
            let parsed = timeout.withUTF8 { GRPCTimeout.parse(UnsafeRawBufferPointer($0)) }
            guard case .failure(let malformed) = parsed else { return GRPCStatus.deadlineExceeded.trailersOnly() }
            return GRPCStatus(.internal, "malformed grpc-timeout: \(malformed.reason)").trailersOnly(httpStatus: 400)
        }
        if problems.contains(.path) {
            return methods.unknown(value(":path")).trailersOnly()
        }
        let words = "grpc: Decompressor is not installed for grpc-encoding \(Quoted.printable(value("grpc-encoding")))"
        return GRPCStatus(.unimplemented, words).trailersOnly(extra: WireHeaders.acceptEncoding)
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

// Owns: how a call ends: code, message, and their form on the wire.
internal import HTTP2

/// The outcome of a call.
package struct GRPCStatus: Error, Sendable, Hashable {
    /// gRPC's status codes.
    package enum Code: UInt8, Sendable, CaseIterable {
        case ok = 0
        case cancelled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package static let ok = GRPCStatus(.ok, "")
    package static let deadlineExceeded = GRPCStatus(.deadlineExceeded, "context deadline exceeded")

    /// The trailers that say so.
    func trailers(extra: [(name: String, value: String)] = []) -> HeaderBlock {
        if self == .ok && extra.isEmpty { return WireHeaders.okTrailers }
        return HeaderBlock(fields + extra, isStatic: false)
    }

    /// The header block of a response that consists of nothing else ("trailers-only").
    func trailersOnly(httpStatus: Int = 200, extra: [(name: String, value: String)] = []) -> HeaderBlock {
        HeaderBlock(
            [(":status", "\(httpStatus)"), ("content-type", "application/grpc")] + fields + extra, isStatic: false)
    }

    private var fields: [(name: String, value: String)] {
        let code = ("grpc-status", "\(self.code.rawValue)")
        return message.isEmpty ? [code] : [code, ("grpc-message", GRPCStatus.percentEncoded(message))]
    }

    /// `grpc-message` carries UTF-8 in which everything but printable ASCII, and the percent sign, is `%HH`.
    static func percentEncoded(_ text: String) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count)
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in text.utf8 {
            if byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%") {
                result.append(byte)
            } else {
                result.append(UInt8(ascii: "%"))
                result.append(digits[Int(byte >> 4)])
                result.append(digits[Int(byte & 15)])
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The text that `percentEncoded` makes these bytes of. A percent sign without two digits stands for itself.
    static func percentDecoded(_ bytes: UnsafeRawBufferPointer) -> String {
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = Character(Unicode.Scalar(bytes[index + 1])).hexDigitValue,
                let low = Character(Unicode.Scalar(bytes[index + 2])).hexDigitValue
            {
                result.append(UInt8(high << 4 | low))
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}

/// Header lists that never change.
enum WireHeaders {
    static let response = HeaderBlock([(":status", "200"), ("content-type", "application/grpc")], isStatic: true)
    static let okTrailers = HeaderBlock([("grpc-status", "0")], isStatic: true)
    static let headersTooLarge = HeaderBlock([(":status", "431")], isStatic: true)
    static let acceptEncoding = [(name: "grpc-accept-encoding", value: "identity,gzip")]
}

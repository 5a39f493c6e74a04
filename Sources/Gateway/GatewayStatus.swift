// Owns: how a call that failed is told to a client that speaks JSON (grpc-gateway's runtime/errors.go).
package import Bytes

/// gRPC's code and message.
package struct GatewayStatus: Sendable, Hashable {
    package var code: UInt8
    package var message: String

    package init(code: UInt8, message: String) {
        self.code = code
        self.message = message
    }

    package init(_ fault: JSONFault) { self.init(code: 3, message: fault.message) }

    /// For a path that is none of the API's, and for a method other than POST.
    package static let notFound = GatewayStatus(code: 5, message: "Not Found")
    package static let methodNotAllowed = GatewayStatus(code: 12, message: "Method Not Allowed")

    package var httpStatus: Int {
        switch code {
        case 0: 200
        // CANCELLED: the client hung up.
        case 1: 499
        // INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE.
        case 3, 9, 11: 400
        case 4: 504
        case 5: 404
        // ALREADY_EXISTS, ABORTED.
        case 6, 10: 409
        case 7: 403
        case 8: 429
        case 12: 501
        case 14: 503
        case 16: 401
        // UNKNOWN, INTERNAL, DATA_LOSS and what nobody knows.
        default: 500
        }
    }

    /// The body of the answer to a unary call.
    package var body: ByteString {
        var writer = ByteWriter(capacity: message.utf8.count + 48)
        append(to: &writer)
        return writer.finish()
    }

    /// The last line of a stream, without its end.
    package var line: ByteString {
        var writer = ByteWriter(capacity: message.utf8.count + 64)
        for byte in #"{"error":"#.utf8 { writer.append(byte) }
        append(to: &writer)
        writer.append(UInt8(ascii: "}"))
        return writer.finish()
    }

    private func append(to writer: inout ByteWriter) {
        for byte in #"{"code":\#(code),"message":"#.utf8 { writer.append(byte) }
        var message = message
        message.withUTF8 { Quoted.appendJSON(UnsafeRawBufferPointer($0), to: &writer) }
        writer.append(UInt8(ascii: "}"))
    }
}

// Owns: what is answered to a peer that speaks TLS where we don't, or doesn't where we do, so that it fails at once and says
//       why.

package enum WrongProtocol {
    /// How a TLS connection begins: the content type of a record with a handshake message.
    static let tlsRecord: UInt8 = 22

    /// What a server without TLS says, and what TLS clients know to tell apart: Go's says `server gave HTTP response to HTTPS
    /// client`, OpenSSL's `wrong version number`.
    static let replyToTLS = Array(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis address speaks no TLS: use http://\n"
            .utf8)

    /// The answer to somebody who speaks no TLS to an address that does, by the first bytes; nil where saying nothing is better.
    /// A gRPC client that got the SETTINGS of a server, before a GOAWAY that explains, would try again without a pause.
    package static func replyToPlainText(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard Preface.examine(bytes) == .other, isHTTPRequest(bytes) else { return nil }
        return Array("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n".utf8)
    }

    /// A method in capitals, a space, a target.
    private static func isHTTPRequest(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let method = bytes.prefix(8).prefix { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
        guard method.count >= 3, method.count + 1 < bytes.count else { return false }
        return bytes[method.count] == UInt8(ascii: " ")
    }
}

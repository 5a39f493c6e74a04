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

    /// The answer to somebody who speaks no TLS to an address that does, by the first bytes; nil where they mean nothing to us.
    package static func replyToPlainText(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        switch Preface.examine(bytes) {
        case .http2: goAway
        case .incomplete: nil
        case .other: isHTTPRequest(bytes) ? Array("HTTP/1.0 400 Bad Request\r\n\r\n\(explanation)\n".utf8) : nil
        }
    }

    private static let explanation = "Client sent an HTTP request to an HTTPS server."

    /// SETTINGS, with which a server has to begin, and GOAWAY.
    private static let goAway: [UInt8] = {
        let code = HTTP2ErrorCode.inadequateSecurity.rawValue
        let payload = [0, 0, 0, 0] + withUnsafeBytes(of: code.bigEndian) { Array($0) } + Array(explanation.utf8)
        return [0, 0, 0, 4, 0, 0, 0, 0, 0] + [0, 0, UInt8(payload.count), 7, 0, 0, 0, 0, 0] + payload
    }()

    /// A method in capitals, a space, a target.
    private static func isHTTPRequest(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let method = bytes.prefix(8).prefix { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
        guard method.count >= 3, method.count + 1 < bytes.count else { return false }
        return bytes[method.count] == UInt8(ascii: " ")
    }
}

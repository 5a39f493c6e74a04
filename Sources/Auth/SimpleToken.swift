// Owns: what a simple token says, and its bytes. Every Pine of a store reads those of the others, so the format never changes but for its
// first byte:
//
//     1 byte    1, the format
//     8 bytes   when it expires unless it is used, in milliseconds since 1970, big-endian
//     8 bytes   the auth revision at which it was issued, big-endian
//     8 bytes   chance, so that no two are alike
//     n bytes   the user's name
//     32 bytes  HMAC-SHA256 of all the above, under the store's secret
//
// in base64 of the alphabet for URLs, without padding, since it travels in HTTP headers.
package import Bytes

package struct SimpleToken: Hashable, Sendable {
    package var user: ByteString
    package var issued: UInt64
    package var expiresMs: UInt64
    package var chance: UInt64

    /// Nothing longer is looked at: strangers choose what is signed to be compared. Leaves names of 6,000 bytes.
    package static let lengthLimit = 8_192

    private static let format: UInt8 = 1
    private static let fieldBytes = 1 + 3 * 8

    package init(user: ByteString, issued: UInt64, expiresMs: UInt64, chance: UInt64) {
        self.user = user
        self.issued = issued
        self.expiresMs = expiresMs
        self.chance = chance
    }

    package func signed(with secret: TokenSecret) -> ByteString {
        var writer = ByteWriter()
        writer.append(Self.format)
        writer.appendBigEndian(expiresMs)
        writer.appendBigEndian(issued)
        writer.appendBigEndian(chance)
        writer.append(user)
        let message = writer.finish()
        return Base64.encodeForURL(ByteString(Array(message) + Array(secret.sign(message))))
    }

    /// What a token says, or nil where it was not signed with this secret.
    package init?(_ token: ByteString, secret: TokenSecret) {
        guard token.count <= Self.lengthLimit, let bytes = Base64.decodeForURL(token), bytes.count > Self.fieldBytes + SHA256.digestBytes
        else { return nil }
        let end = bytes.count - SHA256.digestBytes
        let message = bytes.slice(0..<end)
        guard secret.verify(message, bytes.slice(end..<bytes.count)), bytes[0] == Self.format else { return nil }
        expiresMs = bytes.bigEndian(at: 1)
        issued = bytes.bigEndian(at: 9)
        chance = bytes.bigEndian(at: 17)
        user = bytes.slice(Self.fieldBytes..<end)
    }
}

extension ByteString {
    fileprivate func bigEndian(at offset: Int) -> UInt64 {
        (offset..<offset + 8).reduce(0) { $0 << 8 | UInt64(self[$1]) }
    }
}

// Owns: JSON Web Tokens (RFC 7519) as etcd makes and reads them: what one says, and its bytes. Source: etcd's server/auth/jwt.go, and
// golang-jwt's parser and validator.
// Must never: believe what a token says before its signature was verified; take a token that was signed by another method than the one that
// is set, whatever its header says.
internal import Auth
package import Bytes

package struct TokenClaims: Hashable, Sendable {
    package var user: ByteString
    /// The auth revision at which the token was issued. A later one makes it old.
    package var revision: UInt64
    /// Seconds since 1970 from which on the token is no longer good; nil for one that does not expire.
    package var expires: Double?
    /// Seconds since 1970 before which the token is not good yet.
    package var notBefore: Double?

    package init(user: ByteString, revision: UInt64, expires: Double? = nil, notBefore: Double? = nil) {
        self.user = user
        self.revision = revision
        self.expires = expires
        self.notBefore = notBefore
    }

    /// The token, for a key that can sign. Names in the order in which Go writes a map.
    package func signed(with key: SigningKey) -> ByteString {
        let header = ByteString("{\"alg\":\"\(key.method.rawValue)\",\"typ\":\"JWT\"}")
        var claims = ByteWriter()
        claims.append(ByteString("{"))
        if let expires { claims.append(ByteString("\"exp\":\(Int64(expires)),")) }
        claims.append(ByteString("\"revision\":\(revision),\"username\":"))
        JSONObject.append(user, to: &claims)
        claims.append(ByteString("}"))
        let message = Base64.encodeForURL(header).joined(Base64.encodeForURL(claims.finish()))
        return message.joined(Base64.encodeForURL(key.sign(message)))
    }

    /// What a token says, or nil where it was not signed with this key, or does not say who it is for.
    package init?(_ token: ByteString, key: SigningKey) {
        guard let lastDot = token.lastIndex(of: UInt8(ascii: ".")) else { return nil }
        let message = token.slice(0..<lastDot)
        guard let dot = message.firstIndex(of: UInt8(ascii: ".")), message.lastIndex(of: UInt8(ascii: ".")) == dot,
            let header = Base64.decodeForURL(message.slice(0..<dot)).flatMap({ JSONObject($0) }),
            header.text("alg") == ByteString(key.method.rawValue),
            let signature = Base64.decodeForURL(token.slice(lastDot + 1..<token.count)), key.verify(message, signature),
            let claims = Base64.decodeForURL(message.slice(dot + 1..<message.count)).flatMap({ JSONObject($0) }),
            let user = claims.text("username"), let number = claims.number("revision")
        else { return nil }
        self.user = user
        // Go's conversion of a float that fits no UInt64 is not defined; such a token is as old as can be.
        revision = UInt64(exactly: number.rounded(.towardZero)) ?? 0
        // A time that is there has to be a number.
        for (name, path) in [("exp", \TokenClaims.expires), ("nbf", \TokenClaims.notBefore)] {
            guard claims.has(name) else { continue }
            guard let time = claims.number(name) else { return nil }
            self[keyPath: path] = time
        }
    }

    /// Whether the token is good at a time, in seconds since 1970.
    package func isGood(atSeconds now: Double) -> Bool {
        if let expires, now >= expires { return false }
        if let notBefore, now < notBefore { return false }
        return true
    }
}

extension ByteString {
    fileprivate func joined(_ other: ByteString) -> ByteString {
        var writer = ByteWriter()
        writer.append(self)
        writer.append(UInt8(ascii: "."))
        writer.append(other)
        return writer.finish()
    }
}

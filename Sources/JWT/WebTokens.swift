// Owns: which JSON Web Tokens are good, and new ones. They go with the auth revision that they were issued at: the next change of users or
// roles makes them old, and a new password, a deletion or disabling do nothing else to them. Tokens that were verified are remembered, since
// verifying one takes as long as dozens of requests.
// Must never: keep a token whose signature was not verified, so strangers can't make it grow.
package import Auth
package import Bytes
package import EtcdAPI

package struct WebTokens: Sendable {
    /// How many tokens are remembered. Past that all are forgotten, and verified again.
    package static let knownLimit = 65_536

    package let timeToLiveSeconds: Double
    private let key: SigningKey
    private var known: [ByteString: TokenClaims] = [:]

    package init(key: SigningKey, timeToLiveSeconds: Double) {
        self.key = key
        self.timeToLiveSeconds = timeToLiveSeconds
    }

    package var knownCount: Int { known.count }

    /// Who a token speaks for, whatever the store says of the user.
    package mutating func identity(of text: ByteString, nowSeconds: Double) throws(EtcdError) -> Identity {
        guard let claims = known[text] ?? TokenClaims(text, key: key) else { throw .invalidAuthToken }
        guard claims.isGood(atSeconds: nowSeconds) else {
            known[text] = nil
            throw .invalidAuthToken
        }
        if known[text] == nil {
            if known.count >= Self.knownLimit { known.removeAll() }
            known[text.compacted()] = claims
        }
        return .user(claims.user, revision: claims.revision)
    }

    /// A token for a user whose password was found right at an auth revision.
    package func token(for user: ByteString, revision: UInt64, nowSeconds: Double) throws(EtcdError) -> ByteString {
        guard key.canSign else {
            throw EtcdError(code: .unknown, text: "auth: token signing attempted with verify-only key")
        }
        return TokenClaims(user: user, revision: revision, expires: nowSeconds + timeToLiveSeconds).signed(with: key)
    }
}

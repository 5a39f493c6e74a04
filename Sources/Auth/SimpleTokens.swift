// Owns: which simple tokens are good here and now. A token is good on every Pine of its store, since it is signed with the store's secret;
// it outlives a restart for the same reason. It ends when
//
//  - it has not been used for the time to live: on this process, or anywhere else since it was issued,
//  - its user got a new password, or was deleted (the user's credentials are newer than the token),
//  - auth was disabled (the next time it is enabled, the secret is another one).
//
// A new token leaves the user's others good. Tokens that were verified are remembered, which makes a check one look-up, and lets a token that
// stays in use live on past what is signed in it, as etcd's do.
// Must never: keep a token that was not signed by this store, so strangers can't make it grow.
package import Bytes
package import EtcdAPI

package struct SimpleTokens: Sendable {
    private struct Known {
        var token: SimpleToken
        var expiresMs: UInt64
    }

    /// How many tokens are remembered. Past that, those that are expired go; if none is, all do, and live on by what is signed in them.
    package static let knownLimit = 65_536

    package let timeToLiveMs: UInt64
    private var known: [ByteString: Known] = [:]
    /// The secret that all of `known` were signed with.
    private var secret: TokenSecret?

    package init(timeToLiveMs: UInt64) {
        self.timeToLiveMs = timeToLiveMs
    }

    package var knownCount: Int { known.count }

    /// Who a token speaks for. Anybody's is ignored while auth is not enabled.
    package mutating func identity(of text: ByteString, in store: AuthStore, nowMs: UInt64) throws(EtcdError) -> Identity {
        if secret != store.secret {
            secret = store.secret
            known.removeAll()
        }
        guard let secret else { return .nobody }
        let remembered = known[text]
        guard
            var found = remembered ?? SimpleToken(text, secret: secret).map({ Known(token: $0, expiresMs: $0.expiresMs) })
        else { throw .invalidAuthToken }
        // Each time, since an auth revision says nothing: what was folded ahead may be taken back, and another change get the same number.
        guard nowMs <= found.expiresMs, store.accepts(found.token) else {
            known[text] = nil
            throw .invalidAuthToken
        }
        // When it was used is not noted with every use: a sixteenth of the time is near enough.
        if remembered == nil || nowMs + timeToLiveMs > found.expiresMs + timeToLiveMs / 16 {
            found.expiresMs = max(found.expiresMs, nowMs + timeToLiveMs)
            remember(found, as: text, nowMs)
        }
        return .user(found.token.user, revision: nil)
    }

    private mutating func remember(_ token: Known, as text: ByteString, _ nowMs: UInt64) {
        if known.count >= Self.knownLimit && known[text] == nil {
            known = known.filter { $0.value.expiresMs >= nowMs }
            if known.count >= Self.knownLimit { known.removeAll() }
        }
        known[text.compacted()] = token
    }
}

extension AuthStore {
    /// Whether a token is still its user's.
    fileprivate func accepts(_ token: SimpleToken) -> Bool {
        users[token.user].map { $0.credentials <= token.issued } ?? false
    }

    /// What Authenticate has to compare a password with. A hash is a user's of now: see `token(for:)`.
    package func passwordHash(of user: ByteString) throws(EtcdError) -> ByteString {
        guard isEnabled else { throw .authNotEnabled }
        guard let entry = users[user] else { throw .authFailed }
        if entry.user.options?.noPassword == true { throw .noPasswordUser }
        return entry.user.password
    }

    /// A token for a user whose password was found to belong to `hash`; nil where the hash is not the user's any more, and the password has
    /// to be compared again.
    package func token(
        for user: ByteString, hash: ByteString, chance: UInt64, nowMs: UInt64, timeToLiveMs: UInt64
    ) throws(EtcdError) -> ByteString? {
        guard try passwordHash(of: user) == hash, let secret else { return nil }
        return SimpleToken(user: user, issued: revision, expiresMs: nowMs + timeToLiveMs, chance: chance).signed(with: secret)
    }
}

// Owns: which tokens clients show, and for how long they are good.
package import JWT

package struct TokenSettings: Sendable {
    package enum Kind: Sendable {
        /// Signed with the store's own secret, and renewed by use.
        case simple
        case web(SigningKey)
    }

    package var kind = Kind.simple
    package var timeToLiveMs: UInt64 = 300_000

    package init() {}
}

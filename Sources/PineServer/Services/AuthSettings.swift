// Owns: how users are known.

package struct AuthSettings: Sendable {
    package var tokens = TokenSettings()
    /// Of hashes of new passwords: each step doubles the time that one takes.
    package var bcryptCost = 10

    package init() {}
}

// Owns: the calls of the service Auth that change something, once their passwords are hashed. Plain values.
package import Bytes
package import EtcdAPI

package enum AuthCommand: Hashable, Sendable {
    /// The secret is for the tokens from here on, and is drawn by the caller. It goes unused where auth is enabled already.
    case enable(TokenSecret)
    case disable
    /// `hash` is nil for a user without password, whom only a certificate can be.
    case addUser(ByteString, hash: ByteString?)
    case deleteUser(ByteString)
    case changePassword(ByteString, NewPassword)
    case grantRole(ByteString, to: ByteString)
    case revokeRole(ByteString, from: ByteString)
    case addRole(ByteString)
    case deleteRole(ByteString)
    case grantPermission(Permission?, to: ByteString)
    case revokePermission(key: ByteString, rangeEnd: ByteString, from: ByteString)

    /// What UserChangePassword brings.
    package enum NewPassword: Hashable, Sendable {
        /// A bcrypt hash; an empty one lets no password in.
        case hash(ByteString)
        /// The client's own hash was no base64.
        case undecodable
    }
}

/// On whose behalf a call is made.
package enum Caller: Hashable, Sendable {
    /// The call has neither token nor certificate.
    case nobody
    /// `revision` is the auth revision that the caller's token vouches for, as a JWT does; nil where it goes with what holds now.
    case user(ByteString, revision: UInt64?)

    /// Empty for nobody.
    package var name: ByteString {
        if case .user(let name, _) = self { name } else { ByteString() }
    }
}

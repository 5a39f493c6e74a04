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

extension AuthCommand {
    /// How many bytes it brings along.
    package var byteCount: Int {
        switch self {
        case .enable, .disable: 0
        case .addUser(let name, let hash): name.count + (hash?.count ?? 0)
        case .deleteUser(let name), .addRole(let name), .deleteRole(let name): name.count
        case .changePassword(let name, let password):
            if case .hash(let hash) = password { name.count + hash.count } else { name.count }
        case .grantRole(let role, let user), .revokeRole(let role, let user): role.count + user.count
        case .grantPermission(let permission, let role): (permission.map { $0.key.count + $0.rangeEnd.count } ?? 0) + role.count
        case .revokePermission(let key, let rangeEnd, let role): key.count + rangeEnd.count + role.count
        }
    }
}

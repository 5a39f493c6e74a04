// Owns: what a change of users and roles is to the log: whole users and whole roles, never differences, so that folding a row needs no
// earlier one. The format is stored and never changes:
//
//     kind  key          value                        number                auth revision
//     8     user's name  authpb.User, or nothing      credential revision   after the change
//     9     role's name  authpb.Role, or nothing      0                     after the change
//     10    nothing      the token secret, or nothing 1 enabled, 0 not      after the change
//
// `number` is the row's `create_revision`, the auth revision its `version`. An empty value means that the user or the role is gone. The
// authpb bytes are those that etcd keeps in its buckets of users and roles, so snapshots of either side need no translation.
// What one request changes (RoleDelete: the role, and each user who had it) are rows of one transaction with one auth revision.
//
// The last auth row of the log has the highest auth revision, so it must outlive compaction; any other one may go once a later row has
// its kind and key.
package import Bytes
package import EtcdAPI

package enum AuthChange: Hashable, Sendable {
    /// A user was made or changed. Tokens that were issued before the auth revision `credentials` are no longer the user's.
    case user(User, credentials: UInt64)
    case userDeleted(ByteString)
    /// A role was made or changed.
    case role(Role)
    case roleDeleted(ByteString)
    /// Auth was enabled, with a new secret for tokens: those that an earlier one signed are worth nothing.
    case enabled(TokenSecret)
    case disabled
}

/// A change as a row of the log has it.
package struct AuthRow: Hashable, Sendable {
    /// The raw values are stored, as kinds of the log's rows.
    package enum Kind: Int16, Sendable {
        case user = 8
        case role = 9
        case state = 10
    }

    package var kind: Kind
    package var key: ByteString
    package var value: ByteString
    package var number: Int64
    package var authRevision: UInt64

    package init(kind: Kind, key: ByteString = ByteString(), value: ByteString = ByteString(), number: Int64 = 0, authRevision: UInt64) {
        self.kind = kind
        self.key = key
        self.value = value
        self.number = number
        self.authRevision = authRevision
    }

    package init(_ change: AuthChange, authRevision: UInt64) {
        switch change {
        case .user(let user, let credentials):
            self.init(
                kind: .user, key: user.name, value: user.encoded(), number: Int64(bitPattern: credentials), authRevision: authRevision)
        case .userDeleted(let name): self.init(kind: .user, key: name, authRevision: authRevision)
        case .role(let role): self.init(kind: .role, key: role.name, value: role.encoded(), authRevision: authRevision)
        case .roleDeleted(let name): self.init(kind: .role, key: name, authRevision: authRevision)
        case .enabled(let secret): self.init(kind: .state, value: secret.bytes, number: 1, authRevision: authRevision)
        case .disabled: self.init(kind: .state, authRevision: authRevision)
        }
    }

    /// What the row says, or nil where it is not one that Pine has written.
    package var change: AuthChange? {
        switch kind {
        case .user:
            if value.isEmpty { return .userDeleted(key) }
            guard let user = try? User.decode(value), user.name == key, !key.isEmpty else { return nil }
            return .user(user, credentials: UInt64(bitPattern: number))
        case .role:
            if value.isEmpty { return .roleDeleted(key) }
            guard let role = try? Role.decode(value), role.name == key, !key.isEmpty else { return nil }
            return .role(role)
        case .state:
            if number == 0 { return .disabled }
            return TokenSecret(value).map(AuthChange.enabled)
        }
    }
}

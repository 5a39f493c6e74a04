// Owns: users, roles, whether auth is enabled, and the auth revision: a sans-I/O machine that the log's auth rows are folded into.
// Must never: change but by folding; hash or compare passwords, which takes long; show a password hash in an error.
// Source: etcd's server/auth/store.go.
//
//     AuthCommand + Identity ── changes(for:by:) ──▶ [AuthChange] ── the log ──▶ fold(_:revision:)
//
// Whoever evaluates ahead of the log keeps one for the committed state and one for what is in flight, which `undo` takes changes out of.
//
// Invariants: names are not empty; a user's roles ascend; a role's permissions are in the order of their keys; no user has a role that does
// not exist, `root` aside.
package import Bytes
package import EtcdAPI

package struct AuthStore: Sendable {
    /// Never changes: a class, so that looking a user up counts one reference.
    package final class UserEntry: Sendable {
        package let user: User
        /// Tokens that were issued at an earlier auth revision are not this user's any more.
        package let credentials: UInt64

        init(user: User, credentials: UInt64) {
            self.user = user
            self.credentials = credentials
        }
    }

    package static let rootName: ByteString = "root"
    /// What RoleGet answers for the role root, whatever was granted to it.
    package static let rootPermission = Permission(permType: .readWrite, rangeEnd: ByteString([0]))

    package private(set) var users: [ByteString: UserEntry] = [:]
    package private(set) var roles: [ByteString: Role] = [:]
    /// What tokens are signed with; nil while auth is not enabled.
    package private(set) var secret: TokenSecret?
    /// Counts the changes. A store in which nothing has changed is at 1, as in etcd.
    package private(set) var revision: UInt64 = 1
    /// What each user may do, worked out when asked for and forgotten with the next change.
    private var rights: [ByteString: Rights] = [:]

    package init() {}

    package var isEnabled: Bool { secret != nil }

    /// The names, ascending.
    package var userNames: [ByteString] { users.keys.sorted() }
    package var roleNames: [ByteString] { roles.keys.sorted() }

    // MARK: Folding

    /// Takes in a change that the log has, after which the auth revision is `revision`. Gives what it takes to undo that.
    @discardableResult
    package mutating func fold(_ change: AuthChange, revision: UInt64) -> AuthUndo {
        let before: AuthUndo.Part
        switch change {
        case .user(let user, let credentials):
            before = .user(user.name, users.updateValue(UserEntry(user: user, credentials: credentials), forKey: user.name))
        case .userDeleted(let name): before = .user(name, users.removeValue(forKey: name))
        case .role(let role): before = .role(role.name, roles.updateValue(role, forKey: role.name))
        case .roleDeleted(let name): before = .role(name, roles.removeValue(forKey: name))
        case .enabled(let secret):
            before = .secret(self.secret)
            self.secret = secret
        case .disabled:
            before = .secret(secret)
            secret = nil
        }
        defer { self.revision = revision }
        rights.removeAll(keepingCapacity: true)
        return AuthUndo(part: before, revision: self.revision)
    }

    /// Takes the last change back.
    package mutating func undo(_ change: AuthUndo) {
        switch change.part {
        case .user(let name, let entry): users[name] = entry
        case .role(let name, let role): roles[name] = role
        case .secret(let secret): self.secret = secret
        }
        revision = change.revision
        rights.removeAll(keepingCapacity: true)
    }

    // MARK: What a user may do

    /// The rights of a caller as of now.
    package mutating func rights(of caller: Identity) -> Rights {
        guard isEnabled else { return .everything }
        guard case .user(let name, let tokenRevision) = caller, tokenRevision != 0 else { return .refused(.userEmpty) }
        if let tokenRevision, tokenRevision < revision { return .refused(.authOldRevision) }
        if let known = rights[name] { return known }
        // Not kept: callers can be anyone by certificate.
        guard let entry = users[name] else { return .refused(.permissionDenied) }
        let found: Rights
        if entry.user.roles.contains(Self.rootName) {
            found = .everything
        } else {
            found = .ranges(PermissionSet(entry.user.roles.lazy.compactMap { [roles] in roles[$0] }.flatMap(\.keyPermission)))
        }
        rights[name] = found
        return found
    }

    /// The rights by which leases are judged. Root's token may be of an old revision here, as in etcd.
    package mutating func leaseRights(of caller: Identity) -> Rights {
        (try? checkAdmin(caller)) != nil ? .everything : rights(of: caller)
    }

    /// Whether the caller is root, in role: what administration, and most of Maintenance and Cluster, ask for.
    package func checkAdmin(_ caller: Identity) throws(EtcdError) {
        guard isEnabled else { return }
        if caller.name.isEmpty { throw .userEmpty }
        guard let entry = users[caller.name] else { throw .userNotFound }
        guard entry.user.roles.contains(Self.rootName) else { throw .permissionDenied }
    }

    /// Whether anybody is calling at all: enough for Status, leases without keys, and to see alarms.
    package func checkPresent(_ caller: Identity) throws(EtcdError) {
        if isEnabled && caller == .nobody { throw .userEmpty }
    }

    // MARK: Reading users and roles

    /// The roles of a user, whom only root and the user may ask about.
    package func roles(ofUser name: ByteString, by caller: Identity) throws(EtcdError) -> [ByteString] {
        do {
            try checkAdmin(caller)
        } catch {
            guard caller.name == name else { throw error }
        }
        guard let entry = users[name] else { throw .userNotFound }
        return entry.user.roles
    }

    /// The permissions of a role, which only root and those who have it may ask about.
    package func permissions(ofRole name: ByteString, by caller: Identity) throws(EtcdError) -> [Permission] {
        do {
            try checkAdmin(caller)
        } catch {
            guard users[caller.name]?.user.roles.contains(name) == true else { throw error }
        }
        guard let role = roles[name] else { throw .roleNotFound }
        return name == Self.rootName ? [Self.rootPermission] : role.keyPermission
    }
}

/// What was there before a change.
package struct AuthUndo: Sendable {
    enum Part: Sendable {
        case user(ByteString, AuthStore.UserEntry?)
        case role(ByteString, Role?)
        case secret(TokenSecret?)
    }

    let part: Part
    let revision: UInt64
}

// Owns: what each administrative call changes, and the errors it gets instead, in the order in which etcd finds them.
internal import Bytes
package import EtcdAPI

extension AuthStore {
    /// The changes that `command` makes, all with the auth revision after this one (enabling keeps it, as etcd does); none where it
    /// succeeds without changing anything.
    package func changes(for command: AuthCommand, by caller: Identity) throws(EtcdError) -> [AuthChange] {
        try checkAdmin(caller)
        switch command {
        case .enable(let secret): return try enabling(secret)
        case .disable: return isEnabled ? [.disabled] : []
        case .addUser(let name, let hash): return try addingUser(name, hash)
        case .deleteUser(let name):
            if isEnabled && name == Self.rootName { throw .invalidAuthManagement }
            guard users[name] != nil else { throw .userNotFound }
            return [.userDeleted(name)]
        case .changePassword(let name, let password): return try changingPassword(name, password)
        case .grantRole(let role, let user): return try granting(role, to: user)
        case .revokeRole(let role, let user): return try revoking(role, from: user)
        case .addRole(let name):
            if name.isEmpty { throw .roleEmpty }
            if roles[name] != nil { throw .roleAlreadyExist }
            return [.role(Role(name: name))]
        case .deleteRole(let name): return try deletingRole(name)
        case .grantPermission(let permission, let role): return try granting(permission, to: role)
        case .revokePermission(let key, let rangeEnd, let role): return try revoking(key, rangeEnd, from: role)
        }
    }

    /// The auth revision that the log has for `changes`.
    package func revision(after changes: [AuthChange]) -> UInt64 {
        if case .enabled = changes.last { return revision }
        return changes.isEmpty ? revision : revision + 1
    }

    private func enabling(_ secret: TokenSecret) throws(EtcdError) -> [AuthChange] {
        if isEnabled { return [] }
        guard let root = users[Self.rootName] else { throw .rootUserNotExist }
        guard root.user.roles.contains(Self.rootName) else { throw .rootRoleNotExist }
        return [.enabled(secret)]
    }

    // MARK: Users

    private func addingUser(_ name: ByteString, _ hash: ByteString?) throws(EtcdError) -> [AuthChange] {
        if name.isEmpty { throw .userEmpty }
        if users[name] != nil { throw .userAlreadyExist }
        // etcd stores the options even where none were given.
        let user = User(name: name, password: hash ?? ByteString(), options: UserAddOptions(noPassword: hash == nil))
        return [.user(user, credentials: revision + 1)]
    }

    private func changingPassword(_ name: ByteString, _ password: AuthCommand.NewPassword) throws(EtcdError) -> [AuthChange] {
        guard var user = users[name]?.user else { throw .userNotFound }
        if user.options?.noPassword == true {
            user.password = ByteString()
        } else {
            guard case .hash(let hash) = password else { throw .noPasswordUser }
            user.password = hash
        }
        return [.user(user, credentials: revision + 1)]
    }

    private func granting(_ role: ByteString, to name: ByteString) throws(EtcdError) -> [AuthChange] {
        guard let entry = users[name] else { throw .userNotFound }
        // The role root need not exist.
        guard role == Self.rootName || roles[role] != nil else { throw .roleNotFound }
        var user = entry.user
        let index = user.roles.firstIndex { $0 >= role } ?? user.roles.count
        if index < user.roles.count && user.roles[index] == role { return [] }
        user.roles.insert(role, at: index)
        return [.user(user, credentials: entry.credentials)]
    }

    private func revoking(_ role: ByteString, from name: ByteString) throws(EtcdError) -> [AuthChange] {
        if isEnabled && name == Self.rootName && role == Self.rootName { throw .invalidAuthManagement }
        guard let entry = users[name] else { throw .userNotFound }
        guard let user = entry.user.without(role) else { throw .roleNotGranted }
        return [.user(user, credentials: entry.credentials)]
    }

    // MARK: Roles

    private func deletingRole(_ name: ByteString) throws(EtcdError) -> [AuthChange] {
        if isEnabled && name == Self.rootName { throw .invalidAuthManagement }
        guard roles[name] != nil else { throw .roleNotFound }
        let holders = userNames.compactMap { holder -> AuthChange? in
            let entry = users[holder]!
            return entry.user.without(name).map { .user($0, credentials: entry.credentials) }
        }
        return holders + [.roleDeleted(name)]
    }

    private func granting(_ permission: Permission?, to name: ByteString) throws(EtcdError) -> [AuthChange] {
        guard let permission else { throw .permissionNotGiven }
        guard permission.hasKeys else { throw .invalidAuthManagement }
        guard var role = roles[name] else { throw .roleNotFound }
        // Only the first permission with this key is looked at, so a role can have the same range twice. As in etcd.
        if let index = role.keyPermission.firstIndex(where: { $0.key >= permission.key }), role.keyPermission[index].key == permission.key,
            role.keyPermission[index].rangeEnd == permission.rangeEnd
        {
            role.keyPermission[index].permType = permission.permType
        } else {
            let index = role.keyPermission.firstIndex { $0.key > permission.key } ?? role.keyPermission.count
            role.keyPermission.insert(permission, at: index)
        }
        return [.role(role)]
    }

    private func revoking(_ key: ByteString, _ rangeEnd: ByteString, from name: ByteString) throws(EtcdError) -> [AuthChange] {
        guard var role = roles[name] else { throw .roleNotFound }
        let count = role.keyPermission.count
        role.keyPermission.removeAll { $0.key == key && $0.rangeEnd == rangeEnd }
        if role.keyPermission.count == count { throw .permissionNotGranted }
        return [.role(role)]
    }
}

extension User {
    /// The user less a role, or nil where it was not granted.
    fileprivate func without(_ role: ByteString) -> User? {
        guard roles.contains(role) else { return nil }
        var user = self
        user.roles.removeAll { $0 == role }
        return user
    }
}

extension Permission {
    /// Whether it is for any key: what etcd asks of a permission before it is granted.
    fileprivate var hasKeys: Bool {
        !key.isEmpty && (rangeEnd.isEmpty || key < rangeEnd || rangeEnd == ByteString([0]))
    }
}

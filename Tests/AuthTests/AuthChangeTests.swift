// Checks the rows of the log: their stored bytes, and that folding them gives what was evaluated, in every short history.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct AuthChangeTests {
    @Test("the stored form of each change")
    func golden() throws {
        let user = User(name: "u", password: "h", roles: ["r"], options: UserAddOptions())
        let role = Role(name: "r", keyPermission: [Permission(permType: .write, key: "k", rangeEnd: "l")])
        let rows: [(AuthChange, AuthRow)] = [
            (
                .user(user, credentials: 3),
                AuthRow(kind: .user, key: "u", value: ByteString([10, 1, 117, 18, 1, 104, 26, 1, 114, 34, 0]), number: 3, authRevision: 7)
            ),
            (.userDeleted("u"), AuthRow(kind: .user, key: "u", authRevision: 7)),
            (
                .role(role),
                AuthRow(kind: .role, key: "r", value: ByteString([10, 1, 114, 18, 8, 8, 1, 18, 1, 107, 26, 1, 108]), authRevision: 7)
            ),
            (.roleDeleted("r"), AuthRow(kind: .role, key: "r", authRevision: 7)),
            (.enabled(.fixed), AuthRow(kind: .state, value: ByteString(Array(0..<32)), number: 1, authRevision: 7)),
            (.disabled, AuthRow(kind: .state, authRevision: 7)),
        ]
        for (change, row) in rows {
            #expect(AuthRow(change, authRevision: 7) == row)
            #expect(row.change == change)
        }
        #expect([AuthRow.Kind.user, .role, .state].map(\.rawValue) == [8, 9, 10])
    }

    @Test("rows that Pine has not written are told apart, and never trap")
    func damaged() {
        let user = User(name: "u", password: "h").encoded()
        let role = Role(name: "r", keyPermission: [Permission(key: "k")]).encoded()
        for (kind, key, value) in [(AuthRow.Kind.user, "u" as ByteString, user), (.role, "r", role)] {
            #expect(AuthRow(kind: kind, key: "other", value: value, authRevision: 2).change == nil)
            for end in 1..<value.count {
                let change = AuthRow(kind: kind, key: key, value: value.slice(0..<end), authRevision: 2).change
                if end < 3 { #expect(change == nil) }
            }
        }
        #expect(AuthRow(kind: .state, value: "short", number: 1, authRevision: 2).change == nil)
    }

    @Test("every history of four commands folds into a store in which the invariants hold and each role of a user exists")
    func histories() {
        let commands: [AuthCommand] = [
            .addUser("u", hash: "h"), .deleteUser("u"), .changePassword("u", .hash("i")), .addRole("r"), .deleteRole("r"),
            .grantRole("r", to: "u"), .revokeRole("r", from: "u"), .grantRole("root", to: "u"),
            .grantPermission(Permission(key: "b"), to: "r"), .grantPermission(Permission(key: "a", rangeEnd: "c"), to: "r"),
            .revokePermission(key: "b", rangeEnd: "", from: "r"),
        ]
        var visited = 0
        func explore(_ store: AuthStore, _ model: NaiveStore, depth: Int) {
            #expect(model.matches(store))
            visited += 1
            if depth == 0 { return }
            for command in commands {
                var (store, model) = (store, model)
                let failed = (try? store.run(command)) == nil
                #expect(model.run(command) == !failed, "\(command)")
                explore(store, model, depth: depth - 1)
            }
        }
        explore(AuthStore(), NaiveStore(), depth: 4)
        #expect(visited == 1 + 11 + 121 + 1_331 + 14_641)
    }
}

/// Users and roles in sets, as one would write them down.
private struct NaiveStore {
    var users: [ByteString: (password: ByteString, roles: Set<ByteString>, since: UInt64)] = [:]
    var roles: [ByteString: Set<[ByteString]>] = [:]
    var revision: UInt64 = 1

    /// Whether it succeeds. Commands on user u and role r only.
    mutating func run(_ command: AuthCommand) -> Bool {
        switch command {
        case .addUser(let name, let hash):
            if users[name] != nil { return false }
            users[name] = (hash!, [], revision + 1)
        case .deleteUser(let name):
            if users.removeValue(forKey: name) == nil { return false }
        case .changePassword(let name, .hash(let hash)):
            guard let user = users[name] else { return false }
            users[name] = (hash, user.roles, revision + 1)
        case .addRole(let name):
            if roles[name] != nil { return false }
            roles[name] = []
        case .deleteRole(let name):
            if roles.removeValue(forKey: name) == nil { return false }
            for user in users.keys { users[user]!.roles.remove(name) }
        case .grantRole(let role, let user):
            guard users[user] != nil, role == "root" || roles[role] != nil else { return false }
            if !users[user]!.roles.insert(role).inserted { return true }
        case .revokeRole(let role, let user):
            if users[user]?.roles.remove(role) == nil { return false }
        case .grantPermission(let permission?, let role):
            if roles[role] == nil { return false }
            roles[role]!.insert([permission.key, permission.rangeEnd])
        case .revokePermission(let key, let end, let role):
            if roles[role]?.remove([key, end]) == nil { return false }
        default: return false
        }
        revision += 1
        return true
    }

    func matches(_ store: AuthStore) -> Bool {
        store.revision == revision && store.userNames == users.keys.sorted() && store.roleNames == roles.keys.sorted()
            && users.allSatisfy { name, user in
                let entry = store.users[name]!
                return entry.user.password == user.password && entry.user.roles == user.roles.sorted() && entry.credentials == user.since
                    && entry.user.roles.allSatisfy { $0 == "root" || store.roles[$0] != nil }
            }
            && roles.allSatisfy { name, permissions in
                store.roles[name]!.keyPermission.map { [$0.key, $0.rangeEnd] } == permissions.sorted { $0[0] < $1[0] }
            }
    }
}

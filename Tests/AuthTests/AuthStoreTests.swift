// Checks the administrative calls: what they change, and the errors they get instead, in etcd's order.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct AuthStoreTests {
    private var store = AuthStore()

    @Test("a new store is at auth revision 1, is not enabled, and lets anybody do anything")
    mutating func new() throws {
        #expect(store.revision == 1)
        #expect(!store.isEnabled)
        #expect(store.rights(of: .nobody).isEverything)
        try store.checkAdmin(.nobody)
        try store.checkPresent(.nobody)
    }

    @Test("it takes a user root with the role root to enable auth, which leaves the auth revision")
    mutating func enabling() throws {
        #expect(throws: EtcdError.rootUserNotExist) { try store.run(.enable(.fixed)) }
        try store.run(.addUser("root", hash: "r"))
        #expect(throws: EtcdError.rootRoleNotExist) { try store.run(.enable(.fixed)) }
        // The role need not exist.
        try store.run(.grantRole("root", to: "root"))
        #expect(store.revision == 3)
        try store.run(.enable(.fixed))
        #expect(store.isEnabled)
        #expect(store.revision == 3)
        // Once more changes nothing, and keeps the secret.
        try store.run(.enable(.other), by: .root)
        #expect(store.secret == .fixed)
        try store.run(.disable, by: .root)
        #expect(store.revision == 4)
        #expect(!store.isEnabled)
        try store.run(.disable)
        #expect(store.revision == 4)
    }

    @Test("users: what is refused, and what each change leaves")
    mutating func users() throws {
        #expect(throws: EtcdError.userEmpty) { try store.run(.addUser("", hash: "h")) }
        try store.run(.addUser("u", hash: "h"))
        #expect(throws: EtcdError.userAlreadyExist) { try store.run(.addUser("u", hash: "h")) }
        try store.run(.addUser("certified", hash: nil))
        #expect(store.users["u"]?.user == User(name: "u", password: "h", options: UserAddOptions()))
        #expect(store.users["certified"]?.user == User(name: "certified", options: UserAddOptions(noPassword: true)))
        #expect(store.userNames == ["certified", "u"])
        for command in [
            AuthCommand.deleteUser("x"), .changePassword("x", .hash("h")), .grantRole("r", to: "x"), .revokeRole("r", from: "x"),
        ] {
            #expect(throws: EtcdError.userNotFound) { try store.run(command) }
        }
        #expect(throws: EtcdError.roleNotFound) { try store.run(.grantRole("r", to: "u")) }
        #expect(throws: EtcdError.roleNotGranted) { try store.run(.revokeRole("r", from: "u")) }
        for role in ["s", "r", "t"] as [ByteString] {
            try store.run(.addRole(role))
            try store.run(.grantRole(role, to: "u"))
        }
        #expect(store.users["u"]?.user.roles == ["r", "s", "t"])
        let revision = store.revision
        try store.run(.grantRole("s", to: "u"))
        #expect(store.revision == revision, "a role that is granted already")
        try store.run(.revokeRole("s", from: "u"))
        #expect(store.users["u"]?.user.roles == ["r", "t"])
        #expect(throws: EtcdError.noPasswordUser) { try store.run(.changePassword("u", .undecodable)) }
        try store.run(.changePassword("u", .hash("")))
        #expect(store.users["u"]?.user == User(name: "u", roles: ["r", "t"], options: UserAddOptions()))
        // Without password stays without password, whatever is sent.
        try store.run(.changePassword("certified", .undecodable))
        try store.run(.changePassword("certified", .hash("h")))
        #expect(store.users["certified"]?.user == User(name: "certified", options: UserAddOptions(noPassword: true)))
        try store.run(.deleteUser("u"))
        #expect(store.userNames == ["certified"])
    }

    @Test("roles: what is refused, and what each change leaves")
    mutating func roles() throws {
        #expect(throws: EtcdError.roleEmpty) { try store.run(.addRole("")) }
        try store.run(.addRole("r"))
        #expect(throws: EtcdError.roleAlreadyExist) { try store.run(.addRole("r")) }
        #expect(throws: EtcdError.permissionNotGiven) { try store.run(.grantPermission(nil, to: "x")) }
        for permission in [
            Permission(), Permission(key: "b", rangeEnd: "a"), Permission(key: "b", rangeEnd: "b"), Permission(rangeEnd: "a"),
        ] {
            #expect(throws: EtcdError.invalidAuthManagement) { try store.run(.grantPermission(permission, to: "x")) }
        }
        #expect(throws: EtcdError.roleNotFound) { try store.run(.grantPermission(Permission(key: "a"), to: "x")) }
        #expect(throws: EtcdError.roleNotFound) { try store.run(.revokePermission(key: "a", rangeEnd: "", from: "x")) }
        #expect(throws: EtcdError.roleNotFound) { try store.run(.deleteRole("x")) }
        #expect(throws: EtcdError.permissionNotGranted) { try store.run(.revokePermission(key: "a", rangeEnd: "", from: "r")) }
        for key in ["c", "a", "b"] as [ByteString] { try store.run(.grantPermission(Permission(key: key), to: "r")) }
        #expect(store.roles["r"]?.keyPermission.map(\.key) == ["a", "b", "c"])
        try store.run(.grantPermission(Permission(permType: .write, key: "b"), to: "r"))
        #expect(store.roles["r"]?.keyPermission.map(\.permType) == [.read, .write, .read])
        for user in ["u", "v", "w"] as [ByteString] {
            try store.run(.addUser(user, hash: "h"))
            if user != "v" { try store.run(.grantRole("r", to: user)) }
        }
        let revision = store.revision
        try store.run(.deleteRole("r"))
        #expect(store.revision == revision + 1, "one revision, however many users had it")
        #expect(store.users.values.allSatisfy { $0.user.roles.isEmpty })
        #expect(store.roleNames.isEmpty)
    }

    @Test("only the first permission with a key is replaced, so a role can have the same range twice")
    mutating func sameKey() throws {
        try store.run(.addRole("r"))
        for end in ["b", "c", "c", "b"] as [ByteString] { try store.run(.grantPermission(Permission(key: "a", rangeEnd: end), to: "r")) }
        #expect(store.roles["r"]?.keyPermission.map(\.rangeEnd) == ["b", "c", "c"])
        try store.run(.revokePermission(key: "a", rangeEnd: "c", from: "r"))
        #expect(store.roles["r"]?.keyPermission.map(\.rangeEnd) == ["b"])
    }

    @Test("root's user and role can't be taken apart while auth is enabled")
    mutating func root() throws {
        try store.enable()
        try store.run(.addRole("root"), by: .root)
        try store.run(.addRole("r"), by: .root)
        for command in [AuthCommand.deleteUser("root"), .deleteRole("root"), .revokeRole("root", from: "root")] {
            #expect(throws: EtcdError.invalidAuthManagement) { try store.run(command, by: .root) }
        }
        #expect(throws: EtcdError.roleNotGranted) { try store.run(.revokeRole("r", from: "root"), by: .root) }
        try store.run(.disable, by: .root)
        for command in [AuthCommand.revokeRole("root", from: "root"), .deleteRole("root"), .deleteUser("root")] { try store.run(command) }
        #expect(store.userNames.isEmpty)
    }

    @Test("once enabled, each change asks for the role root, before anything else is looked at")
    mutating func administration() throws {
        try store.run(.addUser("u", hash: "h"))
        try store.enable()
        let commands: [AuthCommand] = [
            .enable(.other), .disable, .addUser("", hash: "h"), .deleteUser("x"), .changePassword("x", .undecodable),
            .grantRole("r", to: "x"), .revokeRole("r", from: "x"), .addRole(""), .deleteRole("x"), .grantPermission(nil, to: "x"),
            .revokePermission(key: "k", rangeEnd: "", from: "x"),
        ]
        for command in commands {
            #expect(throws: EtcdError.userEmpty) { try store.run(command) }
            #expect(throws: EtcdError.permissionDenied) { try store.run(command, by: .user("u", revision: nil)) }
            #expect(throws: EtcdError.userNotFound) { try store.run(command, by: .user("x", revision: nil)) }
        }
        try store.run(.grantRole("root", to: "u"), by: .root)
        try store.run(.addUser("v", hash: "h"), by: .user("u", revision: nil))
    }

    @Test("users may ask about themselves, and about roles that they have")
    mutating func reading() throws {
        try store.run(.addUser("u", hash: "h"))
        try store.run(.addRole("r"))
        try store.run(.addRole("s"))
        try store.run(.addRole("root"))
        try store.run(.grantRole("r", to: "u"))
        let permission = Permission(key: "k")
        try store.run(.grantPermission(permission, to: "r"))
        try store.run(.grantPermission(permission, to: "root"))
        try store.enable()
        let user = Identity.user("u", revision: nil)
        #expect(try store.roles(ofUser: "u", by: user) == ["r"])
        #expect(try store.permissions(ofRole: "r", by: user) == [permission])
        #expect(throws: EtcdError.permissionDenied) { try store.roles(ofUser: "root", by: user) }
        #expect(throws: EtcdError.permissionDenied) { try store.permissions(ofRole: "s", by: user) }
        #expect(throws: EtcdError.permissionDenied) { try store.permissions(ofRole: "x", by: user) }
        #expect(throws: EtcdError.userNotFound) { try store.roles(ofUser: "x", by: .root) }
        #expect(throws: EtcdError.roleNotFound) { try store.permissions(ofRole: "x", by: .root) }
        #expect(throws: EtcdError.userEmpty) { try store.roles(ofUser: "u", by: .nobody) }
        #expect(throws: EtcdError.userEmpty) { try store.permissions(ofRole: "r", by: .nobody) }
        // Nobody's name is empty, so nobody may ask about the user without a name.
        #expect(throws: EtcdError.userNotFound) { try store.roles(ofUser: "", by: .nobody) }
        #expect(try store.permissions(ofRole: "root", by: .root) == [Permission(permType: .readWrite, key: "", rangeEnd: ByteString([0]))])
    }

    @Test("rights follow every change at once, over all roles of a user")
    mutating func rights() throws {
        try store.run(.addUser("u", hash: "h"))
        for role in ["r", "s"] as [ByteString] {
            try store.run(.addRole(role))
            try store.run(.grantRole(role, to: "u"))
        }
        try store.enable()
        let user = Identity.user("u", revision: nil)
        func mayRead(_ key: ByteString, _ end: ByteString = "") -> Bool { (try? store.rights(of: user).checkRead(key, end)) != nil }
        #expect(!mayRead("a"))
        try store.run(.grantPermission(Permission(key: "a", rangeEnd: "c"), to: "r"), by: .root)
        try store.run(.grantPermission(Permission(permType: .readWrite, key: "c", rangeEnd: "e"), to: "s"), by: .root)
        #expect(mayRead("a", "e"))
        #expect(!mayRead("a", "f"))
        try store.run(.revokeRole("s", from: "u"), by: .root)
        #expect(mayRead("a", "c"))
        #expect(!mayRead("a", "e"))
        try store.run(.grantRole("root", to: "u"), by: .root)
        #expect(mayRead("a", ByteString([0])))
        try store.run(.deleteUser("u"), by: .root)
        #expect(store.rights(of: user).refusal == .permissionDenied)
        #expect(store.rights(of: .nobody).refusal == .userEmpty)
    }

    @Test("a token of an earlier auth revision is refused where it says so, root's as well; for leases root's is not")
    mutating func oldRevision() throws {
        try store.run(.addUser("u", hash: "h"))
        try store.enable()
        let now = store.revision
        #expect(store.rights(of: .user("root", revision: now)).isEverything)
        #expect(store.rights(of: .user("root", revision: now + 1)).isEverything)
        #expect(store.rights(of: .user("root", revision: now - 1)).refusal == .authOldRevision)
        #expect(store.rights(of: .user("root", revision: 0)).refusal == .userEmpty)
        #expect(store.leaseRights(of: .user("root", revision: now - 1)).isEverything)
        #expect(store.leaseRights(of: .user("u", revision: now - 1)).refusal == .authOldRevision)
        #expect(store.leaseRights(of: .nobody).refusal == .userEmpty)
    }
}

extension Identity {
    static let root = Identity.user("root", revision: nil)
}

extension TokenSecret {
    static let fixed = TokenSecret(ByteString(Array(0..<32)))!
    static let other = TokenSecret(ByteString(Array(1...32)))!
}

extension AuthStore {
    /// Takes a command to the log and back.
    @discardableResult
    mutating func run(_ command: AuthCommand, by caller: Identity = .nobody) throws(EtcdError) -> [AuthRow] {
        let changes = try changes(for: command, by: caller)
        let after = revision(after: changes)
        let rows = changes.map { AuthRow($0, authRevision: after) }
        for row in rows { fold(row.change!, revision: row.authRevision) }
        return rows
    }

    mutating func enable() throws {
        try run(.addUser("root", hash: "r"))
        try run(.grantRole("root", to: "root"))
        try run(.enable(.fixed))
    }
}

extension Rights {
    /// What everything is refused with, if it is.
    var refusal: EtcdError? {
        if case .refused(let error) = self { error } else { nil }
    }

    var isEverything: Bool {
        if case .everything = self { true } else { false }
    }
}

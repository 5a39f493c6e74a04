import Auth
import Bytes
import EtcdAPI
import TestSupport
import Testing

@testable import Keyspace

@Suite("Users and roles in the store", .ownThreads)
struct AuthTableTests {
    private static let root = Principal(.user("root", revision: nil), seenMs: 1)
    private static let alice = Principal(.user("alice", revision: nil), seenMs: 1)
    private static let secret = TokenSecret(ByteString([UInt8](repeating: 7, count: TokenSecret.byteCount)))!

    /// A store, and the rows that it has appended.
    private struct World: ~Copyable {
        var store = Store()
        var rows: [LogRow] = []

        /// Executes, and gives the refusal.
        @discardableResult
        mutating func run(_ request: WriteRequest, by principal: Principal = root) -> EtcdError? {
            do throws(ExecutionError) {
                _ = try store.execute(request, by: principal, header: ResponseHeader(), origin: 1, rows: &rows)
                return nil
            } catch {
                guard case .refused(let refusal) = error else { return .corrupt }
                return refusal
            }
        }

        mutating func run(_ commands: [AuthCommand]) -> [EtcdError] { commands.compactMap { run(.auth($0)) } }
    }

    private static let setUp: [AuthCommand] = [
        .addUser("root", hash: "h"), .addRole("root"), .grantRole("root", to: "root"), .addUser("alice", hash: "h"), .addRole("reader"),
        .grantPermission(Permission(permType: .read, key: "a", rangeEnd: "b"), to: "reader"), .grantRole("reader", to: "alice"),
        .enable(secret),
    ]

    @Test("Writes are judged by the tip, reads by what is committed, and what is undone judges nobody")
    func views() throws {
        var world = World()
        #expect(world.run(Self.setUp) == [])
        // Nothing is committed yet: readers know of no auth.
        #expect(world.store.auth.isEnabled(.tip) && !world.store.auth.isEnabled(.committed))
        #expect(world.run(.put(PutRequest(key: "a", value: "v")), by: Self.alice) == .permissionDenied)
        try world.store.check(RangeRequest(key: "z"), by: .anonymous)
        world.store.commit()
        #expect(throws: EtcdError.userEmpty) { () throws in try check(world.store, "z", .anonymous) }
        #expect(throws: EtcdError.permissionDenied) { () throws in try check(world.store, "z", Self.alice) }
        try world.store.check(RangeRequest(key: "a1"), by: Self.alice)

        // A right that is not committed can be used to write, and is gone when its row is undone.
        #expect(world.run([.grantPermission(Permission(permType: .write, key: "a", rangeEnd: "b"), to: "reader")]) == [])
        #expect(world.run(.put(PutRequest(key: "a", value: "v")), by: Self.alice) == nil)
        world.store.rollBack()
        #expect(world.run(.put(PutRequest(key: "a", value: "v")), by: Self.alice) == .permissionDenied)
    }

    private func check(_ store: borrowing Store, _ key: ByteString, _ principal: Principal) throws {
        try store.check(RangeRequest(key: key), by: principal)
    }

    @Test("Only root administers, compacts and switches auth; the process may do everything")
    func administration() {
        var world = World()
        #expect(world.run(Self.setUp) == [])
        for request in [WriteRequest.auth(.addUser("bob", hash: nil)), .compact(revision: 1), .auth(.disable)] {
            #expect(world.run(request, by: Self.alice) == .permissionDenied)
            #expect(world.run(request, by: .anonymous) == .userEmpty)
            #expect(world.run(request, by: Principal(.invalid, seenMs: 1)) == .invalidAuthToken)
        }
        #expect(world.run(.put(PutRequest(key: "z")), by: .process) == nil)
        #expect(world.run(.compact(revision: 1), by: .process) == nil)
        // Other stores of the process use the same credentials at the same time.
        #expect(Principal.process.credentials.map { $0.standing == nil } == true)
        #expect(world.run(.auth(.disable)) == nil)
        #expect(world.run(.put(PutRequest(key: "z")), by: .anonymous) == nil)
    }

    @Test("A lease is judged by the keys that it has")
    func leases() {
        var world = World()
        #expect(world.run(Self.setUp) == [])
        #expect(world.run(.leaseGrant(id: 5, ttl: 60), by: Self.alice) == nil)
        #expect(world.run(.leaseGrant(id: 6, ttl: 60), by: .anonymous) == .userEmpty)
        #expect(world.run(.leaseRevoke(id: 5), by: Self.alice) == nil)
        #expect(world.run(.leaseGrant(id: 5, ttl: 60), by: Self.alice) == nil)
        #expect(world.run(.put(PutRequest(key: "z", lease: 5))) == nil)
        #expect(world.run(.leaseRevoke(id: 5), by: Self.alice) == .permissionDenied)
        #expect(world.run([.grantPermission(Permission(permType: .write, key: "a"), to: "reader")]) == [])
        #expect(world.run(.put(PutRequest(key: "a", lease: 5)), by: Self.alice) == .permissionDenied)
        #expect(world.run(.put(PutRequest(key: "a")), by: Self.alice) == nil)
    }

    @Test("The rows that compaction leaves say the same of users and roles, however it falls")
    func compaction() {
        for seed in 1...100 as ClosedRange<UInt64> {
            var random = SeededGenerator(seed: seed)
            var world = World()
            _ = world.run(Self.setUp)
            var deleted: Set<Position> = []
            for _ in 0..<60 {
                let name: ByteString = random.pick(["alice", "bob", "carol"])
                let role: ByteString = random.pick(["reader", "writer"])
                let command: AuthCommand = random.pick([
                    .addUser(name, hash: "h"), .deleteUser(name), .addRole(role), .deleteRole(role), .grantRole(role, to: name),
                    .revokeRole(role, from: name), .grantPermission(Permission(permType: .write, key: name), to: role), .disable,
                    .enable(Self.secret),
                ])
                world.run(.auth(command))
                world.run(.put(PutRequest(key: "k")))
                if random.chance(0.3) {
                    // Others were first: the last rows never were.
                    let count = world.rows.count { $0.position <= world.store.committed }
                    world.rows.removeLast(world.rows.count - count)
                    world.store.rollBack()
                }
                world.store.commit()
                if random.chance(0.2) {
                    world.run(.compact(revision: world.store.revision))
                    world.store.commit()
                    var dead: [Position] = []
                    world.store.collect(limit: .max, keepingReadersAt: nil, into: &dead)
                    deleted.formUnion(dead)
                }
            }
            var other = Store()
            for row in world.rows where !deleted.contains(row.position) {
                other.applyWithoutValue(row.withoutNeedlessValue, byteCount: row.value.count)
            }
            other.commit()
            let (one, two) = (world.store.auth.store, other.auth.store)
            #expect(one.users.mapValues(\.user) == two.users.mapValues(\.user) && one.roles == two.roles, "seed \(seed)")
            #expect(one.revision == two.revision && one.secret == two.secret, "seed \(seed)")
        }
    }

    @Test("A token is good for as long as its user keeps the password, on any store that has the same rows")
    func tokens() throws {
        var world = World()
        world.store.auth = AuthTable(tokenTimeToLiveMs: 1_000)
        #expect(world.run(Self.setUp) == [])
        world.store.commit()
        let question = AuthQuestion.token(for: "alice", hash: "h", chance: 1, nowMs: 10_000)
        guard case .token(let message) = try world.store.answer(question, by: .anonymous, header: ResponseHeader()) else {
            Issue.record("no token")
            return
        }
        let token = try AuthenticateResponse.decode(message).token
        var other = World()
        other.store.auth = AuthTable(tokenTimeToLiveMs: 1_000)
        for row in world.rows { other.store.apply(row) }
        other.store.commit()
        try other.store.check(RangeRequest(key: "a"), by: Principal(.token(token), seenMs: 10_900))
        // It was used a moment ago.
        try other.store.check(RangeRequest(key: "a"), by: Principal(.token(token), seenMs: 11_800))
        #expect(throws: EtcdError.invalidAuthToken) { () throws in try check(other.store, "a", Principal(.token(token), seenMs: 20_000)) }
        #expect(other.run([.changePassword("alice", .hash("other"))]) == [])
        other.store.commit()
        #expect(throws: EtcdError.invalidAuthToken) { () throws in try check(other.store, "a", Principal(.token(token), seenMs: 10_900)) }
        let late = try other.store.answer(question, by: .anonymous, header: ResponseHeader())
        #expect(late == .passwordChanged)
    }
}

extension LogRow {
    fileprivate var withoutNeedlessValue: LogRow {
        if kind.needsValue { return self }
        var row = self
        row.value = ByteString()
        return row
    }
}

// Owns: serving as a role with few rights, from databases that others administer, with credentials that change.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Least privilege", .serialized, .ownThreads)
struct PrivilegeTests {
    /// Runs `pine migrate` and gives what it says.
    private func migrate(_ arguments: String...) throws -> CommandResult { try PineProcess.run(["migrate"] + arguments) }

    /// What `pine serve` says where it refuses to start.
    private func refusal(_ arguments: String...) throws -> String {
        let result = try PineProcess.run(
            ["serve", "--log-format", "text", "--listen-client-urls", "http://127.0.0.1:0"] + arguments)
        #expect(result.exit == .exited(2), "\(result)")
        return result.stderr.split(separator: "\n").last.map(String.init) ?? ""
    }

    @Test("The owner migrates and grants; a role that may only read and write the tables serves; wrong versions are refused")
    func partedRoles() throws {
        let server = try PostgresServer.shared()
        let admin = try server.newDatabase()
        let database = try server.psql("select current_database()", connection: admin)
        // A hosted database: the owner may make a schema in it, and no database; the server may do nothing yet.
        let (owner, clerk) = ("owner_\(database)", "clerk \"\(database)\"")
        try server.psql(
            """
            create role \(owner) login; create role \(quoted(clerk)) login;
            revoke all on database \(database) from public; grant connect on database \(database) to public;
            grant create on database \(database) to \(owner)
            """)
        let asOwner = server.connectionString(database: database, user: owner)
        let asClerk = "host=127.0.0.1 port=\(server.port) dbname=\(database) user='\(clerk)'"

        #expect(
            try refusal("--no-migrate", "--postgres", asClerk)
                == "pine: the schema has no tables of Pine yet: run `pine migrate` as the role that is to own them")
        let denied = try refusal("--postgres", asClerk)
        #expect(denied.contains("permission denied for database") && denied.contains("pine migrate --grant-to ROLE"), "\(denied)")
        let unknownRole = try migrate("--postgres", asOwner, "--grant-to", "nobody_here")
        #expect(unknownRole.exit == .exited(2) && unknownRole.stderr.contains("role \"nobody_here\" does not exist"))
        for _ in 0..<2 {
            let done = try migrate("--postgres", asOwner, "--grant-to", clerk)
            #expect(done.exit == .exited(0), "\(done.stderr)")
        }
        let pine = try PineProcess(["--no-migrate", "--postgres", asClerk])
        try exercise(pine)
        #expect(
            try server.psql(
                "select count(*) from information_schema.table_privileges where grantee = '\(clerk)' and privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')",
                connection: admin) == "0")
        #expect(throws: TestSupportError.self, "it may not note down a version") {
            try server.psql("insert into pine.schema_version (version, name) values (99, 'x')", connection: asClerk)
        }
        #expect(throws: TestSupportError.self) { try server.psql("drop table pine.changelog", connection: asClerk) }

        // Another version of the tables, older or newer.
        let latest = try #require(Int(try server.psql("select max(version) from pine.schema_version", connection: admin)))
        try server.psql("insert into pine.schema_version (version, name) values (99, 'future')", connection: admin)
        let newer = try refusal("--no-migrate", "--postgres", asClerk)
        #expect(newer.contains("at schema version 99, but this Pine knows versions up to \(latest) only: run a newer Pine"))
        #expect(try migrate("--postgres", asOwner).stderr.contains("run a newer Pine"))
        try server.psql("delete from pine.schema_version where version in (99, \(latest))", connection: admin)
        let older = try refusal("--no-migrate", "--postgres", asClerk)
        #expect(older.contains("at schema version \(latest - 1), but this Pine needs \(latest): run `pine migrate`"))
    }

    @Test("A role that owns its schema and nothing else migrates; two schemas of one database are two stores")
    func twoSchemas() throws {
        let server = try PostgresServer.shared()
        let admin = try server.newDatabase()
        let database = try server.psql("select current_database()", connection: admin)
        try server.psql(
            """
            create role tenant_\(database) login; revoke all on database \(database) from public;
            grant connect on database \(database) to tenant_\(database)
            """)
        try server.psql(
            "create schema cluster_a authorization tenant_\(database); create schema \"Cluster B\" authorization tenant_\(database)",
            connection: admin)
        let tenant = server.connectionString(database: database, user: "tenant_\(database)")
        let pines = try ["cluster_a", "Cluster B"].map { try PineProcess(["--postgres", tenant, "--schema", $0]) }
        let clients = try pines.map { try EtcdClient(port: $0.port) }
        let watch = try clients[1].open(.watch, answer: WatchResponse.self)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "k")))
        #expect(try watch.receive()?.created == true)
        for number in 1...10 { _ = try clients[0].put("k", ByteString("a\(number)")) }
        #expect(try clients[1].get("k").kvs.isEmpty)
        #expect(try clients[1].put("k", "b").header?.revision == 2)
        #expect(try watch.receive()?.events.map { $0.kv?.value } == ["b"])
        #expect(try clients[0].get("k").kvs.map(\.value) == ["a10"])
        let ids = try clients.map { try $0.get("k").header?.clusterID }
        #expect(ids[0] != ids[1])
        for pine in pines { try exercise(pine) }
    }

    @Test("The order of keys is that of their bytes, whatever the database's locale")
    func locale() throws {
        let server = try PostgresServer.shared()
        try server.psql("create database en_us template template0 encoding 'UTF8' locale_provider icu icu_locale 'en-US'")
        #expect(try server.psql("select 'a' < 'B'", connection: "en_us") == "t", "letters before capitals, unlike bytes")
        let pine = try PineProcess(["--postgres", server.connectionString(database: "en_us")])
        let client = try EtcdClient(port: pine.port)
        let keys: [ByteString] = [
            "B", "a", "A", "b", "_", "~", "é", "e", "f", "Z", "z", "a/b", "a-b", "ab", "a b", ByteString([0]), ByteString([255, 0]),
            ByteString([200]),
        ]
        for key in keys { _ = try client.put(key, "v") }
        // Loaded anew, from rows in PostgreSQL's order.
        pine.kill()
        try pine.waitForExit()
        let again = try PineProcess(["--postgres", server.connectionString(database: "en_us")])
        let all = try EtcdClient(port: again.port).range(RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0])))
        let sorted = keys.map { Array($0) }.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(all.kvs.map { Array($0.key) } == sorted)
        try exercise(again)
    }

    @Test("A changed password is picked up from a password file, a service file and --postgres-file, under a running Pine")
    func credentials() throws {
        let server = try PostgresServer()
        try server.psql("create role app login password 'first'; grant create on database postgres to app")
        let rules = "\(server.dataFolder)/pg_hba.conf"
        let trusted = contents(of: rules)
        try write("host all app 127.0.0.1/32 scram-sha-256\n\(trusted)", rules)
        try server.psql("select pg_reload_conf()")
        let folder = try TemporaryFolder()
        func store(_ password: String) throws {
            try write("*:*:*:app:\(password)\n", folder.file("pgpass"))
            try write(
                "[store]\nhost=127.0.0.1\nport=\(server.port)\nuser=app\ndbname=postgres\npassword=\(password)\n", folder.file("services"))
            try write("\npostgresql://app:\(password)@127.0.0.1:\(server.port)/postgres\n", folder.file("url"))
        }
        try store("first")
        let url = "postgresql://app@127.0.0.1:\(server.port)/postgres"
        #expect(try refusal("--postgres-file", folder.file("nothing")).contains("can't read --postgres-file"))
        #expect(try refusal("--postgres-file", folder.file("url"), "--postgres", url).contains("not both"))
        let pines = [
            try PineProcess(["--postgres", url], environment: ["PGPASSFILE": folder.file("pgpass")]),
            try PineProcess(["--postgres", "service=store"], environment: ["PGSERVICEFILE": folder.file("services")]),
            try PineProcess(["--postgres-file", folder.file("url")]),
        ]
        for pine in pines { try exercise(pine) }

        try server.psql("alter role app password 'second'")
        try server.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        for pine in pines {
            do {
                try eventuallyBlocking("word of the wrong password") {
                    pine.log.contains("PostgreSQL is away") && pine.log.contains("password authentication failed")
                }
            } catch {
                throw TestSupportError("\(error):\n\(pine.log.suffix(3_000))")
            }
        }
        try store("second")
        for pine in pines {
            try eventuallyBlocking("service with the new password") {
                #expect(pine.isRunning)
                guard let client = try? EtcdClient(port: pine.port) else { return false }
                return (try? client.call(.put, PutRequest(key: "back", value: "v"), answer: PutResponse.self, timeout: .seconds(2))) != nil
            }
            try eventuallyBlocking("word of it") { pine.log.contains("PostgreSQL is back") }
            try exercise(pine)
        }
    }

    // MARK: Pieces

    /// Does a little of everything that touches a table.
    private func exercise(_ pine: PineProcess) throws {
        let client = try EtcdClient(port: pine.port)
        try client.grant(1234, ttl: 60)
        _ = try client.put(PutRequest(key: "x", value: "1", lease: 1234))
        let revision = try #require(try client.put("x", "2").header?.revision)
        #expect(try client.get("x").kvs.map(\.value) == ["2"])
        _ = try client.compact(revision, physical: true)
        let stream: EtcdStream<LeaseKeepAliveResponse> = try client.open(.leaseKeepAlive)
        stream.send(LeaseKeepAliveRequest(id: 1234))
        #expect(try stream.receive()?.ttl == 60)
        _ = try client.call(.leaseRevoke, LeaseRevokeRequest(id: 1234), answer: LeaseRevokeResponse.self)
        try eventuallyBlocking("the member in the list") { try pine.etcdctl("member", "list").stdout.contains("127.0.0.1") }
    }

    private func quoted(_ name: String) -> String { "\"" + name.replacingOccurrences(of: "\"", with: "\"\"") + "\"" }

    private func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        guard chmod(path, 0o600) == 0 else { throw TestSupportError("can't protect \(path)") }
    }
}

internal import Glibc
internal import TestSupport
internal import Testing

@Suite("The servers that tests start", .ownThreads)
struct TestSupportTests {
    @Test("PostgreSQL starts, answers over TCP and its socket, and keeps what was written when it is killed")
    func postgres() throws {
        let server = try PostgresServer(settings: ["work_mem": "5MB"])
        #expect(try server.psql("select 1, 'a'") == "1|a")
        #expect(try server.psql("select 2", connection: server.socketConnectionString()) == "2")
        #expect(try server.psql("show fsync") == "on")
        #expect(try server.psql("show full_page_writes") == "on")
        #expect(try server.psql("show work_mem") == "5MB")
        try server.psql("create table t as select generate_series(1, 100) as n")
        let process = try #require(server.processIdentifier)
        server.kill()
        #expect(!server.isRunning)
        #expect(!ProcessTable.isAlive(process))
        try server.start()
        #expect(try server.psql("select count(*) from t") == "100")
        try server.restart(mode: .immediate)
        #expect(try server.psql("select count(*) from t") == "100")
        server.set(["work_mem": "6MB"])
        try server.restart()
        #expect(try server.psql("show work_mem") == "6MB")
        try server.stop()
        #expect(!server.isRunning)
        #expect(throws: TestSupportError.self) { try server.psql("select 1") }
    }

    @Test("The shared PostgreSQL hands out databases of their own")
    func shared() throws {
        let server = try PostgresServer.shared()
        let first = try server.newDatabase()
        let second = try server.newDatabase()
        #expect(first != second)
        try server.psql("create table t (n int)", connection: first)
        #expect(try server.psql("select count(*) from pg_tables where tablename = 't'", connection: second) == "0")
    }

    @Test("A server and its folder are gone with its last reference")
    func gone() throws {
        var server: PostgresServer? = try PostgresServer()
        let process = try #require(server?.processIdentifier)
        let folder = try #require(server?.dataFolder)
        server = nil
        #expect(!ProcessTable.isAlive(process))
        #expect(access(folder, F_OK) != 0)
    }

    @Test("etcd starts and its etcdctl reads what it wrote")
    func etcd() throws {
        let server = try EtcdServer()
        let put = try EtcdServer.etcdctl("put", "a", "1", endpoint: server.endpoint)
        #expect(put.status == 0, "\(put.stderr)")
        #expect(try EtcdServer.etcdctl("get", "a", endpoint: server.endpoint).stdout == "a\n1\n")
        #expect(try EtcdServer.etcdctl("put", "b", endpoint: server.endpoint, input: Array("2".utf8)).status == 0)
        try server.kill()
        try server.start()
        #expect(try EtcdServer.etcdctl("get", "b", "--print-value-only", endpoint: server.endpoint).stdout == "2\n")
    }

    @Test("A command's outputs and status are all there, and a late one is killed")
    func commands() throws {
        let result = try runCommand("/bin/sh", ["-c", "cat; echo oops >&2; exit 3"], input: Array("hello".utf8))
        #expect(result.stdout == "hello")
        #expect(result.stderr == "oops\n")
        #expect(result.status == 3)
        #expect(throws: TestSupportError.self) {
            try runCommand("/bin/sh", ["-c", "sleep 1000"], timeout: .milliseconds(50))
        }
        #expect(throws: TestSupportError.self) { try runCommand("/no/such/program", []) }
        #expect(throws: TestSupportError.self) { try findExecutable("no-such-program", install: "install it") }
    }

    @Test("Ports are never given twice")
    func ports() throws {
        let ports = try (0..<50).map { _ in try freePort() }
        #expect(Set(ports).count == 50)
    }

    @Test("A condition that comes true is waited for, one that doesn't is an error")
    func conditions() async throws {
        var asked = 0
        try await eventually {
            asked += 1
            return asked == 3
        }
        #expect(asked == 3)
        await #expect(throws: TestSupportError.self) {
            try await eventually("pigs fly", timeout: .milliseconds(20)) { false }
        }
    }
}

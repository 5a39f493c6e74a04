// Owns: the check that users, roles and tokens hold on real servers: on every Pine of a store, and over a restart.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Users, roles and tokens", .ownThreads)
struct AuthTests {
    /// Runs etcdctl. Gives what it printed where it succeeds, else what it complained of.
    private func etcdctl(_ pine: PineProcess, _ arguments: [String], input: String = "") throws -> (isWell: Bool, text: String) {
        let run = try EtcdServer.etcdctl(arguments, endpoint: pine.endpoint, input: Array(input.utf8))
        return (run.status == 0, run.status == 0 ? run.stdout : run.stderr)
    }

    private func setUp(_ pine: PineProcess) throws {
        for arguments in [
            ["user", "add", "root:secret"], ["user", "grant-role", "root", "root"], ["user", "add", "alice:a"], ["role", "add", "reader"],
            ["role", "grant-permission", "reader", "read", "a/", "a0"], ["user", "grant-role", "alice", "reader"], ["put", "a/1", "one"],
            ["put", "b", "two"], ["auth", "enable"],
        ] {
            let (isWell, text) = try etcdctl(pine, arguments)
            try #require(isWell, "\(arguments): \(text)")
        }
    }

    private func post(_ pine: PineProcess, _ path: String, _ body: String, token: String? = nil) throws -> HTTPAnswer {
        let client = try HTTPClient(port: pine.port)
        let field = token.map { "Authorization: \($0)\r\n" } ?? ""
        try client.send(
            "POST \(path) HTTP/1.1\r\nHost: pine\r\n\(field)Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)")
        return try client.answer()
    }

    private func token(_ pine: PineProcess, _ user: String, _ password: String) throws -> String {
        let answer = try post(pine, "/v3/auth/authenticate", #"{"name":"\#(user)","password":"\#(password)"}"#)
        try #require(answer.status == 200, "\(answer.body)")
        let fields = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
        return try #require(fields?["token"] as? String)
    }

    /// The status of a read of `a/1`.
    private func read(_ pine: PineProcess, _ token: String) throws -> Int {
        try post(pine, "/v3/kv/range", #"{"key":"YS8x"}"#, token: token).status
    }

    @Test("etcdctl makes users and roles, which every Pine of the store goes by; tokens outlive the Pine that gave them")
    func members() throws {
        let server = try PostgresServer.shared()
        let database = try server.newDatabase()
        let one = try PineProcess(["--postgres", database, "--bcrypt-cost", "4"])
        let two = try PineProcess(["--postgres", database, "--bcrypt-cost", "4"])
        try setUp(one)
        try eventuallyBlocking("auth on the other") { try !etcdctl(two, ["get", "b"]).isWell }
        #expect(try etcdctl(two, ["get", "b"]).text.contains("user name is empty"))
        #expect(try etcdctl(two, ["--user", "alice:a", "get", "a/1"]).text == "a/1\none\n")
        #expect(try etcdctl(two, ["--user", "alice:a", "get", "b"]).text.contains("permission denied"))
        #expect(try etcdctl(two, ["--user", "alice:a", "put", "a/1", "x"]).text.contains("permission denied"))
        #expect(try etcdctl(two, ["--user", "alice:wrong", "get", "a/1"]).text.contains("invalid user ID or password"))
        #expect(try etcdctl(two, ["--user", "root:secret", "user", "list"]).text == "alice\nroot\n")

        let alice = try token(one, "alice", "a")
        #expect(try read(two, alice) == 200)
        one.kill()
        let three = try PineProcess(["--postgres", database, "--bcrypt-cost", "4"])
        #expect(try read(three, alice) == 200)
        #expect(try read(three, "x" + alice) == 401)
        #expect(try etcdctl(two, ["--user", "root:secret", "user", "passwd", "alice", "--interactive=false"], input: "b\n").isWell)
        try eventuallyBlocking("the new password") { try read(three, alice) == 401 }

        // People who look at the tables see who was changed, and no hash.
        let history = try server.psql("select what, key, value from pine.history where key in ('alice', 'reader')", connection: database)
        #expect(history.contains("user changed|alice|") && history.contains("role changed|reader|") && !history.contains("$2"))
        #expect(!two.log.contains("secret") && !two.log.contains("$2a"))
    }

    @Test("JSON Web Tokens are good until users or roles change")
    func webTokens() throws {
        let folder = try TemporaryFolder()
        let key = folder.file("key")
        try "a secret that only members of this store know".write(toFile: key, atomically: true, encoding: .utf8)
        let pine = try PineProcess([
            "--postgres", try PostgresServer.shared().newDatabase(), "--bcrypt-cost", "4", "--auth-token",
            "jwt,sign-method=HS256,priv-key=\(key),ttl=5m",
        ])
        try setUp(pine)
        let alice = try token(pine, "alice", "a")
        #expect(alice.split(separator: ".").count == 3)
        #expect(try read(pine, alice) == 200)
        #expect(try read(pine, String(alice.dropLast(3)) + "AAA") == 401)
        #expect(try etcdctl(pine, ["--user", "root:secret", "role", "add", "writer"]).isWell)
        #expect(try read(pine, alice) == 400)
    }
}

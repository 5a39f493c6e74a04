// Owns: checks of `pine export` and `pine import` between a real etcd, a Pine, and a kine table.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Moving in and out", .ownThreads)
struct MoveTests {
    private let folder: TemporaryFolder
    private let pine: PineProcess
    private let client: EtcdClient

    init() throws {
        folder = try TemporaryFolder()
        pine = try PineProcess(["--postgres", try PostgresServer.shared().newDatabase()])
        client = try EtcdClient(port: pine.port)
    }

    private func run(_ arguments: String...) throws -> CommandResult { try PineProcess.run(arguments) }

    private func expect(_ result: CommandResult, _ line: String, status: Int32 = 0) {
        #expect(result.status == status && result.stderr.contains(line), "\(result.stderr)")
    }

    private let everything = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))

    private func content(_ client: EtcdClient) throws -> [ByteString: ByteString] {
        Dictionary(uniqueKeysWithValues: try client.range(everything).kvs.map { ($0.key, $0.value) })
    }

    @Test("From etcd over a file into Pine and back: keys of all bytes, empty and large values, leases, at one revision")
    func etcd() throws {
        let etcd = try EtcdServer()
        let source = try EtcdClient(port: etcd.port)
        for byte in UInt8.min...UInt8.max { _ = try source.put(ByteString([byte, 0, byte]), ByteString([byte])) }
        _ = try source.put("empty", "")
        for index in 0..<20 { _ = try source.put(ByteString("large/\(index)"), ByteString([UInt8](repeating: 7, count: 1_000_000))) }
        let lease = try source.call(.leaseGrant, LeaseGrantRequest(ttl: 5_000), answer: LeaseGrantResponse.self).id
        for index in 0..<300 { _ = try source.put(PutRequest(key: ByteString("leased/\(index)"), value: "x", lease: lease)) }
        let file = folder.file("store")

        expect(try run("export", "--endpoint", etcd.endpoint, file), "exported 577 keys")
        // Not at the revision of the export.
        _ = try source.put("late", "x")
        expect(try run("import", "--endpoint", pine.endpoint, file, "--verify"), "compared: 577 keys are the same")
        var wanted = try content(source)
        wanted["late"] = nil
        #expect(try content(client) == wanted)
        let there = try client.call(.leaseTimeToLive, LeaseTimeToLiveRequest(id: lease, keys: true), answer: LeaseTimeToLiveResponse.self)
        #expect(there.grantedTTL == 5_000 && there.keys.count == 300)

        // Once more does nothing.
        let revision = try client.range(everything).header?.revision
        expect(try run("import", "--endpoint", pine.endpoint, file), "577 of them were there already")
        #expect(try client.range(everything).header?.revision == revision)

        // Differences are found, and not overwritten unasked.
        _ = try client.put("empty", "no more")
        _ = try client.delete(DeleteRangeRequest(key: "large/3"))
        _ = try client.put("zz", "new")
        let found = try run("import", "--endpoint", pine.endpoint, file, "--verify-only")
        expect(found, "1 different, 1 missing, 1 only in the target", status: 1)
        for line in ["different: \"empty\"", "missing in the target: \"large/3\"", "only in the target: \"zz\""] {
            #expect(found.stderr.contains(line), "\(found.stderr)")
        }
        expect(try run("import", "--endpoint", pine.endpoint, file), "the target has another value of \"empty\" already", status: 2)
        _ = try client.delete(DeleteRangeRequest(key: "zz"))
        expect(
            try run("import", "--endpoint", pine.endpoint, file, "--overwrite", "--verify"), "compared: 577 keys are the same")

        // The way back.
        let other = try EtcdServer()
        let back = folder.file("back")
        expect(try run("export", "--endpoint", pine.endpoint, back), "exported 577 keys")
        expect(try run("import", "--endpoint", other.endpoint, back, "--verify"), "compared: 577 keys are the same")
    }

    @Test("A broken-off export goes on at its revision; a cut-off, changed or foreign file is not imported")
    func files() throws {
        for index in 0..<2_000 { _ = try client.put(ByteString("k/\(index)"), ByteString("v\(index)")) }
        let whole = folder.file("whole")
        expect(try run("export", "--endpoint", pine.endpoint, whole), "exported 2000 keys")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: whole))
        _ = try client.put("k/later", "x")
        for (name, count) in [("magic", 14), ("few", 700), ("half", bytes.count / 2), ("most", bytes.count - 1)] {
            let part = folder.file(name)
            try bytes.prefix(count).write(to: URL(fileURLWithPath: part))
            let refused = try run("import", "--endpoint", pine.endpoint, part)
            #expect(refused.status == 2 && refused.stderr.contains(count == 14 ? "not an export" : "cut off"), "\(refused.stderr)")
            let resumed = try run("export", "--endpoint", pine.endpoint, part)
            expect(resumed, count == 14 ? "exported 2001 keys" : "exported 2000 keys")
            if count != 14 { #expect(try Data(contentsOf: URL(fileURLWithPath: part)).count >= bytes.count) }
            expect(try run("export", "--endpoint", pine.endpoint, part), "is complete already", status: 2)
        }
        var changed = bytes
        changed[bytes.count / 2] ^= 1
        let damaged = folder.file("damaged")
        try changed.write(to: URL(fileURLWithPath: damaged))
        expect(try run("import", "--endpoint", pine.endpoint, damaged), "is damaged", status: 2)
        try Data("something else".utf8).write(to: URL(fileURLWithPath: damaged))
        expect(try run("import", "--endpoint", pine.endpoint, damaged), "is not an export of this version", status: 2)
        expect(try run("export", "--endpoint", pine.endpoint, damaged), "no export of this version", status: 2)
        // Compacted past the pinned revision, it can't go on.
        try bytes.prefix(700).write(to: URL(fileURLWithPath: damaged))
        let revision = try #require(try client.put("k/last", "x").header?.revision)
        _ = try client.compact(revision)
        expect(try run("export", "--endpoint", pine.endpoint, damaged), "has been compacted meanwhile", status: 2)
    }

    @Test("Over TLS: with the authority and a certificate it works, without either the command says why at once")
    func tls() throws {
        let authority = try CertificateAuthority()
        let server = try authority.issue("server", subject: "/CN=pine", names: ["DNS:localhost", "IP:127.0.0.1"])
        let pair = try authority.issue("client", subject: "/CN=ops")
        let port = try freePort()
        let secure = try PineProcess([
            "--postgres", try PostgresServer.shared().newDatabase(), "--listen-client-urls", "https://127.0.0.1:\(port)", "--cert-file",
            server.certificate, "--key-file", server.key, "--trusted-ca-file", authority.certificate,
        ])
        for index in 0..<50 { _ = try client.put(ByteString("k/\(index)"), ByteString([UInt8](repeating: 1, count: 100_000))) }
        let file = folder.file("store")
        expect(try run("export", "--endpoint", pine.endpoint, file), "exported 50 keys")
        let ca = ["--cacert", authority.certificate]
        let files = ca + ["--cert", pair.certificate, "--key", pair.key]
        for host in ["127.0.0.1", "localhost"] {
            let arguments = ["import", "--endpoint", "https://\(host):\(port)", file, "--verify"]
            expect(try PineProcess.run(arguments + files), "compared: 50 keys are the same")
        }
        let back = ["export", "--endpoint", "https://127.0.0.1:\(port)", folder.file("back")]
        expect(try PineProcess.run(back + files), "exported 50 keys")
        expect(
            try PineProcess.run(["export", "--endpoint", "https://127.0.0.1:\(port)", folder.file("no")] + files.dropFirst(2)),
            "certificate verify failed: unable to get local issuer certificate", status: 2)
        expect(
            try PineProcess.run(["export", "--endpoint", "https://127.0.0.2:\(port)", folder.file("no")] + files), "can't reach", status: 2)
        // TLS 1.3 tells a client without a certificate only after its handshake.
        let refused = try PineProcess.run(["export", "--endpoint", "https://127.0.0.1:\(port)", folder.file("no")] + ca)
        #expect(refused.status == 2, "\(refused.stderr)")
        expect(
            try run("export", "--endpoint", pine.endpoint.replacing("http:", with: "https:"), folder.file("no")), "wrong version number",
            status: 2)
        withExtendedLifetime(secure) {}
    }

    @Test("From a kine table: the latest state of each key, without its own rows, with leases from its TTLs")
    func kine() throws {
        let postgres = try PostgresServer.shared()
        let database = try postgres.newDatabase()
        try postgres.psql(
            """
            create table kine (id bigserial primary key, name text, created integer, deleted integer, create_revision bigint,
              prev_revision bigint, lease integer, value bytea, old_value bytea);
            insert into kine (name, created, deleted, create_revision, prev_revision, lease, value) values
              ('compact_rev_key', 1, 0, 0, 0, 0, ''), ('/registry/health', 1, 0, 0, 0, 0, '{"health":"true"}'),
              ('/registry/a', 1, 0, 0, 0, 0, 'first'), ('/registry/gone', 1, 0, 0, 0, 0, 'x'), ('gap-7', 0, 1, 0, 0, 0, null),
              ('/registry/a', 0, 0, 3, 3, 0, '\\x00ff'), ('/registry/gone', 0, 1, 4, 4, 0, 'x'),
              ('/registry/back', 1, 0, 0, 0, 0, 'x'), ('/registry/back', 0, 1, 8, 8, 0, 'x'), ('/registry/back', 1, 0, 0, 0, 0, 'y'),
              ('/registry/events/1', 1, 0, 0, 0, 3600, 'e'), ('/registry/events/2', 1, 0, 0, 0, 3600, 'e'),
              ('/registry/events/3', 1, 0, 0, 0, 60, 'e'), ('/registry/Zeta', 1, 0, 0, 0, 0, 'z'), ('/registry/empty', 1, 0, 0, 0, 0, null);
            insert into kine (name, created, deleted, create_revision, prev_revision, lease, value)
              select '/registry/pods/' || n, 1, 0, 0, 0, 0, repeat('p', 3000)::bytea from generate_series(1, 1200) n;
            """, connection: database)
        let arguments = ["import", "--endpoint", pine.endpoint, "--kine", database, "--verify"]
        expect(try PineProcess.run(arguments), "compared: 1208 keys are the same")
        let there = try content(client)
        #expect(there.count == 1_208)
        #expect(there["/registry/a"] == ByteString([0, 255]) && there["/registry/back"] == "y" && there["/registry/empty"] == "")
        #expect(there["/registry/gone"] == nil && there["compact_rev_key"] == nil)
        let first = try #require(try client.get("/registry/events/1").kvs.first)
        #expect(try client.get("/registry/events/2").kvs.first?.lease == first.lease)
        let lease = try client.call(.leaseTimeToLive, LeaseTimeToLiveRequest(id: first.lease), answer: LeaseTimeToLiveResponse.self)
        #expect(lease.grantedTTL == 3_600)
        expect(try PineProcess.run(arguments), "1208 of them were there already")
        expect(
            try PineProcess.run(["import", "--endpoint", pine.endpoint, "--kine", database, "--kine-table", "none"]),
            "relation \"none\" does not exist", status: 2)
    }
}

// Owns: looking at a store from outside: `pine status`, and the views for people with psql.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Looking inside", .ownThreads)
struct StatusTests {
    @Test("pine status shows what the database has: members, steward, revisions, leases, sizes")
    func database() throws {
        let server = try PostgresServer.shared()
        let connection = try server.newDatabase()
        let empty = try PineProcess.run(["status", "--postgres", connection])
        #expect(empty.exit == .exited(2) && empty.stderr.contains("no tables of Pine yet"))
        let pine = try PineProcess(["--postgres", connection, "--name", "first"])
        let client = try EtcdClient(port: pine.port)
        try client.grant(9, ttl: 600)
        for number in 1...50 { _ = try client.put("k", ByteString("\(number)")) }
        _ = try client.compact(31)
        func look() throws -> [String: Any] {
            let result = try PineProcess.run(["status", "--postgres", connection, "--output", "json"])
            #expect(result.exit == .exited(0), "\(result.stderr)")
            let all = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
            return try #require((all as? [String: Any])?["database"] as? [String: Any])
        }
        try eventuallyBlocking("a steward and a member") { try look()["steward_id"] != nil && (look()["members"] as? [Any])?.count == 1 }
        try eventuallyBlocking("the end of the steward's deleting") { try look()["is_swept"] as? Bool == true }
        let status = try look()
        #expect(status["revision"] as? Int == 51)
        #expect(status["compact_revision"] as? Int == 31)
        #expect(status["leases"] as? Int == 1)
        #expect(status["schema"] as? String == "pine")
        #expect(status["behind_pooler"] as? Bool == false)
        let member = try #require((status["members"] as? [[String: Any]])?.first)
        #expect(member["name"] as? String == "first" && member["client_urls"] as? [String] == [pine.endpoint])
        #expect(member["is_steward"] as? Bool == true && member["id"] as? String == status["steward_id"] as? String)
        let header = try #require(try client.get("k").header)
        #expect(member["id"] as? String == String(header.memberID, radix: 16))
        #expect(status["cluster_id"] as? String == String(header.clusterID, radix: 16))
        let tables = try #require(status["tables"] as? [[String: Any]])
        #expect(Set(tables.compactMap { $0["name"] as? String }).isSuperset(of: ["changelog", "head", "member", "duty", "lease_deadline"]))
        #expect((status["total_bytes"] as? Int ?? 0) > 100_000)

        let table = try PineProcess.run(["status", "--postgres", connection])
        #expect(table.exit == .exited(0))
        for part in ["51, compacted below 31", "MEMBER", "first", pine.endpoint, "TABLE", "changelog"] {
            #expect(table.stdout.contains(part), "\(part) in\n\(table.stdout)")
        }
        let away = try PineProcess.run(["status", "--postgres", "postgres://postgres@127.0.0.1:1/x"])
        #expect(away.exit == .exited(2) && away.stderr.split(separator: "\n").count == 1, "\(away.stderr)")
        let version = try PineProcess.run(["version"])
        #expect(version.stdout.contains("etcd API 3.8.0"))
    }

    @Test("pine status asks members over the API, and says which of them don't answer")
    func endpoints() throws {
        let server = try PostgresServer.shared()
        let connection = try server.newDatabase()
        let pines = try ["a", "b"].map { try PineProcess(["--postgres", connection, "--name", $0]) }
        let client = try EtcdClient(port: pines[0].port)
        let header = try #require(try client.put("k", "v").header)
        // Status says what a member knows, without a look at the log.
        #expect(try EtcdClient(port: pines[1].port).get("k").kvs.count == 1)
        let nobody = "http://127.0.0.1:\(try freePort())"
        let urls = [pines[1].endpoint, nobody, "nonsense", pines[0].endpoint]
        let result = try PineProcess.run(
            ["status", "--endpoints", urls.joined(separator: ","), "--postgres", connection, "--output=json"])
        #expect(result.exit == .exited(2) && result.stderr == "pine: no answer from \(nobody), nonsense\n")
        let all = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
        #expect((all?["database"] as? [String: Any])?["revision"] as? Int == 2)
        let answers = try #require(all?["endpoints"] as? [[String: Any]])
        #expect(answers.map { $0["endpoint"] as? String } == urls)
        #expect(answers.map { $0["revision"] as? Int } == [2, nil, nil, 2])
        #expect(answers[3]["member_id"] as? String == String(header.memberID, radix: 16))
        #expect(answers.allSatisfy { $0["error"] != nil || $0["version"] as? String == "3.8.0" })
        // What comes from their metrics is what these say.
        func look() throws -> [[String: Any]] {
            let result = try PineProcess.run(
                ["status", "--endpoints", pines.map(\.endpoint).joined(separator: ","), "--output=json"])
            let all = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
            return try #require(all?["endpoints"] as? [[String: Any]])
        }
        try eventuallyBlocking("one steward") { try look().filter { $0["is_steward"] as? Bool == true }.count == 1 }
        for (pine, member) in zip(pines, try look()) {
            let metrics = try PrometheusText(HTTPClient.get("/metrics", port: pine.port, version: "1.0").body)
            #expect(try metrics.value("pine_steward") == (member["is_steward"] as? Bool == true ? 1 : 0))
            #expect(member["lag_revisions"] as? Int == 0)
            #expect(try metrics.value("pine_fold_lag_revisions") == 0)
            let bytes = try #require(member["resident_bytes"] as? Double)
            let now = try #require(try metrics.value("process_resident_memory_bytes"))
            #expect(bytes > now / 2 && bytes < now * 2, "\(bytes) and \(now)")
        }
        let table = try PineProcess.run(["status", "--endpoints", pines.map(\.endpoint).joined(separator: ",")])
        let lines = table.stdout.split(separator: "\n")
        #expect(table.exit == .exited(0) && lines.count == 3 && table.stdout.contains(pines[0].endpoint), "\(table)")
        let heading = try #require(lines.first).split(separator: " ", omittingEmptySubsequences: true)
        #expect(heading == "ENDPOINT ID REVISION LAG STORE MEMORY MEMBERS STEWARD ANSWERED IN WRONG".split(separator: " "))
        #expect(lines.dropFirst().filter { $0.contains("  yes  ") }.count == 1 && lines.dropFirst().allSatisfy { $0.contains(" MiB  ") })
    }

    @Test("pine status finds the private PostgreSQL of a data directory")
    func privateDatabase() throws {
        let folder = try TemporaryFolder()
        let data = folder.file("data")
        let early = try PineProcess.run(["status", "--data-dir", data])
        #expect(early.exit == .exited(2) && early.stderr.contains("no PostgreSQL runs in \(data)"))
        let pine = try PineProcess(["--data-dir", data])
        // On a busy machine initdb alone may take longer than a request is kept waiting.
        try eventuallyBlocking("a store that is served", timeout: .seconds(60)) { pine.log.contains("\"msg\":\"serving\"") }
        _ = try EtcdClient(port: pine.port).put("k", "v")
        let result = try PineProcess.run(["status"], environment: ["PINE_DATA_DIR": data])
        #expect(result.exit == .exited(0) && result.stdout.contains("2, never compacted"), "\(result)")
        pine.kill(SIGTERM)
        try pine.waitForExit()
    }

    @Test("pine.current_keys and pine.history show the store as it is, whatever the bytes")
    func views() throws {
        let server = try PostgresServer.shared()
        let connection = try server.newDatabase()
        let pine = try PineProcess(["--postgres", connection])
        let client = try EtcdClient(port: pine.port)
        try client.grant(5, ttl: 600)
        _ = try client.put("a", "1")
        _ = try client.put(PutRequest(key: "a", value: "2", lease: 5))
        _ = try client.put(ByteString([0, 65, 255]), ByteString([92, 200]))
        _ = try client.put("gone", "x")
        _ = try client.delete(DeleteRangeRequest(key: "gone"))
        _ = try client.put("back", "1")
        _ = try client.delete(DeleteRangeRequest(key: "back"))
        _ = try client.put("back", "2")
        func query(_ text: String) throws -> [String] {
            try server.psql(text, connection: connection).split(separator: "\n").map(String.init)
        }
        let current =
            "select key, value, create_revision, mod_revision, version, lease, value_bytes from pine.current_keys order by raw_key"
        let expected = [#"\000A\377|\\\310|4|4|1|0|2"#, "a|2|2|3|2|5|1", "back|2|9|9|1|0|1"]
        #expect(try query(current) == expected)
        // The same as the API says.
        let all = try client.range(RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0])))
        let raw = try query("select encode(raw_key, 'hex'), encode(raw_value, 'hex'), mod_revision from pine.current_keys order by raw_key")
        #expect(raw == all.kvs.map { "\(hex($0.key))|\(hex($0.value))|\($0.modRevision)" })
        let history = try query("select what, key, value, lease, ttl_seconds from pine.history")
        #expect(history.first == "lease granted|||5|600")
        #expect(history.contains("put|a|2|5|") && history.contains("delete|gone|||"))

        _ = try client.compact(9, physical: true)
        #expect(try query(current) == expected)
        #expect(try query("select compacted_below from pine.history where what = 'compacted'") == ["9"])
        _ = try client.call(.leaseRevoke, LeaseRevokeRequest(id: 5), answer: LeaseRevokeResponse.self)
        #expect(try query(current).count == 2)
        #expect(try query("select what, lease from pine.history").contains("lease revoked|5"))
    }

    private func hex(_ bytes: ByteString) -> String { bytes.map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined() }
}

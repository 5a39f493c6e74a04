// Tests the metrics of a running Pine: against what was done, against a real etcd's, and against what dashboards ask for.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Metrics", .timeLimit(.minutes(3)), .ownThreads)
struct MetricsTests {
    /// In HTTP/1.0, since etcd would answer in chunks otherwise.
    private func scrape(_ port: Int) throws -> PrometheusText {
        let answer = try HTTPClient.get("/metrics", port: port, version: "1.0")
        guard answer.status == 200, answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8" else {
            throw TestSupportError("not metrics: \(answer.status) \(answer.fields)")
        }
        return try PrometheusText(answer.body)
    }

    /// All that does something on both, so that labelled families have samples.
    private func use(_ port: Int) throws {
        let client = try EtcdClient(port: port)
        for number in 0..<10 { _ = try client.put(ByteString("key-\(number)"), "value") }
        for _ in 0..<7 { _ = try client.get("key-1") }
        _ = try client.delete(DeleteRangeRequest(key: "key-9"))
        let two = PutRequest(key: "both", value: "1")
        _ = try client.txn(TxnRequest(success: [.put(two), .put(PutRequest(key: "other", value: "2"))]))
        _ = try client.call(.leaseGrant, LeaseGrantRequest(ttl: 600), answer: LeaseGrantResponse.self)
        _ = try? client.put("", "an empty key is an error")
    }

    @Test("What was done is what is counted, and what etcd has Pine has by the same names, types and labels")
    func counted() throws {
        let etcd = try EtcdServer()
        let pine = try PineProcess(["--postgres", try PostgresServer.shared().newDatabase()])
        try use(etcd.port)
        try use(pine.port)
        let client = try EtcdClient(port: pine.port)
        let watch = try client.open(.watch, answer: WatchResponse.self)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "key-1")))
        #expect(try watch.receive()?.created == true)
        _ = try client.put("key-1", "seen")
        #expect(try watch.receive()?.events.count == 1)

        var metrics = try scrape(pine.port)
        // What the engine counts is shown a moment after the answer has gone out.
        func expect(_ name: String, _ value: Double, _ labels: [String: String] = [:]) throws {
            try eventuallyBlocking("\(name) \(labels) being \(value), not \(try metrics.value(name, labels) ?? .nan)") {
                if try metrics.value(name, labels) == value { return true }
                metrics = try scrape(pine.port)
                return false
            }
        }
        let put = ["grpc_service": "etcdserverpb.KV", "grpc_method": "Put", "grpc_type": "unary"]
        try expect("grpc_server_started_total", 12, put)
        try expect("grpc_server_handled_total", 11, put.merging(["grpc_code": "OK"]) { $1 })
        try expect("grpc_server_handled_total", 1, put.merging(["grpc_code": "InvalidArgument"]) { $1 })
        try expect("grpc_server_handling_seconds_count", 12, put)
        try expect("grpc_server_started_total", 7, ["grpc_method": "Range"])
        try expect("grpc_server_msg_received_total", 1, ["grpc_service": "etcdserverpb.Watch"])
        try expect("grpc_server_msg_sent_total", 2, ["grpc_service": "etcdserverpb.Watch"])
        try expect("etcd_mvcc_put_total", 13)
        try expect("etcd_mvcc_delete_total", 1)
        try expect("etcd_mvcc_txn_total", 1)
        try expect("etcd_mvcc_range_total", 7)
        try expect("etcd_debugging_mvcc_keys_total", 11)
        try expect("etcd_debugging_mvcc_current_revision", 14)
        try expect("etcd_debugging_mvcc_watcher_total", 1)
        try expect("etcd_debugging_mvcc_watch_stream_total", 1)
        try expect("etcd_debugging_mvcc_slow_watcher_total", 0)
        try expect("etcd_debugging_mvcc_events_total", 1)
        try expect("etcd_debugging_lease_granted_total", 1)
        try expect("etcd_server_has_leader", 1)
        try expect("etcd_server_proposals_pending", 0)
        try expect("etcd_server_proposals_failed_total", 0)
        try expect("pine_fold_lag_revisions", 0)
        let appends = try #require(try metrics.value("etcd_disk_wal_fsync_duration_seconds_count"))
        #expect(appends >= 13)
        try expect("pine_append_batch_rows_count", appends)
        #expect(try #require(try metrics.value("process_open_fds")) > 5)
        #expect(try #require(try metrics.value("process_resident_memory_bytes")) > 1_000_000)
        let age = Date().timeIntervalSince1970 - (try #require(try metrics.value("process_start_time_seconds")))
        #expect((0...600).contains(age.rounded()))
        // A counter never goes back.
        let later = try scrape(pine.port)
        for (name, family) in metrics.families where family.type == "counter" {
            for sample in family.samples { #expect(try #require(try later.value(name, sample.labels)) >= sample.value, "\(name)") }
        }

        let theirs = try scrape(etcd.port)
        var shared = 0
        for (name, family) in theirs.families {
            guard let ours = metrics.families[name] else { continue }
            shared += 1
            #expect(ours.type == family.type, "\(name)")
            if let sample = family.samples.first {
                #expect(ours.samples.contains { $0.labels.keys.sorted() == sample.labels.keys.sorted() }, "\(name)")
            }
        }
        #expect(shared > 40)
        watch.cancel()
    }

    @Test("Calls are counted by the API version that their client says it has, with the figures of a real etcd")
    func clientVersions() throws {
        let etcd = try EtcdServer()
        let pine = try PineProcess(["--postgres", try PostgresServer.shared().newDatabase()])
        var seen: [[[String: String]: Double]] = []
        for (endpoint, port) in [(etcd.endpoint, etcd.port), (pine.endpoint, pine.port)] {
            let before = try scrape(port).families["etcd_server_client_requests_total"]?.samples ?? []
            for number in 0..<3 { #expect(try EtcdServer.etcdctl("put", "a", "\(number)", endpoint: endpoint).status == 0) }
            // One more unary call, and one that is a stream.
            let grant = try EtcdServer.etcdctl("lease", "grant", "600", endpoint: endpoint)
            let lease = try #require(grant.stdout.split(separator: " ").dropFirst().first)
            #expect(try EtcdServer.etcdctl("lease", "keep-alive", "--once", String(lease), endpoint: endpoint).status == 0)
            let after = try #require(try scrape(port).families["etcd_server_client_requests_total"]).samples
            var counts: [[String: String]: Double] = [:]
            for sample in after {
                let count = sample.value - (before.first { $0.labels == sample.labels }?.value ?? 0)
                if count > 0 { counts[sample.labels] = count }
            }
            seen.append(counts)
        }
        #expect(seen[0] == seen[1])
        #expect(seen[0].contains { $0.key["type"] == "unary" && $0.key["client_api_version"]?.hasPrefix("3.") == true && $0.value == 4 })
    }

    @Test("Every metric that the dashboard, the alert rules and etcd's published alerts ask for is there")
    func dashboards() throws {
        let pine = try PineProcess(["--postgres", try PostgresServer.shared().newDatabase()])
        try eventuallyBlocking("being ready") { try HTTPClient.get("/readyz", port: pine.port).status == 200 }
        let known = try scrape(pine.port).sampleNames
        let folder = URL(filePath: TestEnvironment.packageRoot).appending(path: "dashboards")
        let dashboard = try JSONSerialization.jsonObject(with: Data(contentsOf: folder.appending(path: "pine.json")))
        var expressions = expressions(in: dashboard)
        #expect(expressions.count > 20)
        let rules = try String(contentsOf: folder.appending(path: "alerts.yaml"), encoding: .utf8)
        let alerts = rules.split(separator: "\n").filter { $0.contains("expr:") }.map(String.init)
        #expect(alerts.count > 5)
        expressions += alerts
        for expression in expressions {
            let names = expression.matches(of: /\b(?:pine|etcd|grpc|process|os)_[a-z0-9_]+\b/).map { String($0.output) }
                .filter { !["grpc_method", "grpc_service", "grpc_type", "grpc_code"].contains($0) }
            #expect(!names.isEmpty, "\(expression)")
            for name in names { #expect(known.contains(name), "\(name) in \(expression)") }
        }
        // Of etcd's own alerts and dashboard, what has a meaning without peers and a quota.
        for name in [
            "etcd_server_has_leader", "etcd_server_leader_changes_seen_total", "etcd_server_proposals_failed_total",
            "etcd_server_proposals_committed_total", "etcd_server_proposals_applied_total", "etcd_server_proposals_pending",
            "grpc_server_handled_total", "grpc_server_started_total", "grpc_server_handling_seconds_bucket",
            "etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_disk_backend_commit_duration_seconds_bucket",
            "etcd_mvcc_db_total_size_in_bytes", "etcd_mvcc_db_total_size_in_use_in_bytes", "process_resident_memory_bytes",
            "etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_sent_bytes_total", "etcd_server_version",
        ] {
            #expect(known.contains(name), "\(name)")
        }
    }

    /// The values of all `expr` keys.
    private func expressions(in value: Any) -> [String] {
        if let list = value as? [Any] { return list.flatMap(expressions) }
        guard let object = value as? [String: Any] else { return [] }
        return object.sorted { $0.key < $1.key }.flatMap { key, value in
            key == "expr" ? (value as? String).map { [$0] } ?? [] : expressions(in: value)
        }
    }
}

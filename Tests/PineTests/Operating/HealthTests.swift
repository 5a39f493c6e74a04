// Tests what Pine says of its health, and what its clients get, while PostgreSQL comes and goes.
import Bytes
import EtcdAPI
import Foundation
import RawHTTP2
import TestSupport
import Testing

@Suite("Health", .timeLimit(.minutes(4)), .ownThreads)
struct HealthTests {
    private func check(_ client: EtcdClient, _ service: ByteString = "") throws -> HealthCheckResponse.ServingStatus {
        try client.call(.healthCheck, HealthCheckRequest(service: service), answer: HealthCheckResponse.self).status
    }

    @Test("Ready only while PostgreSQL answers, alive all the while, and the same process in the end")
    func outage() throws {
        let postgres = try PostgresServer(start: false)
        let pine = try PineProcess([
            "--postgres", postgres.connectionString, "--listen-metrics-urls", "http://127.0.0.1:0", "--request-timeout", "2s",
        ])
        let pages = try #require(pine.metricsPort)
        let client = try EtcdClient(port: pine.port)

        // Before there is a database: calls wait for as long as they wait for anything.
        #expect(try HTTPClient.get("/livez", port: pages).status == 200)
        #expect(try HTTPClient.get("/livez?verbose", port: pine.port).body == "[+]engine ok\nok\n")
        let notReady = try HTTPClient.get("/readyz", port: pages)
        #expect(notReady.status == 503)
        #expect(
            notReady.body
                == "[+]data_corruption ok\n[-]serializable_read failed: waiting for PostgreSQL\n"
                + "[-]linearizable_read failed: waiting for PostgreSQL\n[+]non_learner ok\n\n")
        // A page of its own, but no part of /livez.
        #expect(try HTTPClient.get("/livez/serializable_read", port: pages).status == 503)
        #expect(try HTTPClient.get("/livez/linearizable_read", port: pages).status == 404)
        #expect(
            try HTTPClient.get("/health", port: pages).body
                == #"{"health":"false","reason":"RANGE ERROR:waiting for PostgreSQL"}"# + "\n")
        #expect(try check(client) == .notServing)
        #expect(try check(client, "livez") == .serving)
        #expect(throws: EtcdClientError.status(EtcdError(code: .notFound, text: "unknown service"))) { try check(client, "none") }
        let watch = try client.open(.healthWatch, answer: HealthCheckResponse.self)
        watch.send(HealthCheckRequest())
        watch.finishSending()
        #expect(try watch.receive()?.status == .notServing)
        #expect(throws: EtcdClientError.status(.timeout)) { try client.get("a") }

        try postgres.start()
        #expect(try watch.receive(timeout: .seconds(60))?.status == .serving)
        try eventuallyBlocking("being ready") { try HTTPClient.get("/readyz", port: pages).status == 200 }
        #expect(
            try HTTPClient.get("/readyz?verbose&exclude=data_corruption", port: pages).body
                == "[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n")
        for page in ["/livez/serializable_read", "/livez?exclude=serializable_read", "/readyz/non_learner", "/readyz/data_corruption"] {
            #expect(try HTTPClient.get(page, port: pages).body == "ok\n", "\(page)")
        }
        #expect(try HTTPClient.get("/readyz/linearizable_read", port: pages).body == "ok\n")
        #expect(try HTTPClient.get("/readyz/nothing", port: pages).status == 404)
        #expect(try HTTPClient.get("/health", port: pages).body == #"{"health":"true","reason":""}"#)
        #expect(try HTTPClient.get("/health", port: pages, method: "PUT").fields["allow"] == "GET")
        #expect(try HTTPClient.get("/version", port: pages).body == #"{"etcdserver":"3.8.0","etcdcluster":"3.8.0","storage":"3.8.0"}"#)
        let variables = try HTTPClient.get("/debug/vars", port: pages)
        #expect(variables.fields["content-type"] == "application/json; charset=utf-8")
        let parsed = try #require(try JSONSerialization.jsonObject(with: Data(variables.body.utf8)) as? [String: Any])
        #expect(try #require(parsed["file_descriptor_limit"] as? Int) > 0)
        #expect(try #require((parsed["memstats"] as? [String: Int])?["HeapInuse"]) > 1 << 20)
        #expect(parsed["cmdline"] as? [String] == ["pine"], "a command line may have passwords in it")
        #expect(try HTTPClient.get("/debug/nothing", port: pages).status == 404)
        #expect(try client.put("a", "1").header?.revision == 2)
        #expect(try pine.etcdctl("endpoint", "health").status == 0)

        // An outage.
        postgres.kill()
        #expect(try watch.receive(timeout: .seconds(60))?.status == .notServing)
        #expect(try check(client) == .notServing)
        #expect(try check(client, "livez") == .serving)
        #expect(try HTTPClient.get("/livez", port: pages).status == 200)
        let away = try HTTPClient.get("/readyz", port: pages)
        #expect(away.status == 503)
        #expect(away.body.hasPrefix("[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: "))
        #expect(try HTTPClient.get("/health?serializable=true", port: pages).status == 200)
        #expect(throws: EtcdClientError.status(.timeout)) { try client.put("a", "2") }
        let ill = try PrometheusText(try HTTPClient.get("/metrics", port: pages).body)
        for name in ["etcd_server_has_leader", "pine_serving", "pine_postgres_up"] { #expect(try ill.value(name) == 0, "\(name)") }
        #expect(try pine.etcdctl("--command-timeout=2s", "endpoint", "health").status != 0)

        try postgres.start()
        #expect(try watch.receive(timeout: .seconds(60))?.status == .serving)
        try eventuallyBlocking("a write") { (try? client.put("b", "1")) != nil }
        watch.cancel()
        try eventuallyBlocking("being ready again") { try HTTPClient.get("/readyz", port: pages).status == 200 }

        // The outage is over once each of its connections is back, not only the one that reads need.
        var metrics = try PrometheusText(try HTTPClient.get("/metrics", port: pages).body)
        try eventuallyBlocking("the end of the outage") {
            metrics = try PrometheusText(try HTTPClient.get("/metrics", port: pages).body)
            return try metrics.value("pine_postgres_up") == 1
        }
        for name in ["etcd_server_has_leader", "pine_serving"] { #expect(try metrics.value(name) == 1) }
        #expect(try #require(try metrics.value("pine_postgres_outages_total")) >= 1)
        #expect(try #require(try metrics.value("pine_postgres_outage_seconds_total")) > 0)
        #expect(try #require(try metrics.value("etcd_server_proposals_failed_total")) >= 1)
        #expect(try #require(try metrics.value("etcd_server_read_indexes_failed_total")) >= 1)
        #expect(try metrics.value("etcd_server_healthcheck", ["type": "readyz", "name": "linearizable_read"]) == 1)
        #expect(
            try #require(
                try metrics.value("etcd_server_healthchecks_total", ["type": "readyz", "name": "linearizable_read", "status": "error"]))
                >= 2)
        #expect(pine.isRunning)
        try eventuallyBlocking("the line of the request") { pine.log.contains("request timed out") }
    }

    @Test("A database that becomes read-only stops writes, not the process, and all goes on once it isn't any more")
    func readOnly() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: pine.port)
        _ = try client.put("a", "1")
        try postgres.psql("alter system set default_transaction_read_only = on")
        try postgres.psql("select pg_reload_conf()")
        try eventuallyBlocking("writes being refused") {
            do {
                _ = try client.call(
                    .put, PutRequest(key: "a", value: "2"), answer: PutResponse.self, timeout: .milliseconds(500))
                return false
            } catch EtcdClientError.deadlinePassed {
                return true
            }
        }
        #expect(try HTTPClient.get("/livez", port: pine.port).status == 200)
        let writable = postgres.connectionString + "?options=-c%20default_transaction_read_only%3Doff"
        try postgres.psql("alter system reset default_transaction_read_only", connection: writable)
        try postgres.psql("select pg_reload_conf()")
        try eventuallyBlocking("writes being taken") { (try? client.put("b", "1")) != nil }
        try eventuallyBlocking("being ready") { try HTTPClient.get("/readyz", port: pine.port).status == 200 }
        #expect(pine.isRunning)
    }

    @Test("While PostgreSQL is away, watches that require a leader end with etcd's error, in time; others go on, and miss nothing")
    func requiredLeader() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: pine.port)
        let required = [("hasleader", "true")]
        func watch(_ metadata: [(String, String)]) throws -> EtcdStream<WatchResponse> {
            let watch = try client.open(.watch, answer: WatchResponse.self, metadata: metadata)
            watch.send(WatchRequest.create(WatchCreateRequest(key: "a")))
            return watch
        }
        let watches = [try watch(required), try watch([]), try watch([("hasleader", "false")])]
        for watch in watches { #expect(try watch.receive()?.created == true) }
        postgres.kill()
        let killed = ContinuousClock.now
        #expect(throws: EtcdClientError.status(.noLeader)) { try watches[0].receive(timeout: .seconds(60)) }
        // A restart of the database is no reason: all clients would list again.
        #expect(killed.duration(to: .now) > .seconds(9))
        // Who comes now hears it at once, as from an etcd without a leader.
        #expect(throws: EtcdClientError.status(.noLeader)) { _ = try watch(required).receive(timeout: .seconds(60)) }
        try postgres.start()
        try eventuallyBlocking("service") { (try? client.get("x")) != nil }
        let revision = try client.put("a", "1").header?.revision
        for watch in watches[1...] { #expect(try watch.receive()?.events.map { $0.kv?.modRevision } == [revision]) }
        let again = try watch(required)
        #expect(try again.receive()?.created == true)
    }

    @Test("Slow requests and slow statements are told of in a line each, with where the time went")
    func slow() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess([
            "--postgres", postgres.connectionString, "--warning-unary-request-duration", "200ms", "--warning-sql-duration", "200ms",
            "--log-format", "json",
        ])
        let client = try EtcdClient(port: pine.port)
        _ = try client.put("a", "1")
        let locker = Thread {
            _ = try? postgres.psql("begin; select 1 from pine.head for update; select pg_sleep(60)")
        }
        locker.start()
        // Longer than both thresholds, shorter than what Pine takes for a broken connection.
        let releaser = Thread {
            try? eventuallyBlocking("an append that waits") {
                try postgres.psql(
                    """
                    select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query_start < now() - interval '500 ms'
                    """) != "0"
            }
            _ = try? postgres.psql("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
        }
        releaser.start()
        try eventuallyBlocking("the lock") {
            try postgres.psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
        }
        _ = try client.put("a secret key", "a secret value")
        try eventuallyBlocking("both lines") { pine.log.contains("a secret key") && pine.log.contains("slow SQL") }
        let lines = pine.log.split(separator: "\n")
        let request = try #require(lines.first { $0.contains("slow request") && $0.contains("a secret key") })
        for part in ["/etcdserverpb.KV/Put", "waited_for_postgresql", "a secret key", "127.0.0.1"] { #expect(request.contains(part)) }
        let statement = try #require(lines.first { $0.contains("slow SQL") })
        #expect(statement.contains("update") && !statement.contains("secret"))
        #expect(!pine.log.contains("secret value"))
        let metrics = try PrometheusText(try HTTPClient.get("/metrics", port: pine.port).body)
        #expect(try #require(try metrics.value("etcd_server_slow_apply_total")) >= 1)
        #expect(try #require(try metrics.value("pine_postgres_slow_statements_total")) >= 1)
    }

    @Test("Keep-alive flags: a client that pings too often is told so and closed, one that doesn't answer is closed")
    func keepAlive() throws {
        let postgres = try PostgresServer.shared()
        let pine = try PineProcess([
            "--postgres", try postgres.newDatabase(), "--grpc-keepalive-min-time", "1h", "--grpc-keepalive-interval", "1s",
            "--grpc-keepalive-timeout", "1s",
        ])
        let pinger = try RawClient(port: pine.port)
        try pinger.sendPreface()
        for _ in 0..<5 { try? pinger.send(.ping(1)) }
        try pinger.readToEnd()
        #expect(pinger.goAway?.code == 11)
        #expect(pinger.goAway?.debug == "too_many_pings")

        let silent = try RawClient(port: pine.port)
        silent.isWellBehaved = false
        try silent.sendPreface()
        try silent.readToEnd()
        #expect(silent.isClosed)

        // Whoever answers stays.
        let alive = try RawClient(port: pine.port)
        try alive.sendPreface()
        var pings = 0
        while pings < 3 {
            let frame = try #require(try alive.readFrame())
            guard frame.kind == RawFrame.Kind.ping, frame.flags & RawFrame.Flag.ack == 0 else { continue }
            pings += 1
            try alive.send(RawFrame(RawFrame.Kind.ping, flags: RawFrame.Flag.ack, stream: 0, frame.payload))
        }
        #expect(!alive.isClosed)
    }
}

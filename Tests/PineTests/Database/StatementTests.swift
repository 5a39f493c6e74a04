// Owns: what Pine may say to its database: no more than PostgreSQL's distributed relatives understand, and nothing that is undone by
// chance may do harm.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Statements", .serialized, .ownThreads)
struct StatementTests {
    @Test("one in ten statements fails with 40001 or 40P01, LISTEN and NOTIFY are missing, and faults go on: nothing is lost or stale")
    func conflicts() throws {
        let seed = testSeed("StatementTests.conflicts")
        let faults = StatementFaults(seed: seed, lacksHints: true)
        faults.fail(share: 0.1)
        let arena = try FaultArena(seed: seed, postgres: PostgresServer(settings: ["max_connections": "40"])) { faults.filter() }
        for fault in [Fault.backendsTerminated, .postgresKilled, .replicaKilled, .connectionsCut] {
            try arena.endure(fault, for: .seconds(1))
        }
        try arena.finish("StatementTests")
        let counts = faults.counts
        print("StatementTests: \(counts)")
        for state in ["40001", "40P01", "0A000"] { #expect(counts[state, default: 0] > 0) }
        let failed = Double(counts["40001", default: 0] + counts["40P01", default: 0])
        #expect(failed / (failed + Double(counts["", default: 0])) > 0.05)
    }

    @Test("no statement needs sequences, triggers, procedures, advisory locks, temporary tables or serializable isolation")
    func vocabulary() throws {
        let postgres = try PostgresServer(settings: [
            "log_statement": "all", "log_line_prefix": "<%a> ", "log_parameter_max_length": "0", "log_error_verbosity": "terse",
        ])
        let text = try broadWorkload(postgres)
        let statements = Self.statements(in: text)
        for wanted in Self.wanted {
            #expect(statements.contains { $0.contains(wanted) }, "the workload made Pine send \(wanted)")
        }
        for statement in statements.sorted() {
            for (pattern, what) in Self.forbidden {
                let expression = try Regex(pattern).ignoresCase()
                #expect(try expression.firstMatch(in: statement) == nil, "\(what): \(statement)")
            }
        }
        print("StatementTests: \(statements.count) different statements")
    }

    @Test("whatever reads or deletes rows of the changelog finds them by its primary key")
    func plans() throws {
        let postgres = try PostgresServer(settings: [
            "session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_nested_statements": "on",
            "log_line_prefix": "<%a> ", "log_parameter_max_length": "0", "auto_explain.log_parameter_max_length": "0",
        ])
        let text = try broadWorkload(postgres)
        var plans = Set<String>()
        for entry in Self.entries(in: text) where entry.contains("plan:") {
            // The text, then the nodes with what they cost, which differs.
            plans.insert(entry.replacing(#/\(cost[^)]*\)/#, with: "").replacing(#/duration: [0-9.]+ ms/#, with: ""))
        }
        let onChangelog = plans.filter { $0.contains("on changelog") }
        #expect(onChangelog.contains { $0.contains("using changelog_pkey on changelog") })
        for plan in onChangelog where plan.contains("Seq Scan on changelog") {
            Issue.record("a pass over the whole changelog:\n\(plan)")
        }
        print("StatementTests: \(onChangelog.count) different plans on the changelog")
    }

    // MARK: Pieces

    /// Two Pines with little room for values do everything there is to do, and one dies in between. Gives the server's log.
    private func broadWorkload(_ postgres: PostgresServer) throws -> String {
        let cluster = try PineCluster(2, postgres: postgres.connectionString, arguments: ["--value-cache-bytes", "64KiB"])
        let load = WriteLoad(ports: cluster.ports, clients: 6, seed: 1)
        let client = try EtcdClient(port: cluster.ports[0])
        let watch: EtcdStream<WatchResponse> = try client.open(.watch)
        watch.send(WatchRequest.create(WatchCreateRequest(key: "counter/a", startRevision: 1)))
        try #require(watch.receive()?.created == true)
        let granted: LeaseGrantResponse = try client.call(.leaseGrant, LeaseGrantRequest(ttl: 2, id: 1))
        let other: LeaseGrantResponse = try client.call(.leaseGrant, LeaseGrantRequest(ttl: 60, id: 2))
        try #require(granted.id == 1 && other.id == 2)
        _ = try client.put(PutRequest(key: "leased", value: "x", lease: 1))
        let keepAlives: EtcdStream<LeaseKeepAliveResponse> = try client.open(.leaseKeepAlive)
        keepAlives.send(LeaseKeepAliveRequest(id: 2))
        try #require(keepAlives.receive()?.ttl == 60)
        let left: LeaseTimeToLiveResponse = try client.call(.leaseTimeToLive, LeaseTimeToLiveRequest(id: 2, keys: true))
        try #require(left.grantedTTL == 60)
        try load.awaitAcknowledged(500)
        // Lost appends are looked for.
        // Until one was under way.
        try eventuallyBlocking("a lost append") {
            try postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pine'")
            try load.awaitAcknowledged(100)
            return postgres.log.contains("set epoch = epoch + 1")
        }
        try load.awaitAcknowledged(100)
        let revision = try client.put("compacted", "here").header?.revision ?? 0
        _ = try client.compact(revision, physical: true)
        let revoked: LeaseRevokeResponse = try client.call(.leaseRevoke, LeaseRevokeRequest(id: 2))
        try #require(revoked.header != nil)
        try eventuallyBlocking("the end of the lease that nobody keeps") { try client.get("leased").kvs.isEmpty }
        let status: StatusResponse = try client.call(.status, StatusRequest())
        let members: MemberListResponse = try client.call(.memberList, MemberListRequest(linearizable: true))
        try #require(status.dbSize >= 0 && members.header != nil)
        // The next to start reads the log anew, and knows from the catalog that values have no room.
        try postgres.psql("analyze pine.changelog")
        cluster[1].kill()
        try cluster[1].waitForExit()
        try cluster.start(1)
        try load.awaitAcknowledged(100, on: cluster.ports[1])
        let everything: RangeResponse = try EtcdClient(port: cluster.ports[1]).call(
            .range, RangeRequest(key: "client/", rangeEnd: "client0"))
        try #require(!everything.kvs.isEmpty)
        _ = try load.stop()
        return postgres.log
    }

    /// Parts of statements that the workload must have brought about, so that none is missing from what is judged.
    private static let wanted = [
        "create table", "insert into \"pine\".changelog", "from \"pine\".head for update", "set epoch = epoch + 1",
        "delete from \"pine\".changelog", "left join lateral", "octet_length(c.value)",
        "join \"pine\".changelog c on c.revision = r.revision", "insert into \"pine\".lease_deadline",
        "delete from \"pine\".lease_deadline",
        "\"pine\".duty", "insert into \"pine\".member",
    ]

    /// What the design rules out, as regular expressions on one statement.
    private static let forbidden = [
        (#"\b(nextval|currval|setval|sequence|serial|bigserial|identity)\b"#, "a sequence"),
        (#"\btrigger\b"#, "a trigger"),
        (#"\b(create|alter)\s+(or\s+replace\s+)?(function|procedure)\b|^\s*call\b|^\s*do\b"#, "a procedure"),
        (#"\badvisory"#, "an advisory lock"),
        (#"\b(temp|temporary|unlogged)\b"#, "a temporary or unlogged table"),
        (#"\bserializable\b"#, "serializable isolation"),
        (#"\bdeclare\b.*\bcursor\b|\bsavepoint\b|\bprepare transaction\b|\block table\b|^\s*copy\b"#, "what poolers or relatives lack"),
        // Only ever hints, alone in their statements.
        (#"^(?!listen "pine_pine"$)\s*(un)?listen\b|^\s*notify\b"#, "a LISTEN or NOTIFY that isn't the hint"),
        (#"^(?!select [^;]*pg_notify\(\$1::text, ''\)$)[\s\S]*pg_notify"#, "a NOTIFY among other things"),
    ]

    /// The entries of a server's log that Pine caused, each with its further lines.
    private static func entries(in log: String) -> [String] {
        var entries: [String] = []
        var isOurs = false
        for line in log.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("\t") {
                if isOurs { entries[entries.count - 1] += "\n" + line.dropFirst() }
            } else {
                isOurs = line.hasPrefix("<pine> ")
                if isOurs { entries.append(String(line.dropFirst("<pine> ".count))) }
            }
        }
        return entries
    }

    private static func statements(in log: String) -> Set<String> {
        var statements = Set<String>()
        for entry in entries(in: log) {
            if let match = entry.prefixMatch(of: #/LOG: +(?:statement|execute [^:]+): /#) {
                statements.insert(String(entry[match.range.upperBound...]).trimmingCharacters(in: .whitespacesAndNewlines))
            }
        }
        return statements
    }
}

// Owns: what becomes of Pine's promises when its PostgreSQL is replaced by a standby.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Failover of PostgreSQL", .serialized, .ownThreads)
struct FailoverTests {
    /// What an operator gives Pine: all hosts, of which the writable one is wanted.
    private static func connection(_ servers: PostgresServer...) -> String {
        let hosts = servers.map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
        return "postgresql://postgres@\(hosts)/postgres?target_session_attrs=read-write"
    }

    @Test("a synchronous standby is promoted under load: nothing acknowledged is lost, and service is back by itself")
    func synchronous() throws {
        let seed = testSeed("FailoverTests.synchronous")
        let primary = try PostgresServer()
        let standby = try PostgresServer(standbyOf: primary)
        try primary.psql("alter system set synchronous_standby_names = 'standby'")
        try primary.psql("select pg_reload_conf()")
        try eventuallyBlocking("the standby being synchronous") {
            try primary.psql("select sync_state from pg_stat_replication") == "sync"
        }
        let cluster = try PineCluster(3, postgres: Self.connection(primary, standby))
        let crowd = try ClientCrowd(cluster.ports, seed: seed)
        try crowd.load.awaitAcknowledged(100)
        primary.kill()
        try standby.promote()
        let promoted = ContinuousClock.now
        let back = try crowd.load.serviceBack(after: promoted)
        print("FailoverTests: served again \(back) after the standby was promoted")
        try cluster.requireRunning()
        try crowd.load.awaitAcknowledged(100)
        try crowd.finish("FailoverTests") { try standby.psql($0) }
    }

    @Test("a standby that lacks the last commits is promoted: nobody is served what is lost, and watchers learn that they must list again")
    func asynchronous() throws {
        let primary = try PostgresServer()
        let wire = try FaultyProxy(to: primary.port)
        let standby = try PostgresServer(standbyOf: primary, over: wire.port)
        let cluster = try PineCluster(2, postgres: Self.connection(primary, standby))
        let clients = try cluster.ports.map { try EtcdClient(port: $0) }
        let kept = try clients[0].put("kept", "1").header?.revision ?? 0
        try eventuallyBlocking("the standby having the first write") {
            try standby.psql("select max(revision) from pine.changelog") == "\(kept)"
        }
        try wire.set(.refused)
        var highest: Revision = 0
        for number in 0..<20 { highest = try clients[number % 2].put(ByteString("lost/\(number)"), "x").header?.revision ?? 0 }
        _ = try clients[1].put("kept", "2")
        highest += 1
        let watches = try clients.map { client in
            let watch: EtcdStream<WatchResponse> = try client.open(.watch)
            watch.send(WatchRequest.create(WatchCreateRequest(key: "kept", startRevision: kept)))
            var told: Revision = 0
            while told < highest { told = try #require(try watch.receive()).events.last?.kv?.modRevision ?? told }
            return watch
        }
        primary.kill()
        try standby.promote()
        for (index, (client, watch)) in zip(clients, watches).enumerated() {
            // Whatever is answered from here on is the new history.
            var answer: RangeResponse?
            try eventuallyBlocking("an answer") {
                answer = try? client.get("lost/0")
                return answer != nil
            }
            #expect(answer?.kvs == [])
            let list = try client.get("kept")
            // The second sees what came of the first.
            #expect(list.kvs.first?.value == (index == 0 ? "1" : "3"))
            let revision = try #require(list.header?.revision)
            #expect(revision > highest, "no revision that was once served means something else now")
            #expect(try Self.isEnded(watch, lacking: highest))
            // An informer goes on from what it heard last, and is told to list again; then it goes on from there.
            let again: EtcdStream<WatchResponse> = try client.open(.watch)
            again.send(WatchRequest.create(WatchCreateRequest(key: "kept", startRevision: highest + 1)))
            var refusal = try #require(try again.receive())
            if refusal.created, !refusal.canceled { refusal = try #require(try again.receive()) }
            #expect(refusal.canceled && refusal.compactRevision > highest)
            var past = RangeRequest(key: "kept")
            past.revision = highest
            #expect(throws: EtcdClientError.status(.compacted)) { try client.range(past) }
            again.send(WatchRequest.create(WatchCreateRequest(key: "kept", startRevision: revision + 1)))
            #expect(try again.receive()?.created == true)
            let next = try client.put("kept", "3").header?.revision
            #expect(try again.receive()?.events.map { $0.kv?.modRevision } == [next])
        }
    }

    /// Whether the watch ends, by its stream's end or by being told that its past, with `revision`, is gone.
    private static func isEnded(_ watch: EtcdStream<WatchResponse>, lacking revision: Revision) throws -> Bool {
        while true {
            let result = Result { try watch.receive() }
            if case .failure(let error) = result {
                guard let error = error as? EtcdClientError, case .status(let status) = error else { throw error }
                return status.code == .unavailable
            }
            guard let response = try result.get() else { return false }
            if response.canceled { return response.compactRevision > revision }
        }
    }
}

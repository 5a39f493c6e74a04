// Owns: what becomes of Pine's promises when its PostgreSQL is replaced by a standby.
import Bytes
import EtcdAPI
import Foundation
import TestSupport
import Testing

@Suite("Failover of PostgreSQL", .serialized)
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
}

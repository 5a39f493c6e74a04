// Owns: the stage of the fault tests: PostgreSQL behind a faulty network, several Pines on it, and a crowd of clients.
// Must never: end a fault without saying how long it took until everybody was served again.
import Bytes
import EtcdAPI
import Foundation
import Glibc
import TestSupport
import Testing

/// What goes wrong.
enum Fault: String, CaseIterable, Sendable {
    case postgresRestartedFast, postgresRestartedImmediately, postgresKilled
    case backendsTerminated, connectionsAtLimit
    case connectionsCut, connectionsRefused, connectionsHalfClosed
    case networkDelayed, networkStalled, networkSwallows
    case replicaStopped, replicaKilled
}

/// Methods block, and are called by one thread.
final class FaultArena {
    let postgres: PostgresServer
    let proxy: FaultyProxy
    let cluster: PineCluster
    let crowd: ClientCrowd
    private var load: WriteLoad { crowd.load }
    private var random: SeededGenerator
    private var back: [Fault: [Duration]] = [:]
    /// The longest that a service may take to be back on a machine that is busy with other things; what it took is printed.
    private static let backLimit = Duration.seconds(30)

    init(seed: UInt64, postgres: PostgresServer, filter: (@Sendable () -> any ProxyFilter)? = nil) throws {
        self.postgres = postgres
        random = SeededGenerator(seed: seed)
        // Not a superuser, for whom the server keeps places free.
        try postgres.psql("create role pine login")
        try postgres.psql("create database pine owner pine")
        proxy = try FaultyProxy(to: postgres.port, filter: filter)
        cluster = try PineCluster(3, postgres: "postgresql://pine@127.0.0.1:\(proxy.port)/pine")
        do {
            crowd = try ClientCrowd(cluster.ports, seed: seed)
        } catch {
            throw TestSupportError("at the start: \(error)\(cluster.logs)")
        }
    }

    /// Lets the fault last for `length`, where it is one that lasts, and waits until every Pine serves again.
    func endure(_ fault: Fault, for length: Duration) throws {
        do {
            try load.awaitAcknowledged(random.number(10...60))
            let healed = try strike(fault, length)
            back[fault, default: []].append(try load.serviceBack(after: healed, timeout: Self.backLimit))
            try cluster.requireRunning()
        } catch {
            throw TestSupportError("\(fault): \(error)\(cluster.logs)")
        }
    }

    /// Leaves PostgreSQL no room on its disk for `length`, from when it has first met that.
    func endureFullDisk(for length: Duration) throws {
        try load.awaitAcknowledged(50)
        try postgres.fillDisk()
        try eventuallyBlocking("PostgreSQL finding its disk full") { postgres.log.contains("No space left on device") }
        // The fault's own length.
        Thread.sleep(forTimeInterval: length / .seconds(1))
        postgres.emptyDisk()
        // Where it had no room for its log either, it has given up.
        var gaveUp = false
        try eventuallyBlocking("PostgreSQL going on") {
            // It may be about to.
            gaveUp = gaveUp || !postgres.isRunning
            try postgres.start()
            return (try? postgres.psql("select 1")) != nil
        }
        let back = try load.serviceBack(after: .now, timeout: Self.backLimit)
        try cluster.requireRunning()
        print("FaultTests, diskFull: all served again after \(back), PostgreSQL \(gaveUp ? "had ended" : "went on")")
    }

    /// Ends the load and judges what was said.
    func finish(_ name: String) throws {
        do {
            try crowd.finish(name) { try postgres.psql($0, connection: "pine") }
        } catch {
            throw TestSupportError("at the end: \(error)\(cluster.logs)")
        }
        for (fault, times) in back.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            let sorted = times.sorted()
            print("\(name), \(fault): all served again after \(sorted[sorted.count / 2]) (median), \(sorted[sorted.count - 1]) (most)")
        }
    }

    // MARK: Faults

    /// Gives the moment from which on nothing is in the way any more.
    private func strike(_ fault: Fault, _ length: Duration) throws -> ContinuousClock.Instant {
        switch fault {
        case .postgresRestartedFast: try postgres.restart(mode: .fast)
        case .postgresRestartedImmediately: try postgres.restart(mode: .immediate)
        case .postgresKilled:
            postgres.kill()
            try postgres.start()
        case .backendsTerminated: try terminateBackends()
        case .connectionsAtLimit: try exhaustConnections(length)
        case .connectionsCut: try proxy.cut()
        case .connectionsRefused: try withTraffic(.refused, length)
        case .connectionsHalfClosed: try proxy.halfClose(towards: random.chance(0.5) ? .client : .server)
        case .networkDelayed:
            try withTraffic(.delayed(.milliseconds(random.number(5...80))), length)
        case .networkStalled: try withTraffic(.stalled, length)
        case .networkSwallows: try withTraffic(.swallowed, length)
        case .replicaStopped: try stopReplica(length)
        case .replicaKilled:
            let index = random.number(0...2)
            cluster[index].kill()
            try cluster[index].waitForExit()
            // The others don't need it.
            _ = try load.serviceBack(after: .now, on: others(index), timeout: Self.backLimit)
            try cluster.start(index)
        }
        return .now
    }

    private func others(_ index: Int) -> [Int] { cluster.ports.filter { $0 != cluster.ports[index] } }

    private func withTraffic(_ traffic: FaultyProxy.Traffic, _ length: Duration) throws {
        try proxy.set(traffic)
        // The fault's own length.
        Thread.sleep(forTimeInterval: length / .seconds(1))
        try proxy.set(.flowing)
    }

    /// One by one, while the others work.
    private func terminateBackends() throws {
        let backends = try postgres.psql("select pid from pg_stat_activity where usename = 'pine' order by random()")
        for backend in backends.split(separator: "\n") {
            try postgres.psql("select pg_terminate_backend(\(backend))")
        }
    }

    /// Others take every place there is, those of Pine's connections, too.
    private func exhaustConnections(_ length: Duration) throws {
        let hoard = ConnectionHoard(port: postgres.port, user: "pine", database: "postgres")
        try eventuallyBlocking("no place being left") { hoard.refusals > 0 }
        let end = ContinuousClock.now.advanced(by: length)
        while ContinuousClock.now < end {
            try postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'pine' and datname = 'pine'")
        }
        try hoard.release()
    }

    /// A process that doesn't run for a while, and then goes on as if nothing had happened.
    private func stopReplica(_ length: Duration) throws {
        let index = random.number(0...2)
        let port = cluster.ports[index]
        load.stopping(port)
        cluster[index].kill(SIGSTOP)
        let stopped = ContinuousClock.now
        _ = try load.serviceBack(after: stopped, on: others(index), timeout: Self.backLimit)
        Thread.sleep(forTimeInterval: max(0, (length - stopped.duration(to: .now)) / .seconds(1)))
        cluster[index].kill(SIGCONT)
        load.continued(port)
    }
}

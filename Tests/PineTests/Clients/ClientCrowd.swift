// Owns: clients of every kind on each of several Pines, and the judgement over all that they were told.
// Must never: let a lease lapse before the log has been read.
import Bytes
import EtcdAPI
import TestSupport
import Testing

/// Writers and readers, a watcher of everything and a keeper of leases on each port. Methods block.
final class ClientCrowd {
    let load: WriteLoad
    private let followers: [WatchFollower]
    private let keepers: [LeaseKeeper]

    init(_ ports: [Int], seed: UInt64) throws {
        let load = WriteLoad(ports: ports, clients: 3 * ports.count, seed: seed, pause: .milliseconds(8))
        self.load = load
        followers = ports.map { WatchFollower(port: $0) }
        keepers = try ports.indices.map { index in
            let leases = (0..<5).map { LeaseID(index * 100 + $0 + 1) }
            return try LeaseKeeper(leases, ports: Array(ports[index...] + ports[..<index]), load: load)
        }
    }

    /// Ends the load and judges what was said. `query` runs a query on the database, as for `Verdict`.
    func finish(_ name: String, _ query: (String) throws -> String) throws {
        for port in load.ports { try load.awaitAcknowledged(20, on: port) }
        let writes = try load.stop()
        let verdict = try Verdict(writes, query)
        try verdict.judge()
        try verdict.judge(load.seen)
        for port in load.ports { try verdict.compare(with: EtcdClient(port: port)) }
        for follower in followers {
            try verdict.judge(try follower.finish(at: verdict.lastRevision), by: "the watcher on \(follower.port)")
        }
        let leases = keepers.flatMap(\.leases)
        #expect(verdict.endedLeases.isDisjoint(with: leases))
        let client = try EtcdClient(port: load.ports[0])
        for lease in leases { #expect(try client.get(LeaseKeeper.key(lease)).kvs.first?.lease == lease) }
        for keeper in keepers { try keeper.stop() }
        let open = writes.filter { if case .unknown = $0.fate { true } else { false } }.count
        print(
            """
            \(name): \(writes.count) writes, \(open) with an open outcome, \(load.seen.count) reads, \(verdict.rows.count) events on \
            each of \(followers.count) watches over \(followers.map(\.streams)) streams, leases kept with gaps of at most \
            \(keepers.map(\.longestGap).max() ?? .zero)
            """)
    }
}

// Owns: reading the latest state of a kine table, as pages that the rest can't tell from an etcd's.
internal import Changelog
internal import Dispatch
internal import EtcdAPI
package import Logging

package struct KinePages: PageSource {
    private let rows: AsyncThrowingStream<[KeyValue], any Error>
    private var iterator: AsyncThrowingStream<[KeyValue], any Error>.Iterator
    private let demand: DispatchSemaphore
    /// The number for the next lease: negative, since kine's have none.
    private var nextLease: Int64 = -1

    /// Reads the table `table` in one snapshot. libpq's thread reads the next page when this one is wanted.
    package init(conninfo: String, table: String, logger: Logger) {
        let (stream, feed) = AsyncThrowingStream.makeStream(of: [KeyValue].self, throwing: (any Error).self)
        let demand = DispatchSemaphore(value: 0)
        rows = stream
        iterator = stream.makeAsyncIterator()
        self.demand = demand
        _ = WorkerThread(name: "pine-kine") {
            do {
                let kine = try KineTable(conninfo: conninfo, table: table, logger: logger)
                while true {
                    demand.wait()
                    let keys = try kine.next()
                    if keys.isEmpty { break }
                    feed.yield(keys)
                }
                feed.finish()
            } catch {
                feed.finish(throwing: MoveError("\(error)"))
            }
        }
    }

    package mutating func next() async throws -> Page? {
        demand.signal()
        guard var keys = try await iterator.next() else { return nil }
        // In kine a key's lease is its TTL. Keys of one page with one TTL share a lease, as kube-apiserver's do.
        var leases: [Int64: LeaseGrantRequest] = [:]
        for index in keys.indices where keys[index].lease > 0 {
            let ttl = keys[index].lease.rawValue
            if leases[ttl] == nil {
                leases[ttl] = LeaseGrantRequest(ttl: ttl, id: LeaseID(nextLease))
                nextLease -= 1
            }
            keys[index].lease = leases[ttl]!.id
        }
        return Page(leases: leases.values.sorted { $0.id > $1.id }, keys: keys)
    }
}

// Owns: writing pages into an etcd or a Pine, so that doing it again does no harm, and comparing them with what is there.
// Must never: overwrite what it did not write, unless told to.
internal import Bytes
internal import EtcdAPI
package import EtcdClient
internal import GRPC

package struct EtcdTarget {
    private let connection: EtcdClientConnection
    private let overwrites: Bool
    /// The target's leases by the source's.
    private var granted: [LeaseID: LeaseID] = [:]

    private static let txnOps = 100
    private static let txnBytes = 1 << 20

    package init(_ connection: EtcdClientConnection, overwrites: Bool) {
        self.connection = connection
        self.overwrites = overwrites
    }

    // MARK: Writing

    /// Writes what is not there yet, and says how many keys that were.
    package mutating func write(_ page: Page) async throws -> Int {
        let ttls = Dictionary(page.leases.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        let present = try await keys(of: page)
        var missing: [KeyValue] = []
        for kv in page.keys {
            if let there = present[kv.key] {
                if EtcdTarget.same(there, kv) { continue }
                guard overwrites else {
                    throw MoveError("the target has another value of \(kv.key) already; --overwrite replaces such keys")
                }
            }
            missing.append(kv)
        }
        // All leases of the page: those of keys that are there may be wanted by keys to come.
        for lease in page.leases { try await grant(lease, ttls) }
        var rest = missing[...]
        while !rest.isEmpty {
            var bytes = 0
            let batch = rest.prefix(EtcdTarget.txnOps).prefix { kv in
                defer { bytes += kv.key.count + kv.value.count }
                return bytes == 0 || bytes + kv.key.count + kv.value.count <= EtcdTarget.txnBytes
            }
            try await put(Array(batch))
            rest = rest.dropFirst(batch.count)
        }
        return missing.count
    }

    private mutating func grant(_ lease: LeaseGrantRequest, _ ttls: [LeaseID: LeaseGrantRequest]) async throws {
        // Negative numbers stand for leases that the source has no number for.
        let wanted = LeaseGrantRequest(ttl: lease.ttl, id: max(lease.id, 0))
        do {
            granted[lease.id] = try await connection.call(.leaseGrant, wanted, LeaseGrantResponse.self).id
        } catch let status as GRPCStatus {
            guard status.message == EtcdError.leaseExist.text else { throw status }
            granted[lease.id] = lease.id
        }
    }

    private func put(_ keys: [KeyValue]) async throws {
        let request = TxnRequest(
            compare: overwrites
                ? []
                : keys.map { Compare(result: .equal, target: .create, key: $0.key, targetUnion: .createRevision(0)) },
            success: keys.map { .put(PutRequest(key: $0.key, value: $0.value, lease: granted[$0.lease] ?? $0.lease)) })
        guard try await connection.call(.txn, request, TxnResponse.self).succeeded else {
            throw MoveError("somebody else writes to the target: a key from \(keys[0].key) on has just come into being there")
        }
    }

    /// What the target has between the page's first and last key.
    private func keys(of page: Page) async throws -> [ByteString: KeyValue] {
        guard let first = page.keys.first, let last = page.keys.last else { return [:] }
        var found: [ByteString: KeyValue] = [:]
        let wanted = Set(page.keys.map(\.key))
        try await visit(first.key, last.key.next, revision: 0) { if wanted.contains($0.key) { found[$0.key] = $0 } }
        return found
    }

    /// Whether a key is as it should be. The lease's number may differ, its being there may not.
    private static func same(_ one: KeyValue, _ other: KeyValue) -> Bool {
        one.value == other.value && (one.lease != 0) == (other.lease != 0)
    }

    private func visit(
        _ from: ByteString, _ end: ByteString, revision: Revision, _ body: (KeyValue) throws -> Void
    ) async throws {
        var from = from
        var more = true
        while more {
            let answer = try await connection.range(RangeRequest(key: from, rangeEnd: end, limit: 500, revision: revision))
            for kv in answer.kvs { try body(kv) }
            more = answer.more
            if let last = answer.kvs.last { from = last.key.next }
        }
    }

    // MARK: Comparing

    /// How two stores differ.
    package struct Comparison: Sendable {
        package var same = 0
        package var different = 0
        package var missing = 0
        package var extra = 0
        /// Missing, but with a lease that may have ended since.
        package var expired = 0
        /// Some of those that are not the same.
        package var examples: [String] = []

        package var isEqual: Bool { different == 0 && missing == 0 && extra == 0 }

        mutating func note(_ what: String, _ key: ByteString) {
            if examples.count < 10 { examples.append("\(what): \(key)") }
        }
    }

    /// Compares every key of the target, at one revision, with every key of `source`.
    package func compare(with source: some PageSource, progress: (Comparison) -> Void) async throws -> Comparison {
        var source = source
        var result = Comparison()
        let count = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]), countOnly: true)
        let revision = try await connection.range(count).header?.revision ?? 0
        var from = ByteString([0])
        while let page = try await source.next() {
            guard let last = page.keys.last else { continue }
            var wanted = Dictionary(page.keys.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
            try await visit(from, last.key.next, revision: revision) { there in
                guard let kv = wanted.removeValue(forKey: there.key) else {
                    result.extra += 1
                    result.note("only in the target", there.key)
                    return
                }
                if EtcdTarget.same(there, kv) {
                    result.same += 1
                } else {
                    result.different += 1
                    result.note("different", kv.key)
                }
            }
            for kv in page.keys where wanted[kv.key] != nil {
                if kv.lease != 0 {
                    result.expired += 1
                } else {
                    result.missing += 1
                    result.note("missing in the target", kv.key)
                }
            }
            from = last.key.next
            progress(result)
        }
        try await visit(from, ByteString([0]), revision: revision) { there in
            result.extra += 1
            result.note("only in the target", there.key)
        }
        return result
    }
}

// Owns: what the store's rows take in the database, and what a write adds to it.
// Must never: ask the database. Its files shrink when PostgreSQL finds the time; what compaction deletes is free at once.
// Source: server/storage/quota.go of etcd, whose costs these are.
internal import EtcdAPI

/// What a row of the log takes in PostgreSQL beside its key and value, in bytes: the tuple's header and line pointer, seven
/// integers, the lengths of two byte strings, padding; and its entry in the primary key's index, whose pages are 90 % full.
private let rowBytes: Int64 = 80 + 32

extension Store {
    /// Bytes that the rows take which nothing has made free, speculative ones included.
    package var liveBytes: Int64 {
        Int64(index.rowBytes) + rowBytes * Int64(index.versionCount + leases.count + deadRowCount)
    }

    /// Refuses, as etcd does, what an alarm or the quota forbids. Deletes and compaction make space: they pass.
    func checkSpace(_ request: WriteRequest) throws(EtcdError) {
        if !alarms.isEmpty {
            if alarms.contains(.corrupt), !request.isAlarm { throw .corrupt }
            if alarms.contains(.noSpace), request.quotaCost > 0 { throw .noSpace }
        }
        if quotaBytes > 0 {
            let cost = request.quotaCost
            if cost > 0, liveBytes + cost >= quotaBytes { throw .noSpace }
        }
    }

    /// Whether so much is free that an alarm may end: a twentieth of the quota, so that it is not raised again at once.
    package var hasSpace: Bool { quotaBytes <= 0 || liveBytes <= quotaBytes - quotaBytes / 20 }
}

extension WriteRequest {
    fileprivate var isAlarm: Bool {
        if case .alarm = self { true } else { false }
    }

    /// What it may add to the store, in bytes; 0 for what adds nothing.
    var quotaCost: Int64 {
        switch self {
        case .put(let put): put.quotaCost
        case .txn(let txn): txn.quotaCost
        case .leaseGrant: 64
        case .deleteRange, .compact, .leaseRevoke, .alarm, .auth: 0
        }
    }
}

extension PutRequest {
    fileprivate var quotaCost: Int64 { 256 + Int64(key.count + value.count) }
}

extension TxnRequest {
    /// That of the dearer branch.
    fileprivate var quotaCost: Int64 {
        func cost(_ operations: [RequestOp]) -> Int64 {
            operations.reduce(0) { sum, operation in
                switch operation {
                case .put(let put): sum + put.quotaCost
                case .txn(let txn): sum + txn.quotaCost
                case .range, .deleteRange, .empty: sum
                }
            }
        }
        return max(cost(success), cost(failure))
    }
}

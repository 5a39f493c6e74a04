// Owns: a store of leases and their keys, made of rows, and a clock, for suites of machines that need no replica.
import Bytes
import EtcdAPI
import Keyspace

@testable import Replica

final class LeaseStore {
    private(set) var store = Store()
    var now = Instant(nanoseconds: 0)

    init(_ leases: some Sequence<LeaseID> = [LeaseID](), ttl: Int64 = 60) {
        for lease in leases { grant(lease, ttl: ttl) }
    }

    func pass(ms: Int) { now = now.advanced(byMs: ms) }

    func grant(_ lease: LeaseID, ttl: Int64 = 60) { apply(.grant, version: ttl, lease: lease) }

    func revoke(_ lease: LeaseID) { apply(.revoke, lease: lease) }

    func put(_ key: ByteString, lease: LeaseID) {
        let revision = store.tip.revision + 1
        fold(
            LogRow(
                position: Position(revision, 0), kind: .put, key: key, value: "v", createRevision: revision, version: 1, lease: lease,
                origin: 1))
    }

    func alarm(_ action: AlarmChange.Action) {
        apply(.alarm, createRevision: Revision(Int64(AlarmType.corrupt.rawValue)), version: action.rawValue, lease: 7)
    }

    private func apply(_ kind: RowKind, createRevision: Revision = 0, version: Int64 = 0, lease: LeaseID) {
        let tip = store.tip
        fold(
            LogRow(
                position: Position(tip.revision, tip.sub + 1), kind: kind, createRevision: createRevision, version: version, lease: lease,
                origin: 1))
    }

    private func fold(_ row: LogRow) {
        store.apply(row)
        store.commit()
    }

    /// The log's head where it ends like the store.
    var head: Head {
        Head(clusterID: 0, position: store.committed, digest: store.committedDigest, epoch: 0, compactRevision: store.compactRevision)
    }
}

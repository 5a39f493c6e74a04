import Bytes
import EtcdAPI
import Testing

@testable import Keyspace

@Suite("Rows that nothing needs")
struct DeadRowsTests {
    private func collect(_ rows: inout DeadRows, _ committed: Position, _ compact: Revision, limit: Int = 100) -> [Position] {
        var dead: [Position] = []
        rows.collect(limit: limit, committed: committed, compactRevision: compact, into: &dead)
        return dead
    }

    @Test("a lease's grant goes before its revoke, once both are committed and compacted, and only once")
    func leases() {
        var rows = DeadRows()
        rows.revoked(grant: Position(2, 1), at: Position(3, 1))
        rows.revoked(grant: nil, at: Position(3, 2))
        rows.revoked(grant: Position(4, 1), at: Position(5, 1))
        #expect(collect(&rows, Position(5, 1), -1) == [])
        #expect(collect(&rows, Position(5, 1), 2) == [])
        #expect(collect(&rows, Position(3, 0), 5) == [])
        #expect(collect(&rows, Position(3, 1), 4) == [], "who was served up to 3 may go on from 4")
        #expect(collect(&rows, Position(3, 1), 5) == [Position(2, 1), Position(3, 1)])
        #expect(collect(&rows, Position(5, 1), 6) == [Position(3, 2)])
        #expect(collect(&rows, Position(5, 1), 7, limit: 1) == [Position(4, 1)])
        #expect(collect(&rows, Position(5, 1), 7, limit: 1) == [Position(5, 1)])
        #expect(rows.count == 0)
    }

    @Test("a compaction mark goes once a later one is there; undone ones leave the earlier in place")
    func compactions() {
        var rows = DeadRows()
        rows.compacted(at: Position(2, 1))
        rows.commit(through: Position(2, 1))
        rows.compacted(at: Position(3, 1))
        rows.compacted(at: Position(4, 1))
        rows.rollBack(after: Position(2, 1))
        #expect(rows.count == 0)
        rows.compacted(at: Position(5, 1))
        rows.compacted(at: Position(5, 2))
        rows.commit(through: Position(5, 1))
        rows.rollBack(after: Position(5, 1))
        rows.compacted(at: Position(6, 1))
        rows.commit(through: Position(6, 1))
        #expect(collect(&rows, Position(6, 1), 8) == [Position(2, 1), Position(5, 1)])
        #expect(rows.count == 0)
    }

    @Test("a log that was moved past its last key is swept up to where it was moved")
    func beyondTheLastKey() {
        var store = Store()
        for (row, kind) in [(Position(2, 0), RowKind.put), (Position(3, 0), .put), (Position(4, 0), .delete)] {
            store.apply(LogRow(position: row, kind: kind, key: "a", createRevision: kind == .put ? 2 : 0, origin: 1))
        }
        store.apply(LogRow(position: Position(1_000, 0), kind: .compact, createRevision: 4, version: 1_000, origin: 1))
        store.commit()
        var dead: [Position] = []
        #expect(store.collect(limit: 100, keepingReadersAt: nil, into: &dead).covers(1_000))
        #expect(dead == [Position(2, 0), Position(3, 0), Position(4, 0)])
        store.apply(LogRow(position: Position(1_001, 0), kind: .put, key: "a", createRevision: 1_001, version: 1, origin: 1))
        store.apply(LogRow(position: Position(1_002, 0), kind: .put, key: "a", createRevision: 1_001, version: 2, origin: 1))
        store.apply(LogRow(position: Position(1_002, 1), kind: .compact, version: 1_002, origin: 1))
        store.commit()
        dead = []
        #expect(store.collect(limit: 100, keepingReadersAt: nil, into: &dead).covers(1_002))
        #expect(dead == [], "the digest of what comes after 1,001 tells whether that was served")
        for revision in 1_003...1_004 as ClosedRange<Revision> {
            store.apply(LogRow(position: Position(revision, 0), kind: .put, key: "b", createRevision: 1_003, version: 1, origin: 1))
        }
        store.apply(LogRow(position: Position(1_004, 1), kind: .compact, version: 1_004, origin: 1))
        store.commit()
        #expect(store.collect(limit: 100, keepingReadersAt: nil, into: &dead).covers(1_004))
        #expect(dead == [Position(1_000, 0), Position(1_001, 0)])
        store.index.invariants()
    }

    @Test("what is left of a log with leases folds to the same leases at every cut, whatever was deleted in order")
    func foldingTheRest() {
        var store = Store()
        var log: [LogRow] = []
        for step in 0..<60 {
            let lease = LeaseID(step % 7 + 1)
            let write: WriteRequest =
                switch step % 5 {
                case 0, 1: .leaseGrant(id: lease, ttl: 60)
                case 2: .put(PutRequest(key: ByteString("k\(step % 4)"), value: "v", lease: store.leases.contains(lease) ? lease : 0))
                case 3: .leaseRevoke(id: lease)
                default: .compact(revision: store.revision)
                }
            var rows: [LogRow] = []
            _ = try? store.execute(write, header: ResponseHeader(), origin: 1, rows: &rows)
            log += rows
            // Some of what is executed is undone.
            if step % 9 == 0 {
                store.rollBack()
                log.removeLast(rows.count)
            } else {
                store.commit()
            }
            var dead: [Position] = []
            store.collect(limit: 3, keepingReadersAt: nil, into: &dead)
            for cut in 0...dead.count {
                let gone = Set(dead[..<cut])
                var other = Store()
                for row in log where !gone.contains(row.position) { other.apply(row) }
                other.commit()
                #expect(other.leases.ids == store.leases.ids)
                for id in store.leases.ids { #expect(other.leases[id]?.keys == store.leases[id]?.keys) }
            }
            log.removeAll { dead.contains($0.position) }
        }
        // The last, the one that it superseded, and one that is about to go.
        #expect(log.count { $0.kind == .compact } <= 3)
    }
}

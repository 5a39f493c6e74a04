// Checks HashKV against a model that keeps etcd's records as they are in its key bucket, and hashes them in their order.
import Bytes
import EtcdAPI
import TestSupport
import Testing

@testable import Keyspace

/// The records of etcd's key bucket, and what it does to them.
private struct RecordModel {
    private struct Record {
        var position: Position
        var isDeleted: Bool
        var key: ByteString
        var bytes: [UInt8]
    }

    private var records: [Record] = []
    private(set) var compacted: Revision = -1

    mutating func append(_ row: LogRow) {
        var name: [UInt8] = []
        withUnsafeBytes(of: UInt64(row.position.revision.rawValue).bigEndian) { name += $0 }
        name.append(UInt8(ascii: "_"))
        withUnsafeBytes(of: UInt64(row.position.sub).bigEndian) { name += $0 }
        var kv = KeyValue(key: row.key)
        if row.kind == .delete {
            name.append(UInt8(ascii: "t"))
        } else {
            kv.createRevision = row.createRevision
            kv.modRevision = row.position.revision
            kv.version = row.version
            kv.value = row.value
            kv.lease = row.lease
        }
        var writer = ByteWriter()
        kv.encode(into: &writer)
        let value = writer.finish()
        records.append(
            Record(
                position: row.position, isDeleted: row.kind == .delete, key: row.key, bytes: name + value.withUnsafeBytes { Array($0) }))
    }

    /// The last record of each key that is alive at `revision`, those deleted at just that one included if `deletions`.
    private func kept(at revision: Revision, deletions: Bool) -> Set<Position> {
        var lives: [ByteString: [[Record]]] = [:]
        for record in records {
            lives[record.key, default: [[]]][lives[record.key, default: [[]]].count - 1].append(record)
            if record.isDeleted { lives[record.key]!.append([]) }
        }
        var kept: Set<Position> = []
        for of in lives.values {
            let index = of.dropLast().firstIndex { $0.last!.position.revision >= revision } ?? of.count - 1
            let past = of[index].filter { $0.position.revision <= revision }
            guard let last = past.last else { continue }
            if deletions || index == of.count - 1 || last.position != of[index].last!.position { kept.insert(last.position) }
        }
        return kept
    }

    private func hash(_ revision: Revision, _ kept: Set<Position>) -> UInt32 {
        var crc = CRC32C(ByteString("key"))
        for record in records {
            let main = record.position.revision
            if main > revision || main <= compacted && !kept.isEmpty && !kept.contains(record.position) { continue }
            if record.isDeleted && main == compacted { continue }
            record.bytes.withUnsafeBytes { crc.append($0) }
        }
        return crc.value
    }

    func hash(at revision: Revision) -> UInt32 { hash(revision, kept(at: revision, deletions: false)) }

    mutating func compact(to revision: Revision) -> UInt32 {
        let kept = kept(at: revision, deletions: true)
        let hash = hash(revision, kept)
        records.removeAll { $0.position.revision <= revision && !kept.contains($0.position) }
        compacted = revision
        return hash
    }
}

@Suite("HashKV", .ownThreads)
struct HashScanTests {
    private let header = ResponseHeader(clusterID: 1, memberID: 2, raftTerm: 3)

    /// Steps a scan to its end, `visits` at a time; values that it lacks come from `rows`.
    private func run(_ scan: HashScan, _ store: inout Store, visits limit: Int, _ rows: [Position: LogRow]) -> UInt32 {
        var scan = scan
        while true {
            var visits = limit
            var lookup = ValueLookup()
            switch scan.step(store.index, &lookup, visits: &visits) {
            case .done(let hash): return hash
            case .unfinished: break
            case .lacks(let missing):
                for missing in missing { store.noteChecksum(of: rows[missing.position]!.value, of: missing) }
            }
        }
    }

    /// Some history: puts, deletions, transactions, leases, with values of many lengths.
    private func requests(_ random: inout SeededGenerator) -> WriteRequest {
        func key(_ random: inout SeededGenerator) -> ByteString { ByteString("k\(random.number(0...11))") }
        func put(_ random: inout SeededGenerator) -> PutRequest {
            PutRequest(
                key: key(&random), value: ByteString(String(repeating: "v", count: random.pick([0, 1, 20, 127, 128, 5_000]))),
                lease: random.chance(0.2) ? 7 : 0)
        }
        switch random.number(0...9) {
        case ..<5: return .put(put(&random))
        case ..<7: return .deleteRange(DeleteRangeRequest(key: key(&random), rangeEnd: random.chance(0.3) ? "k9" : ByteString()))
        case 7: return random.chance(0.5) ? .leaseGrant(id: 7, ttl: 60) : .leaseRevoke(id: 7)
        default:
            var seen: Set<ByteString> = []
            let puts = (0..<random.number(1...5)).map { _ in put(&random) }.filter { seen.insert($0.key).inserted }
            return .txn(TxnRequest(success: puts.map { .put($0) }))
        }
    }

    @Test("Any history, at any revision, before and after any compactions, however little a step may look at", arguments: 1...40)
    func matchesModel(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var store = Store()
        // The same without values in memory.
        var coldStore = Store()
        var model = RecordModel()
        var byPosition: [Position: LogRow] = [:]
        var dropped: [Position] = []
        var steps = 0
        for _ in 0..<120 {
            if random.chance(0.08), store.revision > store.compactRevision {
                let revision = Revision(random.number(Int(max(store.compactRevision + 1, 0).rawValue)...Int(store.revision.rawValue)))
                let previous = store.compactRevision
                var rows: [LogRow] = []
                _ = try store.execute(.compact(revision: revision), header: header, origin: 1, rows: &rows)
                store.commit()
                for row in rows { coldStore.apply(row) }
                coldStore.commit()
                #expect(store.takeCompactions() == [Compaction(revision: revision, previous: previous)])
                let scan = HashScan(Compaction(revision: revision, previous: previous))
                #expect(scan.pinnedRevision == previous)
                // Nothing that it needs may go, and all else may.
                _ = store.collect(limit: random.number(0...100), keepingReadersAt: previous, into: &dropped)
                let expected = model.compact(to: revision)
                #expect(run(scan, &store, visits: random.number(1...60), byPosition) == expected)
                #expect(run(scan, &coldStore, visits: random.number(1...60), byPosition) == expected)
            } else if random.chance(0.2) {
                _ = store.collect(limit: random.number(0...100), keepingReadersAt: nil, into: &dropped)
            } else {
                var rows: [LogRow] = []
                _ = try? store.execute(requests(&random), header: header, origin: 1, rows: &rows)
                store.commit()
                for row in rows {
                    if row.kind == .put || row.kind == .delete { model.append(row) }
                    byPosition[row.position] = row
                    if row.kind == .put { coldStore.applyWithoutValue(row, byteCount: row.value.count) } else { coldStore.apply(row) }
                }
                coldStore.commit()
            }
            let first = store.compactRevision
            let revision = random.chance(0.5) ? store.revision : Revision(random.number(Int(first.rawValue)...Int(store.revision.rawValue)))
            let scan = HashScan(revision: revision, compactRevision: first)
            let expected = model.hash(at: revision)
            #expect(run(scan, &store, visits: random.number(1...60), byPosition) == expected, "revision \(revision) of \(store.revision)")
            #expect(run(scan, &coldStore, visits: random.number(1...60), byPosition) == expected)
            steps += 1
        }
        #expect(steps == 120)
        store.index.invariants()
    }

    @Test("A store without keys has the hash of the bucket's name, and a negative revision hashes no record")
    func empty() throws {
        var store = Store()
        #expect(run(HashScan(revision: 1, compactRevision: -1), &store, visits: 10, [:]) == 1_084_519_789)
        var rows: [LogRow] = []
        _ = try store.execute(.put(PutRequest(key: "a", value: "b")), header: header, origin: 1, rows: &rows)
        store.commit()
        #expect(run(HashScan(revision: -3, compactRevision: -1), &store, visits: 10, [:]) == 1_084_519_789)
        #expect(run(HashScan(revision: 2, compactRevision: -1), &store, visits: 10, [:]) != 1_084_519_789)
    }

    @Test("More records than a run holds are merged in order")
    func manyRuns() throws {
        var random = SeededGenerator(seed: 5)
        var store = Store()
        var model = RecordModel()
        for _ in 0..<30 {
            var rows: [LogRow] = []
            let puts = (0..<1_000).map { PutRequest(key: ByteString("k\(random.number(0...99))/\($0)"), value: ByteString("v")) }
            _ = try store.execute(.txn(TxnRequest(success: puts.map { .put($0) })), header: header, origin: 1, rows: &rows)
            store.commit()
            for row in rows { model.append(row) }
        }
        let scan = HashScan(revision: store.revision, compactRevision: -1)
        #expect(run(scan, &store, visits: 1_000, [:]) == model.hash(at: store.revision))
        #expect(run(HashScan(revision: 17, compactRevision: -1), &store, visits: 777, [:]) == model.hash(at: 17))
    }
}

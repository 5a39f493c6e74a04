// Owns: the judgement over a store after crashes: what was sent and heard, against what is in the tables and what is served.
import Bytes
import EtcdAPI
import TestSupport
import Testing

/// A row of the changelog, as psql prints it.
struct StoredRow {
    let revision: Int64
    let sub: Int
    let kind: Int
    let key: ByteString
    let value: ByteString
}

struct Verdict {
    let writes: [SentWrite]
    let rows: [StoredRow]

    /// `query` runs a query and gives rows with columns parted by `|`.
    init(_ writes: [SentWrite], _ query: (String) throws -> String) throws {
        self.writes = writes
        let text = try query(
            "select revision, sub, kind, encode(key, 'hex'), encode(value, 'hex') from pine.changelog order by revision, sub")
        rows = try text.split(separator: "\n").map { line in
            let columns = line.split(separator: "|", omittingEmptySubsequences: false)
            return StoredRow(
                revision: try #require(Int64(columns[0])), sub: try #require(Int(columns[1])), kind: try #require(Int(columns[2])),
                key: bytes(columns[3]), value: bytes(columns[4]))
        }
    }

    /// Every acknowledged write is there with its revision, whole; no other is there in part, twice, or without having been
    /// sent; revisions are dense.
    func judge() throws {
        var byRevision: [Int64: [StoredRow]] = [:]
        for row in rows { byRevision[row.revision, default: []].append(row) }
        let last = rows.last?.revision ?? 1
        #expect(byRevision.count == Int(last) - 1, "revisions 2...\(last) are dense")
        let sent = Dictionary(uniqueKeysWithValues: writes.map { ($0.tag, $0) })
        var stored: [ByteString: Int64] = [:]
        for (revision, rows) in byRevision.sorted(by: { $0.key < $1.key }) {
            try #require(rows.map(\.sub) == Array(0..<rows.count), "revision \(revision) numbers its rows from 0")
            let tags = Set(rows.filter { $0.kind == 1 }.map(\.value))
            let tag = try #require(tags.count == 1 ? tags.first : nil, "revision \(revision) is one request's: \(tags)")
            let write = try #require(sent[tag], "what revision \(revision) holds was sent")
            try #require(stored.updateValue(revision, forKey: tag) == nil, "\(tag) was done once")
            #expect(Set(rows.filter { $0.kind == 1 }.map(\.key)) == write.puts, "revision \(revision) is whole")
            // A key that wasn't there leaves no row.
            #expect(Set(rows.filter { $0.kind == 2 }.map(\.key)).isSubset(of: write.deletes))
        }
        for write in writes {
            switch write.fate {
            case .acknowledged(let revision): try #require(stored[write.tag] == revision, "\(write.tag) was acknowledged at \(revision)")
            case .declined: try #require(stored[write.tag] == nil, "\(write.tag) was declined")
            case .unknown: break
            }
        }
    }

    /// What is served is what the rows add up to, at the end and at every acknowledged revision.
    func compare(with client: EtcdClient) throws {
        var latest: [ByteString: KeyValue] = [:]
        // About a hundred points of the past.
        let revisions = Set(rows.map(\.revision)).sorted()
        let looked = Set(stride(from: 0, to: revisions.count, by: max(1, revisions.count / 100)).map { revisions[$0] })
        var states: [Int64: [ByteString: KeyValue]] = [:]
        for row in rows {
            if row.kind == 1 {
                let before = latest[row.key]
                latest[row.key] = KeyValue(
                    key: row.key, createRevision: before?.createRevision ?? row.revision, modRevision: row.revision,
                    version: (before?.version ?? 0) + 1, value: row.value)
            } else {
                latest[row.key] = nil
            }
            if looked.contains(row.revision) { states[row.revision] = latest }
        }
        let all = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))
        let now = try client.range(all)
        #expect(now.header?.revision == rows.last?.revision ?? 1)
        #expect(now.kvs == latest.values.sorted { $0.key < $1.key })
        for (revision, state) in states.sorted(by: { $0.key < $1.key }) {
            var past = all
            past.revision = revision
            #expect(try client.range(past).kvs == state.values.sorted { $0.key < $1.key })
        }
    }
}

private func bytes(_ hex: Substring) -> ByteString {
    let digits = Array(hex.utf8)
    return ByteString(
        stride(from: 0, to: digits.count, by: 2).map {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)!
        })
}

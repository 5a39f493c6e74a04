// Owns: the judgement over a store after crashes: what was sent and heard, against what is in the tables and what is served.
import Bytes
import EtcdAPI
import TestSupport
import Testing

/// A row of the changelog, as psql prints it.
struct StoredRow {
    let revision: Revision
    let sub: Int
    let kind: Int
    let key: ByteString
    let value: ByteString
    let lease: LeaseID
}

struct Verdict {
    let writes: [SentWrite]
    /// Puts and deletions, in the log's order.
    let rows: [StoredRow]
    /// The last revision of all, and the leases that have ended.
    let lastRevision: Revision
    let endedLeases: Set<LeaseID>

    /// `query` runs a query and gives rows with columns parted by `|`.
    init(_ writes: [SentWrite], _ query: (String) throws -> String) throws {
        self.writes = writes
        let text = try query(
            "select revision, sub, kind, encode(key, 'hex'), encode(value, 'hex'), lease from pine.changelog order by revision, sub")
        let all = try text.split(separator: "\n").map { line in
            let columns = line.split(separator: "|", omittingEmptySubsequences: false)
            return StoredRow(
                revision: try #require(Int64(columns[0]).map(Revision.init)), sub: try #require(Int(columns[1])),
                kind: try #require(Int(columns[2])),
                key: bytes(columns[3]), value: bytes(columns[4]), lease: try #require(Int64(columns[5]).map(LeaseID.init)))
        }
        // Grants and other entries beside them take no revision of their own.
        rows = all.filter { $0.kind == 1 || $0.kind == 2 }
        lastRevision = rows.last?.revision ?? 1
        endedLeases = Set(all.filter { $0.kind == 4 }.map(\.lease))
    }

    /// Every acknowledged write is there with its revision, whole; no other is there in part, twice, or without having been
    /// sent; revisions are dense.
    func judge() throws {
        var byRevision: [Revision: [StoredRow]] = [:]
        for row in rows { byRevision[row.revision, default: []].append(row) }
        #expect(byRevision.count == Int(lastRevision.rawValue) - 1, "revisions 2...\(lastRevision) are dense")
        let sent = Dictionary(uniqueKeysWithValues: writes.map { ($0.tag, $0) })
        var stored: [ByteString: Revision] = [:]
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
        var states: [Revision: [ByteString: KeyValue]] = [:]
        for row in rows {
            if row.kind == 1 {
                let before = latest[row.key]
                latest[row.key] = KeyValue(
                    key: row.key, createRevision: before?.createRevision ?? row.revision, modRevision: row.revision,
                    version: (before?.version ?? 0) + 1, value: row.value, lease: row.lease)
            } else {
                latest[row.key] = nil
            }
            if looked.contains(row.revision) { states[row.revision] = latest }
        }
        let all = RangeRequest(key: ByteString([0]), rangeEnd: ByteString([0]))
        let now = try client.range(all)
        #expect(now.header?.revision == lastRevision)
        #expect(now.kvs == latest.values.sorted { $0.key < $1.key })
        for (revision, state) in states.sorted(by: { $0.key < $1.key }) {
            var past = all
            past.revision = revision
            #expect(try client.range(past).kvs == state.values.sorted { $0.key < $1.key })
        }
    }

    /// Every read saw a state that the store was in: that of the revision in its header.
    func judge(_ seen: [SeenState]) throws {
        var history: [ByteString: [StoredRow]] = [:]
        for row in rows { history[row.key, default: []].append(row) }
        for state in seen {
            try #require(state.revision <= lastRevision, "a read was answered at revision \(state.revision), which never was")
            let last = history[state.key]?.last { $0.revision <= state.revision }
            let expected = last.flatMap { $0.kind == 1 ? $0 : nil }
            try #require(
                state.found?.modRevision == expected?.revision && state.found?.value == expected?.value,
                "\(state.key) was read at revision \(state.revision) as it never was")
        }
    }

    /// The watcher of all keys was told of every change once, in order.
    func judge(_ events: [WatchedEvent], by watcher: String) throws {
        try #require(events.count == rows.count, "\(watcher) was told of \(events.count) of \(rows.count) changes")
        for (event, row) in zip(events, rows) {
            try #require(
                event.revision == row.revision && event.key == row.key && event.isPut == (row.kind == 1) && event.value == row.value,
                "\(watcher) was told of \(event.key) at \(event.revision) where the log has \(row.key) at \(row.revision)")
        }
    }
}

private func bytes(_ hex: Substring) -> ByteString {
    func digit(_ character: UInt8) -> UInt8 {
        character < UInt8(ascii: "a") ? character &- UInt8(ascii: "0") : character &- UInt8(ascii: "a") &+ 10
    }
    var out: [UInt8] = []
    var high: UInt8?
    for character in hex.utf8 {
        if let first = high {
            out.append(first << 4 | digit(character))
            high = nil
        } else {
            high = digit(character)
        }
    }
    return ByteString(out)
}

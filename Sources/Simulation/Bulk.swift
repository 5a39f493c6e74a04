// Owns: what a heavy world's log holds from the start: many keys, and leases with many keys.
internal import Bytes
internal import EtcdAPI
internal import Keyspace
internal import Replica

/// The keys that are there from the start: all before those of any writer.
enum Bulk {
    static let range = (key: ByteString("B"), end: ByteString("C"))

    static func key(_ number: Int, bytes: Int) -> ByteString { padded("B\(10_000 + number)", to: bytes, with: "k") }

    /// Those of a lease.
    static func key(_ number: Int, of lease: LeaseID, bytes: Int) -> ByteString {
        padded("B\(lease)/\(10_000 + number)", to: bytes, with: "k")
    }

    static func padded(_ text: String, to bytes: Int, with letter: String) -> ByteString {
        ByteString(text + String(repeating: letter, count: max(bytes - text.utf8.count, 0)))
    }

    /// Leases of the start have ids that nobody else takes.
    static func lease(_ number: Int) -> LeaseID { LeaseID(Int64(100_000 + number)) }

    /// The rows that the log holds at the start, in batches of one revision each.
    static func rows(_ heavy: Heaviness) -> [LogRow] {
        var rows: [LogRow] = []
        var position = Position.start
        func put(_ key: ByteString, _ number: Int, lease: LeaseID) {
            // A transaction has at most 128 puts.
            let isNext = position.sub < 0 || number % 100 == 0 || rows.last?.kind != .put
            position = isNext ? Position(position.revision + 1, 0) : Position(position.revision, position.sub + 1)
            let value = padded("b\(rows.count)", to: heavy.bulkValueBytes, with: ".")
            rows.append(
                LogRow(
                    position: position, kind: .put, key: key, value: value, createRevision: position.revision, version: 1, lease: lease,
                    origin: 0))
        }
        for number in 0..<heavy.bulkKeyCount { put(key(number, bytes: heavy.bulkKeyBytes), number, lease: 0) }
        for (index, lease) in heavy.bulkLeases.enumerated() {
            let id = Self.lease(index)
            position = Position(position.revision, position.sub + 1)
            rows.append(LogRow(position: position, kind: .grant, version: lease.ttl, lease: id, origin: 0))
            for number in 0..<lease.keyCount { put(key(number, of: id, bytes: heavy.bulkKeyBytes), number, lease: id) }
        }
        return rows
    }
}

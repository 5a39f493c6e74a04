// Owns: what the tests of the log have in common: a fresh log in a database, and a writer that keeps its own picture of it.
import Bytes
import EtcdAPI
import Keyspace
import Logging
import Replica
import TestSupport

@testable import Changelog

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Settings for a fresh database of the shared server.
func freshSettings(on server: PostgresServer? = nil, migrate: Bool = true) throws -> LogSettings {
    let server = try server ?? PostgresServer.shared()
    let settings = LogSettings(conninfo: try server.newDatabase())
    if migrate { try Migrator(settings, logger: quiet).migrate() }
    return settings
}

/// A process that appends: knows the head as it believes it to be.
struct Writer {
    var head: Head
    var origin: Int64
    var batches: UInt64 = 0
    var rows: [LogRow] = []
    /// What rows are hashed under, for a test in which that matters.
    var key: DigestKey?

    init(head: Head, origin: Int64 = 1, key: DigestKey? = nil) {
        self.head = head
        self.origin = origin
        self.key = key
    }

    /// A batch of one transaction, whose rows put `pairs`.
    mutating func batch(_ pairs: [(key: ByteString, value: ByteString)]) -> AppendBatch {
        batches += 1
        let revision = head.position.revision + 1
        var digest = head.digest
        var made: [LogRow] = []
        for (index, pair) in pairs.enumerated() {
            var row = LogRow(
                position: Position(revision, Int32(index)), kind: .put, key: pair.key, value: pair.value,
                createRevision: revision, version: 1, lease: LeaseID(index), origin: origin)
            row.hash = digest.append(row, &key)
            made.append(row)
        }
        var newHead = head
        newHead.position = made[made.count - 1].position
        newHead.digest = digest
        return AppendBatch(
            number: batches, expectedDigest: head.digest, expectedEpoch: head.epoch, newHead: newHead, rows: made)
    }

    /// A batch of `count` small rows.
    mutating func batch(count: Int = 1, valueSize: Int = 10) -> AppendBatch {
        let value = ByteString(repeatElement(UInt8(ascii: "v"), count: valueSize))
        return batch((0..<count).map { (key: ByteString("key\($0)"), value: value) })
    }

    mutating func committed(_ batch: AppendBatch) {
        head = batch.newHead
        rows += batch.rows
    }
}

extension LogSession {
    /// Appends and expects that to work.
    func put(_ batch: AppendBatch, _ writer: inout Writer) throws {
        guard try append(batch) == .appended else { throw TestSupportError("a conflict where there is nobody else") }
        writer.committed(batch)
    }

    /// Deletes rows as the steward.
    func delete(_ positions: some Sequence<Position>) throws -> Int {
        _ = try keepDuty(holder: 1, termMs: 60_000)
        var deletion = Deletion.of(positions)
        deletion.digest = try readSweep().digest
        let outcome = try delete(deletion)
        guard case .deleted(let count, let digest) = outcome else { throw TestSupportError("not deleted: \(outcome)") }
        guard try readSweep().digest == digest else { throw TestSupportError("another digest") }
        return count
    }

    /// The whole log by tails of `limit` rows.
    func everything(limit: Int = 10_000) throws -> (rows: [LogRow], chunks: Int, head: Head) {
        var rows: [LogRow] = []
        var chunks = 0
        while true {
            let tail = try readTail(after: rows.last?.position ?? .start, limit: limit)
            rows += tail.rows
            chunks += 1
            if tail.reachesHead { return (rows, chunks, tail.head) }
        }
    }
}

extension Deletion {
    /// By holder 1, of rows that no compaction has to make dead.
    static func of(_ positions: some Sequence<Position>) -> Deletion {
        Deletion(
            number: 1, positions: Array(positions), compactRevision: -1, swept: .nothing, digest: SweepState.start.digest,
            after: .nothing, holder: 1)
    }
}

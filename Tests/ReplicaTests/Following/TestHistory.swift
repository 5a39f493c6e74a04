// Owns: a history of rows for tests, and the tails that a log of it would answer with.
import Bytes
import EtcdAPI
import Keyspace
import TestSupport

@testable import Replica

/// A log's rows, and where each of its appends ended.
struct TestHistory {
    typealias Point = UnverifiedRows.Point

    private(set) var rows: [LogRow] = []
    private(set) var ends: [Point] = [Point(position: .start, digest: .start)]
    /// What the head says of compaction.
    var compactRevision: Revision = -1

    var end: Point { ends[ends.count - 1] }

    var head: Head { head(at: end) }

    func head(at end: Point) -> Head {
        Head(clusterID: 7, position: end.position, digest: end.digest, epoch: 0, compactRevision: compactRevision)
    }

    /// Appends a transaction of so many rows at the next revision.
    mutating func append(_ rowCount: Int = 1, value: ByteString = "v") {
        append((0..<rowCount).map { Position(end.position.revision + 1, Int32($0)) }, value)
    }

    /// Appends some rows: transactions of several, or rows that take no revision.
    mutating func append(_ generator: inout SeededGenerator, value: ByteString) {
        var positions: [Position] = []
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            let last = positions.last ?? end.position
            let isSub = last.revision > 1 && Bool.random(using: &generator)
            positions.append(isSub ? Position(last.revision, last.sub + 1) : Position(last.revision + 1, 0))
        }
        append(positions, value)
    }

    private mutating func append(_ positions: [Position], _ value: ByteString) {
        var point = end
        for position in positions {
            let row = LogRow(position: position, kind: .put, key: "k", value: value, createRevision: 2, version: 1, origin: 1)
            rows.append(row)
            point = Point(position: position, digest: point.digest.appending(row))
        }
        ends.append(point)
    }

    /// The tail after a position, as it was when the log ended at one of `ends`.
    func tail(after position: Position, endingAt end: Point, limit: Int = .max) -> Tail {
        let rest = rows.filter { $0.position > position && $0.position <= end.position }
        return Tail(head: head(at: end), rows: Array(rest.prefix(limit)), reachesHead: rest.count <= limit)
    }

    func tail(after position: Position = .start, limit: Int = .max) -> Tail { tail(after: position, endingAt: end, limit: limit) }

    /// What is left once compaction has deleted the rows before a position.
    mutating func delete(before position: Position) { rows.removeAll { $0.position < position } }
}

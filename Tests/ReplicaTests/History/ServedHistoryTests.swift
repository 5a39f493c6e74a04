import Bytes
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("What was served of a history", .ownThreads)
struct ServedHistoryTests {
    private static func mark(_ point: UnverifiedRows.Point, clusterID: Int64 = 7) -> ServedMark {
        ServedMark(clusterID: clusterID, position: point.position, digest: point.digest)
    }

    /// The highest revision that is lost from a log of which a process served up to `point`.
    private static func lost(_ point: UnverifiedRows.Point, from log: TestHistory) -> Revision? {
        var history = ServedHistory([mark(point)])
        history.passed(log.rows)
        return history.lostRevision(from: log.head)
    }

    /// A log that parts from ours after `common` appends.
    private static func histories(common: Int, ours: Int, others: Int) -> (ours: TestHistory, other: TestHistory) {
        var history = TestHistory()
        for _ in 0..<common { history.append() }
        var (first, second) = (history, history)
        for _ in 0..<ours { first.append(value: "ours") }
        for _ in 0..<others { second.append(value: "other") }
        return (first, second)
    }

    @Test("whatever was served, and wherever histories part, it is lost exactly where the log doesn't have it")
    func everyParting() {
        for common in 0...4 {
            for ours in 0...3 {
                for others in 0...4 {
                    let (history, log) = Self.histories(common: common, ours: ours, others: others)
                    for (count, point) in history.ends.enumerated() {
                        let expected = count > common ? point.position.revision : nil
                        #expect(Self.lost(point, from: log) == expected, "\(count) of \(common)+\(ours), and the log has \(others) more")
                    }
                }
            }
        }
    }

    @Test("of several marks the highest counts that is lost")
    func highest() {
        let (ours, log) = Self.histories(common: 3, ours: 2, others: 4)
        var history = ServedHistory(ours.ends.map { Self.mark($0) })
        history.passed(log.rows)
        #expect(history.served == ours.ends.map { Self.mark($0) })
        #expect(history.lostRevision(from: log.head) == ours.end.position.revision)
        #expect(ServedHistory([]).lostRevision(from: log.head) == nil)
    }

    @Test("what was served of another store is no matter, nor what lies before a compaction: who stands there is told")
    func closedMarks() {
        var (ours, log) = Self.histories(common: 3, ours: 2, others: 4)
        var foreign = ServedHistory([Self.mark(ours.end, clusterID: 8)])
        foreign.passed(log.rows)
        #expect(foreign.lostRevision(from: log.head) == nil)
        let revision = ours.end.position.revision
        for compactRevision in [revision, revision + 1, revision + 2] {
            log.compactRevision = compactRevision
            // The revision before the compacted one may still be gone on from.
            #expect(Self.lost(ours.end, from: log) == (compactRevision <= revision + 1 ? revision : nil))
        }
    }

    @Test("a comparison that begins anew forgets the rows that it was given")
    func anew() {
        let (ours, log) = Self.histories(common: 3, ours: 0, others: 2)
        var history = ServedHistory([Self.mark(ours.end)])
        // Of a load that was cut, and comes again.
        history.passed(Array(log.rows.prefix(4)))
        history.loadingBegan()
        history.passed(log.rows)
        #expect(history.lostRevision(from: log.head) == nil)
    }

    @Test("rows behind the store's key are compared under it")
    func keyed() {
        let key = DigestKey(3, 4)
        var point = UnverifiedRows.Point(position: .start, digest: .start)
        var current: DigestKey?
        var rows = [key.row(at: Position(1, 0), origin: 1)]
        for revision in 2...5 as ClosedRange<Revision> {
            rows.append(LogRow(position: Position(revision, 0), kind: .put, key: "k", createRevision: revision, version: 1, origin: 1))
        }
        var points: [UnverifiedRows.Point] = []
        for row in rows {
            _ = point.digest.append(row, &current)
            point.position = row.position
            points.append(point)
        }
        let head = Head(clusterID: 7, position: point.position, digest: point.digest, epoch: 0, compactRevision: -1)
        for served in points {
            var history = ServedHistory([Self.mark(served)])
            history.passed(rows)
            #expect(history.lostRevision(from: head) == nil)
        }
    }

    @Test("a raise moves the log past all that it had, compacts what is before, and adds up")
    func raise() {
        var log = TestHistory()
        for _ in 0..<3 { log.append() }
        let batch = AppendBatch.raising(log.head, key: nil, to: 1_000, number: 4, origin: 9)
        #expect(batch.number == 4 && batch.expectedDigest == log.end.digest && batch.newHead.compactRevision == 1_000)
        #expect(batch.rows.map(\.position) == [Position(1_000, 0)] && batch.rows[0].kind == .compact && batch.rows[0].origin == 9)
        #expect(batch.newHead.position == Position(1_000, 0) && batch.newHead.digest == log.end.digest.appending(batch.rows[0]))
        // Whoever has served something before is done with it.
        #expect(!Self.mark(log.end).isOpen(at: batch.newHead))
    }
}

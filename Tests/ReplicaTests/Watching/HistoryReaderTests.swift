import Bytes
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The reader of history for watchers", .ownThreads)
struct HistoryReaderTests {
    private static func row(_ revision: Revision, _ sub: Int32 = 0) -> LogRow {
        LogRow(position: Position(revision, sub), kind: .put, key: "k", createRevision: 1, version: 1, origin: 1)
    }

    private static func head(_ revision: Revision, compactRevision: Revision = -1) -> Head {
        Head(clusterID: 1, position: Position(revision, 0), digest: .start, epoch: 1, compactRevision: compactRevision)
    }

    private static func rows(_ taken: HistoryReader.Taken?) -> HistoryReader.Rows? {
        if case .rows(let rows) = taken { rows } else { nil }
    }

    @Test("a cut answer ends before its last revision, one that reaches the head ends there")
    func ends() {
        var reader = HistoryReader()
        let committed = Position(9, 0)
        let question = reader.ask(from: 3, committed: committed)
        #expect(question.after < Position(3, 0) && question.after > Position(2, 5))
        reader.answered(Tail(head: Self.head(9), rows: [Self.row(3), Self.row(4), Self.row(5)], reachesHead: false))
        #expect(reader.answer?.since == committed)
        let cut = Self.rows(reader.take(committed: committed))
        #expect(cut?.rows == [Self.row(3), Self.row(4)] && cut?.start == 3 && cut?.end == 4)
        #expect(!reader.isReading)
        _ = reader.ask(from: 5, committed: committed)
        reader.answered(Tail(head: Self.head(10), rows: [Self.row(5), Self.row(9), Self.row(10)], reachesHead: true))
        let whole = Self.rows(reader.take(committed: committed))
        #expect(whole?.rows == [Self.row(5), Self.row(9)] && whole?.end == 9, "what is not folded yet comes when it is")
    }

    @Test("a revision that one answer doesn't hold is read on until it is whole")
    func long() {
        var reader = HistoryReader()
        let committed = Position(4, 0)
        _ = reader.ask(from: 3, committed: committed)
        reader.answered(Tail(head: Self.head(4), rows: [Self.row(3), Self.row(3, 1)], reachesHead: false))
        guard case .readOn(let question) = reader.take(committed: committed) else {
            Issue.record("a part of a revision was handed out")
            return
        }
        #expect(question.after == Position(3, 1) && reader.isReading)
        reader.invariants()
        reader.answered(Tail(head: Self.head(4), rows: [Self.row(3, 2), Self.row(4)], reachesHead: true))
        #expect(Self.rows(reader.take(committed: committed))?.rows == [Self.row(3), Self.row(3, 1), Self.row(3, 2), Self.row(4)])
    }

    @Test("answers that nobody wants any more come first, and are thrown away")
    func stale() {
        var reader = HistoryReader()
        _ = reader.ask(from: 3, committed: Position(9, 0))
        reader.forget()
        _ = reader.ask(from: 5, committed: Position(9, 0))
        let failed = reader.failed()
        #expect(!failed && reader.isReading, "that was the first one's")
        reader.answered(Tail(head: Self.head(9), rows: [], reachesHead: true))
        #expect(reader.answer != nil)
        reader.forget()
        let wasWanted = reader.failed()
        #expect(wasWanted, "its answer had come: none is owed")
        let taken = reader.take(committed: Position(9, 0)) == nil
        #expect(taken)
    }

    @Test("who stands below the compaction is not taken past rows that may be gone")
    func compacted() {
        var reader = HistoryReader()
        _ = reader.ask(from: 3, committed: Position(9, 0))
        reader.answered(Tail(head: Self.head(9, compactRevision: 6), rows: [Self.row(7)], reachesHead: true))
        let rows = Self.rows(reader.take(committed: Position(9, 0)))
        #expect(rows?.start == 6 && rows?.end == 9)
    }
}

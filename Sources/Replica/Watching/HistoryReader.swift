// Owns: the read of old rows for watchers that are far behind: what was asked, and what has come of it.
// Must never: hand rows out before somebody has judged that they are of our history, or a part of a revision as a whole one.
//
//   idle ── asked ──▶ reading ── answered ──▶ judged by the host ── ours ──▶ idle, or reading on in the middle of a revision
//             ▲                                      │
//             └──────────── asked again ─────────────┘
//
// Invariants: one read is wanted at most; each is answered once, in order, those that are not wanted any more first.
internal import Bytes
internal import EtcdAPI
internal import Keyspace

struct HistoryReader {
    /// A read that has to be sent: rows after a position.
    struct Question: Equatable {
        var after: Position
    }

    /// Rows of whole revisions, from `start` through `end`.
    struct Rows {
        var rows: [LogRow]
        var start: Revision
        var end: Revision
    }

    enum Taken {
        case rows(Rows)
        /// The answer ends in the middle of its only revision.
        case readOn(Question)
    }

    private struct Read {
        /// The lowest revision that is wanted.
        var start: Revision
        /// After what the log is being read, and how far it was known to go by then.
        var after: Position
        var since: Position
    }

    private var read: Read?
    /// What was read, and not yet known to be of our history.
    private var tail: Tail?
    /// What has come so far of a revision that one read does not hold.
    private var begun: [LogRow] = []
    /// Reads whose answers are not wanted any more.
    private var staleCount = 0

    /// Whether an answer is awaited, or not yet taken.
    var isReading: Bool { read != nil }

    /// The head that came with the answer, and how far the log was known to go when it was asked.
    var answer: (head: Head, since: Position)? {
        guard let read, let tail else { return nil }
        return (tail.head, read.since)
    }

    /// - Parameter committed: how far the log is known to go.
    mutating func ask(from start: Revision, committed: Position) -> Question {
        ask(from: start, after: Position(start - 1, .max), committed)
    }

    private mutating func ask(from start: Revision, after: Position, _ committed: Position) -> Question {
        read = Read(start: start, after: after, since: committed)
        tail = nil
        return Question(after: after)
    }

    /// The same again: nobody can tell whether the answer is of our history.
    mutating func askAgain(committed: Position) -> Question? {
        guard let read else { return nil }
        return ask(from: read.start, after: read.after, committed)
    }

    mutating func answered(_ tail: Tail) {
        guard !isStaleAnswer(), read != nil else { return }
        self.tail = tail
    }

    /// False where nobody wanted the answer.
    mutating func failed() -> Bool {
        guard !isStaleAnswer() else { return false }
        clear()
        return true
    }

    /// Nobody wants the answer that may be on its way.
    mutating func forget() {
        if read != nil, tail == nil { staleCount += 1 }
        clear()
    }

    private mutating func clear() {
        read = nil
        tail = nil
        begun = []
    }

    private mutating func isStaleAnswer() -> Bool {
        guard staleCount > 0 else { return false }
        staleCount -= 1
        return true
    }

    /// The answer is of our history: takes it. nil where there is none.
    mutating func take(committed: Position) -> Taken? {
        guard let read, let tail else { return nil }
        self.read = nil
        self.tail = nil
        var rows: [LogRow] = []
        swap(&rows, &begun)
        rows.append(contentsOf: tail.rows)
        // What we have not folded ourselves comes when it is committed here; what we have since this was read comes next.
        var end = min(committed.revision, tail.head.position.revision)
        if let last = rows.last, !tail.reachesHead, last.position <= committed {
            // The last revision may have been cut. One that a whole read doesn't hold is read on.
            guard rows[0].position.revision < last.position.revision else {
                swap(&rows, &begun)
                return .readOn(ask(from: read.start, after: last.position, committed))
            }
            end = last.position.revision - 1
        }
        if let beyond = rows.lastIndex(where: { $0.position.revision <= end }) { rows.removeSubrange((beyond + 1)...) } else { rows = [] }
        // Rows below a compaction may be gone. Who still stands there has the rows in memory, where none is missing, and only waits
        // for values.
        return .rows(Rows(rows: rows, start: max(read.start, tail.head.compactRevision), end: end))
    }

    func invariants() {
        invariant(tail == nil || read != nil, "rows were read that nobody asked for")
        invariant(begun.isEmpty || read != nil, "a part of a revision was read and the rest is not asked for")
    }
}

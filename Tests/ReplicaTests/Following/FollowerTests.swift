import Bytes
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The follower", .ownThreads)
struct FollowerTests {
    private typealias Point = UnverifiedRows.Point

    private static let start = Instant(nanoseconds: 0)

    private static func follower(_ configure: (inout ReplicaConfiguration) -> Void = { _ in }) -> Follower {
        var configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        configure(&configuration)
        return Follower(configuration)
    }

    /// Folds all pieces, one a turn, and ends the fold. Gives the pieces, and the end.
    private static func fold(_ follower: inout Follower) -> (pieces: [[LogRow]], end: Follower.End) {
        var pieces: [[LogRow]] = []
        while true {
            let piece = follower.takePiece()
            follower.invariants()
            guard let piece else { violated("no piece is left of a fold that has not ended") }
            pieces.append(piece.rows)
            if piece.end != nil { return (pieces, follower.foldingEnded()) }
            let second = follower.takePiece()
            #expect(second == nil, "one a turn")
            follower.turnEnded()
        }
    }

    // MARK: Reading

    @Test("one tail is read at a time, from where folding has come to")
    func oneAtATime() {
        var follower = Self.follower()
        let after = follower.tailReadStarted(committed: Position(5, 0), now: Self.start)
        #expect(after == Position(5, 0) && follower.isReading)
        follower.invariants()
        let second = follower.tailReadStarted(committed: Position(5, 0), now: Self.start)
        #expect(second == nil)
        let isOurs = follower.tailReadFailed()
        #expect(isOurs && !follower.isReading)
        let isAnswer = follower.tailReadFailed()
        #expect(!isAnswer, "nothing was asked")
        let third = follower.tailReadStarted(committed: Position(6, 0), now: Self.start)
        #expect(third == Position(6, 0))
    }

    @Test("the log is polled the less often the longer nothing comes, and often again once something does; a hint doesn't wait")
    func polling() {
        let (least, most) = (50, 300)
        var follower = Self.follower {
            $0.pollIntervalMinMs = least
            $0.pollIntervalMaxMs = most
        }
        var history = TestHistory()
        var now = Self.start
        for expected in [100, 200, 300, 300] {
            #expect(follower.isPollDue(now) == true)
            _ = follower.tailReadStarted(committed: .start, now: now)
            let answer = follower.tailRead(history.tail(), committed: .start, now: now)
            #expect(answer == .tail(since: .start))
            #expect(follower.nextPoll == now.advanced(byMs: expected))
            now = now.advanced(byMs: expected)
        }
        history.append()
        _ = follower.tailReadStarted(committed: .start, now: now)
        _ = follower.tailRead(history.tail(), committed: .start, now: now)
        #expect(follower.nextPoll == now.advanced(byMs: least) && !follower.isPollDue(now))
        follower.hinted()
        #expect(follower.isPollDue(now) == true)
        follower.hintsFolded()
        #expect(follower.isPollDue(now) == false)
        follower.hinted()
        _ = follower.tailReadStarted(committed: .start, now: now)
        #expect(follower.isPollDue(now) == false, "this read tells of what was hinted at")
        now = now.advanced(byMs: 7)
        follower.appended(now)
        #expect(follower.nextPoll == now.advanced(byMs: least))
    }

    // MARK: Folding

    @Test("rows are handed out in pieces of whole revisions, one a turn, the first of a tail at once")
    func pieces() {
        var follower = Self.follower { $0.foldRowLimit = 2 }
        var history = TestHistory()
        for rowCount in [1, 3, 1, 2, 1] { history.append(rowCount) }
        let verdict = follower.tailCame(history.tail(), since: .start, onto: history.ends[0], key: nil)
        #expect(verdict == .known(hasRows: true) && follower.isFolding && follower.isBehind)
        let during = follower.tailReadStarted(committed: .start, now: Self.start)
        #expect(during == nil, "what is being folded comes first")
        let (pieces, end) = Self.fold(&follower)
        #expect(pieces.map(\.count) == [4, 3, 1] && pieces.flatMap { $0 } == history.rows)
        #expect(end.isAtHead && !end.asksAgain && end.head == history.head && !follower.isBehind)
        #expect(follower.headRevision == history.end.position.revision)
        // In the same turn.
        history.append()
        _ = follower.tailCame(history.tail(after: history.ends[5].position), since: .start, onto: history.ends[5], key: nil)
        #expect(Self.fold(&follower).pieces.map(\.count) == [1])
    }

    @Test("a tail without rows is news, too: the fold is at its head")
    func nothingNew() {
        var follower = Self.follower()
        let history = TestHistory()
        let verdict = follower.tailCame(history.tail(), since: .start, onto: history.end, key: nil)
        #expect(verdict == .known(hasRows: false))
        let (pieces, end) = Self.fold(&follower)
        #expect(pieces == [[]] && end.isAtHead)
    }

    @Test("a tail that comes while another is being folded is read again after that")
    func busy() {
        var follower = Self.follower { $0.foldRowLimit = 1 }
        var history = TestHistory()
        for _ in 0..<3 { history.append() }
        _ = follower.tailCame(history.tail(), since: .start, onto: history.ends[0], key: nil)
        let verdict = follower.tailCame(history.tail(), since: .start, onto: history.ends[0], key: nil)
        #expect(verdict == .busy)
        #expect(Self.fold(&follower).end.asksAgain)
    }

    @Test("a tail that a limit has cut shows nothing until the head is reached; then all is handed out")
    func cut() {
        var follower = Self.follower()
        var history = TestHistory()
        for _ in 0..<4 { history.append() }
        let first = follower.tailReadStarted(committed: .start, now: Self.start)
        #expect(first == .start)
        let tail = history.tail(limit: 3)
        _ = follower.tailRead(tail, committed: .start, now: Self.start)
        let verdict = follower.tailCame(tail, since: .start, onto: history.ends[0], key: nil)
        #expect(verdict == .known(hasRows: false))
        let waiting = Self.fold(&follower)
        #expect(waiting.pieces == [[]] && !waiting.end.isAtHead && follower.isBehind && !follower.isFolding)
        let next = follower.tailReadStarted(committed: .start, now: Self.start)
        #expect(next == history.rows[2].position)
        follower.invariants()
        let rest = history.tail(after: history.rows[2].position)
        let answer = follower.tailRead(rest, committed: .start, now: Self.start)
        #expect(answer == .tail(since: history.rows[2].position))
        _ = follower.tailCame(rest, since: history.rows[2].position, onto: history.ends[0], key: nil)
        let whole = Self.fold(&follower)
        #expect(whole.pieces == [history.rows] && whole.end.isAtHead && !follower.isBehind)
    }

    // MARK: Other histories, gaps

    @Test("a log that ends before what was known of it has lost something; so has one whose many rows lead elsewhere")
    func otherHistory() {
        var follower = Self.follower { $0.foldRowLimit = 2 }
        var (ours, other) = (TestHistory(), TestHistory())
        ours.append(value: "ours")
        other.append(value: "other")
        for _ in 0..<3 { other.append() }
        let shorter = follower.tailCame(other.tail(), since: Position(9, 0), onto: ours.end, key: nil)
        #expect(shorter == .otherHistory)
        let elsewhere = follower.tailCame(other.tail(after: ours.end.position), since: .start, onto: ours.end, key: nil)
        #expect(elsewhere == .otherHistory && !follower.isFolding)
        // Few rows are looked at by the host once it has applied them.
        let few = other.tail(after: ours.end.position, endingAt: other.ends[2])
        let verdict = follower.tailCame(few, since: .start, onto: ours.end, key: nil)
        #expect(verdict == .known(hasRows: true))
        let piece = follower.takePiece()
        #expect(piece?.end == other.ends[2])
    }

    @Test("a tail that others have compacted past what was folded may have a gap, unless its rows lead to its head")
    func gaps() {
        var history = TestHistory()
        for _ in 0..<9 { history.append() }
        history.compactRevision = history.ends[6].position.revision
        let folded = history.ends[2]
        var whole = Self.follower()
        let known = whole.tailCame(history.tail(after: folded.position), since: .start, onto: folded, key: nil)
        #expect(known == .known(hasRows: true), "nothing was deleted yet")
        var cut = Self.follower()
        let unknown = cut.tailCame(history.tail(after: folded.position, limit: 2), since: .start, onto: folded, key: nil)
        #expect(unknown == .gap, "whether something is missing can't be told")
        history.delete(before: history.ends[5].position)
        var follower = Self.follower()
        let gap = follower.tailCame(history.tail(after: folded.position), since: .start, onto: folded, key: nil)
        #expect(gap == .gap && !follower.isBehind)
        let kept = follower.tailCame(history.tail(after: history.ends[5].position), since: .start, onto: history.ends[5], key: nil)
        #expect(kept == .known(hasRows: true), "compaction leaves the compact revision and the one before")
    }

    // MARK: Loading anew

    @Test("where the log is loaded anew what was known is forgotten, and an answer from before counts for nothing")
    func reload() {
        var follower = Self.follower { $0.foldRowLimit = 1 }
        var history = TestHistory()
        for _ in 0..<3 { history.append() }
        _ = follower.tailReadStarted(committed: .start, now: Self.start)
        _ = follower.tailCame(history.tail(), since: .start, onto: history.ends[0], key: nil)
        follower.loadingBegan()
        #expect(!follower.isReading && !follower.isBehind)
        let none = follower.takePiece()
        #expect(none == nil)
        follower.servingBegan(at: 2)
        #expect(follower.headRevision == 2, "what was known of the old log's head is forgotten")
        _ = follower.tailReadStarted(committed: Position(2, 0), now: Self.start)
        let stale = follower.tailRead(history.tail(), committed: Position(2, 0), now: Self.start)
        #expect(stale == .stale && follower.isReading)
        let answer = follower.tailRead(history.tail(after: Position(2, 0)), committed: Position(2, 0), now: Self.start)
        #expect(answer == .tail(since: Position(2, 0)))
    }

    @Test("a process so far behind that rows are forgotten reads them again, and each is folded once", arguments: [0, 400, 1 << 20])
    func farBehind(unverifiedByteLimit: Int) {
        var generator = SeededGenerator(seed: testSeed("FollowerTests.farBehind \(unverifiedByteLimit)"))
        for _ in 0..<100 {
            var history = TestHistory()
            for _ in 0..<Int.random(in: 1...20, using: &generator) { history.append(&generator, value: "v") }
            var follower = Self.follower {
                $0.unverifiedByteLimit = unverifiedByteLimit
                $0.foldRowLimit = Int.random(in: 1...5, using: &generator)
            }
            var folded = history.ends[0]
            var rows: [LogRow] = []
            var reads = 0
            while folded != history.end || follower.isBehind, reads < 1_000 {
                reads += 1
                let after = follower.tailReadStarted(committed: folded.position, now: Self.start)
                // Some tails come of lost races meanwhile, and begin where folding has come to.
                if Int.random(in: 0..<3, using: &generator) == 0 {
                    follow(history.tail(after: folded.position, limit: 3), .start, &follower, &folded, &rows)
                }
                let tail = history.tail(after: after ?? folded.position, limit: Int.random(in: 1...6, using: &generator))
                if case .tail(let since) = follower.tailRead(tail, committed: folded.position, now: Self.start) {
                    follow(tail, since, &follower, &folded, &rows)
                }
                follower.invariants()
            }
            #expect(rows == history.rows)
        }
    }

    private func follow(
        _ tail: Tail, _ since: Position, _ follower: inout Follower, _ folded: inout Point, _ rows: inout [LogRow]
    ) {
        let verdict = follower.tailCame(tail, since: since, onto: folded, key: nil)
        guard case .known = verdict else {
            Issue.record("\(verdict) of a tail of the same history")
            return
        }
        for row in Self.fold(&follower).pieces.joined() {
            rows.append(row)
            folded = Point(position: row.position, digest: folded.digest.appending(row))
        }
        follower.turnEnded()
    }
}

import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The phases", .ownThreads)
struct PhaseTests {
    private static let start = Instant(nanoseconds: 0)

    private static func mark(_ revision: Revision, digest: Int64 = 1) -> ServedMark {
        ServedMark(clusterID: 7, position: Position(revision, 0), digest: Digest(rawValue: digest))
    }

    private static func head(_ revision: Revision, digest: Int64 = 1, compactRevision: Revision = -1) -> Head {
        Head(
            clusterID: 7, position: Position(revision, 0), digest: Digest(rawValue: digest), epoch: 0, compactRevision: compactRevision)
    }

    private static func end(_ head: Head) -> UnverifiedRows.Point { UnverifiedRows.Point(position: head.position, digest: head.digest) }

    /// A phase whose log was loaded to its end.
    private static func serving() -> Phase {
        var phase = Phase(served: [])
        _ = phase.loadFinished(head(5), at: end(head(5)), now: start)
        return phase
    }

    @Test("a log whose rows add up, and that lacks nothing that was served, is served")
    func loaded() {
        var phase = Phase(served: [Self.mark(5)])
        #expect(phase.isLoading && !phase.isLoaded && !phase.isServing && phase.comparedMarks == [Self.mark(5)])
        phase.rowsLoaded([])
        let outcome = phase.loadFinished(Self.head(5), at: Self.end(Self.head(5)), now: Self.start)
        #expect(outcome == .whole && phase.isServing && phase.isLoaded && !phase.isLoading && phase.comparedMarks.isEmpty)
        phase.invariants()
    }

    @Test("a log that lacks what was served is moved past it before it is served")
    func raising() {
        var phase = Phase(served: [Self.mark(4), Self.mark(9)])
        let outcome = phase.loadFinished(Self.head(5), at: Self.end(Self.head(5)), now: Self.start)
        #expect(outcome == .lost(9) && phase.isLoading)
        phase.raiseSent(3, from: 5)
        #expect(phase.isRaising(by: 3) && !phase.isRaising(by: 2) && !phase.isLoaded && !phase.isLoading)
        let from = phase.raised()
        #expect(from == 5 && phase.isServing && !phase.isRaising(by: 3))
    }

    @Test("where the raise fails the log is loaded again, and compared with the same marks")
    func raiseFailed() {
        var phase = Phase(served: [Self.mark(9)])
        _ = phase.loadFinished(Self.head(5), at: Self.end(Self.head(5)), now: Self.start)
        phase.raiseSent(1, from: 5)
        phase.loadingBegan(after: [])
        #expect(phase.isLoading && phase.comparedMarks == [Self.mark(9)])
        // Another process has raised it.
        let raised = Self.head(1_005, compactRevision: 1_005)
        let outcome = phase.loadFinished(raised, at: Self.end(raised), now: Self.start)
        #expect(outcome == .whole && phase.isServing)
    }

    @Test("a lost append is settled by a tail of the epoch that was raised for it, and no older one")
    func recovery() {
        var phase = Self.serving()
        let notLost = phase.epochRaised(to: 3)
        #expect(notLost == nil && phase.isServing && !phase.isSettled(at: 3))
        phase.appendLost(since: Position(5, 0))
        #expect(phase.isRecovering && phase.isLoaded && !phase.isServing && !phase.isSettled(at: 9), "its epoch was not raised yet")
        let since = phase.epochRaised(to: 3)
        #expect(since == Position(5, 0) && phase.isRecovering)
        #expect(!phase.isSettled(at: 2) && phase.isSettled(at: 3) && phase.isSettled(at: 4))
        phase.recovered()
        #expect(phase.isServing && !phase.isSettled(at: 3))
    }

    @Test("an answer to a recovery from before the log was loaded anew changes nothing")
    func lateRecovery() {
        var phase = Self.serving()
        phase.appendLost(since: Position(5, 0))
        phase.loadingBegan(after: [Self.mark(5)])
        let since = phase.epochRaised(to: 3)
        #expect(since == nil && phase.isLoading && phase.comparedMarks == [Self.mark(5)])
        phase.raiseSent(1, from: 5)
        let raising = phase.epochRaised(to: 3)
        #expect(raising == nil && phase.isRaising(by: 1))
    }

    @Test("what is served of a memory is what the next one is compared with, and no more")
    func marksOfServing() {
        var phase = Phase(served: [Self.mark(4)])
        let head = Self.head(5, digest: 2)
        let outcome = phase.loadFinished(head, at: Self.end(head), now: Self.start)
        #expect(outcome == .lost(4))
        phase.raiseSent(1, from: 5)
        _ = phase.raised()
        phase.loadingBegan(after: [Self.mark(8)])
        #expect(phase.comparedMarks == [Self.mark(8)])
    }

    @Test("a damaged log is loaded again, later each time that it is damaged still")
    func damage() {
        var phase = Phase(served: [Self.mark(3, digest: 2)])
        var now = Self.start
        for pauseMs in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            let outcome = phase.loadFinished(Self.head(5), at: Self.end(Self.head(4)), now: now)
            #expect(outcome == .damaged(retryMs: pauseMs) && phase.isLoading)
            phase.loadingBegan(after: [])
            phase.invariants()
            #expect(phase.comparedMarks == [Self.mark(3, digest: 2)])
            now = now.advanced(byMs: pauseMs - 1)
            let early = phase.isRetryDue(now)
            now = now.advanced(byMs: 1)
            let due = phase.isRetryDue(now)
            let again = phase.isRetryDue(now)
            #expect(!early && due && !again, "after \(pauseMs) ms, once")
        }
        let outcome = phase.loadFinished(Self.head(5), at: Self.end(Self.head(5)), now: now)
        #expect(outcome == .lost(3), "it differs from what was served there")
        let due = phase.isRetryDue(now.advanced(byMs: 100_000))
        #expect(!due)
    }

    @Test("rows that were deleted, or came without their values, are no damage", arguments: [false, true])
    func noDamage(isCompacted: Bool) {
        var phase = Phase(served: [])
        if !isCompacted { phase.rowsLoadedWithoutValues([]) }
        let head = Self.head(5, compactRevision: isCompacted ? 3 : -1)
        let outcome = phase.loadFinished(head, at: Self.end(Self.head(4)), now: Self.start)
        #expect(outcome == .whole)
    }

    @Test("rows that come again from the start, with their values, are looked at anew")
    func restarted() {
        var phase = Phase(served: [])
        phase.rowsLoadedWithoutValues([])
        phase.loadRestarted()
        phase.rowsLoaded([])
        let outcome = phase.loadFinished(Self.head(5), at: Self.end(Self.head(4)), now: Self.start)
        #expect(outcome == .damaged(retryMs: 1_000))
    }
}

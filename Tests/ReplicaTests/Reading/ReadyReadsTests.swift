import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("Reads that wait for their turn", .ownThreads)
struct ReadyReadsTests {
    private static func read(_ number: UInt64, _ kind: PendingRead.Kind = .range(RangeRequest(key: "k")), atMs: Int = 0) -> PendingRead {
        PendingRead(id: CallID(rawValue: number), kind: kind, arrivedAt: Instant(nanoseconds: 0).advanced(byMs: atMs))
    }

    private static func budget(_ visits: Int) -> TurnBudget {
        var budget = TurnBudget(ReplicaConfiguration(origin: 1, memberID: 1))
        budget.visits = visits
        return budget
    }

    @Test("a read passes where no other waits and the turn has room; one that takes as long in any store always does")
    func passing() {
        var ready = ReadyReads()
        #expect(ready.lets(Self.read(1), pass: Self.budget(1)))
        #expect(!ready.lets(Self.read(1), pass: Self.budget(0)))
        ready.arrived(Self.read(1))
        #expect(!ready.lets(Self.read(2), pass: Self.budget(1)))
        #expect(ready.lets(Self.read(2, .revision(.nothing)), pass: Self.budget(0)))
    }

    @Test("reads are handed out in their order, as far as the turn goes")
    func order() {
        var ready = ReadyReads()
        for number in 1...3 as ClosedRange<UInt64> { ready.arrived(Self.read(number)) }
        let handedOut = [1, 1, 0, 1, 1].map { ready.next(within: Self.budget($0))?.id.rawValue }
        #expect(handedOut == [1, 2, nil, 3, nil] && ready.isEmpty)
    }

    @Test("calls that are over are forgotten; those that waited too long are handed out; where the log is loaded anew all are")
    func ends() {
        var ready = ReadyReads()
        for number in 1...5 as ClosedRange<UInt64> { ready.arrived(Self.read(number, atMs: Int(number))) }
        ready.dropped([CallID(rawValue: 2)])
        let expired = ready.expired(timeoutMs: 10, now: Instant(nanoseconds: 0).advanced(byMs: 13))
        #expect(expired.map(\.id.rawValue) == [1, 3] && ready.count == 2)
        let rest = ready.loadingBegan()
        #expect(rest.map(\.id.rawValue) == [4, 5] && ready.isEmpty)
    }
}

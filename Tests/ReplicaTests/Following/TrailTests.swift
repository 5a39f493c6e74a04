import Bytes
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The trail", .ownThreads)
struct TrailTests {
    /// A trail from the `first` end of a history on.
    private static func trail(_ history: TestHistory, from first: Int) -> Trail {
        var trail = Trail()
        for end in history.ends[first...] { trail.note(end.position, end.digest) }
        return trail
    }

    @Test("a head is ours where it is a point on our way since the question, and no other that we may have come by")
    func verdicts() {
        var ours = TestHistory()
        for _ in 0..<6 { ours.append(2) }
        var other = TestHistory()
        for _ in 0..<9 { other.append(2, value: "other") }
        for first in 1...6 {
            let trail = Self.trail(ours, from: first)
            let since = ours.ends[first].position
            for (index, end) in ours.ends.enumerated() {
                #expect(trail.judge(ours.head(at: end), since: since) == (index < first ? .other : .ours))
            }
            for (index, end) in other.ends.enumerated() {
                let expected = index < first || index <= 6 ? Trail.Verdict.other : .ahead
                #expect(trail.judge(other.head(at: end), since: since) == expected)
            }
        }
    }

    @Test("of a head between two points nothing is known: it is asked again")
    func between() {
        var history = TestHistory()
        history.append()
        history.append(2)
        let trail = Self.trail(history, from: 1)
        let inside = Head(
            clusterID: 7, position: Position(history.end.position.revision, 0), digest: .start, epoch: 0, compactRevision: -1)
        #expect(trail.judge(inside, since: history.ends[1].position) == .unknown)
        #expect(Trail().isEmpty && !trail.isEmpty)
    }
}

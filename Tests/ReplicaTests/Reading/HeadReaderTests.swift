import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The head reader", .ownThreads)
struct HeadReaderTests {
    private struct Waiter: HeadWaiter, Equatable {
        var id: CallID
        var arrivedAt = Instant(nanoseconds: 0)

        init(_ number: UInt64, atMs: Int = 0) {
            id = CallID(rawValue: number)
            arrivedAt = arrivedAt.advanced(byMs: atMs)
        }
    }

    private static let start = Instant(nanoseconds: 0)

    private static func head(_ revision: Revision) -> Head {
        Head(clusterID: 7, position: Position(revision, 0), digest: .start, epoch: 0, compactRevision: -1)
    }

    /// What may go on once the store is committed up to a revision.
    private static func confirmed(_ reader: inout HeadReader<Waiter>, at revision: Revision) -> [UInt64] {
        guard reader.folded(to: Position(revision, 0)) == .reached else { return [] }
        let confirmed = reader.takeConfirmed()
        defer { reader.recycle(confirmed) }
        return confirmed.map(\.id.rawValue)
    }

    @Test("requests that arrive while the head is read wait for the next read; all that were there before go on in their order")
    func rounds() {
        var reader = HeadReader<Waiter>()
        let early = reader.readStarted(committed: Position(4, 0), now: Self.start)
        #expect(!early, "nothing waits")
        reader.arrived(Waiter(1))
        reader.arrived(Waiter(2))
        let sent = reader.readStarted(committed: Position(4, 0), now: Self.start.advanced(byMs: 5))
        #expect(sent && !reader.isIdle && reader.sentAt == Self.start.advanced(byMs: 5))
        reader.arrived(Waiter(3))
        let again = reader.readStarted(committed: Position(4, 0), now: Self.start)
        #expect(!again && reader.count == 3 && reader.arrivedCount == 1)
        let before = reader.folded(to: Position(9, 0))
        #expect(before == .nothing, "no head was heard")
        let since = reader.headHeard(Self.head(6))
        #expect(since == Position(4, 0))
        let behind = reader.folded(to: Position(5, 0))
        #expect(behind == .behind && !reader.isIdle)
        reader.invariants()
        #expect(Self.confirmed(&reader, at: 6) == [1, 2])
        #expect(reader.isIdle && reader.count == 1)
        reader.invariants()
        let next = reader.readStarted(committed: Position(6, 0), now: Self.start)
        _ = reader.headHeard(Self.head(6))
        #expect(next && Self.confirmed(&reader, at: 6) == [3])
        let unasked = reader.headHeard(Self.head(6))
        #expect(unasked == nil)
    }

    @Test("after a failed read all ask again, those first that waited longest")
    func failure() {
        var reader = HeadReader<Waiter>()
        reader.arrived(Waiter(1))
        _ = reader.readStarted(committed: .start, now: Self.start)
        reader.arrived(Waiter(2))
        reader.failed()
        #expect(reader.isIdle && reader.arrivedCount == 2)
        reader.invariants()
        _ = reader.readStarted(committed: .start, now: Self.start)
        _ = reader.headHeard(Self.head(1))
        #expect(Self.confirmed(&reader, at: 1) == [1, 2])
    }

    @Test("calls that are over are forgotten, and those that waited too long are handed out, wherever they wait")
    func ends() {
        var reader = HeadReader<Waiter>()
        for number in 1...3 as ClosedRange<UInt64> { reader.arrived(Waiter(number, atMs: Int(number))) }
        _ = reader.readStarted(committed: .start, now: Self.start)
        for number in 4...6 as ClosedRange<UInt64> { reader.arrived(Waiter(number, atMs: Int(number))) }
        reader.dropped([CallID(rawValue: 2), CallID(rawValue: 5)])
        #expect(reader.count == 4)
        let none = reader.expired(timeoutMs: 10, now: Self.start.advanced(byMs: 10))
        #expect(none.isEmpty)
        let expired = reader.expired(timeoutMs: 10, now: Self.start.advanced(byMs: 14))
        #expect(expired.map(\.id.rawValue) == [4, 1, 3])
        _ = reader.headHeard(Self.head(1))
        #expect(Self.confirmed(&reader, at: 1) == [])
        #expect(reader.isIdle && reader.arrivedCount == 1, "an answer ends its round though nobody waits for it")
        reader.invariants()
    }

    @Test("where the log is loaded anew all wait for a head of the new one, and an answer from before counts for nothing")
    func reload() {
        var reader = HeadReader<Waiter>()
        reader.arrived(Waiter(2))
        _ = reader.readStarted(committed: Position(9, 0), now: Self.start)
        reader.arrived(Waiter(3))
        reader.loadingBegan(earlier: [Waiter(1)], later: [Waiter(4)])
        #expect(reader.isIdle && reader.arrivedCount == 4)
        _ = reader.readStarted(committed: Position(2, 0), now: Self.start)
        reader.arrived(Waiter(5))
        let stale = reader.headHeard(Self.head(9))
        #expect(stale == nil && !reader.isIdle)
        let since = reader.headHeard(Self.head(2))
        #expect(since == Position(2, 0))
        #expect(Self.confirmed(&reader, at: 2) == [1, 2, 3, 4])
        reader.invariants()
    }

    @Test("a failure from before the log was loaded anew is none of the read that is in flight now")
    func staleFailure() {
        var reader = HeadReader<Waiter>()
        reader.arrived(Waiter(1))
        _ = reader.readStarted(committed: .start, now: Self.start)
        reader.loadingBegan(earlier: [], later: [])
        _ = reader.readStarted(committed: .start, now: Self.start)
        reader.failed()
        #expect(reader.isIdle == false)
        _ = reader.headHeard(Self.head(1))
        #expect(Self.confirmed(&reader, at: 1) == [1])
    }

    private enum Event: CaseIterable {
        case arrives, turnEnds, answered, answeredAhead, folded, fails, loadedAnew
    }

    /// The same, told by the time at which each read was sent: the log answers each once, in order.
    private struct Model {
        var reads: [(sentAt: Int, isStale: Bool)] = []
        var waiting: [(id: UInt64, at: Int)] = []
        var head: (sentAt: Int, revision: Revision)?
        var committed: Revision = 1

        mutating func confirm() -> [UInt64] {
            guard let known = head, committed >= known.revision else { return [] }
            head = nil
            defer { waiting.removeAll { $0.at < known.sentAt } }
            return waiting.filter { $0.at < known.sentAt }.map(\.id)
        }
    }

    @Test("whatever happens in whatever order, a request goes on once, after a head that was read since it arrived, and none is forgotten")
    func everyOrder() {
        let length = 6
        let kinds = Event.allCases.count
        for code in 0..<(0..<length).reduce(1, { product, _ in product * kinds }) {
            var reader = HeadReader<Waiter>()
            var model = Model()
            var rest = code
            for time in 0..<length {
                let event = Event.allCases[rest % kinds]
                rest /= kinds
                Self.play(event, time, &reader, &model)
                let (done, expected) = (Self.confirmed(&reader, at: model.committed), model.confirm())
                reader.invariants()
                guard done == expected, reader.count == model.waiting.count else {
                    Issue.record("sequence \(code), event \(time), \(event): \(done) went on, not \(expected)")
                    return
                }
            }
        }
    }

    private static func play(_ event: Event, _ time: Int, _ reader: inout HeadReader<Waiter>, _ model: inout Model) {
        switch event {
        case .arrives:
            reader.arrived(Waiter(UInt64(time)))
            model.waiting.append((UInt64(time), time))
        case .turnEnds:
            let mayRead = model.head == nil && !model.reads.contains { !$0.isStale } && !model.waiting.isEmpty
            let isSent = reader.readStarted(committed: Position(model.committed, 0), now: start)
            #expect(isSent == mayRead)
            if mayRead { model.reads.append((time, false)) }
        case .answered, .answeredAhead:
            guard !model.reads.isEmpty else { return }
            let read = model.reads.removeFirst()
            let revision = model.committed + (event == .answered ? 0 : 1)
            let since = reader.headHeard(head(revision))
            #expect((since == nil) == read.isStale)
            if !read.isStale { model.head = (read.sentAt, revision) }
        case .folded: model.committed += 1
        case .fails:
            guard !model.reads.isEmpty else { return }
            model.reads.removeFirst()
            reader.failed()
        case .loadedAnew:
            reader.loadingBegan(earlier: [], later: [])
            model.head = nil
            for index in model.reads.indices { model.reads[index].isStale = true }
        }
    }
}

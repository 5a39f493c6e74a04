import Calls
import Testing

@testable import PineServer

@Suite("A caller's open streams")
struct OpenStreamsTests {
    private let one = CallID(rawValue: 1)
    private let two = CallID(rawValue: 2)
    private let three = CallID(rawValue: 3)

    @Test("calls that never end by themselves are told from those that do, in their order")
    func endless() {
        var streams = OpenStreams()
        streams.opened(two)
        streams.opened(one, answersRequests: true)
        #expect(streams.reportDue(three, hasRoom: false) == false)
        #expect(streams.endless == [one, two] && streams.answeringCount == 1)
        #expect(streams.isEndless(one) && !streams.isEndless(three))
        #expect(streams.closed(one) && !streams.closed(one) && !streams.closed(three) && streams.closed(two))
        #expect(streams.isEmpty && streams.answeringCount == 0)
    }

    @Test("a call that ends by itself is remembered only while reports of it wait")
    func reports() {
        var streams = OpenStreams()
        #expect(streams.reportDue(one, hasRoom: true) && streams.isEmpty)
        #expect(!streams.reportDue(one, hasRoom: false) && !streams.reportDue(one, hasRoom: true))
        #expect(streams.drained(one) == 2 && streams.isEmpty && streams.drained(one) == 0)
        streams.opened(two)
        #expect(!streams.reportDue(two, hasRoom: false) && streams.drained(two) == 1 && !streams.isEmpty)
    }

    @Test("only messages that answer requests count as such")
    func answers() {
        var streams = OpenStreams()
        streams.opened(one)
        streams.opened(two, answersRequests: true)
        for _ in 0..<StreamFlow.unansweredLimit / 2 + 1 { _ = streams.asked(two) }
        #expect(!streams.sent(one, hasRoom: true) && !streams.sent(three, hasRoom: true))
        #expect(streams.sent(two, hasRoom: true) == true)
        #expect(streams.sent(two, hasRoom: false) == false)
    }
}

@Suite("The gate of watch requests")
struct WatchRequestGateTests {
    @Test("from the limit on streams pause, the engine is asked once, and all of them go on together")
    func pausing() {
        var gate = WatchRequestGate()
        let (one, two) = (CallID(rawValue: 1), CallID(rawValue: 2))
        for _ in 1..<WatchRequestGate.limit { #expect(gate.requested(on: one) == .goesOn) }
        #expect(gate.requested(on: one) == .pauses(asksEngine: true))
        #expect(gate.requested(on: two) == .pauses(asksEngine: false))
        #expect(gate.taken() == [one, two] && gate.taken().isEmpty)
        #expect(gate.requested(on: two) == .goesOn)
    }
}

import Testing

@testable import PineServer

@Suite("The flow of a stream")
struct StreamFlowTests {
    @Test("input pauses at the limit of what is unanswered, and goes on once at half of it")
    func requests() {
        var flow = StreamFlow()
        for _ in 1..<StreamFlow.unansweredLimit { #expect(flow.asked() == .goesOn) }
        #expect(flow.asked() == .pauses)
        #expect(flow.asked() == .pauses)
        let resumed = (0..<StreamFlow.unansweredLimit).map { _ in flow.answered() }
        #expect(resumed.count { $0 } == 1)
        #expect(resumed[StreamFlow.unansweredLimit / 2])
    }

    @Test("a client that asks without reading is refused in the end, and served again once it has read")
    func unread() {
        var flow = StreamFlow()
        for _ in 0...StreamFlow.unreadLimit {
            #expect(flow.asked() == .goesOn)
            flow.sent(hasRoom: false)
            _ = flow.answered()
        }
        #expect(flow.isFull && flow.asked() == .refused)
        #expect(flow.drained() == 0)
        #expect(!flow.isFull && flow.asked() == .goesOn)
        flow.sent(hasRoom: true)
        #expect(!flow.isFull)
    }

    @Test("reports are due at once while the client keeps up; then all of them when it has caught up")
    func reports() {
        var flow = StreamFlow()
        #expect(flow.reportDue(hasRoom: true) == true)
        #expect(flow.reportDue(hasRoom: false) == false)
        // Not before the one that waits.
        #expect(flow.reportDue(hasRoom: true) == false)
        #expect(!flow.isIdle)
        #expect(flow.drained() == 2)
        #expect(flow.isIdle && flow.drained() == 0)
        #expect(flow.reportDue(hasRoom: false) == false)
        flow.forgetReports()
        #expect(flow.drained() == 0)
    }
}

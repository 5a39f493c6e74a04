import Testing

@testable import TLS

@Suite("The pace of handshakes")
struct HandshakePaceTests {
    @Test("A few wait for nothing")
    func few() {
        var pace = HandshakePace(sliceUs: 2_000)
        #expect(pace.wait(now: 1_000_000_000) == 0)
        pace.worked(700_000, now: 1_000_700_000)
        #expect(pace.wait(now: 1_000_700_000) == 0)
    }

    @Test("However many there are, they get half of the time")
    func flood() {
        var pace = HandshakePace(sliceUs: 2_000)
        var now: UInt64 = 5_000_000_000
        let began = now
        var worked: UInt64 = 0
        while now - began < 1_000_000_000 {
            now += pace.wait(now: now)
            #expect(pace.wait(now: now) == 0)
            now += 300_000
            worked += 300_000
            pace.worked(300_000, now: now)
        }
        #expect((490_000_000...510_000_000).contains(worked))
    }

    @Test("What was borrowed is forgotten after as long a rest")
    func rest() {
        var pace = HandshakePace(sliceUs: 1_000)
        pace.worked(10_000_000, now: 20_000_000)
        #expect(pace.wait(now: 20_000_000) > 0)
        #expect(pace.wait(now: 20_000_000 + 20_000_000) == 0)
    }
}

internal import Testing

@testable import HTTP2

@Suite("The flood guard")
struct FloodGuardTests {
    @Test("A bucket gives its burst at once, then its rate, and never holds more than its burst")
    func bucket() {
        var bucket = TokenBucket(burst: 3, perSecond: 2, now: 0)
        let taken = (0..<4).map { _ in bucket.take(1, now: 0) }
        #expect(taken == [true, true, true, false])
        let second: UInt64 = 1_000_000_000
        let later = [
            bucket.take(1, now: second / 2), bucket.take(1, now: second / 2),
            bucket.take(3, now: 100 * second), bucket.take(1, now: 100 * second),
            // A clock that goes back gives nothing.
            bucket.take(1, now: 0),
        ]
        #expect(later == [true, false, true, false, false])
    }

    @Test("Frames without content are free while we send content for them, and end the connection otherwise")
    func idleFrames() {
        var limits = HTTP2Limits()
        limits.controlFrameBurstLimit = 100
        limits.controlFramesPerSecondLimit = 0
        var busy = FloodGuard(limits: limits, now: 0)
        for _ in 0..<1_000 {
            let permitted = busy.permits(idleFrames: 10, resets: 0, contentFramesSent: 10, now: { 0 })
            #expect(permitted)
        }
        // A client that is given much at once may take it in little by little.
        var backlog = FloodGuard(limits: limits, now: 0)
        let isCalm = backlog.permits(idleFrames: 0, resets: 0, contentFramesSent: 100_000, now: { 0 })
        let isCalmLater = (0..<1_000).allSatisfy { _ in
            backlog.permits(idleFrames: 100, resets: 0, contentFramesSent: 0, now: { 0 })
        }
        #expect(isCalm && isCalmLater)
        var flooded = FloodGuard(limits: limits, now: 0)
        let permitted = (0..<300).prefix { _ in flooded.permits(idleFrames: 1, resets: 0, contentFramesSent: 0, now: { 0 }) }
        #expect((100..<165).contains(permitted.count))
    }

    @Test("Resets have a bucket of their own")
    func resets() {
        var limits = HTTP2Limits()
        limits.resetBurstLimit = 5
        limits.resetsPerSecondLimit = 1
        var floodGuard = FloodGuard(limits: limits, now: 0)
        let permitted = (0..<6).map { _ in floodGuard.permits(idleFrames: 0, resets: 1, contentFramesSent: 50, now: { 0 }) }
        #expect(permitted == [true, true, true, true, true, false])
    }
}

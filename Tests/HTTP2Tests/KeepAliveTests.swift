internal import Testing

@testable import HTTP2

@Suite("Keep-alive")
struct KeepAliveTests {
    private let second: UInt64 = 1_000_000_000

    private func policy() -> KeepAlivePolicy {
        var policy = KeepAlivePolicy()
        policy.intervalMs = 10_000
        policy.timeoutMs = 3_000
        policy.enforcedMinTimeMs = 5_000
        return policy
    }

    @Test("A silent peer is pinged after the interval and given up after the timeout")
    func silence() {
        var keepAlive = KeepAlive(policy: policy(), now: 0)
        var action: KeepAlive.Action
        action = keepAlive.tick(now: 9 * second, heard: false)
        #expect(action == .none)
        action = keepAlive.tick(now: 10 * second, heard: false)
        #expect(action == .ping)
        action = keepAlive.tick(now: 12 * second, heard: false)
        #expect(action == .none)
        action = keepAlive.tick(now: 13 * second, heard: false)
        #expect(action == .close)
    }

    @Test("Any frame keeps the connection and starts the interval anew")
    func sound() {
        var keepAlive = KeepAlive(policy: policy(), now: 0)
        var action: KeepAlive.Action
        action = keepAlive.tick(now: 10 * second, heard: false)
        #expect(action == .ping)
        action = keepAlive.tick(now: 12 * second, heard: true)
        #expect(action == .none)
        action = keepAlive.tick(now: 21 * second, heard: false)
        #expect(action == .none)
        action = keepAlive.tick(now: 22 * second, heard: false)
        #expect(action == .ping)
    }

    @Test("An interval of 0 never pings")
    func disabled() {
        var policy = policy()
        policy.intervalMs = 0
        var keepAlive = KeepAlive(policy: policy, now: 0)
        var action: KeepAlive.Action
        action = keepAlive.tick(now: 1_000_000 * second, heard: false)
        #expect(action == .none)
    }

    @Test("Two pings that come too early are forgiven, the third is not")
    func strikes() {
        var keepAlive = KeepAlive(policy: policy(), now: 0)
        var permitted: [Bool] = []
        for step in UInt64(0)..<4 {
            permitted.append(keepAlive.pingReceived(now: step * second, contentSent: false, hasStreams: true))
        }
        #expect(permitted == [true, true, true, false])
    }

    @Test("Pings in time, or after content that we sent, are never too many")
    func excused() {
        var slow = KeepAlive(policy: policy(), now: 0)
        var busy = KeepAlive(policy: policy(), now: 0)
        for step in UInt64(0)..<50 {
            let isSlowPermitted = slow.pingReceived(now: step * 5 * second, contentSent: false, hasStreams: true)
            let isBusyPermitted = busy.pingReceived(now: step, contentSent: true, hasStreams: true)
            #expect(isSlowPermitted && isBusyPermitted)
        }
    }

    @Test("Without a stream a peer may ping every two hours, unless the policy permits more")
    func idle() {
        var strict = KeepAlive(policy: policy(), now: 0)
        var lenient = policy()
        lenient.permitsWithoutStream = true
        var free = KeepAlive(policy: lenient, now: 0)
        var permitted: [Bool] = []
        for step in UInt64(0)..<4 {
            permitted.append(strict.pingReceived(now: step * 60 * second, contentSent: false, hasStreams: false))
            let isFree = free.pingReceived(now: step * 60 * second, contentSent: false, hasStreams: false)
            #expect(isFree)
        }
        #expect(permitted == [true, true, true, false])
    }
}

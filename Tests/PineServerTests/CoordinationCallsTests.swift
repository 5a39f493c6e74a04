import Bytes
import Calls
import Keyspace
import Replica
import Testing

@testable import PineServer

@Suite("Open calls of Lock and Election")
struct CoordinationCallsTests {
    @Test("ids are told from those of calls, keep their loop, and are forgotten")
    func ids() {
        var calls = CoordinationCalls()
        let call = CallID(rawValue: 3 << 56 | 7 << 32 | 1)
        #expect(!call.isOfCoordination)
        let (one, two) = (calls.name(for: call), calls.name(for: call))
        #expect(one != two && one.isOfCoordination && two.isOfCoordination && one.caller == 3)
        #expect(calls.owner(of: one) == call)
        calls.forget(one)
        #expect(calls.owner(of: one) == nil && calls.owner(of: two) == call)
    }

    @Test("calls have room until their memory is used up, and again once they are closed")
    func bounds() {
        var calls = CoordinationCalls()
        var opened: UInt64 = 0
        while calls.hasRoom(for: 4 << 20) {
            calls.open(CallID(rawValue: opened), Release(key: "k"), byteCount: 4 << 20, principal: .anonymous)
            opened += 1
        }
        #expect(opened == 16)
        #expect(calls.hasRoom(for: 0))
        calls.close(CallID(rawValue: 3))
        #expect(calls.hasRoom(for: 4 << 20) && !calls.hasRoom(for: 5 << 20))
        // Nothing is given back twice.
        calls.close(CallID(rawValue: 3))
        #expect(!calls.hasRoom(for: 5 << 20))

        var small = CoordinationCalls()
        for number in 0..<50_000 { small.open(CallID(rawValue: UInt64(number)), Release(key: "k"), byteCount: 1, principal: .anonymous) }
        #expect(!small.hasRoom(for: 1))
    }
}

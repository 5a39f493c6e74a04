import Bytes
import Keyspace
import Testing

@Suite("Principals")
struct PrincipalTests {
    @Test("clients are told apart by what they show, whenever they do")
    func claims() {
        func user(_ name: ByteString, seenMs: UInt64 = 1) -> Principal { Principal(.user(name, revision: nil), seenMs: seenMs) }
        let (one, same, other) = (user("alice"), user("alice", seenMs: 2), user("bob"))
        #expect(one == same && one != other && one != .anonymous && one != .process)
        #expect(Set([one, same, other, .anonymous, Principal(.token("alice"), seenMs: 1), .process]).count == 5)
        #expect(one.claim == .user("alice", revision: nil) && Principal.anonymous.claim == nil)
    }

    @Test("they are a word")
    func size() { #expect(MemoryLayout<Principal>.size == MemoryLayout<UnsafeRawPointer>.size) }
}

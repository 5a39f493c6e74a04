import Bytes
import Keyspace
import Testing

@Suite("Principals")
struct PrincipalTests {
    @Test("users are told apart by their names, and from nobody")
    func names() {
        let (one, same, other) = (Principal(name: "alice"), Principal(name: "alice"), Principal(name: "bob"))
        #expect(one == same && one != other && one != .anonymous)
        #expect(Set([one, same, other, .anonymous]).count == 3)
        #expect(one.name == "alice" && Principal.anonymous.name == nil && Principal(name: "").name == "")
        #expect(Principal.anonymous.isAnonymous && !one.isAnonymous && !Principal(name: "").isAnonymous)
    }

    @Test("they are a word")
    func size() { #expect(MemoryLayout<Principal>.size == MemoryLayout<UnsafeRawPointer>.size) }
}

import Bytes
import Testing

@testable import Keyspace

@Suite("Key ranges")
struct KeyRangeTests {
    private static let zero = ByteString([0])

    @Test("an empty range end means one key")
    func single() {
        let range = KeyRange(key: "b", rangeEnd: "")
        #expect(range == KeyRange(single: "b"))
        #expect(range.contains("b"))
        #expect(!range.contains("a") && !range.contains("ba"))
        #expect(!range.isEmpty)
    }

    @Test("a range end of one zero byte means everything from the key on")
    func fromKey() {
        let range = KeyRange(key: "b", rangeEnd: Self.zero)
        #expect(range.end == .unbounded)
        #expect(range.contains("b") && range.contains("ba") && range.contains(ByteString([0xFF, 0xFF])))
        #expect(!range.contains("azz"))
        let all = KeyRange(key: Self.zero, rangeEnd: Self.zero)
        #expect(all.contains(Self.zero) && all.contains("x"))
    }

    @Test("any other range end is not part of the range, which is empty where it is not after the key")
    func interval() {
        let range = KeyRange(key: "b", rangeEnd: "d")
        #expect(["b", "c", "czz"].allSatisfy { range.contains($0) })
        #expect(["a", "d", "dd"].allSatisfy { !range.contains($0) })
        #expect(!range.isEmpty)
        for end: ByteString in ["b", "a"] {
            let empty = KeyRange(key: "b", rangeEnd: end)
            #expect(empty.isEmpty)
            #expect(!empty.contains("b") && !empty.contains("a"))
        }
        // Two zero bytes are an ordinary end.
        #expect(KeyRange(key: Self.zero, rangeEnd: ByteString([0, 0])).end == .before(ByteString([0, 0])))
    }

    @Test("a prefix of nothing but 0xFF has no end")
    func prefixes() {
        #expect(KeyRange.prefix("ab") == KeyRange(start: "ab", end: .before("ac")))
        #expect(KeyRange.prefix(ByteString([0x61, 0xFF])) == KeyRange(start: ByteString([0x61, 0xFF]), end: .before("b")))
        #expect(KeyRange.prefix(ByteString([0xFF])) == KeyRange(start: ByteString([0xFF]), end: .unbounded))
    }
}

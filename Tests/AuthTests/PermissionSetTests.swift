// Checks sets of keys against lists of keys, in every small case.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import Testing

/// A pair of key and range end.
private typealias Pair = (key: ByteString, rangeEnd: ByteString)

@Suite struct PermissionSetTests {
    /// Bytes 0 and 1 in every order up to this length.
    private static func keys(upTo length: Int) -> [ByteString] {
        var keys: [[UInt8]] = [[]]
        var all: [ByteString] = []
        for _ in 0..<length {
            keys = keys.flatMap { [$0 + [0], $0 + [1]] }
            all += keys.map { ByteString($0) }
        }
        return all
    }

    private static let ends = [ByteString()] + keys(upTo: 2)

    /// Whether a pair has a key, by the words of the API.
    private static func has(_ pair: Pair, _ key: ByteString) -> Bool {
        if pair.rangeEnd.isEmpty { return key == pair.key }
        return key >= pair.key && (pair.rangeEnd == ByteString([0]) || key < pair.rangeEnd)
    }

    @Test("two ranges cover a third if every key of it is in one of them: all ranges of keys up to two bytes")
    func exhaustive() {
        let pairs = Self.keys(upTo: 2).flatMap { key in Self.ends.map { (key: key, rangeEnd: $0) } }
        // What lies between ranges that end at one of these, or right after it, has one of these in it.
        let universe = Self.keys(upTo: 3)
        // Which keys each pair has, as a bit each.
        let members = pairs.map { pair in
            universe.enumerated().reduce(UInt32(0)) { Self.has(pair, $1.element) ? $0 | 1 << UInt32($1.offset) : $0 }
        }
        var checked = 0
        for one in pairs.indices {
            for two in one..<pairs.count {
                let set = KeySet([pairs[two], pairs[one]])
                let covered = members[one] | members[two]
                for query in pairs.indices where members[query] != 0 {
                    // Keys above all of the universe are in open ranges only.
                    let open = pairs[query].rangeEnd == ByteString([0])
                    let reaches = !open || [one, two].contains { pairs[$0].rangeEnd == ByteString([0]) }
                    let expected = members[query] & ~covered == 0 && reaches
                    let found = set.contains(key: pairs[query].key, rangeEnd: pairs[query].rangeEnd)
                    if found != expected { Issue.record("\(pairs[one]) and \(pairs[two]) for \(pairs[query]): \(found)") }
                    checked += 1
                }
            }
        }
        #expect(checked == 24_381)
    }

    @Test("ranges that touch or overlap are one, in any order; those with a key between are not")
    func joining() {
        let pieces: [Pair] = [("a", "c"), ("c", ""), (ByteString("c\0".utf8), "d"), ("d", "f"), ("b", "e")]
        for rotation in pieces.indices {
            let set = KeySet(Array(pieces[rotation...] + pieces[..<rotation]))
            #expect(set.intervals == KeySet([("a", "f")]).intervals)
        }
        let gap = KeySet([("a", "b"), (ByteString("b\0".utf8), "c")])
        #expect(!gap.contains(key: "a", rangeEnd: "c"))
        #expect(gap.contains(key: "a", rangeEnd: "b"))
    }

    @Test("one key is not all keys from it on (GHSA-xg4h-6gfc-h4m8)")
    func oneKey() {
        let set = KeySet([("k", "")])
        #expect(set.contains(key: "k", rangeEnd: ""))
        for end in [ByteString([0]), "l", ByteString("k\0\0".utf8)] { #expect(!set.contains(key: "k", rangeEnd: end)) }
        #expect(set.contains(key: "k", rangeEnd: ByteString("k\0".utf8)))
        #expect(!KeySet([("k", "l")]).contains(key: "k", rangeEnd: ByteString([0])))
        #expect(KeySet([("k", ByteString([0]))]).contains(key: "k", rangeEnd: ByteString([0])))
    }

    @Test("a range that no key is in is mostly taken for its first key; a permission for it opens nothing")
    func empty() {
        let set = KeySet([("b", "d")])
        #expect(set.contains(key: "c", rangeEnd: "a"))
        #expect(set.contains(key: "c", rangeEnd: "c"))
        #expect(!set.contains(key: "d", rangeEnd: "c"))
        // The tree's root is ("c", "d"), before "e" and not before "b": what is below it is left out. In the other order it is not.
        #expect(!KeySet([("b", ""), ("c", "d"), ("e", "f")]).contains(key: "e", rangeEnd: "b"))
        #expect(KeySet([("b", ""), ("c", "d"), ("e", "f")]).contains(key: "e", rangeEnd: "c\0"))
        #expect(KeySet([("a", ""), ("b", "c"), ("e", "f")]).contains(key: "e", rangeEnd: "d"))
        #expect(KeySet([("c", "a"), ("c", "c"), ("", ByteString([0])), ("", "")]) == KeySet())
        #expect(!KeySet().contains(key: "", rangeEnd: ByteString([0])))
    }

    @Test("what may be read and what may be written are apart")
    func types() {
        let set = PermissionSet([
            Permission(permType: .read, key: "r"), Permission(permType: .write, key: "w"), Permission(permType: .readWrite, key: "b"),
            Permission(permType: Permission.PermissionType(rawValue: 7), key: "x"),
        ])
        #expect(["r", "w", "b", "x"].map { set.readable.contains(key: $0, rangeEnd: "") } == [true, false, true, false])
        #expect(["r", "w", "b", "x"].map { set.writable.contains(key: $0, rangeEnd: "") } == [false, true, true, false])
    }
}

// Checks byte strings against arrays of bytes, for every pair of a set of small ones.
internal import Bytes
internal import Testing

@Suite struct ByteStringTests {
    /// Every array of up to three bytes from a few telling values.
    static let samples: [[UInt8]] = {
        let alphabet: [UInt8] = [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF]
        let one = alphabet.map { [$0] }
        let two = one.flatMap { a in alphabet.map { a + [$0] } }
        let three = two.flatMap { a in alphabet.map { a + [$0] } }
        return [[]] + one + two + three
    }()

    @Test("order, equality and hashes are those of the bytes")
    func order() {
        let strings = Self.samples.map { ByteString($0) }
        for (a, x) in zip(Self.samples, strings) {
            for (b, y) in zip(Self.samples, strings) {
                #expect((x < y) == a.lexicographicallyPrecedes(b))
                #expect((x == y) == (a == b))
                #expect(x.order(against: y).signum() == -y.order(against: x).signum())
                #expect((x.order(against: y) == 0) == (a == b))
                if a == b { #expect(x.hashValue == y.hashValue) }
            }
        }
        #expect(Set(strings).count == Self.samples.count)
    }

    @Test("slices are the bytes of their range, compare and hash as copies do, and can be sliced again")
    func slices() {
        let bytes: [UInt8] = [5, 6, 7, 8, 5, 6]
        let whole = ByteString(bytes)
        for lower in 0...bytes.count {
            for upper in lower...bytes.count {
                let slice = whole.slice(lower..<upper)
                let copy = ByteString(bytes[lower..<upper])
                #expect(Array(slice) == Array(bytes[lower..<upper]))
                #expect(slice == copy && slice.hashValue == copy.hashValue)
                #expect(slice.count == upper - lower && slice.isEmpty == (upper == lower))
                for (index, byte) in bytes[lower..<upper].enumerated() { #expect(slice[index] == byte) }
                for start in 0...slice.count {
                    #expect(Array(slice.slice(start..<slice.count)) == Array(bytes[lower + start..<upper]))
                }
            }
        }
        #expect(whole.slice(0..<2) == whole.slice(4..<6))
    }

    @Test("slices share storage; compacting leaves a large one behind and keeps a snug one")
    func compacting() {
        let whole = ByteString(Array(repeating: 1, count: 1_000))
        func address(_ bytes: ByteString) -> UnsafeRawPointer? { bytes.withUnsafeBytes { $0.baseAddress } }
        let small = whole.slice(500..<510)
        #expect(address(small) == address(whole)! + 500)
        #expect(small.compacted() == small)
        #expect(address(small.compacted()) != address(small))
        let most = whole.slice(40..<940)
        #expect(address(most.compacted()) == address(most))
        let half = whole.slice(0..<500)
        #expect(half.compacted() == half && address(half.compacted()) != address(half))
        #expect(ByteString().compacted().isEmpty)
        #expect(address(whole.slice(3..<3)) == nil, "an empty slice keeps nothing alive")
    }

    @Test("the prefix successor is the smallest string above all that have the prefix")
    func prefixSuccessor() {
        let sorted = Self.samples.map { ByteString($0) }.sorted()
        for prefix in Self.samples {
            let successor = ByteString(prefix).prefixSuccessor()
            for candidate in sorted {
                let hasPrefix = Array(candidate).starts(with: prefix)
                if successor.isEmpty {
                    #expect(hasPrefix || candidate < ByteString(prefix))
                } else {
                    #expect(hasPrefix == (candidate >= ByteString(prefix) && candidate < successor))
                }
            }
            #expect(successor.isEmpty == prefix.allSatisfy { $0 == 0xFF })
        }
        #expect(ByteString("registry/").prefixSuccessor() == "registry0")
        #expect(ByteString([0x61, 0xFF, 0xFF]).prefixSuccessor() == "b")
    }

    @Test("bytes come in from any sequence, text and literals")
    func sources() {
        #expect(Array(ByteString("aé")) == [0x61, 0xC3, 0xA9])
        #expect(ByteString("aé".dropFirst()) == "é")
        #expect(ByteString(stride(from: UInt8(1), to: 4, by: 1)) == ByteString([1, 2, 3]))
        #expect(ByteString(copying: UnsafeRawBufferPointer(start: nil, count: 0)).isEmpty)
        #expect(ByteString([UInt8]()) == ByteString())
        #expect(ByteString() == "")
        #expect(ByteString("abc").withContiguousStorageIfAvailable { $0.count } == 3)
        #expect(ByteString().withContiguousStorageIfAvailable { $0.count } == 0)
    }

    @Test("descriptions show printable text, escape the rest and cut what is long")
    func descriptions() {
        #expect("\(ByteString("a b~"))" == "\"a b~\"")
        #expect("\(ByteString([0x00, 0x1F, 0x22, 0x5C, 0x7F, 0xFF]))" == "\"\\x00\\x1f\\x22\\x5c\\x7f\\xff\"")
        let long = ByteString(Array(repeating: 0x61, count: 81))
        #expect("\(long)" == "\"" + String(repeating: "a", count: 80) + "\"… (81 bytes)")
    }

    @Test("the bytes read without a reference are the string's own, of slices and of nothing, too")
    func unretained() {
        ByteString.checkLayout()
        let whole = ByteString("abcdef")
        let strings = [whole, ByteString(), whole.slice(2..<5), whole.slice(6..<6), ByteString([0])]
        strings.withUnsafeBufferPointer {
            for index in strings.indices {
                #expect(Array(ByteString.unretainedBytes(at: $0.baseAddress! + index)) == Array(strings[index]))
            }
        }
    }

    @Test("a slice outside of the string is our own bug and traps")
    func outside() async {
        await #expect(processExitsWith: .failure) { _ = ByteString("abc").slice(1..<4) }
        await #expect(processExitsWith: .failure) { _ = ByteString("abc")[3] }
        await #expect(processExitsWith: .failure) { _ = ByteString()[0] }
    }
}

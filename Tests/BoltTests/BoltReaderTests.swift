// Checks that damaged and truncated files end in one clear error, or are read as far as they can be, and never trap.
internal import Bolt
internal import Bytes
internal import Foundation
internal import Testing

@Suite struct BoltReaderTests {
    static let file = boltFile([
        BoltWriterTests.bucket("a", count: 3) { _ in 5 }, BoltWriterTests.bucket("b", count: 0) { _ in 0 },
        BoltWriterTests.bucket("key", count: 600) { $0 == 9 ? 9_000 : 1_200 },
    ])

    /// Little-endian bytes of `value` put at `offset`.
    static func patched<I: FixedWidthInteger>(_ offset: Int, _ value: I) -> Data {
        var file = Self.file
        withUnsafeBytes(of: value.littleEndian) { file.replaceSubrange(offset..<offset + $0.count, with: $0) }
        return file
    }

    static func error(_ data: Data) throws -> String {
        try withFile(data) { path in
            do {
                _ = try contents(path)
                return "none"
            } catch let error as BoltError {
                return error.description.replacingOccurrences(of: path, with: "F")
            }
        }
    }

    @Test("a file that was cut anywhere is refused")
    func cut() throws {
        for length in stride(from: 0, to: Self.file.count, by: 4_093) {
            let error = try Self.error(Self.file.prefix(length))
            let expected =
                length < 2_048
                ? "F is no bbolt file: it has \(length) bytes only"
                : "F is truncated: it has \(length) bytes of at least \(Self.file.count)"
            #expect(error == expected)
        }
    }

    @Test("one damaged meta is made up for by the other, two are not")
    func metas() throws {
        let whole = try withFile(Self.file, contents)
        for page in 0..<2 { #expect(try withFile(Self.patched(page * 4_096 + 20, UInt32(9)), contents) == whole) }
        var both = Self.patched(20, UInt32(9))
        both[4_096 + 20] = 9
        #expect(try Self.error(both) == "F is no bbolt file, or is damaged: neither of its two meta pages is valid")
        #expect(try withFile(Self.file) { try BoltFile(path: $0).transaction } == 7)
        #expect(try withFile(Self.patched(4_096 + 20, UInt32(9))) { try BoltFile(path: $0).transaction } == 6)
    }

    @Test("each kind of damage has an error of its own")
    func kinds() throws {
        let root = 3 * 4_096
        let leaf = 4 * 4_096
        #expect(try Self.error(Self.patched(root, UInt64(5))) == "F is damaged: page 3: it says that it is page 5")
        #expect(try Self.error(Self.patched(root + 8, UInt16(0x10))) == "F is damaged: page 3: it is neither leaf nor branch")
        #expect(try Self.error(Self.patched(root + 10, UInt16.max)) == "F is damaged: page 3: it has 65535 elements, more than fit")
        #expect(try Self.error(Self.patched(root + 12, UInt32.max)) == "F is damaged: page 3: its overflow ends outside of the file")
        #expect(
            try Self.error(Self.patched(root + 16 + 3 * 16 + 1, UInt64.max))
                == "F is damaged: page 18446744073709551615: its number is out of range")
        #expect(try Self.error(Self.patched(leaf + 16 + 4, UInt32.max)) == "F is damaged: page 4: a key or value lies outside of it")
        #expect(try Self.error(Self.patched(leaf + 16, UInt32(2))) == "F is damaged: page 4: an element has unknown flags 2")
        #expect(try Self.error(Self.patched(leaf + 16 + 3 * 16, UInt8.max)) == "F is damaged: page 4: its keys are out of order")
    }

    @Test("a branch that leads to itself is refused at a bounded depth")
    func circle() throws {
        let lastPage = Self.file.count / 4_096 - 1
        let error = try Self.error(Self.patched(lastPage * 4_096 + 16 + 8, UInt64(lastPage)))
        #expect(error == "F is damaged: page \(lastPage): the tree is deeper than 32 pages")
    }

    @Test("a branch that leads to one page twice is refused")
    func twice() throws {
        let lastPage = Self.file.count / 4_096 - 1
        let error = try Self.error(Self.patched(lastPage * 4_096 + 16 + 16 + 8, UInt64(6)))
        #expect(error == "F is damaged: page 6: its keys are out of order")
    }

    @Test("flipped bits anywhere are read past or refused, with never a trap")
    func flipped() throws {
        var random = SplitMix(state: 20)
        var refused = 0
        for _ in 0..<400 {
            var file = Self.file
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                // Headers and elements, where damage matters, as often as anything else.
                let page = Int.random(in: 0..<file.count / 4_096, using: &random) * 4_096
                let offset = page + Int.random(in: 0..<(Bool.random(using: &random) ? 96 : 4_096), using: &random)
                file[offset] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
            if try Self.error(file) != "none" { refused += 1 }
        }
        #expect(refused > 100)
    }

    @Test("a file that isn't there says so")
    func missing() {
        #expect(throws: BoltError.cannotRead(path: "/nowhere/file.db", errno: 2)) { _ = try BoltFile(path: "/nowhere/file.db") }
    }
}

/// The same numbers in each run, so that a trap can be looked into.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

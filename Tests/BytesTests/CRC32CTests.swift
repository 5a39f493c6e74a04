// Tests CRC-32C against RFC 3720's check values and against the definition, bit by bit.
import Bytes
import Testing

@Suite("CRC-32C")
struct CRC32CTests {
    private func naive(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = ~0
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
        }
        return ~crc
    }

    private func checksum(_ bytes: [UInt8]) -> CRC32C { bytes.withUnsafeBytes { CRC32C($0) } }

    @Test("The check values of RFC 3720, appendix B.4")
    func checkValues() {
        #expect(checksum([UInt8](repeating: 0, count: 32)).value == 0x8A91_36AA)
        #expect(checksum([UInt8](repeating: 0xFF, count: 32)).value == 0x62A8_AB43)
        #expect(checksum([UInt8](0..<32)).value == 0x46DD_794E)
        #expect(checksum([UInt8]((0..<32).reversed())).value == 0x113F_DB5C)
        #expect(checksum(Array("123456789".utf8)).value == 0xE306_9283)
        #expect(checksum([]).value == 0)
    }

    @Test("Pieces of any length add up to the whole, whether their bytes are seen or only their checksums")
    func pieces() {
        var bytes: [UInt8] = []
        for count in [0, 1, 7, 8, 9, 63, 64, 65, 1_000, 2_047, 2_048, 2_049, 70_001] {
            while bytes.count < count { bytes.append(UInt8(truncatingIfNeeded: bytes.count &* 37 ^ bytes.count >> 8)) }
            let expected = naive(Array(bytes[..<count]))
            for cut in Set([0, 1, count / 3, count / 2, count]) where cut <= count {
                let (first, second) = (Array(bytes[..<cut]), Array(bytes[cut..<count]))
                var seen = checksum(first)
                second.withUnsafeBytes { seen.append($0) }
                var unseen = checksum(first)
                unseen.append(checksum(second), count: second.count)
                #expect(seen.value == expected && unseen.value == expected, "\(count) bytes, cut at \(cut)")
            }
        }
    }
}

// Owns: SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104), over whole messages. In Swift, so that what is judged in the engine is the same
// in production and under simulation, and needs no library's state.
package import Bytes

package enum SHA256 {
    package static let digestBytes = 32
    private static let blockBytes = 64

    package static func digest(_ message: ByteString) -> ByteString {
        var hash = Hash()
        hash.absorb(message)
        return hash.finish()
    }

    /// HMAC-SHA256. `key` may have any length.
    package static func authenticationCode(_ message: ByteString, key: ByteString) -> ByteString {
        var block = Array(key.count > blockBytes ? digest(key) : key)
        block += Array(repeating: 0, count: blockBytes - block.count)
        var inner = Hash()
        inner.absorb(ByteString(block.map { $0 ^ 0x36 }))
        inner.absorb(message)
        var outer = Hash()
        outer.absorb(ByteString(block.map { $0 ^ 0x5C }))
        outer.absorb(inner.finish())
        return outer.finish()
    }

    /// Of a message that comes in pieces.
    package struct Hash: Sendable {
        private var state: [UInt32] = [
            0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19,
        ]
        /// What came since the last whole block.
        private var rest: [UInt8] = []
        private var count: UInt64 = 0

        package init() {}

        package mutating func absorb(_ bytes: ByteString) {
            count += UInt64(bytes.count)
            bytes.withUnsafeBytes { absorb(bytes: $0) }
        }

        private mutating func absorb(bytes: UnsafeRawBufferPointer) {
            var at = 0
            if !rest.isEmpty {
                at = min(bytes.count, blockBytes - rest.count)
                rest += bytes[..<at]
                guard rest.count == blockBytes else { return }
                let block = rest
                rest.removeAll(keepingCapacity: true)
                block.withUnsafeBytes { compress($0) }
            }
            while bytes.count - at >= blockBytes {
                compress(UnsafeRawBufferPointer(rebasing: bytes[at..<at + blockBytes]))
                at += blockBytes
            }
            rest += bytes[at...]
        }

        package mutating func finish() -> ByteString {
            let bits = count * 8
            let zeros = (blockBytes * 2 - 9 - rest.count) % blockBytes
            let length = (0..<8).map { UInt8(truncatingIfNeeded: bits >> UInt64(56 - 8 * $0)) }
            ([0x80] + [UInt8](repeating: 0, count: zeros) + length).withUnsafeBytes { absorb(bytes: $0) }
            return ByteString(state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) } })
        }

        private mutating func compress(_ block: UnsafeRawBufferPointer) {
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { words in
                for index in 0..<16 {
                    words[index] = UInt32(bigEndian: block.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
                }
                for index in 16..<64 {
                    let a = words[index - 15]
                    let b = words[index - 2]
                    let first = a.rotatedRight(7) ^ a.rotatedRight(18) ^ a >> 3
                    let second = b.rotatedRight(17) ^ b.rotatedRight(19) ^ b >> 10
                    words[index] = words[index - 16] &+ first &+ words[index - 7] &+ second
                }
                var (a, b, c, d) = (state[0], state[1], state[2], state[3])
                var (e, f, g, h) = (state[4], state[5], state[6], state[7])
                for index in 0..<64 {
                    let mixed = e.rotatedRight(6) ^ e.rotatedRight(11) ^ e.rotatedRight(25)
                    let one = h &+ mixed &+ (e & f ^ ~e & g) &+ roundConstants[index] &+ words[index]
                    let two = (a.rotatedRight(2) ^ a.rotatedRight(13) ^ a.rotatedRight(22)) &+ (a & b ^ a & c ^ b & c)
                    (h, g, f, e, d, c, b, a) = (g, f, e, d &+ one, c, b, a, one &+ two)
                }
                for (index, word) in [a, b, c, d, e, f, g, h].enumerated() { state[index] &+= word }
            }
        }
    }

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    private static let roundConstants: [UInt32] = [
        0x428A_2F98, 0x7137_4491, 0xB5C0_FBCF, 0xE9B5_DBA5, 0x3956_C25B, 0x59F1_11F1, 0x923F_82A4, 0xAB1C_5ED5,
        0xD807_AA98, 0x1283_5B01, 0x2431_85BE, 0x550C_7DC3, 0x72BE_5D74, 0x80DE_B1FE, 0x9BDC_06A7, 0xC19B_F174,
        0xE49B_69C1, 0xEFBE_4786, 0x0FC1_9DC6, 0x240C_A1CC, 0x2DE9_2C6F, 0x4A74_84AA, 0x5CB0_A9DC, 0x76F9_88DA,
        0x983E_5152, 0xA831_C66D, 0xB003_27C8, 0xBF59_7FC7, 0xC6E0_0BF3, 0xD5A7_9147, 0x06CA_6351, 0x1429_2967,
        0x27B7_0A85, 0x2E1B_2138, 0x4D2C_6DFC, 0x5338_0D13, 0x650A_7354, 0x766A_0ABB, 0x81C2_C92E, 0x9272_2C85,
        0xA2BF_E8A1, 0xA81A_664B, 0xC24B_8B70, 0xC76C_51A3, 0xD192_E819, 0xD699_0624, 0xF40E_3585, 0x106A_A070,
        0x19A4_C116, 0x1E37_6C08, 0x2748_774C, 0x34B0_BCB5, 0x391C_0CB3, 0x4ED8_AA4A, 0x5B9C_CA4F, 0x682E_6FF3,
        0x748F_82EE, 0x78A5_636F, 0x84C8_7814, 0x8CC7_0208, 0x90BE_FFFA, 0xA450_6CEB, 0xBEF9_A3F7, 0xC671_78F2,
    ]
}

extension UInt32 {
    fileprivate func rotatedRight(_ bits: UInt32) -> UInt32 { self >> bits | self << (32 - bits) }
}

// Owns: the checksum CRC-32C (Castagnoli), and how the checksum of two pieces follows from theirs.
// Source: RFC 3720, appendix B.4, whose check values the tests hold.

/// A CRC-32C that grows with the bytes it is given.
public struct CRC32C: Sendable, Hashable {
    /// The checksum so far; 0 for no bytes.
    public private(set) var value: UInt32

    public init() { value = 0 }

    /// Goes on where `value` bytes' checksum left off.
    public init(value: UInt32) { self.value = value }

    /// The checksum of `bytes` alone.
    public init(_ bytes: UnsafeRawBufferPointer) {
        value = 0
        append(bytes)
    }

    public init(_ bytes: ByteString) {
        value = 0
        append(bytes)
    }

    public mutating func append(_ bytes: ByteString) {
        bytes.withUnsafeBytes { append($0) }
    }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var crc = ~value
        var at = 0
        tables.withUnsafeBufferPointer { tables in
            // Eight bytes at a time: what the first byte does to the checksum after seven more is in the eighth table, and so on.
            while at + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) ^ UInt64(crc)
                crc = 0
                for byte in 0..<8 { crc ^= tables[(7 - byte) * 256 + Int(word >> UInt64(8 * byte) & 0xFF)] }
                at += 8
            }
            while at < bytes.count {
                crc = crc >> 8 ^ tables[Int((crc ^ UInt32(bytes[at])) & 0xFF)]
                at += 1
            }
        }
        value = ~crc
    }

    /// Appends `count` bytes whose own checksum is `other`, without seeing them.
    public mutating func append(_ other: CRC32C, count: Int) {
        value = Self.multiply(Self.shift(by: count), value) ^ other.value
    }

    // MARK: Polynomials over GF(2)
    // A polynomial of degree below 32 is a word whose highest bit is the coefficient of x⁰. Appending n bytes multiplies the
    // checksum of what came before by x⁸ⁿ, modulo the generator.

    private static func multiply(_ a: UInt32, _ b: UInt32) -> UInt32 {
        var product: UInt32 = 0
        var term = b
        var left = a
        while left != 0 {
            // All ones where the coefficient is set.
            product ^= term & UInt32(bitPattern: Int32(bitPattern: left) >> 31)
            left <<= 1
            term = term >> 1 ^ generator & (0 &- (term & 1))
        }
        return product
    }

    /// x⁸ⁿ for n bytes.
    private static func shift(by count: Int) -> UInt32 {
        if count < shortShifts.count { return shortShifts[count] }
        var power: UInt32 = 1 << 31
        var left = count
        var bit = 0
        while left != 0 {
            if left & 1 != 0 { power = multiply(powers[bit], power) }
            left >>= 1
            bit += 1
        }
        return power
    }

    /// x to the power of 8 · 2ᵏ.
    private static let powers: [UInt32] = {
        var powers: [UInt32] = [1 << (31 - 8)]
        while powers.count < Int.bitWidth { powers.append(multiply(powers[powers.count - 1], powers[powers.count - 1])) }
        return powers
    }()

    /// For the lengths that most pieces have.
    private static let shortShifts: [UInt32] = {
        var shifts: [UInt32] = [1 << 31]
        while shifts.count < 2_048 { shifts.append(multiply(powers[0], shifts[shifts.count - 1])) }
        return shifts
    }()
}

/// Castagnoli's polynomial, the coefficient of x⁰ in the highest bit.
private let generator: UInt32 = 0x82F6_3B78

/// What a byte does to the checksum when none, one, ... seven bytes follow it: eight tables of 256 words.
private let tables: [UInt32] = {
    var tables: [UInt32] = []
    for byte in UInt32(0)..<256 {
        var crc = byte
        for _ in 0..<8 { crc = crc >> 1 ^ generator & (0 &- (crc & 1)) }
        tables.append(crc)
    }
    while tables.count < 8 * 256 {
        let before = tables[tables.count - 256]
        tables.append(before >> 8 ^ tables[Int(before & 0xFF)])
    }
    return tables
}()

// Owns: the hash of a row under the store's key, and sums of them.

/// The hash of one row, and sums of such hashes: numbers of 62 bits, so that SQL adds two of them without overflow.
package struct RowHash: Hashable, Sendable {
    /// As the columns have it. -1 for one that is not known.
    package let rawValue: Int64

    package init(rawValue: Int64) { self.rawValue = rawValue }

    init(truncating word: UInt64) { rawValue = Int64(word & UInt64(Self.mask)) }

    /// Of a row that nobody has hashed: it is older than the store's key.
    package static let unknown = RowHash(rawValue: -1)
    package static let zero = RowHash(rawValue: 0)
    /// What sums are taken modulo, less one.
    package static let mask: Int64 = 1 << 62 - 1

    package var isKnown: Bool { rawValue >= 0 }

    package static func + (a: RowHash, b: RowHash) -> RowHash { RowHash(rawValue: (a.rawValue &+ b.rawValue) & mask) }
    package static func - (a: RowHash, b: RowHash) -> RowHash { RowHash(rawValue: (a.rawValue &- b.rawValue) & mask) }
}

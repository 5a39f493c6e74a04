// Owns: the rolling hash of the log's history. Its value is stored in `head.digest` and `sweep.digest`, so the function never changes.
// Rows that come after the store's key are hashed under it (`DigestKey`); a store that was made by a Pine without keys has none until it is
// given one.
internal import Bytes
internal import EtcdAPI

/// A 64-bit hash of every row up to a position, in order. Equal digests mean equal histories.
package struct Digest: Hashable, Sendable {
    /// Stored as a bigint.
    package var rawValue: Int64

    @inlinable
    package init(rawValue: Int64) { self.rawValue = rawValue }

    /// The digest of a log without rows.
    package static let start = Digest(rawValue: 0x5049_4E45_0000_0001)

    /// The digest after `row`, which goes on under its key from a row on that gives it one. Gives the row's hash as well.
    package mutating func append(_ row: LogRow, _ key: inout DigestKey?) -> RowHash {
        var hash = RowHash.unknown
        if let key {
            hash = key.hash(row)
            self = key.digest(after: self, hash)
        } else {
            self = appending(row)
        }
        if row.kind == .digestKey { key = DigestKey(row) }
        return hash
    }

    /// The digest after `row` without a key.
    ///
    /// Every field is folded in through a 64 × 64 → 128-bit multiplication, both halves kept; byte strings eight bytes at
    /// a time, little-endian, with their lengths, so that no two rows feed the same words.
    package func appending(_ row: LogRow) -> Digest {
        var state = UInt64(bitPattern: rawValue)
        state = Self.mix(state, UInt64(bitPattern: row.position.revision.rawValue))
        state = Self.mix(state, UInt64(UInt32(bitPattern: row.position.sub)) << 16 | UInt64(UInt16(bitPattern: row.kind.rawValue)))
        state = Self.mix(state, UInt64(bitPattern: row.createRevision.rawValue))
        state = Self.mix(state, UInt64(bitPattern: row.version))
        state = Self.mix(state, UInt64(bitPattern: row.lease.rawValue))
        state = Self.mix(state, UInt64(bitPattern: row.origin))
        state = Self.mix(state, row.key)
        state = Self.mix(state, row.value)
        return Digest(rawValue: Int64(bitPattern: state))
    }

    /// The digest after rows at `positions` were deleted, for the table `sweep`.
    package func appending(deleted positions: [Position]) -> Digest {
        var state = UInt64(bitPattern: rawValue)
        for position in positions {
            state = Self.mix(state, UInt64(bitPattern: position.revision.rawValue))
            state = Self.mix(state, UInt64(UInt32(bitPattern: position.sub)))
        }
        return Digest(rawValue: Int64(bitPattern: state))
    }

    // Odd constants with about half of their bits set: the fractional parts of the square roots of 3 and 7.
    @inline(__always)
    static func mix(_ state: UInt64, _ word: UInt64) -> UInt64 {
        let product = (state ^ 0xBB67_AE85_84CA_A73B).multipliedFullWidth(by: word ^ 0xA54F_F53A_5F1D_36F1)
        // The word is added once more, so that a factor of zero can't swallow the state.
        return (product.high ^ product.low) &+ state.rotatedLeft(29) &+ word
    }

    private static func mix(_ start: UInt64, _ bytes: ByteString) -> UInt64 {
        bytes.withUnsafeBytes { raw in
            var state = mix(start, UInt64(raw.count))
            var at = 0
            while at + 8 <= raw.count {
                state = mix(state, UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
                at += 8
            }
            if at < raw.count {
                var last: UInt64 = 0
                for index in at..<raw.count { last |= UInt64(raw[index]) << UInt64(8 * (index - at)) }
                state = mix(state, last)
            }
            return state
        }
    }
}

extension UInt64 {
    @inline(__always)
    func rotatedLeft(_ bits: UInt64) -> UInt64 { self << bits | self >> (64 - bits) }
}

// Owns: the numbers of the bbolt file format (go.etcd.io/bbolt, page.go, db.go, bucket.go), all little-endian.
//
//   page     id 8 · flags 2 · count 2 · overflow 4, then elements, then their bytes; `overflow` pages follow it
//   leaf     flags 4 · position 4 · key size 4 · value size 4; the position counts from the element's own start
//   branch   position 4 · key size 4 · page 8; the key is the first one below that page
//   bucket   root page 8 · sequence 8; root page 0 means that a leaf page follows at once, inside the value (inline)
//   meta     magic 4 · version 4 · page size 4 · flags 4 · root bucket 16 · freelist 8 · high-water mark 8 · transaction 8 · checksum 8

enum BoltFormat {
    static let magic: UInt32 = 0xED0C_DAED
    static let version: UInt32 = 2
    static let pageHeaderSize = 16
    static let elementSize = 16
    static let bucketHeaderSize = 16
    static let metaSize = 64
    /// What of a meta its checksum covers.
    static let metaSizeBeforeChecksum = 56
    static let pageSizes = 1_024...65_536
    static let branchFlag: UInt16 = 0x01
    static let leafFlag: UInt16 = 0x02
    static let metaFlag: UInt16 = 0x04
    static let freelistFlag: UInt16 = 0x10
    static let bucketElementFlag: UInt32 = 0x01

    /// FNV-1a of 64 bits.
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}

extension UnsafeRawBufferPointer {
    /// The little-endian integer at `offset`; the caller has checked that it lies inside.
    func integer<I: FixedWidthInteger>(_ offset: Int, as type: I.Type = I.self) -> I {
        I(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }
}

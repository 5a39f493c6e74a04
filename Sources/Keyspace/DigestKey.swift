// Owns: a store's secret key, and the hash of a row under it. Hashes are stored in `changelog.hash`, so the function never changes.
// Must never: show the key: no log line, metric, answer or view has it.
//
// A row is hashed in two steps. NH (Black et al., UMAC, CRYPTO '99) compresses each stretch of up to 256 bytes to 128 bits: two rows that
// differ come to the same with a chance of 2^-64 over keys, whoever chose them. SipHash-1-3 (Aumasson and Bernstein, INDOCRYPT 2012) makes
// of what is left a number that tells nothing of the key. So clients, who choose keys and values, can't choose two that collide, even where
// they see digests.
internal import Bytes
internal import EtcdAPI

/// The key, and what is derived from it once.
package final class DigestKey: Sendable {
    /// Half of the key each.
    private let first: UInt64
    private let second: UInt64
    /// 32 words for a stretch of bytes, 8 for a row's other fields, 2 for SipHash, 2 for the chain of digests.
    private let words: [UInt64]

    private static let stretchWords = 32
    private static let fieldWords = 8
    private static let stretchBytes = stretchWords * 8

    package init(_ first: UInt64, _ second: UInt64) {
        self.first = first
        self.second = second
        words = (0..<UInt64(Self.stretchWords + Self.fieldWords + 4)).map { number in
            var hash = SipHash(first, second)
            hash.absorb(number, rounds: 2)
            return hash.finish(rounds: 4)
        }
    }

    /// A new key, by the system's generator.
    package static func random() -> DigestKey { DigestKey(.random(in: 0 ... .max), .random(in: 0 ... .max)) }

    /// The key that a row of the log gives to all rows after it.
    package convenience init(_ row: LogRow) {
        invariant(row.kind == .digestKey, "a \(row.kind) row has no key")
        self.init(UInt64(bitPattern: row.createRevision.rawValue), UInt64(bitPattern: row.version))
    }

    /// The row that gives this key to the log.
    package func row(at position: Position, origin: Int64) -> LogRow {
        LogRow(
            position: position, kind: .digestKey, createRevision: Revision(Int64(bitPattern: first)), version: Int64(bitPattern: second),
            origin: origin)
    }

    /// The hash of all that a row says.
    package func hash(_ row: LogRow) -> RowHash {
        words.withUnsafeBufferPointer { words in
            let fields = Self.stretchWords
            var sum = ProductSum()
            sum.add(
                UInt64(bitPattern: row.position.revision.rawValue) &+ words[fields],
                (UInt64(UInt32(bitPattern: row.position.sub)) << 16 | UInt64(UInt16(bitPattern: row.kind.rawValue))) &+ words[fields + 1])
            sum.add(
                UInt64(bitPattern: row.createRevision.rawValue) &+ words[fields + 2], UInt64(bitPattern: row.version) &+ words[fields + 3])
            sum.add(UInt64(bitPattern: row.lease.rawValue) &+ words[fields + 4], UInt64(bitPattern: row.origin) &+ words[fields + 5])
            sum.add(UInt64(row.key.count) &+ words[fields + 6], UInt64(row.value.count) &+ words[fields + 7])
            var hash = SipHash(words[fields + Self.fieldWords], words[fields + Self.fieldWords + 1])
            hash.absorb(sum)
            Self.absorb(row.key, into: &hash, words)
            Self.absorb(row.value, into: &hash, words)
            return RowHash(truncating: hash.finish(rounds: 3))
        }
    }

    /// The digest of a history that goes on with a row of this hash.
    package func digest(after digest: Digest, _ hash: RowHash) -> Digest {
        let last = words.count - 1
        return Digest(
            rawValue: Int64(
                bitPattern: Digest.mix(
                    UInt64(bitPattern: digest.rawValue) ^ words[last - 1], UInt64(bitPattern: hash.rawValue) ^ words[last])))
    }

    private static func absorb(_ bytes: ByteString, into hash: inout SipHash, _ words: UnsafeBufferPointer<UInt64>) {
        bytes.withUnsafeBytes { raw in
            var at = 0
            while at < raw.count {
                let end = min(raw.count, at + Self.stretchBytes)
                hash.absorb(compress(raw, at..<end, words))
                at = end
            }
        }
    }

    /// Sixteen bytes at a time, little-endian, the last ones filled up with zeros: the row's fields say how many there are.
    @inline(__always)
    private static func compress(
        _ raw: UnsafeRawBufferPointer, _ range: Range<Int>, _ words: UnsafeBufferPointer<UInt64>
    ) -> ProductSum {
        var sum = ProductSum()
        var at = range.lowerBound
        var word = 0
        while at + 16 <= range.upperBound {
            let one = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            let two = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self))
            sum.add(one &+ words[word], two &+ words[word + 1])
            at += 16
            word += 2
        }
        if at < range.upperBound {
            var rest: (UInt64, UInt64) = (0, 0)
            withUnsafeMutableBytes(of: &rest) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[at..<range.upperBound])) }
            sum.add(UInt64(littleEndian: rest.0) &+ words[word], UInt64(littleEndian: rest.1) &+ words[word + 1])
        }
        return sum
    }
}

/// A sum of products of words, modulo 2^128: what NH comes to.
private struct ProductSum {
    var low: UInt64 = 0
    var high: UInt64 = 0

    @inline(__always)
    mutating func add(_ a: UInt64, _ b: UInt64) {
        let product = a.multipliedFullWidth(by: b)
        let (sum, carry) = low.addingReportingOverflow(product.low)
        low = sum
        high = high &+ product.high &+ (carry ? 1 : 0)
    }
}

extension SipHash {
    @inline(__always)
    fileprivate mutating func absorb(_ sum: ProductSum) {
        absorb(sum.low)
        absorb(sum.high)
    }
}

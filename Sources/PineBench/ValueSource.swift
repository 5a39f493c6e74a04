// Owns: values: how they look, and how an answer's are recognised.
// Invariant: a value starts with when it was sent and the number of its key; the rest is random, so nothing compresses it.
internal import Bytes
internal import Glibc

extension SplitMix64 {
    /// Less than `bound`.
    mutating func below(_ bound: Int) -> Int {
        Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }
}

/// CLOCK_MONOTONIC, in nanoseconds.
@inline(__always)
func monotonicNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

struct ValueSource {
    private let pool: ByteString
    private let poolSize: Int
    private let size: Int
    var random: SplitMix64

    private static let smallestPool = 1 << 20

    init(size: Int, seed: UInt64) {
        self.size = size
        random = SplitMix64(seed: seed)
        poolSize = max(Self.smallestPool, 2 * size)
        var writer = ByteWriter(capacity: poolSize + 8)
        while writer.count < poolSize { writer.appendBigEndian(random.next()) }
        pool = writer.finish()
    }

    /// Writes a bytes field that holds a value of `size` bytes, the plan's if not given.
    mutating func append(to writer: inout ByteWriter, field: Int, number: Int, sentAt: UInt64, size: Int? = nil) {
        let size = min(size ?? self.size, poolSize)
        writer.appendVarint(UInt64(field) << 3 | 2)
        writer.appendVarint(UInt64(size))
        writer.appendBigEndian(sentAt)
        writer.appendBigEndian(UInt64(number))
        let rest = size - BenchPlan.smallestValue
        let start = random.below(poolSize - rest)
        pool.withUnsafeBytes { writer.append(UnsafeRawBufferPointer(rebasing: $0[start..<(start + rest)])) }
    }

    func fieldSize(_ size: Int? = nil) -> Int { (size ?? self.size) + 16 }

    /// Whether `value` is one that was written for the key of this number.
    func check(_ value: UnsafeRawBufferPointer, number: Int) throws(WrongAnswer) {
        guard value.count == size else { throw WrongAnswer("a value of \(value.count) bytes instead of \(size)") }
        let found = UInt64(bigEndian: value.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        guard found == UInt64(number) else { throw WrongAnswer("the value of key \(found) instead of \(number)'s") }
    }

    /// When the value was sent.
    static func sentAt(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count >= BenchPlan.smallestValue else { return nil }
        return UInt64(bigEndian: value.loadUnaligned(as: UInt64.self))
    }
}

extension ByteWriter {
    mutating func appendNumber(field: Int, _ value: Int64) {
        appendVarint(UInt64(field) << 3)
        appendVarint(UInt64(bitPattern: value))
    }
}

// Owns: a growing buffer that becomes a ByteString without a copy.
// Must never: be written to after `finish`.

/// An append-only output buffer. Integers are little-endian, varints are those of protobuf.
public struct ByteWriter: ~Copyable {
    @usableFromInline var storage: ByteStorage
    @usableFromInline var base: UnsafeMutablePointer<UInt8>
    @usableFromInline var capacity: Int
    /// Bytes written so far.
    public private(set) var count: Int {
        @inlinable get { written }
        set { written = newValue }
    }
    @usableFromInline var written = 0

    @inlinable
    public init(capacity: Int = 64) {
        self.capacity = Swift.max(capacity, 16)
        storage = ByteStorage.allocate(self.capacity)
        base = storage.base
    }

    /// The bytes written, without a copy. The writer is used up.
    @inlinable
    public consuming func finish() -> ByteString {
        precondition(written <= Int(UInt32.max))
        return ByteString(storage: storage, offset: 0, length: UInt32(written))
    }

    /// Makes room for `more` further bytes.
    @inlinable
    @inline(__always)
    public mutating func reserve(_ more: Int) {
        if written + more > capacity { grow(more) }
    }

    /// The same for what is known to end at `limit` bytes in all: no room is made beyond that.
    public mutating func reserve(_ more: Int, upTo limit: Int) {
        if written + more > capacity { grow(more, limit: limit) }
    }

    @usableFromInline
    mutating func grow(_ more: Int, limit: Int = .max) {
        let wanted = Swift.max(Swift.min(capacity * 2, limit), written + more)
        let larger = ByteStorage.allocate(wanted)
        larger.base.update(from: base, count: written)
        storage = larger
        base = larger.base
        capacity = wanted
    }

    @inlinable
    @inline(__always)
    public mutating func append(_ byte: UInt8) {
        reserve(1)
        base[written] = byte
        written += 1
    }

    @inlinable
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        reserve(bytes.count)
        UnsafeMutableRawPointer(base + written).copyMemory(from: source, byteCount: bytes.count)
        written += bytes.count
    }

    @inlinable
    public mutating func append(_ bytes: ByteString) {
        let length = bytes.count
        guard length > 0 else { return }
        reserve(length)
        let target = UnsafeMutableRawPointer(base + written)
        bytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: length) }
        written += length
    }

    /// Makes room for `limit` bytes and hands out where they go; `body` answers how many of them it wrote.
    /// For runs of small fields whose size is known: one check for all.
    @inlinable
    @inline(__always)
    public mutating func append(atMost limit: Int, _ body: (UnsafeMutablePointer<UInt8>) -> Int) {
        reserve(limit)
        let count = body(base + written)
        invariant(count >= 0 && count <= limit, "a writer overran what it had reserved")
        written += count
    }

    /// A protobuf varint: 1 to 10 bytes.
    @inlinable
    @inline(__always)
    public mutating func appendVarint(_ value: UInt64) {
        reserve(10)
        var rest = value
        while rest >= 0x80 {
            base[written] = UInt8(truncatingIfNeeded: rest) | 0x80
            written += 1
            rest >>= 7
        }
        base[written] = UInt8(truncatingIfNeeded: rest)
        written += 1
    }

    @inlinable
    public mutating func appendBigEndian<I: FixedWidthInteger>(_ value: I) {
        reserve(MemoryLayout<I>.size)
        UnsafeMutableRawPointer(base + written).storeBytes(of: value.bigEndian, as: I.self)
        written += MemoryLayout<I>.size
    }

    /// The bytes written so far, valid inside `body` only.
    @inlinable
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        defer { extendLifetime(storage) }
        return body(UnsafeRawBufferPointer(start: base, count: written))
    }

    /// Drops what was written from `position` on.
    @inlinable
    public mutating func truncate(to position: Int) {
        precondition(position >= 0 && position <= written)
        written = position
    }

    /// Puts other bytes in place of those at `range`, which must have been written.
    public mutating func replace(_ range: Range<Int>, with bytes: ByteString) {
        precondition(range.lowerBound >= 0 && range.upperBound <= written)
        let growth = bytes.count - range.count
        reserve(Swift.max(growth, 0))
        (base + range.upperBound + growth).update(from: base + range.upperBound, count: written - range.upperBound)
        bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            UnsafeMutableRawPointer(base + range.lowerBound).copyMemory(from: start, byteCount: source.count)
        }
        written += growth
    }

    // MARK: Nested messages of unknown length, in one pass

    /// Starts a nested message: writes its tag and leaves one byte for the length. Give the result to `endMessage`.
    @inlinable
    public mutating func beginMessage(_ field: Int) -> Int {
        appendVarint(UInt64(field) << 3 | 2)
        append(0)
        return written
    }

    /// Ends the nested message whose body starts at `start`: writes the length, moving the body where it takes over a byte.
    @inlinable
    public mutating func endMessage(_ start: Int) {
        let length = written - start
        if length < 0x80 {
            base[start - 1] = UInt8(length)
            return
        }
        let extra = varintSize(UInt64(length)) - 1
        reserve(extra)
        UnsafeMutableRawPointer(base + start + extra).copyMemory(from: base + start, byteCount: length)
        var rest = UInt64(length)
        var at = start - 1
        while rest >= 0x80 {
            base[at] = UInt8(truncatingIfNeeded: rest) | 0x80
            at += 1
            rest >>= 7
        }
        base[at] = UInt8(rest)
        written += extra
    }
}

/// How many bytes the varint of `value` takes: 1 to 10.
@inlinable
public func varintSize(_ value: UInt64) -> Int {
    (70 - value.leadingZeroBitCount.clamped(to: 63)) / 7
}

extension Int {
    @inlinable
    func clamped(to top: Int) -> Int { self < top ? self : top }
}

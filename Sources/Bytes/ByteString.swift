// Owns: the immutable byte string that every room passes around, a slice of a reference-counted buffer.
// Must never: expose its storage for writing once a `ByteString` exists over it.
// Invariant: offset + count <= storage.capacity; an empty byte string holds no storage.

/// The tail-allocated buffer behind `ByteString` and `ByteWriter`.
public final class ByteStorage: ManagedBuffer<Int, UInt8> {
    /// A buffer of at least `capacity` bytes, contents undefined. The header holds the capacity.
    @inlinable
    public static func allocate(_ capacity: Int) -> ByteStorage {
        let buffer = ByteStorage.create(minimumCapacity: capacity) { _ in capacity }
        return unsafeDowncast(buffer, to: ByteStorage.self)
    }

    @inlinable
    public var base: UnsafeMutablePointer<UInt8> { withUnsafeMutablePointerToElements { $0 } }
}

/// An immutable string of any bytes. Slicing shares the storage; copying costs one reference count.
/// Order is bytewise, as etcd orders keys.
public struct ByteString: Sendable {
    // Safe to share between threads: written only by its one owner (a `ByteWriter`, or an initializer here) before the
    // first `ByteString` over it exists.
    @usableFromInline nonisolated(unsafe) let storage: ByteStorage?
    @usableFromInline let offset: UInt32
    /// The length in bytes, at most 4 GiB.
    @usableFromInline let length: UInt32

    @inlinable
    public init() {
        storage = nil
        offset = 0
        length = 0
    }

    @inlinable
    init(storage: ByteStorage?, offset: UInt32, length: UInt32) {
        self.storage = length == 0 ? nil : storage
        self.offset = offset
        self.length = length
    }

    /// `count` bytes of `storage` from `offset` on, without a copy. They must never be written again; what is around them may.
    @inlinable
    public init(sharing storage: ByteStorage, from offset: Int, count: Int) {
        self.init(storage: storage, offset: UInt32(offset), length: UInt32(count))
    }

    /// Copies `bytes`.
    @inlinable
    public init(copying bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else {
            self.init()
            return
        }
        let storage = ByteStorage.allocate(bytes.count)
        UnsafeMutableRawPointer(storage.base).copyMemory(from: source, byteCount: bytes.count)
        self.init(storage: storage, offset: 0, length: UInt32(bytes.count))
    }

    @inlinable
    public init(_ bytes: some Sequence<UInt8>) {
        self =
            bytes.withContiguousStorageIfAvailable { ByteString(copying: UnsafeRawBufferPointer($0)) }
            ?? Array(bytes).withUnsafeBytes { ByteString(copying: $0) }
    }

    @inlinable
    public init(_ text: some StringProtocol) {
        self.init(text.utf8)
    }

    /// For who keeps many byte strings and their lengths elsewhere: with `sharedOffset` and its length, `init(sharing:from:count:)`
    /// makes it again. nil where it is empty.
    @inlinable public var sharedStorage: ByteStorage? { storage }
    @inlinable public var sharedOffset: Int { Int(offset) }

    @inlinable public var count: Int { Int(length) }
    @inlinable public var isEmpty: Bool { length == 0 }

    /// The bytes, valid inside `body` only.
    @inlinable
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        guard let storage else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        defer { extendLifetime(storage) }
        return try body(UnsafeRawBufferPointer(start: storage.base + Int(offset), count: Int(length)))
    }

    /// The bytes of the byte string at `pointer`, without a reference to their storage: good as long as what is there stays.
    ///
    /// For searches through many byte strings in memory that the caller owns, where an atomic increment and decrement for each
    /// comparison would cost more than the comparison.
    @inlinable
    @inline(__always)
    public static func unretainedBytes(at pointer: UnsafePointer<ByteString>) -> UnsafeRawBufferPointer {
        let length = Int(pointer.pointee.length)
        // `storage` comes first; an unmanaged reference has the layout of a strong one.
        let reference = UnsafeRawPointer(pointer).load(as: Unmanaged<ByteStorage>?.self)
        guard let reference else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let start = reference._withUnsafeGuaranteedRef { $0.base }
        return UnsafeRawBufferPointer(start: start + Int(pointer.pointee.offset), count: length)
    }

    /// Traps where a byte string does not lie in memory as `unretainedBytes` reads it. For whoever searches with that to ask once.
    public static func checkLayout() {
        invariant(
            MemoryLayout<ByteString>.offset(of: \.storage) == 0
                && MemoryLayout<Unmanaged<ByteStorage>?>.size == MemoryLayout<ByteStorage?>.size
                && MemoryLayout<Unmanaged<ByteStorage>?>.alignment == MemoryLayout<ByteStorage?>.alignment,
            "a byte string does not begin with the reference to its storage")
    }

    /// A slice that shares this storage. `range` is in bytes, relative to this byte string.
    @inlinable
    public func slice(_ range: Range<Int>) -> ByteString {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return ByteString(storage: storage, offset: offset + UInt32(range.lowerBound), length: UInt32(range.count))
    }

    @inlinable
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        // What is not empty has storage.
        return storage.unsafelyUnwrapped.base[Int(offset) + index]
    }

    /// This byte string, in storage of its own where the storage that it shares is noticeably larger: what is kept for long must
    /// not keep a big request alive. The value of a small request stays where it is.
    @inlinable
    public func compacted() -> ByteString {
        guard let storage, storage.header > Int(length) + Int(length) / 8 + 64 else { return self }
        return withUnsafeBytes { ByteString(copying: $0) }
    }

    /// The smallest byte string greater than every one that has this prefix; empty where there is none (all 0xFF).
    public func prefixSuccessor() -> ByteString {
        var bytes = Array(self)
        while let last = bytes.last {
            if last < 0xFF {
                bytes[bytes.count - 1] = last + 1
                return ByteString(bytes)
            }
            bytes.removeLast()
        }
        return ByteString()
    }
}

@inlinable
@inline(__always)
func extendLifetime<T>(_ value: borrowing T) {
    _fixLifetime(value)
}

extension ByteString: Hashable, Comparable {
    @inlinable
    public static func == (a: ByteString, b: ByteString) -> Bool {
        guard a.length == b.length else { return false }
        return a.withUnsafeBytes { x in
            b.withUnsafeBytes { y in
                x.count == 0 || x.baseAddress == y.baseAddress || compareMemory(x, y, x.count) == 0
            }
        }
    }

    @inlinable
    public static func < (a: ByteString, b: ByteString) -> Bool { a.order(against: b) < 0 }

    /// Negative, zero or positive as this sorts before, with or after `other`.
    @inlinable
    public func order(against other: ByteString) -> Int {
        withUnsafeBytes { x in
            other.withUnsafeBytes { y in
                let common = Swift.min(x.count, y.count)
                let order = common == 0 ? 0 : compareMemory(x, y, common)
                return order != 0 ? order : x.count - y.count
            }
        }
    }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

extension ByteString: RandomAccessCollection {
    @inlinable public var startIndex: Int { 0 }
    @inlinable public var endIndex: Int { Int(length) }

    @inlinable
    public func withContiguousStorageIfAvailable<R>(_ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R? {
        guard let storage else { return try body(UnsafeBufferPointer(start: nil, count: 0)) }
        defer { extendLifetime(storage) }
        return try body(UnsafeBufferPointer(start: storage.base + Int(offset), count: Int(length)))
    }
}

extension ByteString: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) {
        self.init(value)
    }
}

extension ByteString: CustomStringConvertible {
    /// The bytes as text where they are printable ASCII, `\xHH` otherwise, cut after 80 bytes. For logs and test failures.
    public var description: String {
        var text = "\""
        for byte in prefix(80) {
            if byte >= 0x20 && byte < 0x7F && byte != 0x5C && byte != 0x22 {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let hex = String(byte, radix: 16)
                text += "\\x" + (hex.count == 1 ? "0" : "") + hex
            }
        }
        return text + (count > 80 ? "\"… (\(count) bytes)" : "\"")
    }
}

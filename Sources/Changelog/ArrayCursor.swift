// Owns: writing an array in PostgreSQL's binary format into memory of known size.
internal import Bytes
internal import EtcdAPI

/// Writes one array of known size, element by element. Must not get more elements than it was made for.
///
/// One-dimensional, without nulls: dimensions, "has nulls", element type, length, lower bound 1; then each element after its
/// length (array_send in arrayfuncs.c).
struct ArrayCursor {
    static let headerSize = 20
    /// Where the next element goes.
    private(set) var at: UnsafeMutableRawPointer

    init(_ start: UnsafeMutableRawPointer, of type: UInt32, count: Int) {
        at = start
        for word in [1, 0, type, UInt32(count), 1] {
            at.storeBytes(of: word.bigEndian, as: UInt32.self)
            at += 4
        }
    }

    @inline(__always)
    mutating func put<I: FixedWidthInteger>(_ value: I) {
        at.storeBytes(of: UInt32(MemoryLayout<I>.size).bigEndian, as: UInt32.self)
        (at + 4).storeBytes(of: value.bigEndian, as: I.self)
        at += 4 + MemoryLayout<I>.size
    }

    @inline(__always)
    mutating func put(_ value: some WireNumber) { put(value.rawValue) }

    @inline(__always)
    mutating func put(_ bytes: ByteString) {
        at.storeBytes(of: UInt32(truncatingIfNeeded: bytes.count).bigEndian, as: UInt32.self)
        at += 4
        bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            at.copyMemory(from: base, byteCount: source.count)
        }
        at += bytes.count
    }
}

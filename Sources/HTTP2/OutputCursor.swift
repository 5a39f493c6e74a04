// Owns: where the bytes of one `produce` call go: a buffer, and how much of it is filled.
// Must never: write past the buffer's end. What asks for more than there is room for is our bug, and traps.
// Invariant: 0 <= count <= capacity.
internal import Bytes

struct OutputCursor {
    private let base: UnsafeMutableRawPointer?
    private let capacity: Int
    /// Bytes written so far.
    private(set) var count = 0

    /// A cursor without room, for when nothing is being produced.
    init() {
        base = nil
        capacity = 0
    }

    /// Writes from the beginning of `buffer`, which must stay where it is for as long as the cursor is used.
    init(_ buffer: UnsafeMutableRawBufferPointer) {
        base = buffer.baseAddress
        capacity = buffer.count
    }

    /// Bytes that still fit.
    @inline(__always) var room: Int { capacity - count }

    /// Copies `added` bytes from `source`.
    @inline(__always)
    mutating func append(_ source: UnsafeRawPointer, count added: Int) {
        invariant(added >= 0 && added <= room, "\(added) bytes of output where \(room) fit")
        guard added > 0, let base else { return }
        (base + count).copyMemory(from: source, byteCount: added)
        count += added
    }
}

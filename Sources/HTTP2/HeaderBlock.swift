// Owns: outgoing header lists in the form that nghttp2 takes, and the view of incoming ones.
// Must never: change a list once it exists.
internal import Bytes
internal import CNghttp2

/// A header list to send: pseudo-header fields first, names in lower case (RFC 9113 section 8.2).
package final class HeaderBlock: Sendable {
    // Both are safe to share: written by the initializers only, read-only from then on.
    nonisolated(unsafe) let fields: UnsafeMutableBufferPointer<nghttp2_nv>
    private nonisolated(unsafe) let text: UnsafeMutablePointer<UInt8>

    /// `isStatic` lists live as long as the process, so nghttp2 need not copy their names and values.
    package init(_ list: [(name: String, value: String)], isStatic: Bool) {
        let size = list.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
        text = UnsafeMutablePointer<UInt8>.allocate(capacity: max(size, 1))
        fields = UnsafeMutableBufferPointer<nghttp2_nv>.allocate(capacity: list.count)
        let flags = isStatic ? NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue : 0
        var end = text
        for (index, field) in list.enumerated() {
            let name = end
            for byte in field.name.utf8 {
                end.initialize(to: byte)
                end += 1
            }
            let value = end
            for byte in field.value.utf8 {
                end.initialize(to: byte)
                end += 1
            }
            fields.initializeElement(
                at: index,
                to: nghttp2_nv(name: name, value: value, namelen: value - name, valuelen: end - value, flags: UInt8(flags)))
        }
    }

    deinit {
        fields.deallocate()
        text.deallocate()
    }
}

/// Incoming header fields, in the order in which they came, in one growing buffer: lengths, name, value, for each.
struct FieldArena {
    private var base = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 8)
    private var capacity = 1024
    private(set) var count = 0

    static let lengthsSize = 8
    /// Where parsing pauses until the fields so far have been handed on.
    static let pauseLimit = 256 << 10

    mutating func append(name: UnsafePointer<UInt8>, _ nameCount: Int, value: UnsafePointer<UInt8>, _ valueCount: Int) {
        let size = FieldArena.lengthsSize + nameCount + valueCount
        if count + size > capacity { grow(by: size) }
        let target = base + count
        target.storeBytes(of: UInt32(truncatingIfNeeded: nameCount), as: UInt32.self)
        target.storeBytes(of: UInt32(truncatingIfNeeded: valueCount), toByteOffset: 4, as: UInt32.self)
        (target + FieldArena.lengthsSize).copyMemory(from: name, byteCount: nameCount)
        (target + FieldArena.lengthsSize + nameCount).copyMemory(from: value, byteCount: valueCount)
        count += size
    }

    private mutating func grow(by more: Int) {
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
        larger.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = larger
    }

    /// Drops everything before `start`, where a header block begins whose end has not come yet.
    mutating func discard(before start: Int) {
        let rest = count - start
        if rest > 0 && start > 0 { base.copyMemory(from: base + start, byteCount: rest) }
        count = rest
        if capacity > FieldArena.pauseLimit && rest < 1024 { shrink() }
    }

    private mutating func shrink() {
        let smaller = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 8)
        smaller.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = smaller
        capacity = 1024
    }

    /// Drops everything from `start` on.
    mutating func discard(after start: Int) { count = start }

    func fields(from start: Int, to end: Int) -> HeaderFields {
        HeaderFields(bytes: UnsafeRawBufferPointer(start: base + start, count: end - start))
    }

    func deallocate() { base.deallocate() }
}

/// The fields of one received header block. Valid only during the call that hands it over.
package struct HeaderFields {
    fileprivate let bytes: UnsafeRawBufferPointer

    /// Calls `body` with each name and value, in order. Both point into a buffer that is valid inside `body` only.
    @inline(__always)
    package func visit(_ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        var at = 0
        while at < bytes.count {
            let nameCount = Int(bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
            let valueCount = Int(bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
            let start = bytes.baseAddress! + at + FieldArena.lengthsSize
            body(
                UnsafeRawBufferPointer(start: start, count: nameCount),
                UnsafeRawBufferPointer(start: start + nameCount, count: valueCount))
            at += FieldArena.lengthsSize + nameCount + valueCount
        }
    }
}

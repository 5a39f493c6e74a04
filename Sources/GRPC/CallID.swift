// Owns: the name of a call that may travel to other threads and come back late.
internal import HTTP2

/// A call, as a plain value: loop, stream slot, generation of the slot. When the call is over, whatever is done with its
/// id does nothing.
package struct CallID: Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    @inline(__always)
    init(loop: Int, stream: StreamHandle) {
        rawValue = UInt64(UInt8(truncatingIfNeeded: loop)) << 56 | UInt64(stream.slot & 0xFF_FFFF) << 32 | UInt64(stream.generation)
    }

    /// Which of the server's loops the call lives on.
    package var loop: Int { Int(rawValue >> 56) }

    @inline(__always)
    var stream: StreamHandle {
        StreamHandle(slot: UInt32(truncatingIfNeeded: rawValue >> 32) & 0xFF_FFFF, generation: UInt32(truncatingIfNeeded: rawValue))
    }
}

// Owns: how a call of gRPC is named: its caller, its stream's slot, and the slot's generation.
internal import Calls
internal import HTTP2

extension CallID {
    @inline(__always)
    init(caller: Int, stream: StreamHandle) {
        self.init(
            rawValue: UInt64(UInt8(truncatingIfNeeded: caller)) << 56 | UInt64(stream.slot & 0xFF_FFFF) << 32 | UInt64(stream.generation))
    }

    @inline(__always)
    var stream: StreamHandle {
        StreamHandle(slot: UInt32(truncatingIfNeeded: rawValue >> 32) & 0xFF_FFFF, generation: UInt32(truncatingIfNeeded: rawValue))
    }
}

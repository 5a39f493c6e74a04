// Owns: what nghttp2's callbacks append: what happened on a session.

/// What happened on a session, in order. Streams are named by pointer; the slot stays taken until `closed` is drained.
struct SessionEvent {
    enum Kind: UInt8 {
        /// A request's (server) or response's (client) header block, at `start..<end` of the field arena.
        case headers
        /// DATA, `count` bytes at `bytes`, valid until the buffer given to `receive` is.
        case data
        /// END_STREAM without data that could carry the news, or with trailers.
        case inputEnded
        /// Our END_STREAM went out while the peer's has not come.
        case outputEnded
        /// The queue fell below the low-water mark and somebody wanted to know.
        case writable
        /// There may be room again, and somebody wanted to know.
        case connectionWritable
        /// The stream is gone; `count` is the RFC 9113 error code.
        case closed
        case pingReceived
        /// `count` is the opaque value of the ping that was acknowledged.
        case pingAcknowledged
        /// `count` is the error code.
        case goAwayReceived
    }

    var kind: Kind
    var endStream = false
    var stream: StreamPointer?
    var bytes: UnsafeRawPointer?
    var start = 0
    var count = 0
}

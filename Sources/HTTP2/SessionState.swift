// Owns: what nghttp2's callbacks see of a session. It lives at a fixed address, which nghttp2 hands to each callback, and is
// reached by pointer only: no exclusivity checks, no reference counts on the data path.
// Must never: call into SwiftNIO, or from a callback into the user of the session.
internal import CNghttp2

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

/// The connection's share of RFC 9113: its error codes.
package enum HTTP2ErrorCode: UInt32, Sendable {
    case noError = 0
    case protocolError = 1
    case internalError = 2
    case flowControlError = 3
    case settingsTimeout = 4
    case streamClosed = 5
    case frameSizeError = 6
    case refusedStream = 7
    case cancel = 8
    case compressionError = 9
    case connectError = 10
    case enhanceYourCalm = 11
    case inadequateSecurity = 12
    case http11Required = 13
}

struct SessionState {
    /// nghttp2's handle. Owned by `HTTP2Session`.
    var session: OpaquePointer?
    let isServer: Bool
    let table: Unmanaged<StreamTable>
    /// The connection that a stream belongs to, for whoever holds only the stream. Outlived by the connection.
    var owner: Unmanaged<AnyObject>?

    var events: [SessionEvent] = []

    // Header blocks.
    var fields = FieldArena()
    let headerListSizeLimit: Int
    /// The stream whose header block is being received, and where in `fields` it begins.
    var headerStream: StreamPointer?
    var isInHeaderBlock = false
    var headerStart = 0
    var headerListSize = 0
    /// A server's look at the block that is being received.
    var requestCheck = RequestCheck()

    // Output of the `produce` call that is running.
    var output = OutputCursor()
    let outputLowWaterMark: Int
    let connectionKeptLowWaterMark: Int
    /// Bytes in all streams' queues.
    var queuedBytes = 0
    /// What the queues keep in memory: each piece whole until its last byte is sent, and what holds it.
    var heldBytes = 0
    /// Bytes of queues that were sent so far.
    var dequeuedBytes = 0
    /// Answers that are being made, and about how large one of them is.
    var expectedAnswers = 0
    var expectedAnswerBytes: Int
    let expectedAnswerMinBytes: Int
    /// The owner wants to hear when `heldBytes` falls below the low-water mark, or fewer answers are expected.
    var wantsWritable = false
    /// Streams that have used up their quantum in this round.
    var waitingForRound: [StreamPointer] = []

    // Open streams.
    var firstStream: StreamPointer?
    var streamCount = 0

    // What the flood guard counts. Cleared by whoever reads it.
    /// Frames received that carry nothing.
    var idleFrames = 0
    /// Streams that were reset by the peer, or by us for what the peer did.
    var resets = 0
    /// HEADERS and DATA frames sent, and two for each message: a DATA frame may hold hundreds of small ones, and there are
    /// clients that give back the stream's and the connection's window for each that they take.
    var contentFramesSent = 0
    /// Whether anything at all came since last asked: the keep-alive's question.
    var framesReceived = 0

    /// What the session's client has us keep.
    var keptBytes: Int { heldBytes + streamCount * StreamState.byteCost + expectedAnswers * expectedAnswerBytes }

    /// `count` bytes left the queues.
    @inline(__always)
    mutating func dequeued(_ count: Int) {
        queuedBytes -= count
        dequeuedBytes &+= count
        tellWritable()
    }

    /// An answer that was expected has begun; `count` is the size of its first piece, nil where there is none.
    mutating func answered(_ count: Int?) {
        expectedAnswers -= 1
        if let count {
            // One large answer says more than many small ones: the next may be as large.
            let difference = expectedAnswerBytes - count
            expectedAnswerBytes = difference <= 0 ? count : max(expectedAnswerBytes - difference >> 3, expectedAnswerMinBytes)
        }
        tellWritable()
    }

    @inline(__always)
    private mutating func tellWritable() {
        guard wantsWritable, heldBytes <= connectionKeptLowWaterMark else { return }
        wantsWritable = false
        events.append(SessionEvent(kind: .connectionWritable))
    }
}

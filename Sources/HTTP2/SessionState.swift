// Owns: what nghttp2's callbacks see of a session. It lives at a fixed address, which nghttp2 hands to each callback, and is
// reached by pointer only: no exclusivity checks, no reference counts on the data path.
// Must never: call into SwiftNIO, or from a callback into the user of the session.
internal import CNghttp2

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

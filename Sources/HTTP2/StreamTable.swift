// Owns: the state of every open stream of one event loop, in slots that are pooled and never move.
// Must never: be touched off its loop, or hand out a slot whose stream's `closed` event has not been drained.
// Invariants: a slot's generation changes each time it is released, so a stale handle finds nothing;
//             a slot with a session is linked into that session's list of open streams.
internal import Bytes

/// A stream as others may hold it: a plain value that stays safe to use after the stream is gone.
package struct StreamHandle: Hashable, Sendable {
    package var slot: UInt32
    package var generation: UInt32

    package init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

typealias StreamPointer = UnsafeMutablePointer<StreamState>

/// One piece of outgoing data: up to 8 bytes kept inline (a message's prefix, where one begins), then a byte string that is shared, not copied.
struct OutputChunk {
    var head: UInt64
    var headCount: Int
    var body: ByteString

    var count: Int { headCount + body.count }

    /// What a piece takes in memory, about: itself, its place in a queue that grows by doubling, and the body's object.
    var byteCost: Int { body.count + OutputChunk.overheadBytes }
    private static let overheadBytes = 128
    /// Bodies from this size on are counted once, however many streams hold them.
    static let sharedBytes = 64 << 10
}

struct StreamState {
    /// What an open stream takes in memory, here, in nghttp2 and above; in bytes, about.
    static let byteCost = 1_024

    let slot: UInt32
    var generation: UInt32 = 0
    /// RFC 9113's stream identifier. 0 while the slot is free.
    var streamID: Int32 = 0
    var flags: StreamFlags = []
    /// The session that has this stream open, nil while the slot is free.
    var session: UnsafeMutablePointer<SessionState>?
    /// Neighbours in the session's list of open streams; `next` links free slots, too.
    var next: StreamPointer?
    var previous: StreamPointer?

    /// What waits to be sent: `chunks[firstChunk...]`, of whose first `chunkOffset` bytes are gone.
    var chunks: [OutputChunk] = []
    var firstChunk = 0
    var chunkOffset = 0
    /// Bytes in `chunks` that are not sent yet.
    var queuedBytes = 0
    /// Bytes that this stream may still send before the others get their turn.
    var quantum = 0
    /// What is still to come of the bytes that the request's `content-length` has told; -1 where it told nothing.
    var contentLeft = -1
    /// Sent after the last chunk, in place of END_STREAM on data.
    var trailers: HeaderBlock?
}

struct StreamFlags: OptionSet {
    var rawValue: UInt16
    /// nghttp2 has closed the stream; its event is still to be drained.
    static let closed = StreamFlags(rawValue: 1)
    /// The peer has sent END_STREAM.
    static let inputEnded = StreamFlags(rawValue: 2)
    /// Our headers (a response's, or a request's) were submitted.
    static let headersSubmitted = StreamFlags(rawValue: 4)
    /// Nothing may be queued any more.
    static let outputEnded = StreamFlags(rawValue: 8)
    /// The data provider told nghttp2 that it has nothing for now.
    static let deferred = StreamFlags(rawValue: 16)
    /// The owner wants to hear when the queue falls below the low-water mark.
    static let wantsWritable = StreamFlags(rawValue: 32)
    /// A request's header list went over the limit; what came after was dropped.
    static let headersTruncated = StreamFlags(rawValue: 64)
    /// The data provider has used up its quantum in this round.
    static let waitsForRound = StreamFlags(rawValue: 128)
    /// Its call was handed over, and the session expects an answer of unknown size.
    static let expectsAnswer = StreamFlags(rawValue: 256)
}

package final class StreamTable {
    private static let slabShift = 8
    private static let slabCount = 1 << slabShift
    /// Slots kept for longer than this many chunks are given back when a stream ends, so that one busy stream's array
    /// doesn't stay for good.
    private static let keptChunkLimit = 16
    /// The same for a queue that has become empty.
    static let keptQueueLimit = 64

    /// Slabs of `slabCount` slots. Slabs are never freed before the table is, hence pointers to slots are stable.
    private var slabs: [StreamPointer] = []
    private var firstFree: StreamPointer?
    /// Streams open now.
    package private(set) var openCount = 0
    /// How many queues hold each large body.
    private var holders: [SharedBody: Int] = [:]
    /// What streams hold of large bodies that others hold as well: counted with each, but in memory once.
    private(set) var duplicateBytes = 0

    private struct SharedBody: Hashable {
        let storage: ObjectIdentifier
        let offset: Int
        let count: Int

        init?(_ body: ByteString) {
            guard let storage = body.sharedStorage else { return nil }
            self.storage = ObjectIdentifier(storage)
            offset = body.sharedOffset
            count = body.count
        }
    }

    package init() {}

    deinit {
        for slab in slabs {
            slab.deinitialize(count: StreamTable.slabCount)
            slab.deallocate()
        }
    }

    /// How many slots there are: one more than the highest slot number of any handle so far.
    package var capacity: Int { slabs.count << StreamTable.slabShift }

    /// The stream, or nil where it is gone.
    @inline(__always)
    func find(_ handle: StreamHandle) -> StreamPointer? {
        let slot = Int(handle.slot)
        guard slot < capacity else { return nil }
        let stream = slabs[slot >> StreamTable.slabShift] + (slot & (StreamTable.slabCount - 1))
        return stream.pointee.generation == handle.generation && stream.pointee.session != nil ? stream : nil
    }

    /// Takes a free slot for a stream of `session` and links it into the session's list.
    func open(streamID: Int32, session: UnsafeMutablePointer<SessionState>) -> StreamPointer {
        if firstFree == nil { addSlab() }
        let stream = firstFree!
        firstFree = stream.pointee.next
        stream.pointee.streamID = streamID
        stream.pointee.session = session
        stream.pointee.previous = nil
        stream.pointee.next = session.pointee.firstStream
        session.pointee.firstStream?.pointee.previous = stream
        session.pointee.firstStream = stream
        session.pointee.streamCount += 1
        openCount += 1
        return stream
    }

    /// A queue holds `body` from now on.
    fileprivate func hold(_ body: ByteString) {
        guard let shared = SharedBody(body) else { return }
        holders[shared, default: 0] += 1
        if holders[shared, default: 0] > 1 { duplicateBytes += body.count }
    }

    /// A queue doesn't hold `body` any more.
    fileprivate func drop(_ body: ByteString) {
        guard let shared = SharedBody(body), let count = holders[shared] else { return }
        holders[shared] = count > 1 ? count - 1 : nil
        if count > 1 { duplicateBytes -= body.count }
    }

    /// Gives the slot back. Every handle to it is stale from here on.
    func release(_ stream: StreamPointer) {
        let session = stream.pointee.session
        invariant(session != nil, "a stream slot is released once")
        stream.pointee.previous?.pointee.next = stream.pointee.next
        stream.pointee.next?.pointee.previous = stream.pointee.previous
        if let session {
            if session.pointee.firstStream == stream { session.pointee.firstStream = stream.pointee.next }
            session.pointee.streamCount -= 1
            if stream.pointee.flags.contains(.expectsAnswer) { session.pointee.answered(nil) }
        }
        stream.pointee.generation &+= 1
        stream.pointee.dropOutput(keepingCapacity: stream.pointee.chunks.capacity <= StreamTable.keptChunkLimit)
        stream.pointee.streamID = 0
        stream.pointee.flags = []
        stream.pointee.session = nil
        stream.pointee.previous = nil
        stream.pointee.trailers = nil
        stream.pointee.contentLeft = -1
        stream.pointee.next = firstFree
        firstFree = stream
        openCount -= 1
    }

    private func addSlab() {
        let slab = StreamPointer.allocate(capacity: StreamTable.slabCount)
        let base = UInt32(capacity)
        for index in (0..<StreamTable.slabCount).reversed() {
            (slab + index).initialize(to: StreamState(slot: base + UInt32(index), next: firstFree))
            firstFree = slab + index
        }
        slabs.append(slab)
    }
}

extension StreamState {
    var handle: StreamHandle { StreamHandle(slot: slot, generation: generation) }

    mutating func dropOutput(keepingCapacity: Bool) {
        for index in firstChunk..<max(chunks.count, firstChunk) { released(chunks[index]) }
        if !chunks.isEmpty || !keepingCapacity { chunks.removeAll(keepingCapacity: keepingCapacity) }
        firstChunk = 0
        chunkOffset = 0
        if queuedBytes > 0 { session?.pointee.dequeued(queuedBytes) }
        queuedBytes = 0
        quantum = 0
    }

    mutating func enqueue(_ chunk: OutputChunk) {
        if chunk.count == 0 { return }
        queuedBytes += chunk.count
        if let session {
            session.pointee.queuedBytes += chunk.count
            session.pointee.heldBytes += chunk.byteCost
            if chunk.body.count >= OutputChunk.sharedBytes {
                session.pointee.table._withUnsafeGuaranteedRef { $0.hold(chunk.body) }
            }
        }
        chunks.append(chunk)
    }

    /// `chunk` leaves the queue.
    private func released(_ chunk: borrowing OutputChunk) {
        guard let session else { return }
        session.pointee.heldBytes -= chunk.byteCost
        if chunk.body.count >= OutputChunk.sharedBytes {
            session.pointee.table._withUnsafeGuaranteedRef { $0.drop(chunk.body) }
        }
    }

    /// Appends the next `count` bytes of the queue to `output` and drops them from the queue. There must be that many.
    mutating func dequeue(_ count: Int, to output: inout OutputCursor) {
        invariant(count <= queuedBytes, "\(count) bytes of a queue that has \(queuedBytes)")
        var rest = count
        while rest > 0 {
            let headCount = chunks[firstChunk].headCount
            if chunkOffset < headCount {
                let taken = min(rest, headCount - chunkOffset)
                withUnsafeBytes(of: chunks[firstChunk].head) { output.append($0.baseAddress! + chunkOffset, count: taken) }
                rest -= taken
                chunkOffset += taken
            }
            let bodyOffset = chunkOffset - headCount
            let taken = min(rest, chunks[firstChunk].body.count - bodyOffset)
            if taken > 0 {
                chunks[firstChunk].body.withUnsafeBytes { output.append($0.baseAddress! + bodyOffset, count: taken) }
                rest -= taken
                chunkOffset += taken
            }
            if chunkOffset == chunks[firstChunk].count { dropFirstChunk() }
        }
        queuedBytes -= count
        session?.pointee.dequeued(count)
    }

    private mutating func dropFirstChunk() {
        if chunks[firstChunk].headCount > 0 { session?.pointee.contentFramesSent &+= 2 }
        released(chunks[firstChunk])
        chunkOffset = 0
        firstChunk += 1
        if firstChunk == chunks.count {
            chunks.removeAll(keepingCapacity: chunks.capacity <= StreamTable.keptQueueLimit)
            firstChunk = 0
        } else {
            // The bytes must not stay alive until the whole queue is empty, which on a watch stream may be never.
            chunks[firstChunk - 1].body = ByteString()
            if firstChunk >= 64 && firstChunk * 2 >= chunks.count {
                chunks.removeFirst(firstChunk)
                firstChunk = 0
            }
        }
    }
}

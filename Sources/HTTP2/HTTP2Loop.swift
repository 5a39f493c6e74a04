// Owns: what the connections of one event loop share: stream slots, the output buffer, the list of connections to flush,
//       the sweep over all connections.
// Must never: be touched off its event loop.
// Invariant: inside a batch nothing is written; at its end each touched connection is flushed once.
package import Bytes
package import HTTP1
package import Logging
package import NIOCore

package final class HTTP2Loop {
    /// Position among the server's loops.
    package let index: Int
    package let eventLoop: any EventLoop
    package let limits: HTTP2Limits
    package let keepAlive: KeepAlivePolicy
    package let logger: Logger
    /// `HTTP2Configuration.rejected`.
    var rejected: (@Sendable (SocketAddress?, String) -> Void)?
    package internal(set) var counters = HTTP2Counters()
    let streams = StreamTable()
    let memory = SessionMemory()
    /// Set before the first connection, and nil again after the last: the handler holds on to this loop.
    package var handler: (any HTTP2StreamHandler)?
    /// Serves peers that begin with HTTP/1.1; they are closed where it is nil.
    package let http1: HTTP1Acceptor?

    /// What all loops' connections keep for their clients.
    package let clientMemory: ClientMemory
    /// Of that, the connections of this loop, and how much of it `clientMemory` knows.
    private var countedBytes = 0
    private var toldBytes = 0
    /// Whether all connections together keep too much.
    package private(set) var isStrained = false
    /// What a connection may keep now before its requests wait.
    package private(set) var connectionKeptLimit: Int

    private(set) var connections: [HTTP2Connection] = []
    private var dirty: [HTTP2Connection] = []
    private var batchDepth = 0
    /// When the batch began, in the nanoseconds of `now`: what happens in it happens then, so that timing calls costs no look at
    /// the clock for each.
    package private(set) var batchTime: UInt64 = 0
    private var isFlushScheduled = false
    private var sweep: RepeatedTask?
    private(set) var isShuttingDown = false
    private var emptied: EventLoopPromise<Void>?

    /// Output is produced here; what is small is copied out of it.
    var scratch: ByteBuffer
    static let scratchSize = 64 << 10
    static let sweepIntervalMs: Int64 = 1_000

    package init(
        index: Int, eventLoop: any EventLoop, limits: HTTP2Limits, keepAlive: KeepAlivePolicy, http1: HTTP1Acceptor? = nil,
        clientMemory: ClientMemory? = nil, logger: Logger
    ) {
        self.index = index
        self.clientMemory = clientMemory ?? ClientMemory(limit: limits.clientBytesLimit)
        connectionKeptLimit = limits.connectionKeptHighWaterMark
        self.http1 = http1
        self.eventLoop = eventLoop
        self.limits = limits
        self.keepAlive = keepAlive
        self.logger = logger
        scratch = ByteBufferAllocator().buffer(capacity: HTTP2Loop.scratchSize)
    }

    package var now: UInt64 { NIODeadline.now().uptimeNanoseconds }
    /// Streams open on all connections.
    package var openStreamCount: Int { streams.openCount }
    package var openConnectionCount: Int { connections.count }
    /// Bytes queued on all streams of all connections.
    package var queuedByteCount: Int { connections.reduce(0) { $0 + $1.session.state.pointee.queuedBytes } }
    /// What the connections keep for their clients, in bytes.
    package var keptByteCount: Int { countedBytes - streams.duplicateBytes }
    /// Connections whose requests wait until their clients have read.
    package var heldBackCount: Int { connections.count(where: \.isHeldBack) }
    /// One more than the highest stream slot so far.
    package var slotCapacity: Int { streams.capacity }

    // MARK: Batches

    @inline(__always)
    package func beginBatch() {
        if batchDepth == 0 { batchTime = now }
        batchDepth += 1
    }

    @inline(__always)
    package func endBatch() {
        batchDepth -= 1
        if batchDepth == 0 { flushDirty() }
    }

    /// Notes that `connection` has something to send.
    @inline(__always)
    func touch(_ connection: HTTP2Connection) {
        if connection.isDirty { return }
        connection.isDirty = true
        dirty.append(connection)
        if batchDepth == 0 && !isFlushScheduled { scheduleFlush() }
    }

    private func scheduleFlush() {
        isFlushScheduled = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            bound.value.isFlushScheduled = false
            bound.value.flushDirty()
        }
    }

    private func flushDirty() {
        // Flushing may close streams, whose owner may touch further connections: they join this round.
        batchDepth += 1
        defer { batchDepth -= 1 }
        flushRound()
        guard isStrained || abs(keptByteCount - toldBytes) > clientMemory.grain else { return }
        settleMemory()
        flushRound()
    }

    private func flushRound() {
        var index = 0
        while index < dirty.count {
            let connection = dirty[index]
            index += 1
            connection.isDirty = false
            connection.flush()
            count(connection)
        }
        dirty.removeAll(keepingCapacity: true)
    }

    // MARK: Memory

    /// Brings the sum up to date with what the connection keeps.
    @inline(__always)
    private func count(_ connection: HTTP2Connection) {
        guard connection.loopIndex >= 0 else { return }
        let kept = connection.keptBytes
        countedBytes += kept - connection.countedBytes
        connection.countedBytes = kept
    }

    /// Tells of what this loop keeps, and learns whether all together keep too much. What goes with that ends an eighth below it.
    private func settleMemory() {
        let kept = keptByteCount
        let total = clientMemory.add(kept - toldBytes)
        toldBytes = kept
        isStrained = total > (isStrained ? clientMemory.limit - clientMemory.limit / 8 : clientMemory.limit)
        let before = connectionKeptLimit
        connectionKeptLimit =
            isStrained ? min(clientMemory.share, limits.connectionKeptHighWaterMark) : limits.connectionKeptHighWaterMark
        guard connectionKeptLimit > before else { return }
        for connection in connections { connection.wakeIfHeldBack() }
    }

    /// Ends connections while all together keep too much: those whose clients have stopped to read, the largest first; and where it is
    /// far too much, the largest in any case. This loop's connections give as much of the excess as they have of the whole.
    private func relieve(now: UInt64) {
        let total = clientMemory.bytes
        guard isStrained, total > clientMemory.limit else { return }
        let isUrgent = total - clientMemory.limit > clientMemory.limit / 4
        let excess = Double(total - clientMemory.limit + clientMemory.limit / 8)
        var rest = Int(excess * Double(max(keptByteCount, 0)) / Double(max(total, 1)))
        let share = clientMemory.share
        let stall = UInt64(max(limits.unreadStallMs, 0)) * 1_000_000
        let holders = connections.filter { connection in
            guard connection.countedBytes > share else { return false }
            return isUrgent || connection.stalledSince.map { now &- $0 >= stall } ?? false
        }
        for connection in holders.sorted(by: { $0.countedBytes > $1.countedBytes }) where rest > 0 {
            rest -= connection.countedBytes
            connection.endUnread()
        }
    }

    // MARK: Connections

    func add(_ connection: HTTP2Connection) {
        connection.loopIndex = connections.count
        connections.append(connection)
        counters.connectionsOpened += 1
        clientMemory.connectionOpened()
        if sweep == nil { startSweep() }
    }

    func remove(_ connection: HTTP2Connection) {
        let index = connection.loopIndex
        invariant(connections[index] === connection, "a connection is where it was put")
        connections.swapAt(index, connections.count - 1)
        connections[index].loopIndex = index
        connections.removeLast()
        counters.connectionsClosed += 1
        clientMemory.connectionClosed()
        connection.loopIndex = -1
        countedBytes -= connection.countedBytes
        if connections.isEmpty { settleMemory() }
        if connections.isEmpty {
            sweep?.cancel()
            sweep = nil
            emptied?.succeed()
            emptied = nil
        }
    }

    private func startSweep() {
        let interval = TimeAmount.milliseconds(HTTP2Loop.sweepIntervalMs)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sweep = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            let loop = bound.value
            let now = loop.now
            loop.beginBatch()
            // From the end: a connection that closes swaps the last one into its place.
            for index in loop.connections.indices.reversed() where index < loop.connections.count {
                loop.connections[index].tick(now: now)
            }
            // A loop that has nothing to do may have been told of others' excess long ago.
            loop.settleMemory()
            loop.relieve(now: now)
            loop.endBatch()
        }
    }

    // MARK: Shutdown

    /// Tells every peer that no new streams are wanted. The future succeeds when the last connection has closed.
    package func beginShutdown() -> EventLoopFuture<Void> {
        eventLoop.preconditionInEventLoop()
        isShuttingDown = true
        if connections.isEmpty { return eventLoop.makeSucceededVoidFuture() }
        let promise = emptied ?? eventLoop.makePromise(of: Void.self)
        emptied = promise
        beginBatch()
        for connection in connections.reversed() { connection.beginShutdown() }
        endBatch()
        return promise.futureResult
    }

    /// Closes every connection at once.
    package func closeAll() {
        eventLoop.preconditionInEventLoop()
        for connection in connections.reversed() { connection.closeNow() }
    }
}

// MARK: - Streams, by handle. A handle whose stream is gone makes each of these do nothing.

extension HTTP2Loop {
    @inline(__always)
    private func connection(_ stream: StreamPointer) -> HTTP2Connection {
        let owner = stream.pointee.session!.pointee.owner!
        return owner._withUnsafeGuaranteedRef { unsafeDowncast($0, to: HTTP2Connection.self) }
    }

    /// The connection that the stream belongs to, nil where it is gone.
    package func connection(of handle: StreamHandle) -> HTTP2Connection? {
        streams.find(handle).map { connection($0) }
    }

    /// `HTTP2Connection.isOverHighWaterMark` of the stream's connection.
    @inline(__always)
    package func isOverHighWaterMark(_ handle: StreamHandle) -> Bool {
        guard let stream = streams.find(handle) else { return false }
        return connection(stream).isOverHighWaterMark
    }

    /// A call was handed over whose answer may be large: until it begins, the connection keeps about as much as its others were.
    @inline(__always)
    package func expectAnswer(_ handle: StreamHandle) {
        guard let stream = streams.find(handle) else { return }
        connection(stream).session.expectAnswer(stream)
    }

    /// A whole response of one piece: headers, data, trailers.
    @inline(__always)
    package func respond(
        _ handle: StreamHandle, headers: HeaderBlock, head: InlineBytes, body: ByteString, trailers: HeaderBlock
    ) {
        guard let stream = streams.find(handle) else { return }
        let connection = connection(stream)
        connection.session.enqueue(stream, head: head, body: body)
        connection.session.end(stream, trailers: trailers)
        connection.session.submitResponse(stream, headers, endStream: false)
        touch(connection)
    }

    /// Sends a response's headers; with `endStream` they are the whole response.
    package func sendHeaders(_ handle: StreamHandle, _ headers: HeaderBlock, endStream: Bool) {
        guard let stream = streams.find(handle) else { return }
        let connection = connection(stream)
        connection.session.submitResponse(stream, headers, endStream: endStream)
        touch(connection)
    }

    /// Queues data. False: the queue is over the high-water mark now, and `streamWritable` will tell when it is below the
    /// low one. (True for a stream that is gone: there is nothing to wait for.)
    package func send(_ handle: StreamHandle, head: InlineBytes, body: ByteString) -> Bool {
        guard let stream = streams.find(handle) else { return true }
        let connection = connection(stream)
        connection.session.enqueue(stream, head: head, body: body)
        touch(connection)
        if stream.pointee.queuedBytes <= limits.outputHighWaterMark { return true }
        stream.pointee.flags.insert(.wantsWritable)
        return false
    }

    /// Ends our side after what is queued.
    package func end(_ handle: StreamHandle, trailers: HeaderBlock?) {
        guard let stream = streams.find(handle) else { return }
        let connection = connection(stream)
        connection.session.end(stream, trailers: trailers)
        touch(connection)
    }

    /// RST_STREAM. What is queued is dropped.
    package func reset(_ handle: StreamHandle, _ code: HTTP2ErrorCode) {
        guard let stream = streams.find(handle) else { return }
        let connection = connection(stream)
        connection.session.reset(stream, code)
        touch(connection)
    }

    /// Gives `count` received bytes of the stream's window back to the peer.
    @inline(__always)
    package func consume(_ handle: StreamHandle, _ count: Int) {
        guard let stream = streams.find(handle) else { return }
        let connection = connection(stream)
        connection.session.consumeStream(stream, count)
        if connection.session.wantsWrite { touch(connection) }
    }
}

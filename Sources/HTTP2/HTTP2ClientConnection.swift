// Owns: one connection to a server: the channel on one side, a client's session on the other.
// Must never: be touched off its event loop, or write before all that one read brought has been handed over.
// Invariant: the handler hears of the end of every stream that it opened, and of the connection's end once, after them.
package import Bytes
package import NIOCore

/// Who opened the streams of one connection. Everything is called on the connection's loop.
package protocol HTTP2ClientHandler: AnyObject {
    /// A response's header block, or the trailers (`endStream`).
    func headersReceived(_ stream: StreamHandle, fields: HeaderFields, endStream: Bool)
    /// Data came; `bytes` is valid during the call only. Its share of both windows has been given back.
    func dataReceived(_ stream: StreamHandle, bytes: UnsafeRawBufferPointer, endStream: Bool)
    /// The stream is gone, by both sides' END_STREAM, by RST_STREAM (`code` tells), or with its connection.
    func streamClosed(_ stream: StreamHandle, code: UInt32)
    /// The connection is gone. No stream can be opened any more.
    func connectionClosed(_ reason: String)
}

package final class HTTP2ClientConnection: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Set before the channel is active, and nil again after `connectionClosed`: the handler holds on to this connection.
    package var handler: (any HTTP2ClientHandler)?

    private let session: HTTP2Session
    private let streams = StreamTable()
    private var context: ChannelHandlerContext?
    private var scratch = ByteBufferAllocator().buffer(capacity: HTTP2Loop.scratchSize)
    /// Batches that are under way: what they submit is written when the last one ends.
    private var batchDepth = 0
    private var isReading = false
    private var isFlushScheduled = false
    private var isClosed = false
    /// The server has said that it takes no new streams.
    private var isGoingAway = false
    private var closeReason = "the connection was closed by the server"

    package init(limits: HTTP2Limits) {
        session = HTTP2Session(isServer: false, table: streams, memory: SessionMemory(), limits: limits)
    }

    /// Whether a stream can be opened.
    package var isOpen: Bool { context != nil && !isClosed && !isGoingAway }
    /// Why the connection is gone; nil while it isn't.
    package var lossReason: String? { isClosed ? closeReason : nil }
    /// One more than the highest stream slot so far.
    package var slotCapacity: Int { streams.capacity }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { flush() }
    }

    package func channelActive(context: ChannelHandlerContext) {
        flush()
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        closed()
        self.context = nil
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        closeReason = "\(error)"
        context.close(promise: nil)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isReading {
            isReading = true
            batchDepth += 1
        }
        unwrapInboundIn(data).withUnsafeReadableBytes { received($0) }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        guard isReading else { return }
        isReading = false
        endBatch()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { touch() }
        context.fireChannelWritabilityChanged()
    }

    // MARK: In

    private func received(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty && !isClosed {
            do {
                let taken = try session.receive(rest)
                rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            } catch {
                drain()
                fail("the server broke HTTP/2: \(error)")
                return
            }
            drain()
        }
    }

    private func drain() {
        session.drain { event in
            guard let handler else { return }
            switch event.kind {
            case .headers:
                guard let stream = event.stream else { return }
                handler.headersReceived(stream.pointee.handle, fields: session.fields(of: event), endStream: event.endStream)
            case .data:
                guard let stream = event.stream else { return }
                session.consumeConnection(event.count)
                session.consumeStream(stream, event.count)
                handler.dataReceived(
                    stream.pointee.handle, bytes: UnsafeRawBufferPointer(start: event.bytes, count: event.count),
                    endStream: event.endStream)
            case .closed:
                guard let stream = event.stream else { return }
                handler.streamClosed(stream.pointee.handle, code: UInt32(truncatingIfNeeded: event.count))
            case .goAwayReceived:
                isGoingAway = true
                closeReason = "the server sent GOAWAY with code \(event.count)"
            case .inputEnded, .outputEnded, .writable, .connectionWritable, .pingReceived, .pingAcknowledged:
                break
            }
        }
    }

    // MARK: Out

    /// What is submitted until `endBatch` goes out in one piece.
    package func beginBatch() { batchDepth += 1 }

    package func endBatch() {
        batchDepth -= 1
        if batchDepth == 0 { flush() }
    }

    private func touch() {
        guard batchDepth == 0, !isFlushScheduled, let context else { return }
        isFlushScheduled = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.isFlushScheduled = false
            bound.value.flush()
        }
    }

    private func flush() {
        guard !isClosed, let context, context.channel.isActive else { return }
        while session.wantsWrite && context.channel.isWritable && !isClosed {
            scratch.clear(minimumCapacity: HTTP2Loop.scratchSize)
            var failure: HTTP2SessionError?
            let count = scratch.writeWithUnsafeMutableBytes(minimumWritableBytes: HTTP2Loop.scratchSize) { buffer in
                do throws(HTTP2SessionError) {
                    return try session.produce(into: buffer)
                } catch {
                    failure = error
                    return 0
                }
            }
            drain()
            if let failure { return fail("HTTP/2 can't go on: \(failure)") }
            if count == 0 { break }
            context.writeAndFlush(wrapOutboundOut(scratch), promise: nil)
        }
        if !session.wantsRead && !session.wantsWrite { fail(closeReason) }
    }

    // MARK: Streams. A handle whose stream is gone makes each of these do nothing.

    /// Opens a stream. Nil where the connection takes none any more.
    package func open(_ headers: HeaderBlock) -> StreamHandle? {
        guard isOpen, let stream = session.submitRequest(headers) else { return nil }
        touch()
        return stream.pointee.handle
    }

    /// Queues data.
    package func send(_ handle: StreamHandle, head: InlineBytes, body: ByteString) {
        guard let stream = streams.find(handle) else { return }
        session.enqueue(stream, head: head, body: body)
        touch()
    }

    /// Ends our side after what is queued.
    package func end(_ handle: StreamHandle) {
        guard let stream = streams.find(handle) else { return }
        session.end(stream, trailers: nil)
        touch()
    }

    /// RST_STREAM. What is queued is dropped.
    package func reset(_ handle: StreamHandle, _ code: HTTP2ErrorCode) {
        guard let stream = streams.find(handle) else { return }
        session.reset(stream, code)
        touch()
    }

    // MARK: The end

    /// Closes the connection, and with it every stream.
    package func close(_ reason: String) { fail(reason) }

    private func fail(_ reason: String) {
        closeReason = reason
        context?.close(promise: nil)
    }

    private func closed() {
        if isClosed { return }
        isClosed = true
        drain()
        while let stream = session.state.pointee.firstStream {
            handler?.streamClosed(stream.pointee.handle, code: HTTP2ErrorCode.cancel.rawValue)
            stream.pointee.flags.insert(.closed)
            streams.release(stream)
        }
        handler?.connectionClosed(closeReason)
        handler = nil
    }
}

// Owns: one connection: the channel on one side, the session on the other, and its life from preface to last words.
// Must never: be touched off its event loop; keep more output in the channel than one write past its high-water mark.
// Life: preface → open → lingering (our last words are sent; the peer may still be talking) → closed.
//       A peer that begins with HTTP/1.1 goes from preface to closed at once: others serve it on the same channel.
internal import Bytes
internal import HTTP1
internal import Logging
package import NIOCore

package final class HTTP2Connection: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum Phase {
        case preface
        case open
        case lingering
        case closed
    }

    package let loop: HTTP2Loop
    let session: HTTP2Session
    /// Whether the loop has this connection on its list of those to flush.
    var isDirty = false
    /// Where the loop keeps this connection; -1 once it is gone.
    var loopIndex = 0
    /// How much of `keptBytes` the loop has in its sum.
    var countedBytes = 0
    /// Input that waits above, in bytes: told by whoever keeps it.
    package var waitingInputBytes = 0
    /// How much of the connection's window is not given back, since that input waits.
    private var withheldWindow = 0
    /// How much waits of what is being handed over.
    private var withheldNow = 0
    /// For whoever handles the streams: a number of its own for this connection.
    package var tag = -1

    private var phase = Phase.preface
    /// When the connection began, or began to linger: both may last only so long.
    private var phaseBegan: UInt64
    /// The first bytes, until they are a preface or aren't.
    private var firstBytes: [UInt8] = []
    private var context: ChannelHandlerContext?
    private var floodGuard: FloodGuard
    private var keepAlive: KeepAlive
    private var hasSentContent = false
    private var hasHeard = false
    /// Whether the connection ends with the next flush, because of what the peer did.
    private var isTerminating = false
    /// Whether a batch was begun for what the socket had, to be ended when the read completes.
    private var isReading = false

    /// The opaque value of the ping that goes with the shutdown notice.
    private static let shutdownPing: UInt64 = 0x50_49_4e_45_5f_62_79_65
    private static let keepAlivePing: UInt64 = 0x50_49_4e_45_5f_69_73_5f

    package init(loop: HTTP2Loop) {
        self.loop = loop
        let now = loop.now
        session = HTTP2Session(isServer: true, table: loop.streams, memory: loop.memory, limits: loop.limits)
        phaseBegan = now
        floodGuard = FloodGuard(limits: loop.limits, now: now)
        keepAlive = KeepAlive(policy: loop.keepAlive, now: now)
    }

    /// The peer's address, for logs.
    package var remoteAddress: SocketAddress? { context?.remoteAddress }

    /// Whether the connection is encrypted.
    package var isSecure: Bool {
        guard let context, let http1 = loop.http1 else { return false }
        return http1.isSecure(context.channel)
    }

    /// What this connection's client has us keep in memory, in bytes.
    var keptBytes: Int { session.state.pointee.keptBytes + waitingInputBytes }

    /// Whether its requests wait until there is room.
    var isHeldBack: Bool { session.state.pointee.wantsWritable }

    /// Whether so much is kept that no more requests should be taken in. A client that has read everything may always ask.
    private var isOverLimit: Bool {
        let state = session.state
        if state.pointee.heldBytes == 0 && state.pointee.expectedAnswers == 0 { return false }
        return keptBytes > loop.connectionKeptLimit
    }

    /// `isOverLimit`; if so, `connectionWritable` tells when to ask again.
    package var isOverHighWaterMark: Bool {
        if !isOverLimit { return false }
        session.state.pointee.wantsWritable = true
        return true
    }

    /// Whether all connections together keep too much, and this one more than its share.
    package var isOverShare: Bool { loop.isStrained && isOverLimit }

    /// Tells that there is room again, if somebody waits for it.
    func wakeIfHeldBack() {
        guard isHeldBack, !isOverLimit else { return }
        session.state.pointee.wantsWritable = false
        loop.handler?.connectionWritable(self)
        loop.touch(self)
    }

    /// `count` bytes that are being handed over, of a stream's data, stay where they are: the peer doesn't get their share of the
    /// connection's window back before `giveBack`. Called from `dataReceived` only.
    package func withhold(_ count: Int) {
        withheldWindow += count
        withheldNow += count
    }

    package func giveBack(_ count: Int) {
        invariant(count <= withheldWindow, "window is given back once")
        withheldWindow -= count
        session.consumeConnection(count)
        loop.touch(self)
    }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session.state.pointee.owner = Unmanaged.passUnretained(self as AnyObject)
        loop.add(self)
        // Accepted just before the sockets stopped listening.
        if loop.isShuttingDown { context.close(promise: nil) }
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
        loop.logger.debug("connection failed", metadata: ["peer": "\(describePeer())", "error": "\(error)"])
        context.close(promise: nil)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        loop.counters.bytesReceived += buffer.readableBytes
        if !isReading {
            isReading = true
            loop.beginBatch()
        }
        buffer.withUnsafeReadableBytes { received($0) }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        endReading()
    }

    private func endReading() {
        guard isReading else { return }
        isReading = false
        loop.endBatch()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { loop.touch(self) }
        context.fireChannelWritabilityChanged()
    }

    // MARK: In

    private func received(_ bytes: UnsafeRawBufferPointer) {
        switch phase {
        case .open:
            if !isTerminating { receivedFrames(bytes) }
        case .preface:
            // Usually all of it comes at once.
            if firstBytes.isEmpty, Preface.examine(bytes) == .http2 {
                open()
                receivedFrames(bytes)
                return
            }
            firstBytes.append(contentsOf: bytes)
            switch firstBytes.withUnsafeBytes({ Preface.examine($0) }) {
            case .incomplete:
                break
            case .http2:
                open()
                let first = firstBytes
                firstBytes = []
                first.withUnsafeBytes { receivedFrames($0) }
            case .other:
                if let http1 = loop.http1, HTTP1Acceptor.mayBeRequest(firstBytes[0]) {
                    handOver(to: http1)
                } else {
                    refuse("speaks no HTTP")
                    if firstBytes.first == WrongProtocol.tlsRecord { answerTLS() } else { closeNow() }
                }
            }
        case .lingering, .closed:
            break
        }
    }

    /// Tells a TLS client that there is no TLS here, in the way that its kind understands.
    private func answerTLS() {
        guard let context else { return }
        loop.rejected?(remoteAddress, "it speaks TLS where there is none")
        phase = .lingering
        phaseBegan = loop.now
        let reply = context.channel.allocator.buffer(bytes: WrongProtocol.replyToTLS)
        context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
        context.close(mode: .output, promise: nil)
    }

    /// Leaves the pipeline to what serves HTTP/1.1, with the bytes that have come.
    private func handOver(to http1: HTTP1Acceptor) {
        guard let context else { return }
        let first = context.channel.allocator.buffer(bytes: firstBytes)
        firstBytes = []
        do {
            try http1.install(on: context.channel)
        } catch {
            closeNow()
            return
        }
        context.fireChannelRead(wrapInboundOut(first))
        context.fireChannelReadComplete()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func open() {
        phase = .open
        loop.handler?.connectionOpened(self)
    }

    private func receivedFrames(_ bytes: UnsafeRawBufferPointer) {
        loop.touch(self)
        var rest = bytes
        while !rest.isEmpty {
            do {
                let taken = try session.receive(rest)
                rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            } catch {
                refuse("\(error)")
                drain()
                closeNow()
                return
            }
            drain()
            guard case .open = phase, !isTerminating else { return }
            weigh()
        }
    }

    /// Looks whether the peer floods us with what is cheap for it.
    private func weigh() {
        let state = session.state
        let idleFrames = state.pointee.idleFrames
        let resets = state.pointee.resets
        hasHeard = hasHeard || state.pointee.framesReceived > 0
        state.pointee.framesReceived = 0
        if idleFrames == 0 && resets == 0 { return }
        state.pointee.idleFrames = 0
        state.pointee.resets = 0
        let contentFramesSent = state.pointee.contentFramesSent
        hasSentContent = hasSentContent || contentFramesSent > 0
        state.pointee.contentFramesSent = 0
        let isCalm = floodGuard.permits(
            idleFrames: idleFrames, resets: resets, contentFramesSent: contentFramesSent, now: { loop.now })
        if !isCalm { terminate(.enhanceYourCalm, "too many frames without content, or resets") }
    }

    private func drain() {
        guard let handler = loop.handler else { return }
        session.drain { event in
            switch event.kind {
            case .headers:
                guard let stream = event.stream else { return }
                handler.headersReceived(
                    stream.pointee.handle, on: self, fields: session.fields(of: event),
                    isTruncated: stream.pointee.flags.contains(.headersTruncated), endStream: event.endStream)
            case .data:
                guard let stream = event.stream else { return }
                withheldNow = 0
                handler.dataReceived(
                    stream.pointee.handle, bytes: UnsafeRawBufferPointer(start: event.bytes, count: event.count),
                    endStream: event.endStream)
                session.consumeConnection(event.count - withheldNow)
            case .inputEnded:
                guard let stream = event.stream else { return }
                handler.dataReceived(
                    stream.pointee.handle, bytes: UnsafeRawBufferPointer(start: nil, count: 0), endStream: true)
            case .outputEnded:
                // The response is complete and the rest of the request is of no interest (RFC 9113 section 8.1).
                guard let stream = event.stream else { return }
                session.reset(stream, .noError)
            case .writable:
                guard let stream = event.stream else { return }
                handler.streamWritable(stream.pointee.handle)
            case .connectionWritable:
                handler.connectionWritable(self)
            case .closed:
                guard let stream = event.stream else { return }
                handler.streamClosed(stream.pointee.handle, code: UInt32(truncatingIfNeeded: event.count))
            case .pingReceived:
                pingReceived()
            case .pingAcknowledged:
                if UInt64(bitPattern: Int64(event.count)) == HTTP2Connection.shutdownPing { session.submitGoAway() }
            case .goAwayReceived:
                break
            }
        }
    }

    private func pingReceived() {
        let contentSent = hasSentContent || session.state.pointee.contentFramesSent > 0
        hasSentContent = false
        let permitted = keepAlive.pingReceived(
            now: loop.now, contentSent: contentSent, hasStreams: session.state.pointee.streamCount > 0)
        if !permitted { terminate(.enhanceYourCalm, "too_many_pings") }
    }

    // MARK: Out

    /// Writes what the session has to send, as far as the socket takes it; the loop calls this at the end of a batch.
    func flush() {
        guard case .open = phase, let context else { return }
        while session.wantsWrite {
            guard context.channel.isWritable else {
                // Streams are bounded by their windows, but answers to control frames would pile up.
                let limit = loop.limits.outboundFramesLimit + 2 * session.state.pointee.streamCount
                if session.outboundFrames > limit || isTerminating {
                    if !isTerminating { refuse("doesn't read what it asks for") }
                    closeNow()
                }
                return
            }
            loop.scratch.clear(minimumCapacity: HTTP2Loop.scratchSize)
            var failure: HTTP2SessionError?
            let count = loop.scratch.writeWithUnsafeMutableBytes(minimumWritableBytes: HTTP2Loop.scratchSize) { buffer in
                do throws(HTTP2SessionError) {
                    return try session.produce(into: buffer)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure {
                refuse("\(failure)")
                closeNow()
                return
            }
            // First the news, then the write: a write that fails closes the channel before it returns.
            drain()
            if count > 0 {
                loop.counters.bytesSent += count
                // A small piece gets a buffer of its own size: it must not hold 64 KiB while a slow peer takes its time.
                let isSmall = count < HTTP2Loop.scratchSize / 4
                let buffer = isSmall ? context.channel.allocator.buffer(buffer: loop.scratch) : loop.scratch
                context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
            }
            guard case .open = phase else { return }
            // Control frames go first: the GOAWAY is out, and the rest of the answers is of no concern any more.
            if count == 0 || isTerminating { break }
        }
        if isTerminating || (!session.wantsRead && !session.wantsWrite) { linger() }
    }

    /// Everything is said. Closing outright while the peer's bytes are still arriving would make the kernel send RST, and
    /// the peer might lose our last words; so only our half is closed, and what comes is dropped for a while.
    private func linger() {
        guard case .open = phase, let context else { return }
        phase = .lingering
        phaseBegan = loop.now
        releaseStreams()
        context.close(mode: .output, promise: nil)
    }

    // MARK: Life

    /// Since when its client has read nothing of what waits for it, in nanoseconds of `HTTP2Loop.now`; nil while it reads.
    private(set) var stalledSince: UInt64?
    private var dequeuedBefore = 0

    private func lookAtReading(now: UInt64) {
        let dequeued = session.state.pointee.dequeuedBytes
        if session.state.pointee.heldBytes == 0 || dequeued != dequeuedBefore {
            stalledSince = nil
        } else if stalledSince == nil {
            stalledSince = now
        }
        dequeuedBefore = dequeued
    }

    /// The loop's regular look at every connection.
    func tick(now: UInt64) {
        lookAtReading(now: now)
        switch phase {
        case .preface:
            if now &- phaseBegan >= UInt64(loop.limits.prefaceTimeoutMs) * 1_000_000 { closeNow() }
        case .lingering:
            if now &- phaseBegan >= UInt64(loop.limits.lingerTimeoutMs) * 1_000_000 { closeNow() }
        case .open:
            let heard = hasHeard
            hasHeard = false
            switch keepAlive.tick(now: now, heard: heard) {
            case .none: break
            case .ping:
                session.submitPing(HTTP2Connection.keepAlivePing)
                loop.touch(self)
            case .close:
                refuse("doesn't answer pings")
                closeNow()
            }
        case .closed:
            break
        }
    }

    /// GOAWAY with `code`; nothing more is read, and the connection closes when that is sent.
    package func terminate(_ code: HTTP2ErrorCode, _ reason: String) {
        guard case .open = phase, !isTerminating else { return }
        isTerminating = true
        refuse(reason)
        session.submitGoAway(code, debug: reason)
        loop.touch(self)
    }

    /// Ends the connection, as all together keep too much and this one's client doesn't read what it asked for.
    func endUnread() {
        loop.counters.connectionsUnread += 1
        loop.rejected?(
            remoteAddress,
            "its client left answers unread: it had \(keptBytes) bytes of memory, all clients together more than \(loop.clientMemory.limit)"
        )
        terminate(.enhanceYourCalm, "too many unread answers")
    }

    func beginShutdown() {
        switch phase {
        case .preface:
            closeNow()
        case .open:
            session.submitShutdownNotice()
            session.submitPing(HTTP2Connection.shutdownPing)
            loop.touch(self)
        case .lingering, .closed:
            break
        }
    }

    func closeNow() {
        guard let context else { return }
        context.close(promise: nil)
    }

    private func closed() {
        if case .closed = phase { return }
        loop.beginBatch()
        phase = .closed
        drain()
        releaseStreams()
        loop.handler?.connectionClosed(self)
        loop.remove(self)
        endReading()
        loop.endBatch()
    }

    private func releaseStreams() {
        while let stream = session.state.pointee.firstStream {
            loop.handler?.streamClosed(stream.pointee.handle, code: HTTP2ErrorCode.cancel.rawValue)
            stream.pointee.flags.insert(.closed)
            loop.streams.release(stream)
        }
    }

    private func refuse(_ reason: String) {
        loop.counters.connectionsRefused += 1
        loop.logger.debug("closing a connection", metadata: ["peer": "\(describePeer())", "reason": "\(reason)"])
    }

    private func describePeer() -> String {
        remoteAddress.map { "\($0)" } ?? "unknown"
    }
}

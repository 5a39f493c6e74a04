// Owns: one connection's TLS: from the first byte over the handshake to the last alert.
// Must never: be touched off its event loop; keep what is to be written longer than until the next flush.
// Life: silent (nothing came yet) → shakingHands → open → closed, or → refused (the peer may read why) → closed.
internal import Bytes
internal import NIOCore

final class TLSHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        case silent
        case shakingHands
        case open
        case refused
        case closed
    }

    let handshakeDeadline: NIODeadline
    private let loop: TLSLoop
    private let acceptor: TLSAcceptor
    private let protocols: ApplicationProtocols
    private var phase = Phase.silent
    private var session: TLSSession?
    private var context: ChannelHandlerContext?
    /// What the peer sent while the handshake waits for its turn.
    private var handshakeInput = ByteBuffer()
    private var handshakeByteCount = 0
    private var waitsForTurn = false
    private var writes: [(ByteBuffer, EventLoopPromise<Void>?)] = []

    /// The content type of a record that carries a handshake message, which is how TLS begins.
    private static let handshakeRecord: UInt8 = 22

    init(loop: TLSLoop, acceptor: TLSAcceptor, protocols: ApplicationProtocols) {
        self.loop = loop
        self.protocols = protocols
        self.acceptor = acceptor
        handshakeDeadline = .now() + .milliseconds(loop.limits.handshakeTimeoutMs)
    }

    var isUnderWay: Bool {
        switch phase {
        case .silent, .shakingHands: true
        case .open, .refused, .closed: false
        }
    }

    var hasSentNothing: Bool { phase == .silent }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.admit(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closed()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        if phase == .shakingHands { report("it went away during the handshake") }
        closed()
        context.fireChannelInactive()
    }

    private func closed() {
        if isUnderWay { loop.finished(.abandoned) }
        phase = .closed
        session = nil
        handshakeInput = ByteBuffer()
        for (_, promise) in writes { promise?.fail(ChannelError.ioOnClosedChannel) }
        writes = []
    }

    /// Closes a connection that is shaking hands, without a word. (OpenSSL has alerts for what the peer did wrong only.)
    func giveUp(_ outcome: TLSOutcome, _ reason: String) {
        guard isUnderWay, let context else { return }
        // Who connects and says nothing is a port scan or a health check, not worth a line.
        if phase == .shakingHands { report(reason) }
        loop.finished(outcome)
        phase = .refused
        session = nil
        handshakeInput = ByteBuffer()
        context.close(promise: nil)
    }

    /// Tells the peer (`reply`, and the alert that OpenSSL made) and the operator, then closes.
    private func refuse(_ reason: String, reply: [UInt8]? = nil) {
        guard let context else { return }
        report(reason)
        if isUnderWay { loop.finished(.refused) }
        phase = .refused
        flushSession(context)
        if let reply { context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: reply)), promise: nil) }
        session = nil
        handshakeInput = ByteBuffer()
        // Closing outright while the peer's bytes are still arriving would make the kernel send RST, and the peer might lose
        // the alert.
        context.close(mode: .output, promise: nil)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .milliseconds(loop.limits.lingerTimeoutMs)) {
            bound.value.context?.close(promise: nil)
        }
    }

    private func report(_ reason: String) {
        acceptor.rejected(context?.remoteAddress, reason)
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        switch phase {
        case .open: buffer.withUnsafeReadableBytes { received($0, context) }
        case .silent: receivedFirst(buffer)
        case .shakingHands: receivedHandshake(buffer)
        case .refused, .closed: break
        }
    }

    private func receivedFirst(_ buffer: ByteBuffer) {
        guard let first = buffer.readableBytesView.first else { return }
        guard first == TLSHandler.handshakeRecord else {
            refuse("it speaks no TLS", reply: buffer.withUnsafeReadableBytes { acceptor.plainTextReply($0) })
            return
        }
        phase = .shakingHands
        session = TLSSession(acceptor.files.current(), speaks: protocols)
        receivedHandshake(buffer)
    }

    private func receivedHandshake(_ buffer: ByteBuffer) {
        var buffer = buffer
        handshakeByteCount += buffer.readableBytes
        guard handshakeByteCount <= loop.limits.handshakeBytesLimit else {
            refuse("its handshake is too long")
            return
        }
        handshakeInput.writeBuffer(&buffer)
        if waitsForTurn { return }
        waitsForTurn = true
        loop.pass(self)
    }

    /// Goes on with the handshake. `TLSLoop` calls this when it is our turn.
    func advance() {
        waitsForTurn = false
        guard phase == .shakingHands, let session, let context else { return }
        let input = handshakeInput
        handshakeInput = ByteBuffer()
        input.withUnsafeReadableBytes { bytes in
            session.begin(input: bytes)
            defer { session.endInput() }
            switch session.shakeHands() {
            case .wantsMore:
                flushSession(context)
            case .ready:
                phase = .open
                loop.finished(.done)
                flushSession(context)
                // What came with the last message of the handshake.
                decrypt(session, context)
                if phase == .open && !writes.isEmpty { flush(context: context) }
            case .ended:
                refuse("it ended the handshake")
            case .failed(let reason):
                refuse(session.serverName.map { "\(reason) (asked for \($0))" } ?? reason)
            }
        }
        // The read that brought these bytes may have completed long ago.
        context.fireChannelReadComplete()
    }

    private func received(_ bytes: UnsafeRawBufferPointer, _ context: ChannelHandlerContext) {
        guard let session else { return }
        session.begin(input: bytes)
        decrypt(session, context)
        session.endInput()
    }

    private func decrypt(_ session: TLSSession, _ context: ChannelHandlerContext) {
        var scratch = loop.takeScratch()
        var progress = TLSSession.Progress.ready
        // Whoever gets the bytes may close the connection.
        while progress == .ready && phase == .open {
            scratch.clear(minimumCapacity: TLSLoop.scratchSize)
            scratch.writeWithUnsafeMutableBytes(minimumWritableBytes: TLSLoop.scratchSize) { buffer in
                var count = 0
                progress = session.read(into: buffer, count: &count)
                return count
            }
            if scratch.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(scratch)) }
        }
        loop.giveBack(scratch: scratch)
        guard phase == .open else { return }
        switch progress {
        case .ready, .wantsMore:
            // A key update wants an answer.
            flushSession(context)
        case .ended:
            session.end()
            flushSession(context)
            context.close(promise: nil)
        case .failed(let reason):
            refuse(reason)
        }
    }

    // MARK: Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch phase {
        case .silent, .shakingHands, .open: writes.append((unwrapOutboundIn(data), promise))
        case .refused, .closed: promise?.fail(ChannelError.ioOnClosedChannel)
        }
    }

    /// All that was written since the last flush becomes as few records as it can.
    func flush(context: ChannelHandlerContext) {
        guard phase == .open, let session, !writes.isEmpty else { return }
        let pending = writes
        writes.removeAll(keepingCapacity: true)
        var plain = pending[0].0
        var promise = pending[0].1
        for (buffer, next) in pending.dropFirst() {
            plain.writeImmutableBuffer(buffer)
            if let next {
                if let promise { next.futureResult.cascade(to: promise) }
                promise = next
            }
        }
        guard plain.withUnsafeReadableBytes({ session.write($0) }), let output = session.takeOutput() else {
            if plain.readableBytes > 0 {
                promise?.fail(ChannelError.ioOnClosedChannel)
                context.close(promise: nil)
            } else {
                promise?.succeed()
            }
            return
        }
        context.writeAndFlush(wrapOutboundOut(output), promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode != .input && phase == .open {
            flush(context: context)
            session?.end()
            flushSession(context)
        }
        context.close(mode: mode, promise: promise)
    }

    /// Sends what OpenSSL itself has to say.
    private func flushSession(_ context: ChannelHandlerContext) {
        guard let output = session?.takeOutput() else { return }
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
    }
}

// Owns: one connection's TLS on the side of the client.
// Must never: be touched off its event loop; let anything out in the clear.
// Life: shakingHands (what is written waits) → open → closed.
internal import Bytes
internal import NIOCore

final class TLSClientHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let session: TLSSession
    private let handshake: EventLoopPromise<Void>
    private var context: ChannelHandlerContext?
    private var isOpen = false
    private var isClosed = false
    private var wantsFlush = false
    private var writes: [(ByteBuffer, EventLoopPromise<Void>?)] = []
    private static let pieceSize = 64 << 10

    init(_ session: TLSSession, handshake: EventLoopPromise<Void>) {
        self.session = session
        self.handshake = handshake
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { advance(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        advance(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        closed("the server closed the connection during the handshake")
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closed("the connection was closed")
        self.context = nil
    }

    /// Closes a connection whose handshake is not over.
    func giveUp(_ reason: String) {
        if !isOpen, !isClosed, let context { fail(reason, context) }
    }

    private func closed(_ reason: String) {
        guard !isClosed else { return }
        isClosed = true
        if !isOpen { handshake.fail(TLSError(reason)) }
        for (_, promise) in writes { promise?.fail(ChannelError.ioOnClosedChannel) }
        writes = []
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        flushSession(context)
        closed(reason)
        // Whoever has calls under way tells their callers why they ended: TLS 1.3 refuses a client's certificate only now.
        if isOpen { context.fireErrorCaught(TLSError(reason)) }
        context.close(promise: nil)
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
            session.begin(input: bytes)
            advance(context)
            session.endInput()
        }
    }

    private func advance(_ context: ChannelHandlerContext) {
        if isClosed { return }
        if !isOpen {
            switch session.shakeHands() {
            case .wantsMore:
                flushSession(context)
                return
            case .ready:
                isOpen = true
                flushSession(context)
                handshake.succeed()
                if wantsFlush { flush(context: context) }
            case .ended: return fail("the server ended the handshake", context)
            case .failed(let reason): return fail(reason, context)
            }
        }
        decrypt(context)
    }

    private func decrypt(_ context: ChannelHandlerContext) {
        var progress = TLSSession.Progress.ready
        while progress == .ready && !isClosed {
            var buffer = context.channel.allocator.buffer(capacity: TLSClientHandler.pieceSize)
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: TLSClientHandler.pieceSize) { target in
                var count = 0
                progress = session.read(into: target, count: &count)
                return count
            }
            if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
        }
        if isClosed { return }
        switch progress {
        case .ready, .wantsMore: flushSession(context)
        case .ended: context.close(promise: nil)
        case .failed(let reason): fail(reason, context)
        }
    }

    // MARK: Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if isClosed {
            promise?.fail(ChannelError.ioOnClosedChannel)
        } else {
            writes.append((unwrapOutboundIn(data), promise))
        }
    }

    func flush(context: ChannelHandlerContext) {
        wantsFlush = true
        guard isOpen, !isClosed, !writes.isEmpty else { return }
        wantsFlush = false
        let pending = writes
        writes = []
        for (buffer, promise) in pending {
            guard buffer.withUnsafeReadableBytes({ session.write($0) }) else {
                promise?.fail(ChannelError.ioOnClosedChannel)
                return fail("the connection is broken", context)
            }
            if let output = session.takeOutput() {
                context.write(wrapOutboundOut(output), promise: promise)
            } else {
                promise?.succeed()
            }
        }
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode != .input && isOpen && !isClosed {
            session.end()
            flushSession(context)
        }
        context.close(mode: mode, promise: promise)
    }

    private func flushSession(_ context: ChannelHandlerContext) {
        guard let output = session.takeOutput() else { return }
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
    }
}

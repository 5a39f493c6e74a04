// Owns: how many connections there may be, over all listeners: descriptors never run out, and whoever comes late waits in the
// kernel's queue until somebody leaves.
// Invariant: a listener that holds its next accept back is on the list of those to be woken.
internal import Bytes
internal import Logging
internal import NIOCore
internal import Synchronization

final class ConnectionGate: Sendable {
    private struct State {
        var open = 0
        var opened = 0
        /// How often accepting was held back.
        var holds = 0
        var waiting: [@Sendable () -> Void] = []
        var lastWarning: NIODeadline?
    }

    private let limit: Int
    private let logger: Logger
    private let state = Mutex(State())

    init(limit: Int, logger: Logger) {
        self.limit = max(limit, 1)
        self.logger = logger
    }

    var counts: (open: Int, opened: Int, holds: Int) { state.withLock { ($0.open, $0.opened, $0.holds) } }

    func connectionOpened() {
        state.withLock {
            $0.open += 1
            $0.opened += 1
        }
    }

    func connectionClosed() {
        let woken = state.withLock { state in
            state.open -= 1
            invariant(state.open >= 0, "a connection closes once")
            guard state.open < limit else { return [] as [@Sendable () -> Void] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for wake in woken { wake() }
    }

    /// Whether one more may be accepted; if not, `wake` is called once it is worth asking again.
    func admits(orWake wake: @escaping @Sendable () -> Void) -> Bool {
        let (admits, warns) = state.withLock { state in
            if state.open < limit { return (true, false) }
            state.holds += 1
            state.waiting.append(wake)
            let now = NIODeadline.now()
            if let last = state.lastWarning, now - last < .minutes(1) { return (false, false) }
            state.lastWarning = now
            return (false, true)
        }
        if warns {
            logger.warning(
                "as many connections as there may be; others wait until some close. Raise the limit of open files for more",
                metadata: ["connections": "\(limit)"])
        }
        return admits
    }
}

/// Counts what a listener accepts, and holds its next accept back while the gate is closed.
final class AcceptHandler: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = any Channel

    private let gate: ConnectionGate
    private var context: ChannelHandlerContext?
    private var isHeld = false

    init(gate: ConnectionGate) { self.gate = gate }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let gate = gate
        gate.connectionOpened()
        unwrapInboundIn(data).closeFuture.whenComplete { _ in gate.connectionClosed() }
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        if isHeld { return }
        let eventLoop = context.eventLoop
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let admits = gate.admits { eventLoop.execute { bound.value.goOn() } }
        if admits { context.read() } else { isHeld = true }
    }

    private func goOn() {
        guard isHeld, let context else { return }
        isHeld = false
        read(context: context)
    }
}

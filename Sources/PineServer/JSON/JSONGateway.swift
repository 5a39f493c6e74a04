// Owns: etcd's JSON gateway of one event loop: a caller whose clients speak JSON over HTTP, and the calls that they have open.
// Must never: know what a service does; be used off its event loop.
// Invariant: a call has an entry from its begin to its end, however it ends.
internal import Bytes
internal import Calls
internal import GRPC
internal import Gateway
internal import HTTP1
internal import NIOCore

internal import struct Logging.Logger

final class JSONGateway: Caller {
    let eventLoop: any EventLoop
    var callerIndex = 0
    /// It and the gateway hold each other, up to the shutdown.
    var services: Services?
    let routes: GatewayRoutes
    /// The largest message that a client may send, as gRPC has it.
    let messageLimit: Int
    let logger: Logger

    private var calls: [CallID: JSONCall] = [:]
    private var lastNumber: UInt64 = 0
    private var isTurnScheduled = false
    /// Calls that were written to in the batch that is under way.
    private var written: [JSONCall] = []
    private var batchDepth = 0

    init(_ eventLoop: any EventLoop, routes: GatewayRoutes, messageLimit: Int, logger: Logger) {
        self.eventLoop = eventLoop
        self.routes = routes
        self.messageLimit = messageLimit
        self.logger = logger
    }

    /// What a request may be in JSON: its bytes are base64 there, and its names long.
    var bodyLimit: Int { 4 * messageLimit + (64 << 10) }

    // MARK: Calls

    /// Bit 55 of an id is never set.
    func newID() -> CallID {
        lastNumber = (lastNumber + 1) & (1 << 55 - 1)
        return CallID(rawValue: UInt64(callerIndex) << 56 | lastNumber)
    }

    /// Calls that are open now.
    var openCount: Int { calls.count }

    func opened(_ call: JSONCall) { calls[call.id] = call }

    func closed(_ call: JSONCall) { calls[call.id] = nil }

    /// Tells the services something; they will hear of the turn's end.
    func tell(_ body: (Services) -> Void) {
        guard let services else { return }
        noteTurn()
        body(services)
    }

    private func noteTurn() {
        if isTurnScheduled { return }
        isTurnScheduled = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            let gateway = bound.value
            gateway.isTurnScheduled = false
            gateway.atOnce { gateway.services?.turnEnded() }
        }
    }

    func shutdownBegan() { tell { $0.shutdownBegan() } }

    func shutdownEnded() { services = nil }

    // MARK: What the services say

    func respond(_ call: CallID, _ message: ByteString) { calls[call]?.respond(message) }

    func send(_ call: CallID, _ message: ByteString) -> Bool {
        guard let open = calls[call] else { return true }
        let hasRoom = open.send(message)
        if batchDepth == 0 { open.flush() } else { written.append(open) }
        return hasRoom
    }

    func send(_ call: CallID, _ parts: [ByteString]) -> Bool {
        var message = ByteWriter(capacity: parts.reduce(0) { $0 + $1.count })
        for part in parts { message.append(part) }
        return send(call, message.finish())
    }

    func finish(_ call: CallID, _ status: GRPCStatus) { calls[call]?.finish(GatewayStatus(status)) }

    func pauseInput(_ call: CallID) { calls[call]?.pause() }
    func resumeInput(_ call: CallID) { calls[call]?.resume() }

    func isOpen(_ call: CallID) -> Bool { calls[call] != nil }
    func isFlagged(_ call: CallID) -> Bool { calls[call]?.request.fields.wantsLeader ?? false }

    func credentials(of call: CallID) -> CallCredentials? { calls[call]?.credentials }

    func describe(_ call: CallID) -> (path: String, peer: String)? { calls[call]?.description }

    func atOnce(_ body: () -> Void) {
        batchDepth += 1
        body()
        batchDepth -= 1
        guard batchDepth == 0, !written.isEmpty else { return }
        for call in written { call.flush() }
        written.removeAll(keepingCapacity: true)
    }
}

extension GatewayStatus {
    init(_ status: GRPCStatus) { self.init(code: status.code.rawValue, message: status.message) }
}

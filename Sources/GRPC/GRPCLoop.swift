// Owns: the calls of one event loop, and what may be done to them.
// Must never: be used off its event loop, except `execute`. Every entry checks.
// Invariants: a call has an entry in `calls` at its stream's slot, with the slot's generation; what is done to a call whose
//             entry has another generation, or is over, does nothing.
package import Bytes
package import Calls
package import HTTP1
package import HTTP2
package import NIOCore

/// One call. The entry outlives the call's end until its stream is gone.
struct Call: ~Copyable {
    var generation: UInt32 = 0
    var method = MethodIndex(rawValue: 0)
    var flags: CallFlags = []
    var deadline: NIODeadline?
    /// In the nanoseconds of `HTTP2Loop.batchTime`.
    var startedAt: UInt64 = 0
    var assembler = MessageAssembler()
    /// The message of a call that takes one, until the client's END_STREAM.
    var message: ByteString?
    /// Nil where the client has shown nothing.
    var credentials: CallCredentials?
    /// Which of the loop's connections it came on.
    var connection = 0
    /// How much of `bufferedCount` the connection's budget knows of.
    var accountedCount = 0

    /// Bytes kept for it until the handler gets them.
    var bufferedCount: Int { assembler.bufferedCount + (message?.count ?? 0) }
}

/// One connection, as far as its calls are concerned.
struct ConnectionState {
    let connection: HTTP2Connection
    var inbound: InboundBudget
    /// Calls whose message or input isn't handed over while too many answers wait to be sent. Some may be over.
    var waiting: [StreamHandle] = []
    /// How many of them were not, when they were last looked through.
    var liveWaiting = 0
    /// Bytes of `HeldInput` of its streams.
    var heldBytes = 0
    /// Whether what waits goes on by itself soon.
    var isResuming = false
    /// What the last call has shown that showed anything.
    var lastCredentials: CallCredentials?
}

struct CallFlags: OptionSet {
    var rawValue: UInt8
    /// Its kind.
    static let bidirectional = CallFlags(rawValue: 32)
    /// There is `HeldInput` of it.
    static let held = CallFlags(rawValue: 64)
    /// The handler wants nothing more of its input for now.
    static let paused = CallFlags(rawValue: 128)
    /// The call is neither finished nor cancelled.
    static let open = CallFlags(rawValue: 1)
    /// The handler has heard of it.
    static let handedOver = CallFlags(rawValue: 2)
    static let headersSent = CallFlags(rawValue: 4)
    /// Compressed messages are gzip.
    static let gzip = CallFlags(rawValue: 8)
    /// It came with the server's `GRPCFields.flag`.
    static let flagged = CallFlags(rawValue: 16)
}

// Sendable though it is mutable: everything but `execute` and the constants is confined to `eventLoop`, and checks that.
package final class GRPCLoop: @unchecked Sendable {
    /// `CallID.caller` of its calls: the position among the server's loops, unless the handler knows another.
    package var callerIndex: Int
    package let eventLoop: any EventLoop
    /// What was counted so far.
    package var counters: GRPCCounters {
        checkConfinement()
        var counters = counts.snapshot
        counters.fieldValues = fieldCounts.snapshot
        return counters
    }

    let http2: HTTP2Loop
    let methods: MethodTable
    let limits: GRPCLimits
    let counts: CounterTable
    let fieldCounts = FieldCounts()
    package var handler: (any GRPCHandler)!
    /// What every call touches, out of reach of exclusivity checks.
    private struct Hot {
        var calls: UnsafeMutablePointer<Call>
        var callCapacity = 0
        var isTurnScheduled = false
    }
    private let hot: UnsafeMutablePointer<Hot>
    /// By stream slot. Grown when a slot beyond it comes up; pointers into it are never kept.
    @inline(__always) var calls: UnsafeMutablePointer<Call> { hot.pointee.calls }
    @inline(__always) var callCapacity: Int { hot.pointee.callCapacity }
    /// By `HTTP2Connection.tag`.
    var connections: [ConnectionState?] = []
    /// By stream slot.
    var heldInput: [Int: HeldInput] = [:]
    /// Whether what is being taken in was held, so that the peer lacks its share of the connection's window already.
    var isTakingHeld = false
    var freeConnections: [Int] = []

    var wheel: DeadlineWheel
    /// The one timer of this loop, and when it fires.
    var timer: Scheduled<Void>?
    var timerFiresAt = UInt64.max

    /// By stream slot.
    var exchanges: [Int: StreamExchange] = [:]
    /// How many there are: every stream that ends asks.
    var exchangeCount = 0

    /// What is asked without being a call.
    let pages: Pages?
    /// Pages that are being made.
    var pagesInFlight = 0
    static let pagesInFlightLimit = 64

    package convenience init(
        http2: HTTP2Loop, methods: [GRPCMethod], fields: GRPCFields = GRPCFields(), limits: GRPCLimits
    ) {
        let table = MethodTable(methods, fields)
        self.init(http2: http2, methods: table, limits: limits, pages: nil)
    }

    init(http2: HTTP2Loop, methods: MethodTable, limits: GRPCLimits, pages: Pages?) {
        self.http2 = http2
        self.pages = pages
        self.methods = methods
        self.limits = limits
        callerIndex = http2.index
        eventLoop = http2.eventLoop
        counts = CounterTable(methodCount: methods.methods.count)
        hot = .allocate(capacity: 1)
        hot.initialize(to: Hot(calls: .allocate(capacity: 0)))
        wheel = DeadlineWheel(now: http2.now)
    }

    deinit {
        calls.deinitialize(count: callCapacity)
        calls.deallocate()
        hot.deallocate()
        counts.deallocate()
    }

    @inline(__always)
    private func checkConfinement() {
        invariant(eventLoop.inEventLoop, "a call is touched on its own event loop only")
    }

    /// What connections and streams of this loop have come to.
    package var connectionCounters: HTTP2Counters {
        checkConfinement()
        return http2.counters
    }

    /// Streams that are open now, and bytes that wait for their clients to read.
    package var openStreamCount: Int { http2.openStreamCount }
    package var queuedByteCount: Int { http2.queuedByteCount }
    /// Connections whose requests wait until their clients have read.
    package var heldBackCount: Int { http2.heldBackCount }

    /// What the connections of all loops keep for their clients.
    package var clientMemory: ClientMemory { http2.clientMemory }

    // MARK: From other threads

    /// Runs `batch` on the loop; each connection that it touches is flushed once, at its end.
    package func execute(_ batch: @escaping @Sendable (GRPCLoop) -> Void) {
        eventLoop.execute {
            self.http2.beginBatch()
            batch(self)
            self.http2.endBatch()
        }
    }

    /// Runs `body` on the loop, which we must be on; each connection that it touches is flushed once, at its end.
    package func atOnce(_ body: () -> Void) {
        checkConfinement()
        http2.beginBatch()
        body()
        http2.endBatch()
    }

    // MARK: What the handler may do

    /// Ends a call with one message and status OK.
    package func respond(_ call: CallID, _ message: ByteString) {
        checkConfinement()
        let stream = call.stream
        guard isOpen(stream) else { return }
        guard message.count <= limits.sentMessageLimit else { return finish(stream, tooLarge(message.count)) }
        let slot = Int(stream.slot)
        if calls[slot].flags.contains(.headersSent) {
            _ = http2.send(stream, head: InlineBytes(0, bigEndian: UInt32(message.count)), body: message)
            http2.end(stream, trailers: WireHeaders.okTrailers)
        } else {
            http2.respond(
                stream, headers: WireHeaders.response, head: InlineBytes(0, bigEndian: UInt32(message.count)), body: message,
                trailers: WireHeaders.okTrailers)
        }
        counts.sent(calls[slot].method, message.count)
        close(slot, .ok)
    }

    /// Sends a message. False: the client reads more slowly than the handler sends; `callWritable` tells when to go on.
    /// (Messages sent nevertheless are queued.) A message that is too large to be sent ends the call, and the handler hears that
    /// it is cancelled.
    package func send(_ call: CallID, _ message: ByteString) -> Bool {
        checkConfinement()
        let stream = call.stream
        guard isOpen(stream), mayBeSent(message.count, on: stream) else { return true }
        let slot = Int(stream.slot)
        if !calls[slot].flags.contains(.headersSent) {
            calls[slot].flags.insert(.headersSent)
            http2.sendHeaders(stream, WireHeaders.response, endStream: false)
        }
        counts.sent(calls[slot].method, message.count)
        return http2.send(stream, head: InlineBytes(0, bigEndian: UInt32(message.count)), body: message)
    }

    /// The same, of a message in pieces, none of which is copied before it is written.
    package func send(_ call: CallID, _ parts: [ByteString]) -> Bool {
        checkConfinement()
        let stream = call.stream
        guard isOpen(stream), let first = parts.first else { return true }
        let count = parts.reduce(0) { $0 + $1.count }
        guard mayBeSent(count, on: stream) else { return true }
        let slot = Int(stream.slot)
        if !calls[slot].flags.contains(.headersSent) {
            calls[slot].flags.insert(.headersSent)
            http2.sendHeaders(stream, WireHeaders.response, endStream: false)
        }
        counts.sent(calls[slot].method, count)
        var hasRoom = http2.send(stream, head: InlineBytes(0, bigEndian: UInt32(count)), body: first)
        for part in parts.dropFirst() { hasRoom = http2.send(stream, head: InlineBytes(), body: part) }
        return hasRoom
    }

    /// False after ending the call: what is to be sent on it is too large, and a part of it would be worse than nothing.
    @inline(__always)
    private func mayBeSent(_ count: Int, on stream: StreamHandle) -> Bool {
        if count <= limits.sentMessageLimit { return true }
        cancel(stream, tooLarge(count))
        return false
    }

    /// In the words of Go's gRPC, which etcd says.
    private func tooLarge(_ count: Int) -> GRPCStatus {
        GRPCStatus(.resourceExhausted, "grpc: trying to send message larger than max (\(count) vs. \(limits.sentMessageLimit))")
    }

    /// Hands over no more of a bidirectional call's input, not even of what has come, before `resumeInput`: the client may send
    /// a window's worth. To be called from `messageReceived`.
    package func pauseInput(_ call: CallID) {
        checkConfinement()
        guard isOpen(call.stream) else { return }
        calls[Int(call.stream.slot)].flags.insert(.paused)
    }

    package func resumeInput(_ call: CallID) {
        checkConfinement()
        guard isOpen(call.stream) else { return }
        resumeInput(call.stream)
    }

    /// Ends a call with `status`, after what was sent.
    package func finish(_ call: CallID, _ status: GRPCStatus) {
        checkConfinement()
        finish(call.stream, status)
    }

    /// Whether the call came with the server's `GRPCFields.flag`. False for one that is over.
    package func isFlagged(_ call: CallID) -> Bool {
        checkConfinement()
        return isOpen(call.stream) && calls[Int(call.stream.slot)].flags.contains(.flagged)
    }

    /// What the client of a call that is still going on has shown; nil for nothing.
    package func credentials(of call: CallID) -> CallCredentials? {
        checkConfinement()
        return isOpen(call.stream) ? calls[Int(call.stream.slot)].credentials : nil
    }

    /// The path of a call that is still going on, and its client's address: for logs.
    package func describe(_ call: CallID) -> (path: String, peer: String)? {
        checkConfinement()
        let stream = call.stream
        guard isOpen(stream) else { return nil }
        let address = http2.connection(of: stream)?.remoteAddress
        let peer = address?.ipAddress.map { "\($0):\(address?.port ?? 0)" } ?? address?.pathname ?? "unknown"
        return (methods.methods[calls[Int(stream.slot)].method.rawValue].path, peer)
    }

    /// Whether the call is still going on.
    package func isOpen(_ call: CallID) -> Bool {
        checkConfinement()
        return isOpen(call.stream)
    }

    // MARK: Calls

    @inline(__always)
    func isOpen(_ stream: StreamHandle) -> Bool {
        let slot = Int(stream.slot)
        return slot < callCapacity && calls[slot].generation == stream.generation && calls[slot].flags.contains(.open)
    }

    func finish(_ stream: StreamHandle, _ status: GRPCStatus, extra: [(name: String, value: String)] = []) {
        guard isOpen(stream) else { return }
        let slot = Int(stream.slot)
        if calls[slot].flags.contains(.headersSent) {
            http2.end(stream, trailers: status.trailers(extra: extra))
        } else {
            http2.sendHeaders(stream, status.trailersOnly(extra: extra), endStream: true)
        }
        close(slot, status.code)
    }

    /// Makes an entry for a new call.
    @inline(__always)
    func open(_ stream: StreamHandle, connection: Int, method: MethodIndex, flags: CallFlags) {
        let slot = Int(stream.slot)
        if slot >= callCapacity { growCalls() }
        calls[slot].generation = stream.generation
        calls[slot].method = method
        calls[slot].connection = connection
        calls[slot].flags = flags.union(.open)
        calls[slot].deadline = nil
        calls[slot].startedAt = http2.batchTime
        counts.started(method)
    }

    /// The call is over, with `code`.
    @inline(__always)
    func close(_ slot: Int, _ code: GRPCStatus.Code) {
        calls[slot].flags.remove(.open)
        calls[slot].assembler.reset()
        calls[slot].message = nil
        calls[slot].credentials = nil
        if calls[slot].flags.contains(.held) { dropHeld(slot) }
        if calls[slot].accountedCount > 0 { accountRelease(slot) }
        if calls[slot].deadline != nil {
            calls[slot].deadline = nil
            wheel.remove(slot)
        }
        counts.finished(calls[slot].method, code, after: http2.batchTime &- calls[slot].startedAt)
    }

    private func growCalls() {
        let capacity = http2.slotCapacity
        let larger = UnsafeMutablePointer<Call>.allocate(capacity: capacity)
        larger.moveInitialize(from: calls, count: callCapacity)
        for slot in callCapacity..<capacity { (larger + slot).initialize(to: Call()) }
        calls.deallocate()
        hot.pointee.calls = larger
        hot.pointee.callCapacity = capacity
    }

    // MARK: Turns

    /// The handler was told something; it will hear of the turn's end.
    @inline(__always)
    func noteTurn() {
        if hot.pointee.isTurnScheduled { return }
        hot.pointee.isTurnScheduled = true
        eventLoop.execute { [self] in
            hot.pointee.isTurnScheduled = false
            http2.beginBatch()
            handler.turnEnded()
            http2.endBatch()
        }
    }

    func beginShutdown() {
        http2.beginBatch()
        handler.shutdownBegan()
        noteTurn()
        http2.endBatch()
    }
}

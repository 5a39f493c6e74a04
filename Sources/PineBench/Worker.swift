// Owns: one event loop's share of the load: its connections, its requests in flight, when the next are sent.
// Must never: be touched off its loop, but for what is marked so; wait for an answer before a request that is due (open loop).
// Invariant: a slot is either free or has one request in flight.
internal import Bytes
internal import DequeModule
internal import EtcdAPI
internal import EtcdClient
internal import GRPC
internal import HTTP2
internal import Histogram
internal import NIOCore

final class Worker: GRPCCallReceiver, @unchecked Sendable {
    // Sendable because everything is touched on the event loop only; `run` and `snapshot` go there first.
    let eventLoop: any EventLoop
    let slotCount: Int
    private let connections: [EtcdClientConnection]
    /// A stream a connection for what is not unary, opened when first needed.
    private var streams: [StreamHandle?]
    private var operations: any Operations

    // Slots.
    private var startedAt: [UInt64]
    private var kinds: [Int]
    /// Whether the answer has come, right or wrong; its status follows.
    private var isAnswered: [Bool]
    /// The highest revision that this worker had seen when the slot's request was sent.
    private var floors: [Revision]
    private var free: Deque<Int>

    // The phase that is running.
    private var tally = Tally(kinds: 1)
    private var isRunning = false
    private var deadline: UInt64 = 0
    private var requestsLeft = 0
    private var sent = 0
    private var isExhausted = false
    /// Nanoseconds between two requests; nil in a closed loop.
    private var interval: Double?
    private var timer: Scheduled<Void>?
    private var finished: EventLoopPromise<Tally>?
    private var highestSeen: Revision = 0
    /// Writes that were acknowledged since the worker began.
    private(set) var writes = 0
    private var lost: String?

    init(eventLoop: any EventLoop, connections: [EtcdClientConnection], slots: Int, operations: any Operations) {
        self.eventLoop = eventLoop
        self.connections = connections
        self.operations = operations
        slotCount = slots
        streams = Array(repeating: nil, count: connections.count)
        startedAt = Array(repeating: 0, count: slots)
        kinds = Array(repeating: 0, count: slots)
        isAnswered = Array(repeating: false, count: slots)
        floors = Array(repeating: 0, count: slots)
        free = Deque(0..<slots)
    }

    /// What ends a phase: the clock, a number of requests, or that the operations have nothing more to send.
    struct Phase: Sendable {
        var seconds: Double?
        var requests: Int?
        /// Requests a second of this worker; nil for a closed loop.
        var rate: Double?
    }

    // MARK: From anywhere

    /// Runs one phase to its end, the last answer included. The operations, where given, replace those before.
    func run(_ phase: Phase, _ makeOperations: (@Sendable () -> any Operations)? = nil) async throws -> Tally {
        let promise = eventLoop.makePromise(of: Tally.self)
        eventLoop.execute {
            if let makeOperations { self.operations = makeOperations() }
            self.begin(phase, promise)
        }
        return try await promise.futureResult.get()
    }

    /// What has been counted in this phase so far, and all writes.
    func snapshot() async throws -> (tally: Tally, writes: Int) {
        try await eventLoop.submit { (self.tally, self.writes) }.get()
    }

    // MARK: Phases

    private func begin(_ phase: Phase, _ promise: EventLoopPromise<Tally>) {
        for (index, connection) in connections.enumerated() {
            connection.onClose { [weak self] reason in self?.connectionLost(index, reason) }
        }
        tally = Tally(kinds: operations.kinds.count)
        let now = monotonicNow()
        tally.began = now
        deadline = phase.seconds.map { now + UInt64($0 * 1e9) } ?? .max
        requestsLeft = phase.requests ?? .max
        interval = phase.rate.map { 1e9 / $0 }
        sent = 0
        isExhausted = false
        isRunning = true
        finished = promise
        if interval == nil {
            inBatch { while canSend(now), let slot = free.popFirst(), issue(slot, now) {} }
        } else {
            sendDue()
        }
        endIfDone()
    }

    private func canSend(_ now: UInt64) -> Bool {
        isRunning && !isExhausted && requestsLeft > 0 && now < deadline && lost == nil
    }

    private func inBatch(_ body: () -> Void) {
        for connection in connections { connection.beginBatch() }
        body()
        for connection in connections { connection.endBatch() }
    }

    private func endIfDone() {
        guard isRunning, free.count == startedAt.count else { return }
        let now = monotonicNow()
        if interval != nil {
            guard !canSend(now) else { return }
        }
        isRunning = false
        timer?.cancel()
        timer = nil
        tally.ended = now
        let promise = finished
        finished = nil
        if let lost { tally.count(lost) }
        promise?.succeed(tally)
    }

    // MARK: Open loop

    /// Sends what is due as far as slots are free. What has to wait for one keeps its time.
    private func sendDue() {
        guard let interval else { return }
        let now = monotonicNow()
        inBatch {
            while canSend(now), Double(sent) * interval <= Double(now - tally.began), let slot = free.popFirst() {
                _ = issue(slot, tally.began + UInt64(Double(sent) * interval))
            }
        }
        guard canSend(now) else { return endIfDone() }
        // Without a free slot the next answer goes on.
        guard !free.isEmpty else { return }
        let next = min(tally.began + UInt64(Double(sent) * interval), deadline)
        timer?.cancel()
        timer = eventLoop.scheduleTask(deadline: .uptimeNanoseconds(max(next, now))) { [weak self] in self?.sendDue() }
    }

    // MARK: Requests

    /// False where the operations have nothing more; the slot is free again then.
    private func issue(_ slot: Int, _ due: UInt64) -> Bool {
        guard let request = operations.next(slot, at: due) else {
            isExhausted = true
            free.append(slot)
            return false
        }
        sent += 1
        requestsLeft -= 1
        startedAt[slot] = due
        kinds[slot] = request.kind
        isAnswered[slot] = false
        floors[slot] = highestSeen
        let connection = slot % connections.count
        if request.method.kind == .unary {
            connections[connection].unary(request.method, request.message, self, tag: slot)
        } else {
            if streams[connection] == nil {
                streams[connection] = connections[connection].start(request.method, self, tag: -1 - connection)
            }
            if let stream = streams[connection] { connections[connection].send(stream, request.message) }
        }
        return true
    }

    func messageReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer) {
        tally.bytesReceived += bytes.count
        // A slot whose call is one of many on a stream has no other end than its answer.
        var streamSlot: Int?
        defer { if let streamSlot { complete(streamSlot) } }
        do throws(WrongAnswer) {
            let slot = tag >= 0 ? tag : try operations.slot(of: bytes)
            if tag < 0 { streamSlot = slot }
            guard !isAnswered[slot] else { throw WrongAnswer("a second answer to one request") }
            isAnswered[slot] = true
            try weigh(try operations.check(slot, bytes), of: slot)
        } catch {
            tally.count(error.reason)
        }
    }

    func takesPieces(_ tag: Int) -> Bool { tag >= 0 && operations.checksPieces && !isAnswered[tag] }

    func pieceReceived(_ slot: Int, _ bytes: UnsafeRawBufferPointer, isLast: Bool) {
        tally.bytesReceived += bytes.count
        // What comes after a mistake makes no sense.
        guard !isAnswered[slot] else { return }
        do throws(WrongAnswer) {
            guard let answer = try operations.check(slot, piece: bytes, isLast: isLast) else { return }
            isAnswered[slot] = true
            try weigh(answer, of: slot)
        } catch {
            isAnswered[slot] = true
            tally.count(error.reason)
        }
    }

    /// Whether an answer may be of this revision.
    private func weigh(_ answer: AnswerRevision, of slot: Int) throws(WrongAnswer) {
        if answer.isWrite { writes += 1 }
        guard answer.revision != 0 else { return }
        // What was seen before the request was sent must be part of the answer.
        guard answer.isWrite ? answer.revision > floors[slot] : answer.revision >= floors[slot] else {
            throw WrongAnswer("revision \(answer.revision) after \(floors[slot]) had been seen")
        }
        highestSeen = max(highestSeen, answer.revision)
    }

    func callEnded(_ tag: Int, _ status: GRPCStatus) {
        guard tag >= 0 else {
            streams[-1 - tag] = nil
            connectionLost(-1 - tag, "a stream ended: \(status.code): \(status.message)")
            return
        }
        if status.code != .ok {
            tally.count("\(status.code): \(status.message)")
        } else if !isAnswered[tag] {
            tally.count("a call ended without an answer")
        }
        complete(tag)
    }

    private func complete(_ slot: Int) {
        let now = monotonicNow()
        tally.requests += 1
        _ = tally.latencies[kinds[slot]].record(max(now &- startedAt[slot], 1_000))
        if interval == nil {
            if canSend(now) {
                _ = issue(slot, now)
            } else {
                free.append(slot)
            }
        } else {
            let wasStarved = free.isEmpty
            free.append(slot)
            if wasStarved { sendDue() }
        }
        if !canSend(now) { endIfDone() }
    }

    /// Without a connection the run means nothing: it ends, and says so. What was in flight on a stream has no other end.
    private func connectionLost(_ index: Int, _ reason: String) {
        if lost == nil { lost = reason }
        guard isRunning else { return }
        if streams.contains(where: { $0 != nil }) || free.count == startedAt.count {
            free = Deque(startedAt.indices)
        }
        endIfDone()
    }
}

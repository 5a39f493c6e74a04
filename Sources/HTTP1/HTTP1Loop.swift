// Owns: what the HTTP/1.1 connections of one event loop share: what they keep in memory, and their end.
// Must never: be touched off its event loop.
// Invariant: `keptBytes` is the sum of what its connections keep.
internal import NIOCore

package final class HTTP1Loop {
    let eventLoop: any EventLoop
    let limits: HTTP1Limits
    /// Takes requests that are no pages. It and the loop hold each other, up to the shutdown.
    package var service: (any ExchangeService)?
    /// What all connections of the server keep, of either HTTP.
    private let memory: ClientMemory?

    private var connections: [ObjectIdentifier: HTTP1Connection] = [:]
    package private(set) var keptBytes = 0
    private var toldBytes = 0
    private var isStrained = false
    private var sweep: RepeatedTask?
    private(set) var isShuttingDown = false
    var date = DateText()
    private var emptied: EventLoopPromise<Void>?

    private static let sweepIntervalMs: Int64 = 1_000

    init(_ eventLoop: any EventLoop, limits: HTTP1Limits, memory: ClientMemory?) {
        self.eventLoop = eventLoop
        self.limits = limits
        self.memory = memory
    }

    // MARK: Connections

    func add(_ connection: HTTP1Connection) {
        connections[ObjectIdentifier(connection)] = connection
        memory?.connectionOpened()
        if sweep == nil, memory != nil { startSweep() }
    }

    func remove(_ connection: HTTP1Connection) {
        guard connections.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        memory?.connectionClosed()
        guard connections.isEmpty else { return }
        tell()
        sweep?.cancel()
        sweep = nil
        emptied?.succeed()
        emptied = nil
    }

    // MARK: Memory

    /// What a connection keeps has changed.
    func keptChanged(by change: Int) {
        keptBytes += change
        if let memory, isStrained || abs(keptBytes - toldBytes) > memory.grain { tell() }
    }

    /// Whether all connections together keep too much, and one that keeps `count` more than its share.
    func isOverShare(_ count: Int) -> Bool {
        guard isStrained, let memory else { return false }
        return count > memory.share
    }

    private func tell() {
        guard let memory else { return }
        let total = memory.add(keptBytes - toldBytes)
        toldBytes = keptBytes
        // As for HTTP/2, what goes with that ends an eighth below the limit.
        isStrained = total > (isStrained ? memory.limit - memory.limit / 8 : memory.limit)
    }

    /// Ends connections whose clients have stopped to read while all together keep too much, the largest first; and where it is far too
    /// much, the largest in any case. This loop gives as much of the excess as it has of the whole.
    private func relieve() {
        guard let memory, isStrained, memory.bytes > memory.limit else { return }
        let (total, now) = (memory.bytes, NIODeadline.now())
        let isUrgent = total - memory.limit > memory.limit / 4
        let excess = Double(total - memory.limit + memory.limit / 8)
        var rest = Int(excess * Double(keptBytes) / Double(max(total, 1)))
        let share = memory.share
        let stall = TimeAmount.milliseconds(limits.unreadStallMs)
        let holders = connections.values.filter { connection in
            connection.keptBytes > share && (isUrgent || connection.stalledSince.map { now - $0 >= stall } ?? false)
        }
        for connection in holders.sorted(by: { $0.keptBytes > $1.keptBytes }) where rest > 0 {
            rest -= connection.keptBytes
            connection.close()
        }
    }

    private func startSweep() {
        let interval = TimeAmount.milliseconds(HTTP1Loop.sweepIntervalMs)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sweep = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            bound.value.tell()
            bound.value.relieve()
        }
    }

    // MARK: Shutdown

    /// Ends what waits for requests; what is under way may end within `graceMs`. The future succeeds when the last connection has closed.
    func beginShutdown(graceMs: Int64) -> EventLoopFuture<Void> {
        isShuttingDown = true
        service?.shutdownBegan()
        for connection in connections.values where !connection.isAnswering { connection.close() }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let deadline = eventLoop.scheduleTask(in: .milliseconds(graceMs)) {
            for connection in bound.value.connections.values { connection.close() }
        }
        guard !connections.isEmpty else {
            deadline.cancel()
            return eventLoop.makeSucceededVoidFuture()
        }
        let promise = emptied ?? eventLoop.makePromise(of: Void.self)
        emptied = promise
        promise.futureResult.whenComplete { _ in deadline.cancel() }
        return promise.futureResult
    }

    package func endShutdown() {
        service?.shutdownEnded()
        service = nil
    }
}

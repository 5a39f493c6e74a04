// Owns: what waits while a connection's client has too much to read: calls whose message is complete, and the input of bidirectional
// streams, both in the order in which they came. The input of a stream waits also while its handler wants no more of it.
// Must never: let a connection wait that reads: what there is room for goes on, at least one call at a time.
// Invariant: the input of a stream that is held is not given back to the peer's windows, so that all of it fits into the connection's.
internal import Bytes
internal import HTTP2
internal import NIOCore

/// What came on a bidirectional stream and wasn't looked at.
struct HeldInput {
    var bytes: [UInt8] = []
    var isEnded = false
}

extension GRPCLoop {
    /// How much of what waits is handed over in one turn, in bytes: its answers have to come before it is known how much more may.
    private static let resumedLimit = 64 << 10

    // MARK: Holding

    /// The client doesn't read its answers: there is no use in making more of them. (The connection is still read, for
    /// the window updates that get the answers going.)
    func park(_ stream: StreamHandle) {
        let slot = Int(stream.slot)
        if calls[slot].bufferedCount > calls[slot].accountedCount, accountGrowth(slot, received: 0) == .refuse {
            cancel(stream, GRPCStatus(.resourceExhausted, "grpc: too many unread answers on this connection"))
            return
        }
        wait(stream, on: calls[slot].connection)
    }

    /// Keeps what came on a bidirectional stream for later.
    func hold(_ stream: StreamHandle, _ bytes: UnsafeRawBufferPointer, endStream: Bool) {
        let slot = Int(stream.slot)
        if !calls[slot].flags.contains(.held) {
            calls[slot].flags.insert(.held)
            heldInput[slot] = HeldInput()
            if !calls[slot].flags.contains(.paused) { wait(stream, on: calls[slot].connection) }
        }
        heldInput[slot]?.bytes.append(contentsOf: bytes)
        if endStream { heldInput[slot]?.isEnded = true }
        guard !bytes.isEmpty else { return }
        connections[calls[slot].connection]?.heldBytes += bytes.count
        if !isTakingHeld { connections[calls[slot].connection]?.connection.withhold(bytes.count) }
        tellWaitingInput(calls[slot].connection)
    }

    /// What is held of the call at `slot`, of which nothing is held any more. The connection's window is still to be given back.
    private func takeHeld(_ slot: Int) -> HeldInput {
        calls[slot].flags.remove(.held)
        guard let held = heldInput.removeValue(forKey: slot) else { violated("a held call without its input") }
        connections[calls[slot].connection]?.heldBytes -= held.bytes.count
        tellWaitingInput(calls[slot].connection)
        return held
    }

    /// The call at `slot` is over.
    func dropHeld(_ slot: Int) {
        let count = takeHeld(slot).bytes.count
        if count > 0 { connections[calls[slot].connection]?.connection.giveBack(count) }
    }

    /// Hands over what is held of a stream, as far as its handler wants it. Returns how much there was, in bytes.
    private func handOverHeld(_ stream: StreamHandle, on connection: HTTP2Connection) -> Int {
        let slot = Int(stream.slot)
        let held = takeHeld(slot)
        isTakingHeld = true
        held.bytes.withUnsafeBytes { take(stream, $0, endStream: held.isEnded) }
        isTakingHeld = false
        let rest = isOpen(stream) ? heldInput[slot]?.bytes.count ?? 0 : 0
        if held.bytes.count > rest { connection.giveBack(held.bytes.count - rest) }
        return held.bytes.count
    }

    func wait(_ stream: StreamHandle, on tag: Int) {
        connections[tag]?.waiting.append(stream)
        // Calls that were given up leave their places behind.
        guard let state = connections[tag], state.waiting.count > 2 * state.liveWaiting + 64 else { return }
        let live = state.waiting.filter { isOpen($0) || exchange(on: $0) != nil }
        connections[tag]?.waiting = live
        connections[tag]?.liveWaiting = live.count
    }

    /// Tells the connection how much input waits.
    func tellWaitingInput(_ tag: Int) {
        guard let state = connections[tag] else { return }
        state.connection.waitingInputBytes = state.inbound.buffered + state.heldBytes
    }

    // MARK: Going on

    /// There may be room again: what waits goes on, in its order.
    func resume(_ connection: HTTP2Connection) {
        guard let waiting = connections[connection.tag]?.waiting, !waiting.isEmpty else { return }
        connections[connection.tag]?.waiting = []
        var index = 0
        var rest = GRPCLoop.resumedLimit
        while index < waiting.count && rest > 0 && !connection.isOverHighWaterMark {
            let stream = waiting[index]
            index += 1
            guard isOpen(stream) else {
                exchange(on: stream)?.goOn()
                continue
            }
            let slot = Int(stream.slot)
            // `resumeInput` puts it back into the queue.
            if calls[slot].flags.contains(.paused) { continue }
            if calls[slot].flags.contains(.held) {
                rest -= handOverHeld(stream, on: connection)
            } else {
                rest -= calls[slot].message?.count ?? 0
                handOver(stream)
            }
        }
        guard index < waiting.count else { return }
        connections[connection.tag]?.waiting.insert(contentsOf: waiting[index...], at: 0)
        if rest <= 0 { resumeLater(connection) }
    }

    /// The handler of a bidirectional call wants more of its input.
    func resumeInput(_ stream: StreamHandle) {
        let slot = Int(stream.slot)
        guard calls[slot].flags.contains(.paused) else { return }
        calls[slot].flags.remove(.paused)
        guard calls[slot].flags.contains(.held), let state = connections[calls[slot].connection] else { return }
        wait(stream, on: calls[slot].connection)
        if !state.connection.isOverHighWaterMark { resumeLater(state.connection) }
    }

    /// After what was handed over has had its turn.
    private func resumeLater(_ connection: HTTP2Connection) {
        let tag = connection.tag
        guard connections[tag]?.isResuming == false else { return }
        connections[tag]?.isResuming = true
        let bound = NIOLoopBound((self, connection), eventLoop: eventLoop)
        eventLoop.execute {
            let (loop, connection) = bound.value
            // The connection may be gone, and its place another's.
            guard loop.connections[tag]?.connection === connection else { return }
            loop.connections[tag]?.isResuming = false
            loop.atOnce { loop.resume(connection) }
        }
    }
}

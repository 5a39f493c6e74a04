// Owns: what becomes of that which clients send: requests are checked and routed, messages are put together, deadlines
//       are kept.
// Must never: let what a client sends trap.
internal import Bytes
internal import Calls
internal import HTTP1
package import HTTP2
internal import NIOCore

extension GRPCLoop: HTTP2StreamHandler {
    // MARK: Connections

    package func connectionOpened(_ connection: HTTP2Connection) {
        let state = ConnectionState(
            connection: connection,
            inbound: InboundBudget(softLimit: limits.bufferedSoftLimit, hardLimit: limits.bufferedHardLimit))
        if let free = freeConnections.popLast() {
            connections[free] = state
            connection.tag = free
        } else {
            connection.tag = connections.count
            connections.append(state)
        }
    }

    package func connectionClosed(_ connection: HTTP2Connection) {
        guard connection.tag >= 0 else { return }
        connections[connection.tag] = nil
        freeConnections.append(connection.tag)
    }

    package func connectionWritable(_ connection: HTTP2Connection) { resume(connection) }

    // MARK: Headers

    package func headersReceived(
        _ stream: StreamHandle, on connection: HTTP2Connection, fields: HeaderFields, isTruncated: Bool, endStream: Bool
    ) {
        if isTruncated {
            counts.refused()
            http2.sendHeaders(stream, WireHeaders.headersTooLarge, endStream: true)
            return
        }
        let head = RequestHead(fields, methods: methods)
        guard head.problems.isEmpty else {
            if head.problems.contains(.contentType), beginExchange(stream, on: connection, fields, endStream: endStream) { return }
            if let pages, let request = head.pageRequest(fields) {
                answerPage(stream, request, pages)
                return
            }
            counts.refused()
            http2.sendHeaders(stream, head.refusal(fields, methods: methods), endStream: true)
            return
        }
        let method = head.method
        var flags: CallFlags = head.isGzip ? .gzip : []
        if head.isFlagged { flags.insert(.flagged) }
        if methods.isBidirectional(method) { flags.insert(.bidirectional) }
        fieldCounts.started(head.counted, isUnary: methods.isUnary(method))
        open(stream, connection: connection.tag, method: method, flags: flags)
        if let token = head.token {
            calls[Int(stream.slot)].credentials = connections[connection.tag]?.credentials(token)
        }
        // Whoever keeps most gets nothing new while all together keep too much. What is open goes on as the client reads.
        if connection.isOverShare {
            finish(stream, limits.overloaded)
            return
        }
        if head.timeout >= 0 && !arm(stream, timeout: head.timeout) { return }
        if methods.isBidirectional(method) {
            let slot = Int(stream.slot)
            calls[slot].flags.insert(.handedOver)
            noteTurn()
            handler.callStarted(callID(stream), method: method)
        }
        if endStream { inputEnded(stream) }
    }

    @inline(__always)
    private func callID(_ stream: StreamHandle) -> CallID { CallID(caller: callerIndex, stream: stream) }

    // MARK: Messages

    package func dataReceived(_ stream: StreamHandle, bytes: UnsafeRawBufferPointer, endStream: Bool) {
        guard isOpen(stream) else {
            if exchangeCount > 0 { exchange(on: stream)?.received(bytes, endStream: endStream) }
            return
        }
        let flags = calls[Int(stream.slot)].flags
        if flags.contains(.bidirectional), !flags.isDisjoint(with: [.held, .paused]) || http2.isOverHighWaterMark(stream) {
            hold(stream, bytes, endStream: endStream)
        } else {
            take(stream, bytes, endStream: endStream)
        }
    }

    /// Makes messages of what came.
    func take(_ stream: StreamHandle, _ bytes: UnsafeRawBufferPointer, endStream: Bool) {
        let slot = Int(stream.slot)
        var rest = bytes
        assembling: while !rest.isEmpty {
            if calls[slot].flags.contains(.paused) {
                account(stream, received: bytes.count - rest.count, endStream: false)
                hold(stream, rest, endStream: endStream)
                return
            }
            switch calls[slot].assembler.take(&rest, limit: limits.receivedMessageLimit) {
            case .needsMore:
                break assembling
            case .message(let message, let isCompressed):
                if isCompressed {
                    guard let inflated = inflate(message, stream) else { return }
                    received(inflated, stream)
                } else {
                    received(message, stream)
                }
                // The handler may have ended the call, and calls may have moved.
                guard isOpen(stream) else { return }
            case .tooLarge(let length):
                cancel(
                    stream,
                    GRPCStatus(
                        .resourceExhausted,
                        "grpc: received message larger than max (\(length) vs. \(limits.receivedMessageLimit))"))
                return
            case .unknownFlag(let flag):
                cancel(stream, GRPCStatus(.internal, "grpc: received unexpected payload format \(flag)"))
                return
            }
        }
        account(stream, received: bytes.count, endStream: endStream)
        if endStream && isOpen(stream) { inputEnded(stream) }
    }

    /// Gives the peer its window back, unless the connection keeps too much already.
    @inline(__always)
    private func account(_ stream: StreamHandle, received count: Int, endStream: Bool) {
        let slot = Int(stream.slot)
        // The client is done: the message is handed over at once, and nobody needs this stream's window any more.
        if endStream { return }
        let growth = calls[slot].bufferedCount - calls[slot].accountedCount
        if growth <= 0 {
            if growth < 0 { accountRelease(slot) }
            if count > 0 { http2.consume(stream, count) }
            return
        }
        switch accountGrowth(slot, received: count) {
        case .give: http2.consume(stream, count)
        case .withhold: break
        case .refuse:
            cancel(stream, GRPCStatus(.resourceExhausted, "grpc: too many unfinished messages on this connection"))
        }
    }

    /// Tells the connection's budget that more is kept for the call at `slot` than it knows.
    func accountGrowth(_ slot: Int, received count: Int) -> InboundBudget.Decision {
        let growth = calls[slot].bufferedCount - calls[slot].accountedCount
        let stream = StreamHandle(slot: UInt32(slot), generation: calls[slot].generation)
        calls[slot].accountedCount += growth
        let tag = calls[slot].connection
        defer { tellWaitingInput(tag) }
        let limit = http2.isStrained ? http2.connectionKeptLimit : Int.max
        return connections[tag]!.inbound.received(count, growth: growth, on: stream, limit: limit)
    }

    /// Tells the connection's budget that less is kept for the call at `slot` than it knows.
    func accountRelease(_ slot: Int) {
        let count = calls[slot].accountedCount - calls[slot].bufferedCount
        let stream = StreamHandle(slot: UInt32(slot), generation: calls[slot].generation)
        calls[slot].accountedCount -= count
        var given: [(StreamHandle, Int)] = []
        connections[calls[slot].connection]?.inbound.released(count, of: stream) { given.append(($0, $1)) }
        for (stream, count) in given { http2.consume(stream, count) }
        tellWaitingInput(calls[slot].connection)
    }

    /// The message behind a compressed one, or nil after ending the call.
    private func inflate(_ message: ByteString, _ stream: StreamHandle) -> ByteString? {
        guard calls[Int(stream.slot)].flags.contains(.gzip) else {
            cancel(stream, GRPCStatus(.internal, "grpc: compressed flag set with identity or empty encoding"))
            return nil
        }
        do throws(GzipError) {
            return try Gzip.inflated(message, limit: limits.receivedMessageLimit)
        } catch {
            cancel(stream, inflationFailure(error))
            return nil
        }
    }

    private func inflationFailure(_ error: GzipError) -> GRPCStatus {
        switch error {
        case .tooLarge:
            GRPCStatus(
                .resourceExhausted,
                "grpc: received message after decompression larger than max \(limits.receivedMessageLimit)")
        case .malformed:
            GRPCStatus(.internal, "grpc: failed to decompress the received message: malformed gzip")
        }
    }

    private func received(_ message: ByteString, _ stream: StreamHandle) {
        let slot = Int(stream.slot)
        let method = calls[slot].method
        if methods.isBidirectional(method) {
            counts.received(method, message.count)
            noteTurn()
            handler.messageReceived(callID(stream), method: method, message: message)
        } else if calls[slot].message == nil {
            calls[slot].message = message
        } else {
            cancel(
                stream,
                GRPCStatus(.internal, "cardinality violation: received multiple request messages for non-client-streaming RPC"))
        }
    }

    private func inputEnded(_ stream: StreamHandle) {
        let slot = Int(stream.slot)
        let method = calls[slot].method
        guard calls[slot].assembler.isBetweenMessages else {
            cancel(stream, GRPCStatus(.internal, "unexpected EOF"))
            return
        }
        if methods.isBidirectional(method) {
            noteTurn()
            handler.inputEnded(callID(stream), method: method)
        } else if calls[slot].message != nil {
            if http2.isOverHighWaterMark(stream) {
                park(stream)
            } else {
                handOver(stream)
            }
        } else {
            cancel(
                stream,
                GRPCStatus(.internal, "cardinality violation: received no request message from non-client-streaming RPC"))
        }
    }

    func handOver(_ stream: StreamHandle) {
        let slot = Int(stream.slot)
        guard let message = calls[slot].message.take() else { return }
        let method = calls[slot].method
        if methods.mayAnswerLong(method) { http2.expectAnswer(stream) }
        if calls[slot].accountedCount > 0 { accountRelease(slot) }
        calls[slot].flags.insert(.handedOver)
        counts.received(method, message.count)
        noteTurn()
        handler.messageReceived(callID(stream), method: method, message: message)
    }

    // MARK: Ends

    /// Ends a call that the handler didn't end.
    func cancel(_ stream: StreamHandle, _ status: GRPCStatus) {
        guard isOpen(stream) else { return }
        let wasHandedOver = calls[Int(stream.slot)].flags.contains(.handedOver)
        finish(stream, status)
        if wasHandedOver {
            noteTurn()
            handler.callCancelled(callID(stream))
        }
    }

    package func streamClosed(_ stream: StreamHandle, code: UInt32) {
        guard isOpen(stream) else {
            if exchangeCount > 0 { exchange(on: stream)?.closed() }
            return
        }
        let slot = Int(stream.slot)
        let wasHandedOver = calls[slot].flags.contains(.handedOver)
        close(slot, .cancelled)
        if wasHandedOver {
            noteTurn()
            handler.callCancelled(callID(stream))
        }
    }

    package func streamWritable(_ stream: StreamHandle) {
        guard isOpen(stream) else {
            if exchangeCount > 0 { exchange(on: stream)?.exchange?.becameWritable() }
            return
        }
        noteTurn()
        handler.callWritable(callID(stream))
    }

    // MARK: Deadlines

    /// Sets the call's deadline. False where it has passed already.
    private func arm(_ stream: StreamHandle, timeout: Int64) -> Bool {
        guard timeout > 0 else {
            cancel(stream, .deadlineExceeded)
            return false
        }
        let slot = Int(stream.slot)
        let now = http2.now
        let (sum, overflow) = now.addingReportingOverflow(UInt64(timeout))
        // NIO's clock ends with Int64, in some 292 years.
        let deadline = overflow ? UInt64(Int64.max) : min(sum, UInt64(Int64.max))
        calls[slot].deadline = .uptimeNanoseconds(deadline)
        let wake = wheel.insert(slot, deadline: deadline)
        if wake < timerFiresAt { startTimer(wake) }
        return true
    }

    private func startTimer(_ time: UInt64) {
        timer?.cancel()
        timerFiresAt = time
        timer = eventLoop.scheduleTask(deadline: .uptimeNanoseconds(time)) { [self] in timerFired() }
    }

    private func timerFired() {
        timer = nil
        timerFiresAt = .max
        var expired: [Int] = []
        wheel.expire(now: http2.now, into: &expired)
        http2.beginBatch()
        for slot in expired {
            let stream = StreamHandle(slot: UInt32(slot), generation: calls[slot].generation)
            calls[slot].deadline = nil
            cancel(stream, .deadlineExceeded)
        }
        http2.endBatch()
        if let wake = wheel.nextWake() { startTimer(wake) }
    }
}

// Owns: one nghttp2 session, server or client, without sockets: bytes in, events; actions in, bytes out.
// Must never: call `receive` or `produce` from one of nghttp2's callbacks, or know of SwiftNIO.
// Invariants: events are drained after each `receive` and each `produce`, before the next; what `receive` was given stays
//             valid until then. Every `receive` is followed by a `produce`.
internal import Bytes
internal import CNghttp2

package enum HTTP2SessionError: Error, Equatable {
    /// nghttp2 can't go on, and has nothing to say to the peer: `code` is its own (negative) error code.
    case fatal(code: Int32)
}

/// Up to 8 bytes that go before a byte string without a buffer of their own.
package struct InlineBytes: Sendable {
    /// The bytes in memory order, as a native integer.
    var bits: UInt64 = 0
    package private(set) var count = 0

    package init() {}

    @inline(__always)
    package mutating func append(_ byte: UInt8) {
        invariant(count < 8, "inline bytes hold 8")
        bits |= UInt64(byte) << UInt64(count * 8)
        count += 1
    }

    /// One byte, then `value` in network order: what a length-prefixed message starts with.
    @inline(__always)
    package init(_ byte: UInt8, bigEndian value: UInt32) {
        bits = UInt64(byte) | UInt64(value.byteSwapped) << 8
        count = 5
    }
}

final class HTTP2Session {
    let state: UnsafeMutablePointer<SessionState>
    private let table: StreamTable
    private let memory: SessionMemory

    /// Bytes that one stream sends before the others get their turn.
    static let quantum = 256 << 10
    /// `produce` stops when less than this is left: a whole frame of the default size fits.
    static let frameReserve = 16_384 + frameHeaderSize
    /// RFC 9113 section 4.1.
    static let frameHeaderSize = 9
    /// Events that a drained session keeps room for.
    private static let keptEventLimit = 1_024

    init(isServer: Bool, table: StreamTable, memory: SessionMemory, limits: HTTP2Limits) {
        self.table = table
        self.memory = memory
        state = .allocate(capacity: 1)
        state.initialize(
            to: SessionState(
                isServer: isServer, table: Unmanaged.passUnretained(table), headerListSizeLimit: limits.headerListSizeLimit,
                outputLowWaterMark: limits.outputLowWaterMark,
                connectionKeptLowWaterMark: limits.connectionKeptLowWaterMark,
                expectedAnswerBytes: limits.expectedAnswerBytes, expectedAnswerMinBytes: limits.expectedAnswerMinBytes))
        var options: OpaquePointer?
        invariant(nghttp2_option_new(&options) == 0, "out of memory")
        defer { nghttp2_option_del(options) }
        // Window is given back when its bytes are used, not when they arrive.
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_no_closed_streams(options, 1)
        // `RequestCheck` looks instead: nghttp2 can be told to take any `:authority` only together with all other faults.
        if isServer { nghttp2_option_set_no_http_messaging(options, 1) }
        nghttp2_option_set_max_outbound_ack(options, limits.outboundAcknowledgementsLimit)
        nghttp2_option_set_max_continuations(options, limits.continuationsLimit)
        // Only what one read can bring past our own look at it: nghttp2 would say INTERNAL_ERROR, and nobody would count it.
        nghttp2_option_set_stream_reset_rate_limit(
            options, UInt64(limits.resetBurstLimit) * 4, UInt64(limits.resetsPerSecondLimit) * 4)
        let callbacks = SessionCallbacks.shared.pointer
        let status =
            isServer
            ? nghttp2_session_server_new3(&state.pointee.session, callbacks, state, options, memory.functions)
            : nghttp2_session_client_new3(&state.pointee.session, callbacks, state, options, memory.functions)
        invariant(status == 0, "nghttp2 makes no session: \(status)")
        submitSettings(limits)
    }

    deinit {
        nghttp2_session_del(state.pointee.session)
        state.pointee.fields.deallocate()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    private func submitSettings(_ limits: HTTP2Limits) {
        let isServer = state.pointee.isServer
        var entries = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: limits.concurrentStreamsLimit),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(limits.streamWindowSize)),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
                value: UInt32(limits.headerListSizeLimit)),
        ]
        if isServer {
            // RFC 9218: spares both sides the dependency tree, which every stream would have to be put into.
            entries.append(
                nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1))
        } else {
            entries[0] = nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0)
        }
        var status = nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), &entries, entries.count)
        invariant(status == 0, "nghttp2 refuses our settings: \(status)")
        status = nghttp2_session_set_local_window_size(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, limits.connectionWindowSize)
        invariant(status == 0, "nghttp2 refuses our window: \(status)")
    }

    @inline(__always)
    var session: OpaquePointer? { state.pointee.session }

    // MARK: In

    /// Parses what came from the peer and returns how many bytes it took. Drain the events before `bytes` goes away, then
    /// call again with the rest, if any.
    func receive(_ bytes: UnsafeRawBufferPointer) throws(HTTP2SessionError) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let taken = nghttp2_session_mem_recv(session, base.assumingMemoryBound(to: UInt8.self), bytes.count)
        if taken < 0 { throw .fatal(code: Int32(taken)) }
        return taken
    }

    /// Calls `body` with each event in order, then gives back the slots of closed streams.
    @inline(__always)
    func drain(_ body: (borrowing SessionEvent) -> Void) {
        guard !state.pointee.events.isEmpty else { return }
        var index = 0
        while index < state.pointee.events.count {
            let event = state.pointee.events[index]
            index += 1
            body(event)
            if event.kind == .closed, let stream = event.stream { table.release(stream) }
        }
        state.pointee.events.removeAll(keepingCapacity: state.pointee.events.capacity <= HTTP2Session.keptEventLimit)
        if state.pointee.isInHeaderBlock {
            state.pointee.fields.discard(before: state.pointee.headerStart)
            state.pointee.headerStart = 0
        } else {
            state.pointee.fields.discard(before: state.pointee.fields.count)
        }
    }

    /// The fields of a `headers` event, valid until the next `receive`.
    func fields(of event: borrowing SessionEvent) -> HeaderFields {
        state.pointee.fields.fields(from: event.start, to: event.start + event.count)
    }

    // MARK: Out

    /// Fills `buffer` with what is to be sent and returns how many bytes that are. It stops when nothing is left or less
    /// than a frame fits; `wantsWrite` tells which. `buffer` must hold more than `frameReserve`.
    func produce(into buffer: UnsafeMutableRawBufferPointer) throws(HTTP2SessionError) -> Int {
        state.pointee.output = OutputCursor(buffer)
        defer { state.pointee.output = OutputCursor() }
        while state.pointee.output.room >= HTTP2Session.frameReserve {
            var frame: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(session, &frame)
            if count < 0 { throw .fatal(code: Int32(count)) }
            if count > 0 {
                state.pointee.output.append(frame!, count: count)
            } else if !beginRound() {
                break
            }
        }
        return state.pointee.output.count
    }

    /// Lets those go on that had used up their quantum. False where there are none or the buffer is full.
    private func beginRound() -> Bool {
        guard !state.pointee.waitingForRound.isEmpty,
            state.pointee.output.room >= HTTP2Session.frameReserve
        else { return false }
        for stream in state.pointee.waitingForRound {
            // A stream may have ended since, and its slot may serve another session now.
            guard stream.pointee.session == state, stream.pointee.flags.contains(.waitsForRound) else { continue }
            stream.pointee.flags.remove([.waitsForRound, .deferred])
            stream.pointee.quantum = HTTP2Session.quantum
            _ = nghttp2_session_resume_data(session, stream.pointee.streamID)
        }
        state.pointee.waitingForRound.removeAll(keepingCapacity: true)
        return true
    }

    var wantsRead: Bool { nghttp2_session_want_read(session) != 0 }
    @inline(__always)
    var wantsWrite: Bool { nghttp2_session_want_write(session) != 0 || !state.pointee.waitingForRound.isEmpty }
    /// Frames that wait to be sent, DATA not counted.
    var outboundFrames: Int { nghttp2_session_get_outbound_queue_size(session) }

    // MARK: Streams

    /// Sends a response's header block; with `endStream` it is the whole response.
    func submitResponse(_ stream: StreamPointer, _ block: HeaderBlock, endStream: Bool) {
        guard stream.pointee.flags.isDisjoint(with: [.closed, .headersSubmitted]) else { return }
        stream.pointee.flags.insert(.headersSubmitted)
        if endStream {
            stream.pointee.flags.insert(.outputEnded)
            if stream.pointee.flags.contains(.expectsAnswer) { answered(stream, nil) }
            _ = nghttp2_submit_response(session, stream.pointee.streamID, block.fields.baseAddress, block.fields.count, nil)
        } else {
            var provider = SessionCallbacks.dataProvider(stream)
            stream.pointee.quantum = HTTP2Session.quantum
            _ = nghttp2_submit_response(
                session, stream.pointee.streamID, block.fields.baseAddress, block.fields.count, &provider)
        }
    }

    /// Opens a stream (client). Nil where no stream identifiers are left or the session is ending.
    func submitRequest(_ block: HeaderBlock) -> StreamPointer? {
        let stream = table.open(streamID: 0, session: state)
        var provider = SessionCallbacks.dataProvider(stream)
        let streamID = nghttp2_submit_request(
            session, nil, block.fields.baseAddress, block.fields.count, &provider, UnsafeMutableRawPointer(stream))
        guard streamID > 0 else {
            table.release(stream)
            return nil
        }
        stream.pointee.streamID = streamID
        stream.pointee.flags.insert(.headersSubmitted)
        stream.pointee.quantum = HTTP2Session.quantum
        return stream
    }

    /// Queues data after what is queued. The byte string is shared until it is sent.
    @inline(__always)
    func enqueue(_ stream: StreamPointer, head: InlineBytes, body: ByteString) {
        guard stream.pointee.flags.isDisjoint(with: [.closed, .outputEnded]) else { return }
        if stream.pointee.flags.contains(.expectsAnswer) { answered(stream, body.count) }
        stream.pointee.enqueue(OutputChunk(head: head.bits, headCount: head.count, body: body))
        resume(stream)
    }

    /// An answer of unknown size will come on this stream.
    @inline(__always)
    func expectAnswer(_ stream: StreamPointer) {
        guard stream.pointee.flags.isDisjoint(with: [.closed, .outputEnded, .expectsAnswer]) else { return }
        stream.pointee.flags.insert(.expectsAnswer)
        state.pointee.expectedAnswers += 1
    }

    private func answered(_ stream: StreamPointer, _ count: Int?) {
        stream.pointee.flags.remove(.expectsAnswer)
        state.pointee.answered(count)
    }

    /// Ends our side after what is queued, with trailers where there are any.
    @inline(__always)
    func end(_ stream: StreamPointer, trailers: HeaderBlock?) {
        guard stream.pointee.flags.isDisjoint(with: [.closed, .outputEnded]) else { return }
        stream.pointee.flags.insert(.outputEnded)
        stream.pointee.trailers = trailers
        resume(stream)
    }

    @inline(__always)
    private func resume(_ stream: StreamPointer) {
        guard stream.pointee.flags.contains(.deferred), !stream.pointee.flags.contains(.waitsForRound) else { return }
        stream.pointee.flags.remove(.deferred)
        _ = nghttp2_session_resume_data(session, stream.pointee.streamID)
    }

    func reset(_ stream: StreamPointer, _ code: HTTP2ErrorCode) {
        guard !stream.pointee.flags.contains(.closed) else { return }
        stream.pointee.flags.insert(.outputEnded)
        stream.pointee.dropOutput(keepingCapacity: true)
        _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.pointee.streamID, code.rawValue)
    }

    /// Gives `count` bytes of the connection's window back to the peer.
    @inline(__always)
    func consumeConnection(_ count: Int) {
        _ = nghttp2_session_consume_connection(session, count)
    }

    /// Gives `count` bytes of the stream's window back to the peer.
    @inline(__always)
    func consumeStream(_ stream: StreamPointer, _ count: Int) {
        guard stream.pointee.flags.isDisjoint(with: [.closed, .inputEnded]) else { return }
        _ = nghttp2_session_consume_stream(session, stream.pointee.streamID, count)
    }

    // MARK: Connection

    func submitPing(_ opaque: UInt64) {
        withUnsafeBytes(of: opaque.bigEndian) {
            _ = nghttp2_submit_ping(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), $0.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// GOAWAY with the highest stream identifier: a warning, after which streams are still accepted (RFC 9113 section 6.8).
    func submitShutdownNotice() {
        _ = nghttp2_submit_shutdown_notice(session)
    }

    /// GOAWAY with the last stream that we took: later ones are ignored, these finish.
    func submitGoAway() {
        _ = nghttp2_submit_goaway(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nghttp2_session_get_last_proc_stream_id(session),
            HTTP2ErrorCode.noError.rawValue, nil, 0)
    }

    /// GOAWAY with an error and words for whoever debugs the peer. The caller closes the connection once it is sent.
    func submitGoAway(_ code: HTTP2ErrorCode, debug: String) {
        let text = Array(debug.utf8)
        let last = nghttp2_session_get_last_proc_stream_id(session)
        _ = nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code.rawValue, text, text.count)
    }
}

// Owns: the functions that nghttp2 calls, and the table of them.
// Must never: call nghttp2's receive or send functions, or anything outside this target: they only note what happened.
internal import Bytes
internal import CNghttp2

struct SessionCallbacks {
    // Safe to share: filled before anybody sees it, and nghttp2 only copies from it.
    nonisolated(unsafe) let pointer: OpaquePointer?

    static let shared = SessionCallbacks()

    private init() {
        var callbacks: OpaquePointer?
        invariant(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory")
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, headersBegan)
        nghttp2_session_callbacks_set_on_header_callback(callbacks, fieldReceived)
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frameReceived)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, dataReceived)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, streamClosed)
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalidFrameReceived)
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frameSent)
        nghttp2_session_callbacks_set_send_data_callback(callbacks, sendData)
        pointer = callbacks
    }

    @inline(__always)
    static func dataProvider(_ stream: StreamPointer) -> nghttp2_data_provider {
        nghttp2_data_provider(source: nghttp2_data_source(ptr: UnsafeMutableRawPointer(stream)), read_callback: readData)
    }
}

private typealias Frame = UnsafePointer<nghttp2_frame>

@inline(__always)
private func sessionState(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<SessionState> {
    pointer!.assumingMemoryBound(to: SessionState.self)
}

/// Every frame starts with this, whichever member of the union it is.
@inline(__always)
private func header(_ frame: Frame?) -> nghttp2_frame_hd {
    UnsafeRawPointer(frame!).assumingMemoryBound(to: nghttp2_frame_hd.self).pointee
}

@inline(__always)
private func userData(_ session: OpaquePointer?, _ streamID: Int32) -> StreamPointer? {
    nghttp2_session_get_stream_user_data(session, streamID)?.assumingMemoryBound(to: StreamState.self)
}

private func headersBegan(_ session: OpaquePointer?, _ frame: Frame?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    let state = sessionState(context)
    let frameHeader = header(frame)
    state.pointee.isInHeaderBlock = true
    state.pointee.headerStart = state.pointee.fields.count
    state.pointee.headerListSize = 0
    let isRequest = frame!.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
    if state.pointee.isServer { state.pointee.requestCheck.begin(isTrailers: !isRequest) }
    if isRequest {
        let stream = state.pointee.table._withUnsafeGuaranteedRef { $0.open(streamID: frameHeader.stream_id, session: state) }
        _ = nghttp2_session_set_stream_user_data(session, frameHeader.stream_id, UnsafeMutableRawPointer(stream))
        state.pointee.headerStream = stream
    } else {
        state.pointee.headerStream = userData(session, frameHeader.stream_id)
    }
    return 0
}

private func fieldReceived(
    _ session: OpaquePointer?, _ frame: Frame?, _ name: UnsafePointer<UInt8>?, _ nameCount: Int,
    _ value: UnsafePointer<UInt8>?, _ valueCount: Int, _ flags: UInt8, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    let state = sessionState(context)
    state.pointee.headerListSize += nameCount + valueCount + 32
    if state.pointee.headerListSize > state.pointee.headerListSizeLimit {
        state.pointee.headerStream?.pointee.flags.insert(.headersTruncated)
        // A list this far over the limit is no mistake but a decompression bomb.
        if state.pointee.headerListSize > 16 * state.pointee.headerListSizeLimit {
            state.pointee.resets += 1
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        return 0
    }
    if state.pointee.isServer {
        state.pointee.requestCheck.take(
            UnsafeRawBufferPointer(start: name, count: nameCount), UnsafeRawBufferPointer(start: value, count: valueCount))
    }
    state.pointee.fields.append(name: name!, nameCount, value: value!, valueCount)
    // Small blocks that decompress to large ones must not pile up over a whole read.
    return state.pointee.fields.count > FieldArena.pauseLimit ? NGHTTP2_ERR_PAUSE.rawValue : 0
}

private func frameReceived(_ session: OpaquePointer?, _ frame: Frame?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    let state = sessionState(context)
    let frameHeader = header(frame)
    state.pointee.framesReceived &+= 1
    let endStream = frameHeader.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch nghttp2_frame_type(UInt32(frameHeader.type)) {
    case NGHTTP2_DATA:
        if endStream {
            noteInputEnded(state, userData(session, frameHeader.stream_id))
        } else if frameHeader.length == 0 || frameHeader.length == frame!.pointee.data.padlen {
            state.pointee.idleFrames += 1
        }
    case NGHTTP2_HEADERS:
        state.pointee.isInHeaderBlock = false
        guard let stream = state.pointee.headerStream else { break }
        state.pointee.headerStream = nil
        let category = frame!.pointee.headers.cat
        if state.pointee.isServer, !isWellFormed(state, stream) || (category != NGHTTP2_HCAT_REQUEST && !endStream) {
            state.pointee.fields.discard(after: state.pointee.headerStart)
            resetMalformed(state, stream)
            break
        }
        if category == NGHTTP2_HCAT_REQUEST || category == NGHTTP2_HCAT_RESPONSE || !state.pointee.isServer {
            if state.pointee.isServer {
                stream.pointee.contentLeft = state.pointee.requestCheck.contentLength
                if endStream && stream.pointee.contentLeft > 0 {
                    state.pointee.fields.discard(after: state.pointee.headerStart)
                    resetMalformed(state, stream)
                    break
                }
            }
            if endStream { stream.pointee.flags.insert(.inputEnded) }
            let start = state.pointee.headerStart
            state.pointee.events.append(
                SessionEvent(
                    kind: .headers, endStream: endStream, stream: stream, start: start,
                    count: state.pointee.fields.count - start))
        } else {
            // A server has no use for trailers. They end the stream.
            state.pointee.fields.discard(after: state.pointee.headerStart)
            noteInputEnded(state, stream)
        }
    case NGHTTP2_PING:
        state.pointee.idleFrames += 1
        if frameHeader.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
            let opaque = withUnsafeBytes(of: frame!.pointee.ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
            state.pointee.events.append(
                SessionEvent(kind: .pingAcknowledged, count: Int(truncatingIfNeeded: opaque.bigEndian)))
        } else {
            state.pointee.events.append(SessionEvent(kind: .pingReceived))
        }
    case NGHTTP2_GOAWAY:
        state.pointee.events.append(SessionEvent(kind: .goAwayReceived, count: Int(frame!.pointee.goaway.error_code)))
    case NGHTTP2_SETTINGS, NGHTTP2_WINDOW_UPDATE, NGHTTP2_PRIORITY_UPDATE:
        state.pointee.idleFrames += 1
    case NGHTTP2_RST_STREAM:
        state.pointee.resets += 1
    default:
        break
    }
    return 0
}

@inline(__always)
private func noteInputEnded(_ state: UnsafeMutablePointer<SessionState>, _ stream: StreamPointer?) {
    guard let stream, !stream.pointee.flags.contains(.inputEnded) else { return }
    // Less came than `content-length` has told.
    if stream.pointee.contentLeft > 0 { return resetMalformed(state, stream) }
    stream.pointee.flags.insert(.inputEnded)
    let last = state.pointee.events.count - 1
    if last >= 0, state.pointee.events[last].kind == .data, state.pointee.events[last].stream == stream {
        state.pointee.events[last].endStream = true
    } else {
        state.pointee.events.append(SessionEvent(kind: .inputEnded, stream: stream))
    }
}

/// What was so large that not all of it was taken in is answered by its size, whatever was in it.
private func isWellFormed(_ state: UnsafeMutablePointer<SessionState>, _ stream: StreamPointer) -> Bool {
    if stream.pointee.flags.contains(.headersTruncated) { return !state.pointee.requestCheck.isMalformed }
    return state.pointee.requestCheck.isWellFormed
}

/// The peer's mistake ends its stream (RFC 9113 section 8.1.1), and nothing more of it is heard but that.
private func resetMalformed(_ state: UnsafeMutablePointer<SessionState>, _ stream: StreamPointer) {
    stream.pointee.flags.insert(.inputEnded)
    nghttp2_submit_rst_stream(state.pointee.session, 0, stream.pointee.streamID, NGHTTP2_PROTOCOL_ERROR.rawValue)
}

private func dataReceived(
    _ session: OpaquePointer?, _ flags: UInt8, _ streamID: Int32, _ bytes: UnsafePointer<UInt8>?, _ count: Int,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    let state = sessionState(context)
    guard let stream = userData(session, streamID), !stream.pointee.flags.contains(.inputEnded) else {
        // Nobody will use these bytes, so their share of the connection's window goes back here.
        _ = nghttp2_session_consume_connection(session, count)
        return 0
    }
    if stream.pointee.contentLeft >= 0 {
        guard count <= stream.pointee.contentLeft else {
            resetMalformed(state, stream)
            _ = nghttp2_session_consume_connection(session, count)
            return 0
        }
        stream.pointee.contentLeft -= count
    }
    // nghttp2 hands out pointers into what `mem_recv` was given, which outlives the events.
    state.pointee.events.append(
        SessionEvent(kind: .data, stream: stream, bytes: UnsafeRawPointer(bytes), count: count))
    return 0
}

private func streamClosed(
    _ session: OpaquePointer?, _ streamID: Int32, _ code: UInt32, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    let state = sessionState(context)
    if let stream = userData(session, streamID) {
        stream.pointee.flags.insert(.closed)
        if stream == state.pointee.headerStream { state.pointee.headerStream = nil }
        stream.pointee.flags.remove(.waitsForRound)
        state.pointee.events.append(SessionEvent(kind: .closed, stream: stream, count: Int(code)))
    }
    return 0
}

private func invalidFrameReceived(
    _ session: OpaquePointer?, _ frame: Frame?, _ error: Int32, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    let state = sessionState(context)
    if header(frame).type == UInt8(NGHTTP2_HEADERS.rawValue) { state.pointee.isInHeaderBlock = false }
    return 0
}

private func frameSent(_ session: OpaquePointer?, _ frame: Frame?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    let frameHeader = header(frame)
    let state = sessionState(context)
    guard frameHeader.type <= UInt8(NGHTTP2_HEADERS.rawValue) else {
        // Resetting streams for the peer's mistakes is work done for nothing, as after the peer's own RST_STREAM. When we
        // do it for reasons of our own, it is without an error.
        if frameHeader.type == UInt8(NGHTTP2_RST_STREAM.rawValue), frame!.pointee.rst_stream.error_code != 0 {
            state.pointee.resets += 1
        }
        return 0
    }
    state.pointee.contentFramesSent &+= 1
    if frameHeader.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0, state.pointee.isServer,
        let stream = userData(session, frameHeader.stream_id), !stream.pointee.flags.contains(.inputEnded)
    {
        state.pointee.events.append(SessionEvent(kind: .outputEnded, stream: stream))
    }
    return 0
}

/// Tells nghttp2 how much of the stream's queue goes into the next DATA frame; `sendData` then writes it.
private func readData(
    _ session: OpaquePointer?, _ streamID: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ length: Int,
    _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
    _ context: UnsafeMutableRawPointer?
) -> Int {
    let state = sessionState(context)
    let stream = source!.pointee.ptr.assumingMemoryBound(to: StreamState.self)
    let queued = stream.pointee.queuedBytes
    let isEnding = stream.pointee.flags.contains(.outputEnded)
    if queued == 0 && !isEnding {
        stream.pointee.flags.insert(.deferred)
        stream.pointee.quantum = HTTP2Session.quantum
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    if stream.pointee.quantum <= 0 && queued > 0 {
        stream.pointee.flags.insert([.deferred, .waitsForRound])
        state.pointee.waitingForRound.append(stream)
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    let room = state.pointee.output.room - HTTP2Session.frameHeaderSize
    let count = min(length, queued)
    if room < count { return Int(NGHTTP2_ERR_PAUSE.rawValue) }
    stream.pointee.quantum -= count
    var result = NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    if count == queued && isEnding {
        result |= NGHTTP2_DATA_FLAG_EOF.rawValue
        if let trailers = stream.pointee.trailers {
            result |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            _ = nghttp2_submit_trailer(session, streamID, trailers.fields.baseAddress, trailers.fields.count)
        }
    }
    flags!.pointee |= result
    return count
}

/// Writes one DATA frame straight from the stream's queue into the output.
private func sendData(
    _ session: OpaquePointer?, _ frame: UnsafeMutablePointer<nghttp2_frame>?, _ frameHeader: UnsafePointer<UInt8>?,
    _ length: Int, _ source: UnsafeMutablePointer<nghttp2_data_source>?, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    let state = sessionState(context)
    let stream = source!.pointee.ptr.assumingMemoryBound(to: StreamState.self)
    // A copy, since `dequeue` changes the session's state as well.
    var output = state.pointee.output
    output.append(frameHeader!, count: HTTP2Session.frameHeaderSize)
    stream.pointee.dequeue(length, to: &output)
    state.pointee.output = output
    if stream.pointee.flags.contains(.wantsWritable), stream.pointee.queuedBytes <= state.pointee.outputLowWaterMark {
        stream.pointee.flags.remove(.wantsWritable)
        state.pointee.events.append(SessionEvent(kind: .writable, stream: stream))
    }
    // nghttp2 would go on with the next frame before it returns, and that one, if it isn't DATA, comes back from `mem_send` whatever its
    // size: `produce` has to look first whether it fits.
    return output.room < HTTP2Session.frameReserve ? NGHTTP2_ERR_PAUSE.rawValue : 0
}

// Owns: one h2c connection to an etcd or a Pine: its socket, its nghttp2 session, and the thread that moves bytes between
// the two.
// Must never: touch the session without the lock, or block while it holds it.
// Invariant: once `failure` is set every call has ended, and no other begins.
internal import Bytes
internal import CNghttp2
internal import EtcdAPI
internal import Foundation
internal import Glibc

/// Any thread may call; only the connection's own thread reads and writes the socket.
final class EtcdConnection: @unchecked Sendable {
    // Sendable because everything that changes is guarded by `lock`, which also tells waiting callers of changes.
    private let lock = NSCondition()
    private var session: OpaquePointer?
    private var calls: [Int32: EtcdCall] = [:]
    private var failure: EtcdClientError?
    private var isClosing = false
    private let socket: Int32
    private let authority: String
    private let wakeUp: (read: Int32, write: Int32)

    private let windowSize: Int32

    /// Connects to `port` of `host`, an IPv4 address. `windowSize`: what the server may send on a stream that nobody reads, in
    /// bytes.
    init(host: String, port: Int, windowSize: Int32) throws(EtcdClientError) {
        self.windowSize = windowSize
        authority = "\(host):\(port)"
        socket = try Self.connect(host, port)
        var pipe: [Int32] = [-1, -1]
        guard Glibc.pipe(&pipe) == 0 else {
            let reason = lastError()
            Glibc.close(socket)
            throw .connectionLost("pipe: \(reason)")
        }
        for end in pipe {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        wakeUp = (pipe[0], pipe[1])
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_option_new(&options)
        nghttp2_session_callbacks_set_on_header_callback(callbacks, fieldReceived)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, dataReceived)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, streamClosed)
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_session_client_new2(&session, callbacks, Unmanaged.passUnretained(self).toOpaque(), options)
        nghttp2_session_callbacks_del(callbacks)
        nghttp2_option_del(options)
        var settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(windowSize)),
        ]
        nghttp2_submit_settings(session, 0, &settings, settings.count)
        nghttp2_session_set_local_window_size(session, 0, 0, 8 * windowSize)
        let thread = Thread { [self] in run() }
        thread.name = "etcd-client"
        thread.start()
    }

    /// Ends the connection without a word, and every call with it.
    func close() {
        lock.withLock {
            isClosing = true
            wake()
        }
    }

    /// Why the connection is gone; nil while it is there.
    var lost: EtcdClientError? { lock.withLock { failure } }

    // MARK: Calls

    func open(_ path: String, metadata: [(String, String)] = []) throws(EtcdClientError) -> EtcdCall {
        lock.lock()
        defer { lock.unlock() }
        if let failure { throw failure }
        var provider = nghttp2_data_provider(source: nghttp2_data_source(), read_callback: readData)
        let id = withFields(
            [
                (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority),
                ("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "pine-tests"),
            ] + metadata
        ) { nghttp2_submit_request(session, nil, $0.baseAddress, $0.count, &provider, nil) }
        guard id > 0 else { throw .connectionLost("the server is ending the connection") }
        let call = EtcdCall(streamID: id, queuedByteLimit: Int(windowSize / 8))
        calls[id] = call
        return call
    }

    func send(_ message: ByteString, on call: EtcdCall) {
        lock.withLock {
            call.send(message)
            resume(call)
            wake()
        }
    }

    func endSending(_ call: EtcdCall) {
        lock.withLock {
            call.outputEnded = true
            resume(call)
            wake()
        }
    }

    /// The call's next message; nil where it ended well. After `deadlinePassed` the call still goes on.
    func receive(_ call: EtcdCall, until deadline: Date) throws(EtcdClientError) -> ByteString? {
        lock.lock()
        defer { lock.unlock() }
        while true {
            if let (message, window) = call.takeMessage() {
                giveBack(window, call)
                if window > 0 { wake() }
                return message
            }
            switch call.end {
            case .finished: return nil
            case .failed(let error): throw error
            case nil: break
            }
            guard lock.wait(until: deadline) else {
                if case nil = call.end { throw .deadlinePassed }
                continue
            }
        }
    }

    func cancel(_ call: EtcdCall) {
        lock.withLock {
            guard calls[call.streamID] != nil else { return }
            nghttp2_submit_rst_stream(session, 0, call.streamID, NGHTTP2_CANCEL.rawValue)
            call.close(.status(EtcdError(code: .canceled, text: "canceled by the client")))
            lock.broadcast()
            wake()
        }
    }

    private func resume(_ call: EtcdCall) {
        guard calls[call.streamID] != nil else { return }
        nghttp2_session_resume_data(session, call.streamID)
    }

    private func giveBack(_ window: Int, _ call: EtcdCall) {
        guard window > 0, calls[call.streamID] != nil else { return }
        nghttp2_session_consume_stream(session, call.streamID, window)
    }

    // MARK: What nghttp2 says, under the lock

    fileprivate func field(_ id: Int32, _ name: String, _ value: [UInt8]) {
        calls[id]?.fieldReceived(name, value)
    }

    fileprivate func data(_ id: Int32, _ bytes: UnsafeBufferPointer<UInt8>) {
        nghttp2_session_consume_connection(session, bytes.count)
        guard let call = calls[id] else { return }
        giveBack(call.received(bytes), call)
    }

    fileprivate func closed(_ id: Int32, _ code: UInt32) {
        calls.removeValue(forKey: id)?.streamClosed(code)
    }

    fileprivate func read(_ id: Int32, into buffer: UnsafeMutableBufferPointer<UInt8>, _ isLast: inout Bool) -> Int {
        guard let call = calls[id] else {
            isLast = true
            return 0
        }
        let count = min(buffer.count, call.output.count - call.outputSent)
        for index in 0..<count { buffer[index] = call.output[call.outputSent + index] }
        call.outputSent += count
        isLast = call.outputEnded && call.outputSent == call.output.count
        return count
    }

    // MARK: The thread

    private func run() {
        var unsent: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var reason: String?
        while reason == nil {
            reason = produce(&unsent)
            if reason == nil { reason = write(&unsent) }
            guard reason == nil else { break }
            var descriptors = [
                pollfd(fd: socket, events: Int16(POLLIN | (unsent.isEmpty ? 0 : POLLOUT)), revents: 0),
                pollfd(fd: wakeUp.read, events: Int16(POLLIN), revents: 0),
            ]
            poll(&descriptors, 2, -1)
            if descriptors[1].revents != 0 { while Glibc.read(wakeUp.read, &buffer, buffer.count) > 0 {} }
            if descriptors[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { reason = readSocket(&buffer) }
        }
        fail(reason!)
        Glibc.close(socket)
        Glibc.close(wakeUp.read)
        lock.withLock {
            nghttp2_session_del(session)
            session = nil
            Glibc.close(wakeUp.write)
        }
    }

    /// Takes what the session has to send. Not nil where the connection must end.
    private func produce(_ unsent: inout [UInt8]) -> String? {
        lock.withLock {
            if isClosing { return "closed by the client" }
            while unsent.count < 1 << 20 {
                var bytes: UnsafePointer<UInt8>?
                let count = nghttp2_session_mem_send(session, &bytes)
                if count < 0 { return String(cString: nghttp2_strerror(Int32(count))) }
                if count == 0 { break }
                unsent.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
            }
            let isOver = nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0 && unsent.isEmpty
            return isOver ? "the server ended the connection" : nil
        }
    }

    private func write(_ unsent: inout [UInt8]) -> String? {
        while !unsent.isEmpty {
            let count = Glibc.send(socket, unsent, unsent.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            if count > 0 {
                unsent.removeFirst(count)
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                return lastError()
            }
        }
        return nil
    }

    private func readSocket(_ buffer: inout [UInt8]) -> String? {
        let count = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count == 0 { return "the server closed the connection" }
        if count < 0 { return errno == EAGAIN || errno == EINTR ? nil : lastError() }
        return lock.withLock {
            let taken = nghttp2_session_mem_recv(session, buffer, count)
            lock.broadcast()
            return taken < 0 ? String(cString: nghttp2_strerror(Int32(taken))) : nil
        }
    }

    private func fail(_ reason: String) {
        lock.withLock {
            failure = .connectionLost(reason)
            for call in calls.values { call.close(.connectionLost(reason)) }
            calls = [:]
            lock.broadcast()
        }
    }

    /// Has the thread look for something to send. Under the lock.
    private func wake() {
        // The session goes with the pipe: its number may be another file's then.
        guard session != nil else { return }
        var byte: UInt8 = 0
        // A full pipe wakes the thread, too.
        _ = Glibc.write(wakeUp.write, &byte, 1)
    }

    private static func connect(_ host: String, _ port: Int) throws(EtcdClientError) -> Int32 {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .connectionLost("socket: \(lastError())") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, host, &address.sin_addr)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            let reason = lastError()
            Glibc.close(descriptor)
            throw .connectionLost("connect: \(reason)")
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        return descriptor
    }
}

private func lastError() -> String { String(cString: strerror(errno)) }

/// Calls `body` with header fields that are valid inside it.
private func withFields<R>(_ fields: [(String, String)], _ body: (UnsafeMutableBufferPointer<nghttp2_nv>) -> R) -> R {
    var copies: [UnsafeMutablePointer<CChar>] = []
    defer { for copy in copies { free(copy) } }
    func copy(_ text: String) -> UnsafeMutablePointer<UInt8> {
        let copy = strdup(text)!
        copies.append(copy)
        return UnsafeMutableRawPointer(copy).assumingMemoryBound(to: UInt8.self)
    }
    var entries = fields.map { name, value in
        nghttp2_nv(
            name: copy(name), value: copy(value), namelen: name.utf8.count, valuelen: value.utf8.count,
            flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
    }
    return entries.withUnsafeMutableBufferPointer { body($0) }
}

// MARK: nghttp2's callbacks

private func connection(_ context: UnsafeMutableRawPointer?) -> EtcdConnection {
    Unmanaged<EtcdConnection>.fromOpaque(context!).takeUnretainedValue()
}

private func fieldReceived(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ name: UnsafePointer<UInt8>?, _ nameCount: Int,
    _ value: UnsafePointer<UInt8>?, _ valueCount: Int, _ flags: UInt8, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    connection(context).field(
        frame!.pointee.hd.stream_id, String(decoding: UnsafeBufferPointer(start: name, count: nameCount), as: UTF8.self),
        Array(UnsafeBufferPointer(start: value, count: valueCount)))
    return 0
}

private func dataReceived(
    _ session: OpaquePointer?, _ flags: UInt8, _ id: Int32, _ bytes: UnsafePointer<UInt8>?, _ count: Int,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    connection(context).data(id, UnsafeBufferPointer(start: bytes, count: count))
    return 0
}

private func streamClosed(
    _ session: OpaquePointer?, _ id: Int32, _ code: UInt32, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    connection(context).closed(id, code)
    return 0
}

private func readData(
    _ session: OpaquePointer?, _ id: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ capacity: Int,
    _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
    _ context: UnsafeMutableRawPointer?
) -> Int {
    var isLast = false
    let count = connection(context).read(id, into: UnsafeMutableBufferPointer(start: buffer, count: capacity), &isLast)
    if isLast {
        flags!.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    } else if count == 0 {
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    return count
}

// Owns: one blocking TCP connection that sends frames as told and takes note of what comes back.
// Must never: hide anything that the server sends: whatever is awaited fails after `timeoutSeconds`.
internal import CNghttp2
internal import Glibc

package struct RawClientError: Error, CustomStringConvertible {
    package var description: String
}

/// What came back on one stream.
package struct RawResponse: Sendable, Equatable {
    /// The first header block, and the second.
    package var headers: [String: String] = [:]
    package var trailers: [String: String] = [:]
    package var body: [UInt8] = []
    package var ended = false
    /// RST_STREAM's code.
    package var resetCode: UInt32?

    /// The field, wherever it stood.
    package subscript(name: String) -> String? { trailers[name] ?? headers[name] }
    package var isOver: Bool { ended || resetCode != nil }
}

package final class RawClient {
    package static let timeoutSeconds = 20

    private let socket: Int32
    /// What came and isn't taken yet: `unread[start...]`.
    private var unread: [UInt8] = []
    private var start = 0
    private var inflater: OpaquePointer?
    private var headerBlock: [UInt8] = []

    package private(set) var responses: [Int32: RawResponse] = [:]
    package private(set) var goAway: (lastStream: Int32, code: UInt32, debug: String)?
    package private(set) var goAwayCount = 0
    package private(set) var pingAcks = 0
    package private(set) var settings: [UInt16: UInt32] = [:]
    package private(set) var windowUpdates: [Int32: Int] = [:]
    package private(set) var isClosed = false
    /// Whether SETTINGS and PING are acknowledged and window is given back without being told.
    package var isWellBehaved = true

    /// Connects to a port of this machine, or to a unix socket.
    package init(port: Int = 0, unixPath: String? = nil, receiveBuffer: Int32? = nil) throws {
        socket = Glibc.socket(unixPath == nil ? AF_INET : AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        if var size = receiveBuffer {
            setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var timeout = timeval(tv_sec: RawClient.timeoutSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        nghttp2_hd_inflate_new(&inflater)
        let status = unixPath.map { connect(toPath: $0) } ?? connect(toPort: port)
        guard status == 0 else { throw RawClientError(description: "connect: errno \(errno)") }
    }

    private func connect(toPort port: Int) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private func connect(toPath path: String) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    deinit {
        if !isAborted { close(socket) }
        nghttp2_hd_inflate_del(inflater)
    }

    private var isAborted = false

    /// Vanishes with a TCP reset.
    package func abort() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(socket)
        isAborted = true
    }

    // MARK: Sending

    /// The preface and our settings.
    package func sendPreface(_ settings: [(UInt16, UInt32)] = []) throws {
        try send(bytes: RawFrame.magic + RawFrame.settings(settings).bytes)
    }

    package func send(_ frames: RawFrame...) throws { try send(bytes: frames.flatMap(\.bytes)) }

    /// Sends all of it, or throws when the server has closed.
    package func send(bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw RawClientError(description: "send: errno \(errno)") }
            sent += count
        }
    }

    /// Sends a unary call.
    package func call(_ stream: Int32, _ path: String, _ message: [UInt8], extra: [(String, String)] = []) throws {
        try send(
            .headers(stream, RawFrame.request(path, extra)), .data(stream, RawFrame.message(message), endStream: true))
    }

    // MARK: Receiving

    /// The next frame; nil when the server has closed.
    package func readFrame() throws -> RawFrame? {
        while true {
            if unread.count - start >= 9 {
                let length = Int(unread[start]) << 16 | Int(unread[start + 1]) << 8 | Int(unread[start + 2])
                if unread.count - start >= 9 + length {
                    let stream = unread[(start + 5)..<(start + 9)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                    let frame = RawFrame(
                        unread[start + 3], flags: unread[start + 4], stream: Int32(bitPattern: stream),
                        Array(unread[(start + 9)..<(start + 9 + length)]))
                    start += 9 + length
                    return frame
                }
            }
            if try !fill() { return nil }
        }
    }

    private func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(socket, &chunk, chunk.count, 0)
        if count > 0 {
            unread.removeFirst(start)
            start = 0
            unread += chunk[..<count]
            return true
        }
        if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) {
            throw RawClientError(description: "nothing came for \(RawClient.timeoutSeconds) s")
        }
        // A reset counts as closed, too.
        isClosed = true
        return false
    }

    /// Takes note of frames until `condition` holds or the server closes. Returns whether it holds.
    @discardableResult
    package func read(until condition: (RawClient) -> Bool) throws -> Bool {
        while !condition(self) {
            guard let frame = try readFrame() else { return condition(self) }
            try note(frame)
        }
        return true
    }

    /// The whole answer on `stream`.
    package func response(_ stream: Int32) throws -> RawResponse {
        guard try read(until: { $0.responses[stream]?.isOver == true }) else {
            throw RawClientError(description: "closed before stream \(stream) ended; GOAWAY: \(String(describing: goAway))")
        }
        return responses[stream]!
    }

    /// Reads until the server closes.
    package func readToEnd() throws { try read(until: { $0.isClosed }) }

    private func note(_ frame: RawFrame) throws {
        let endStream = frame.flags & RawFrame.Flag.endStream != 0
        switch frame.kind {
        case RawFrame.Kind.data:
            responses[frame.stream, default: RawResponse()].body += frame.payload
            if endStream { responses[frame.stream]!.ended = true }
            if isWellBehaved && !frame.payload.isEmpty {
                let count = UInt32(frame.payload.count)
                // The server may have closed by now.
                try? send(.windowUpdate(0, count))
                if !endStream { try? send(.windowUpdate(frame.stream, count)) }
            }
        case RawFrame.Kind.headers, RawFrame.Kind.continuation:
            headerBlock += frame.payload
            if endStream && frame.kind == RawFrame.Kind.headers {
                responses[frame.stream, default: RawResponse()].ended = true
            }
            if frame.flags & RawFrame.Flag.endHeaders != 0 {
                let fields = try inflate(headerBlock)
                headerBlock = []
                var response = responses[frame.stream] ?? RawResponse()
                if response.headers.isEmpty { response.headers = fields } else { response.trailers = fields }
                responses[frame.stream] = response
            }
        case RawFrame.Kind.rstStream:
            responses[frame.stream, default: RawResponse()].resetCode = frame.number(at: 0)
        case RawFrame.Kind.settings:
            if frame.flags & RawFrame.Flag.ack == 0 {
                for offset in stride(from: 0, to: frame.payload.count, by: 6) {
                    let name = UInt16(frame.payload[offset]) << 8 | UInt16(frame.payload[offset + 1])
                    settings[name] = frame.number(at: offset + 2)
                }
                if isWellBehaved { try? send(.settingsAck) }
            }
        case RawFrame.Kind.ping:
            if frame.flags & RawFrame.Flag.ack != 0 {
                pingAcks += 1
            } else if isWellBehaved {
                try? send(RawFrame(RawFrame.Kind.ping, flags: RawFrame.Flag.ack, frame.payload))
            }
        case RawFrame.Kind.goAway:
            goAway = (
                Int32(bitPattern: frame.number(at: 0)), frame.number(at: 4), String(decoding: frame.payload[8...], as: UTF8.self)
            )
            goAwayCount += 1
        case RawFrame.Kind.windowUpdate:
            windowUpdates[frame.stream, default: 0] += Int(frame.number(at: 0))
        default:
            break
        }
    }

    private func inflate(_ block: [UInt8]) throws -> [String: String] {
        var fields: [String: String] = [:]
        var offset = 0
        while true {
            var field = nghttp2_nv()
            var flags: Int32 = 0
            let count = block[offset...].withUnsafeBufferPointer {
                nghttp2_hd_inflate_hd2(inflater, &field, &flags, $0.baseAddress, $0.count, 1)
            }
            guard count >= 0 else { throw RawClientError(description: "HPACK: \(count)") }
            offset += count
            if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                let name = String(decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self)
                fields[name] = String(decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)
            }
            if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                nghttp2_hd_inflate_end_headers(inflater)
                return fields
            }
        }
    }
}

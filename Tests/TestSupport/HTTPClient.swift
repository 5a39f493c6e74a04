// Owns: one blocking TCP connection that speaks HTTP/1.1 as told, right or wrong.
// Must never: wait for ever: whatever is read fails after `timeoutSeconds`.
internal import Glibc

package struct HTTPAnswer: Sendable, Equatable {
    package var status: Int
    /// Names in small letters.
    package var fields: [String: String]
    package var body: String
}

package final class HTTPClient {
    package static let timeoutSeconds = 30
    private let socket: Int32
    private var unread: [UInt8] = []

    package init(port: Int) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: HTTPClient.timeoutSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            close(socket)
            throw TestSupportError("connect to port \(port): errno \(errno)")
        }
    }

    deinit { close(socket) }

    /// Goes away without a word.
    package func hangUp() { shutdown(socket, Int32(SHUT_RDWR)) }

    /// One request on a connection of its own.
    package static func get(_ path: String, port: Int, method: String = "GET", version: String = "1.1") throws -> HTTPAnswer {
        let client = try HTTPClient(port: port)
        try client.send("\(method) \(path) HTTP/\(version)\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return try client.answer(isHead: method == "HEAD")
    }

    /// Sends all of it, or throws when the server has closed.
    package func send(_ text: String) throws {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw TestSupportError("send: errno \(errno)") }
            sent += count
        }
    }

    /// The next answer. Throws where the server closes, or sends something else.
    package func answer(isHead: Bool = false) throws -> HTTPAnswer {
        var answer = try head()
        var body: [UInt8] = []
        if let length = answer.fields["content-length"].flatMap({ Int($0) }) {
            if !isHead { body = try take(length) }
        } else if answer.fields["transfer-encoding"] == "chunked" {
            while let chunk = try chunk() { body += chunk }
        } else {
            // Up to the end, as HTTP/1.0 has it.
            while try fill() {}
            swap(&body, &unread)
        }
        answer.body = String(decoding: body, as: UTF8.self)
        return answer
    }

    /// The next answer up to its body.
    package func head() throws -> HTTPAnswer {
        let head = try line { Array("\r\n\r\n".utf8).elementsEqual($0.suffix(4)) }
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let parts = lines[0].split(separator: " ")
        guard parts.count > 1, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1]) else {
            throw TestSupportError("not an answer: \(lines[0])")
        }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let sides = line.split(separator: ":", maxSplits: 1)
            guard sides.count == 2 else { throw TestSupportError("not a field: \(line)") }
            fields[sides[0].lowercased()] = String(sides[1].drop { $0 == " " })
        }
        return HTTPAnswer(status: status, fields: fields, body: "")
    }

    /// The next chunk of a body that comes in chunks; nil behind the last.
    package func chunk() throws -> [UInt8]? {
        let text = String(decoding: try line { $0.suffix(2).elementsEqual([13, 10]) }.dropLast(2), as: UTF8.self)
        guard let count = Int(text, radix: 16) else { throw TestSupportError("not a chunk: \(text)") }
        let chunk = try take(count)
        _ = try take(2)
        return count == 0 ? nil : chunk
    }

    /// Whether the server closes without another word.
    package func isClosed() throws -> Bool { try unread.isEmpty && !fill() }

    /// Takes bytes until they are as wanted.
    private func line(_ isComplete: (ArraySlice<UInt8>) -> Bool) throws -> [UInt8] {
        var count = 0
        while !isComplete(unread[..<count]) {
            if count == unread.count, try !fill() { throw TestSupportError("the server closed after \(count) bytes") }
            count += 1
        }
        defer { unread.removeFirst(count) }
        return Array(unread[..<count])
    }

    private func take(_ count: Int) throws -> [UInt8] {
        while unread.count < count {
            if try !fill() { throw TestSupportError("the server closed after \(unread.count) bytes") }
        }
        defer { unread.removeFirst(count) }
        return Array(unread[..<count])
    }

    private func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(socket, &chunk, chunk.count, 0)
        if count > 0 {
            unread += chunk[..<count]
            return true
        }
        if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) {
            throw TestSupportError("nothing came for \(HTTPClient.timeoutSeconds) s")
        }
        return false
    }
}

// Owns: connections to a PostgreSQL that do nothing but take the places of others.
internal import Foundation
internal import Glibc
internal import Synchronization

/// Connects to a database again and again, as a role that is let in without a password, until `release`: every connection that
/// the server gives is kept.
package final class ConnectionHoard: Sendable {
    private struct State {
        var sockets: [Int32] = []
        var refusals = 0
        var isOver = false
        var running = true
    }

    private let state = Mutex(State())

    package init(port: Int, user: String, database: String) {
        let thread = Thread { [self] in
            while !state.withLock({ $0.isOver }) {
                if let socket = Self.session(port, user, database) {
                    state.withLock { $0.sockets.append(socket) }
                } else {
                    state.withLock { $0.refusals += 1 }
                    usleep(2_000)
                }
            }
            state.withLock { $0.running = false }
        }
        thread.name = "hoard"
        thread.start()
    }

    deinit { close() }

    /// How many connections it has.
    package var count: Int { state.withLock { $0.sockets.count } }

    /// How often the server had no place left.
    package var refusals: Int { state.withLock { $0.refusals } }

    /// Gives all places back.
    package func release() throws {
        state.withLock { $0.isOver = true }
        try eventuallyBlocking("the end of the hoard") { state.withLock { !$0.running } }
        close()
    }

    private func close() {
        state.withLock {
            for socket in $0.sockets { Glibc.close(socket) }
            $0.sockets = []
        }
    }

    /// A connection past its start-up; nil where the server refuses it.
    private static func session(_ port: Int, _ user: String, _ database: String) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        // The start-up message of protocol 3.0: its length, the version, names and values, each ended by a zero, and another zero.
        var message: [UInt8] = [0, 3, 0, 0]
        for text in ["user", user, "database", database] { message += Array(text.utf8) + [0] }
        message.append(0)
        message = withUnsafeBytes(of: UInt32(message.count + 4).bigEndian) { Array($0) } + message
        // The server may let a client in before it finds that the places left are reserved for others.
        guard status == 0, send(descriptor, message, message.count, Int32(MSG_NOSIGNAL)) == message.count, isReady(descriptor)
        else {
            Glibc.close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Reads messages until the server is ready for queries; false where it refuses or hangs up.
    private static func isReady(_ descriptor: Int32) -> Bool {
        var unread: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            // A type, then a length that counts itself.
            while unread.count >= 5 {
                let length = unread[1..<5].reduce(0) { $0 << 8 | Int($1) }
                guard unread.count > length else { break }
                switch unread[0] {
                case UInt8(ascii: "Z"): return true
                case UInt8(ascii: "E"): return false
                default: unread.removeFirst(length + 1)
                }
            }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return false }
            unread += buffer[..<count]
        }
    }
}

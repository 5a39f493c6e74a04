// Owns: the log lines about clients that were refused, and how many of them there may be.
internal import Bytes
internal import Logging
internal import NIOCore
internal import Synchronization

/// A few lines a second, however many clients there are with a wrong certificate. Any thread may write.
final class RejectionLog: Sendable {
    private let text: Logger.Message
    private let logger: Logger
    private let window = Mutex(Window(began: .now, lines: 0, left: 0))

    private struct Window {
        var began: ContinuousClock.Instant
        var lines: Int
        /// Lines left out since the last one.
        var left: Int
    }

    private static let linesASecond = 5

    /// - Parameter text: the line, which `note` adds to.
    init(_ text: Logger.Message, logger: Logger) {
        self.text = text
        self.logger = logger
    }

    func note(_ peer: SocketAddress?, _ reason: String) { note(peer: peer?.endpoint ?? "unknown", reason) }

    /// - Parameter user: who the client said it was.
    func note(peer: String, _ reason: String, user: ByteString? = nil) {
        let leftOut: Int? = window.withLock { window in
            if ContinuousClock.now - window.began >= .seconds(1) {
                window.began = .now
                window.lines = 0
            }
            guard window.lines < RejectionLog.linesASecond else {
                window.left += 1
                return nil
            }
            window.lines += 1
            defer { window.left = 0 }
            return window.left
        }
        guard let leftOut else { return }
        var metadata: Logger.Metadata = ["peer": "\(peer)", "reason": "\(reason)"]
        if let user { metadata["user"] = "\(Quoted.printable(String(decoding: user.prefix(shownNameBytes), as: UTF8.self)))" }
        if leftOut > 0 { metadata["leftOut"] = "\(leftOut)" }
        logger.warning(text, metadata: metadata)
    }
}

/// How much of a name is shown that a stranger may have made up, in bytes.
private let shownNameBytes = 64

extension SocketAddress {
    /// `127.0.0.1:4711`, or the path of a unix socket.
    fileprivate var endpoint: String {
        guard let ipAddress, let port else { return pathname ?? "unix" }
        return ipAddress.contains(":") ? "[\(ipAddress)]:\(port)" : "\(ipAddress):\(port)"
    }
}

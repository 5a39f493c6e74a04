// Owns: what an operator hears of requests that took long: one line each, and not more of them than he can read.
// Must never: be used off its loop.
internal import Bytes
internal import GRPC
internal import Logging
internal import NIOCore
internal import Replica

struct SlowRequestLog {
    private let logger: Logger
    private var windowBegan: NIODeadline?
    private var logged = 0
    private var unlogged = 0
    /// So many lines in each window.
    private static let linesLimit = 5
    private static let window = TimeAmount.seconds(10)

    init(logger: Logger) { self.logger = logger }

    mutating func note(_ request: SlowRequest, path: String, peer: String, now: NIODeadline = .now()) {
        if let windowBegan, now - windowBegan < SlowRequestLog.window {
            guard logged < SlowRequestLog.linesLimit else {
                unlogged += 1
                return
            }
        } else {
            windowBegan = now
            logged = 0
        }
        logged += 1
        var metadata: Logger.Metadata = ["method": "\(path)", "client": "\(peer)", "took": "\(SlowRequestLog.time(request.totalMs))"]
        if request.queuedMs > 0 { metadata["queued"] = "\(SlowRequestLog.time(request.queuedMs))" }
        if request.databaseMs > 0 { metadata["waited_for_postgresql"] = "\(SlowRequestLog.time(request.databaseMs))" }
        if request.workMs > 0 { metadata["worked"] = "\(SlowRequestLog.time(request.workMs))" }
        if !request.key.isEmpty { metadata["key"] = "\(SlowRequestLog.summary(request.key))" }
        if unlogged > 0 { metadata["not_logged_before"] = "\(unlogged)" }
        unlogged = 0
        logger.warning("\(request.timedOut ? "request timed out" : "slow request")", metadata: metadata)
    }

    private static func time(_ milliseconds: Int) -> String { Duration.milliseconds(milliseconds).brief }

    /// Printable, and not longer than a line bears.
    private static func summary(_ key: ByteString) -> String {
        let text = String(decoding: key.prefix(100), as: UTF8.self)
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 ? "?" : $0 }))
    }
}

// Owns: one gRPC call as its bytes: what is still to be sent, what has come, how it ended. Guarded by its connection's lock.
internal import Bytes
internal import EtcdAPI

final class EtcdCall {
    /// How the call ended; nil while it goes on.
    enum End {
        case finished
        case failed(EtcdClientError)
    }

    let streamID: Int32
    // Out
    var output: [UInt8] = []
    var outputSent = 0
    var outputEnded = false
    // In
    private var partial: [UInt8] = []
    private var messages: [ByteString] = []
    private var messagesTaken = 0
    private var queuedBytes = 0
    private var statusCode: String?
    private var statusMessage: [UInt8] = []
    private(set) var httpStatus: String?
    private(set) var end: End?
    /// Bytes of the stream's window that are given back once the reader has caught up.
    private var withheldBytes = 0

    /// As long as this many bytes wait for the reader, no window is given back: a test that doesn't read is a slow client.
    private let queuedByteLimit: Int

    init(streamID: Int32, queuedByteLimit: Int) {
        self.streamID = streamID
        self.queuedByteLimit = queuedByteLimit
    }

    func send(_ message: ByteString) {
        output.removeFirst(outputSent)
        outputSent = 0
        output.append(0)
        withUnsafeBytes(of: UInt32(message.count).bigEndian) { output.append(contentsOf: $0) }
        message.withUnsafeBytes { output.append(contentsOf: $0) }
    }

    func fieldReceived(_ name: String, _ value: [UInt8]) {
        switch name {
        case ":status": httpStatus = String(decoding: value, as: UTF8.self)
        case "grpc-status": statusCode = String(decoding: value, as: UTF8.self)
        case "grpc-message": statusMessage = value
        default: break
        }
    }

    /// Takes in a piece of the body; how much of the stream's window may be given back at once.
    func received(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        partial.append(contentsOf: bytes)
        var at = 0
        while partial.count - at >= 5 {
            let length = partial[at + 1..<at + 5].reduce(0) { $0 << 8 | Int($1) }
            guard partial.count - at - 5 >= length else { break }
            guard partial[at] == 0 else {
                close(.malformed("a compressed message, which nobody asked for"))
                return bytes.count
            }
            messages.append(ByteString(partial[at + 5..<at + 5 + length]))
            queuedBytes += length + 5
            at += 5 + length
        }
        partial.removeFirst(at)
        withheldBytes += bytes.count
        return takeWindow()
    }

    /// The next message, and how much of the stream's window may be given back for it.
    func takeMessage() -> (message: ByteString, window: Int)? {
        guard messagesTaken < messages.count else { return nil }
        let message = messages[messagesTaken]
        messagesTaken += 1
        if messagesTaken > 1_000 {
            messages.removeFirst(messagesTaken)
            messagesTaken = 0
        }
        queuedBytes -= message.count + 5
        return (message, takeWindow())
    }

    private func takeWindow() -> Int {
        guard queuedBytes <= queuedByteLimit else { return 0 }
        defer { withheldBytes = 0 }
        return withheldBytes
    }

    /// The call has failed for a reason that isn't the server's status.
    func close(_ error: EtcdClientError) {
        if end == nil { end = .failed(error) }
    }

    /// The stream is closed with this HTTP/2 error code.
    func streamClosed(_ code: UInt32) {
        guard end == nil else { return }
        guard let statusCode else {
            end = .failed(
                code == 0 ? .malformed("an answer without grpc-status (HTTP status \(httpStatus ?? "none"))") : .streamReset(code))
            return
        }
        guard let code = UInt8(statusCode).flatMap({ EtcdError.Code(rawValue: $0) }) else {
            end = .failed(.malformed("grpc-status: \(statusCode)"))
            return
        }
        end = code == .ok ? .finished : .failed(.status(EtcdError(code: code, text: Self.percentDecoded(statusMessage))))
    }

    private static func percentDecoded(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count,
                let byte = UInt8(String(decoding: bytes[at + 1...at + 2], as: UTF8.self), radix: 16)
            {
                out.append(byte)
                at += 3
            } else {
                out.append(bytes[at])
                at += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

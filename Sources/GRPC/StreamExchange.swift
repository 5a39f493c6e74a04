// Owns: one exchange over HTTP/2: a request that isn't a call, whose body and answer come in pieces on a stream.
// Must never: give a body's window back while its exchange wants no more of it, or the connection keeps too much.
internal import Bytes
internal import HTTP1
internal import HTTP2
internal import NIOCore

final class StreamExchange: Responder {
    let stream: StreamHandle
    let connection: HTTP2Connection
    var exchange: (any Exchange)?
    private let loop: GRPCLoop
    private let isHead: Bool
    /// Of every answer to it.
    private let fields: [PageResponse.Field]
    private var isBodyPaused = false
    /// Bytes of the body whose window is not given back, since it is paused.
    private var pausedCount = 0
    /// How much of what the exchange keeps the connection's budget knows of.
    private var accountedCount = 0
    /// The body is complete, and waits until the client has read more of its answers.
    private var isParked = false
    private var isEnded = false

    init(_ stream: StreamHandle, on connection: HTTP2Connection, loop: GRPCLoop, isHead: Bool, fields: [PageResponse.Field]) {
        self.stream = stream
        self.connection = connection
        self.loop = loop
        self.isHead = isHead
        self.fields = fields
    }

    private(set) lazy var peer: String = {
        let address = connection.remoteAddress
        return address?.ipAddress.map { "\($0):\(address?.port ?? 0)" } ?? address?.pathname ?? "unknown"
    }()

    // MARK: Body

    func received(_ bytes: UnsafeRawBufferPointer, endStream: Bool) {
        guard exchange != nil else { return loop.http2.consume(stream, bytes.count) }
        if !bytes.isEmpty { exchange?.bodyReceived(bytes) }
        account(bytes.count, isLast: endStream)
        guard endStream, exchange != nil else { return }
        if loop.http2.isOverHighWaterMark(stream) {
            isParked = true
            loop.wait(stream, on: connection.tag)
        } else {
            bodyEnded()
        }
    }

    /// There is room again.
    func goOn() {
        guard isParked else { return }
        isParked = false
        bodyEnded()
    }

    private func bodyEnded() {
        loop.http2.expectAnswer(stream)
        exchange?.bodyEnded()
        account(0, isLast: true)
    }

    /// `count` bytes came: gives their window back, unless they wait.
    private func account(_ count: Int, isLast: Bool) {
        let kept = exchange?.keptBytes ?? 0
        let growth = kept - accountedCount
        if growth < 0 { release(-growth) }
        if growth > 0 {
            accountedCount = kept
            switch loop.inboundGrew(by: growth, count: count, on: stream, connection: connection.tag) {
            case .give: break
            case .withhold: return
            case .refuse:
                exchange?.bodyRefused()
                return release(accountedCount)
            }
        }
        if isLast { return }
        if isBodyPaused { pausedCount += count } else { loop.http2.consume(stream, count) }
    }

    private func release(_ count: Int) {
        accountedCount -= count
        if count > 0 { loop.inboundShrank(by: count, on: stream, connection: connection.tag) }
    }

    func pauseBody() { isBodyPaused = true }

    func resumeBody() {
        guard isBodyPaused else { return }
        isBodyPaused = false
        if pausedCount > 0 { loop.http2.consume(stream, pausedCount) }
        pausedCount = 0
        account(0, isLast: false)
    }

    // MARK: Answers

    func respond(status: Int, fields: [PageResponse.Field], body: ByteString) {
        let length = PageResponse.Field("content-length", "\(body.count)")
        sendHeaders(status, fields + [length], endStream: isHead || body.isEmpty)
        if !isHead, !body.isEmpty {
            _ = loop.http2.send(stream, head: InlineBytes(), body: body)
            loop.http2.end(stream, trailers: nil)
        }
        over()
    }

    func begin(status: Int, fields: [PageResponse.Field]) { sendHeaders(status, fields, endStream: false) }

    func write(_ bytes: ByteString) -> Bool { loop.http2.send(stream, head: InlineBytes(), body: bytes) }

    /// The loop does that by itself.
    func flush() {}

    func end() {
        guard !isEnded else { return }
        loop.http2.end(stream, trailers: nil)
        over()
    }

    private func over() {
        isEnded = true
        exchange = nil
        release(accountedCount)
        loop.remove(self)
    }

    private func sendHeaders(_ status: Int, _ fields: [PageResponse.Field], endStream: Bool) {
        let list = [(name: ":status", value: "\(status)")] + (fields + self.fields).map { ($0.name, $0.value) }
        loop.http2.sendHeaders(stream, HeaderBlock(list, isStatic: false), endStream: endStream)
    }

    /// The stream is gone.
    func closed() {
        guard !isEnded else { return }
        let exchange = exchange
        over()
        exchange?.cancelled()
    }
}

// Owns: one HTTP/1.1 connection: a request at a time, its answer, and the time that either may take.
// Must never: be touched off its event loop; keep a body; keep a connection whose peer has left the protocol.
internal import Glibc
internal import NIOCore
internal import NIOHTTP1

final class HTTP1Connection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let acceptor: HTTP1Acceptor
    private let isOverLimit: Bool
    private var context: ChannelHandlerContext?
    /// The request whose end has not come.
    private var head: HTTPRequestHead?
    /// Bytes of its body that have come. No page looks at them.
    private var bodySize = 0
    /// Whether this connection has had its last answer.
    private var isFinished = false
    private var timeout: Scheduled<Void>?

    init(acceptor: HTTP1Acceptor, isOverLimit: Bool) {
        self.acceptor = acceptor
        self.isOverLimit = isOverLimit
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        closeAfter(acceptor.limits.firstRequestTimeoutMs)
    }

    func handlerRemoved(context: ChannelHandlerContext) { ended() }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    private func ended() {
        timeout?.cancel()
        timeout = nil
        context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isFinished { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            closeAfter(acceptor.limits.answerTimeoutMs)
            if isOverLimit {
                respond(.error(503, "too many connections"), to: head, closing: true)
            } else if HTTP1Connection.announcedSize(head) > acceptor.limits.bodySizeLimit {
                respond(HTTP1Connection.tooLarge, to: head, closing: true)
            } else {
                self.head = head
                bodySize = 0
            }
        case .body(let part):
            bodySize += part.readableBytes
            guard let head, bodySize > acceptor.limits.bodySizeLimit else { return }
            self.head = nil
            respond(HTTP1Connection.tooLarge, to: head, closing: true)
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What can't be parsed is answered at once: the decoder closes the connection behind us.
        if let error = error as? HTTPParserError, !isFinished {
            let response: PageResponse =
                error == .headerOverflow ? .error(431, "431 Request Header Fields Too Large") : .error(400, "400 Bad Request")
            respond(response, to: nil, closing: true)
        } else {
            context.close(promise: nil)
        }
    }

    private static let tooLarge = PageResponse.error(413, "413 Request Entity Too Large")

    /// 0 where it is to be seen: a body in chunks.
    private static func announcedSize(_ head: HTTPRequestHead) -> Int {
        guard let text = head.headers["content-length"].first else { return 0 }
        // The parser takes digits only: what is no Int is too large for one.
        return Int(text) ?? .max
    }

    // MARK: Answers

    private func answer(_ head: HTTPRequestHead) {
        guard let context else { return }
        let request = PageRequest(method: head.method.rawValue, target: head.uri)
        acceptor.pages(request, context.eventLoop).hop(to: context.eventLoop).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let response): self.respond(response, to: head, closing: !head.isKeepAlive)
            case .failure: self.respond(.error(500, "Internal Server Error"), to: head, closing: true)
            }
        }
    }

    /// `request`: nil where it could not be read.
    private func respond(_ response: PageResponse, to request: HTTPRequestHead?, closing: Bool) {
        guard let context, !isFinished else { return }
        var headers = HTTPHeaders(response.fields.map { ($0.name, $0.value) })
        headers.add(name: "content-length", value: "\(response.body.utf8.count)")
        headers.add(name: "date", value: httpDate(time(nil)))
        if closing { headers.add(name: "connection", value: "close") }
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request?.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: response.body)))), promise: nil)
        }
        let written = context.eventLoop.makePromise(of: Void.self)
        isFinished = closing
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
        written.futureResult.assumeIsolated().whenComplete { _ in
            if closing { self.context?.close(promise: nil) } else { self.closeAfter(self.acceptor.limits.idleTimeoutMs) }
        }
    }

    private func closeAfter(_ ms: Int64) {
        timeout?.cancel()
        guard let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timeout = context.eventLoop.scheduleTask(in: .milliseconds(ms)) { bound.value.context?.close(promise: nil) }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7), whatever the locale.
func httpDate(_ seconds: time_t) -> String {
    var seconds = seconds
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(parts.tm_year + 1900) "
        + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
}

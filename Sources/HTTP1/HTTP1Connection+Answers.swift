// Owns: what leaves one HTTP/1.1 connection: answers in one piece or in many, as fast as its client reads.
// Invariant: the end of an answer, behind which the next request is taken, is written when little of the answer waits to be read.
internal import Bytes
internal import Glibc
internal import NIOCore
internal import NIOHTTP1

extension HTTP1Connection: Responder {
    /// Answers of known length are written in pieces of this size, each of which tells when it has left.
    private static let pieceBytes = 256 << 10
    /// Unread bytes of an answer at which it counts as read.
    private static let readMark = 64 << 10

    // MARK: Pages

    func respond(_ response: PageResponse, closing: Bool) {
        answer(status: response.status, fields: response.fields, body: ByteString(response.body), closing: closing)
    }

    /// Answers before the request's end, and closes.
    func refuse(_ response: PageResponse) { respond(response, closing: true) }

    // MARK: Exchanges

    func respond(status: Int, fields: [PageResponse.Field], body: ByteString) {
        exchange = nil
        // While the rest of its body comes, it has to come in time.
        if request?.hasEnded == false { closeAfter(acceptor.limits.answerTimeoutMs) }
        answer(status: status, fields: fields, body: body, closing: false)
    }

    func begin(status: Int, fields: [PageResponse.Field]) {
        guard request?.answer == Answer.none, !isFinished else { return }
        stayOpen()
        writeHead(status: status, fields: fields, length: nil, closing: false)
    }

    func write(_ bytes: ByteString) -> Bool {
        guard let context, request?.answer == .begun else { return true }
        // One chunk, however large: there are clients that take a chunk for a line.
        if request?.head.method != .HEAD { writeBody(bytes, pieceBytes: bytes.count) }
        recount()
        return context.channel.isWritable
    }

    func flush() { context?.flush() }

    func end() {
        guard request?.answer == .begun else { return }
        exchange = nil
        complete()
    }

    // MARK: Parts

    private func answer(status: Int, fields: [PageResponse.Field], body: ByteString, closing: Bool) {
        guard let context, !isFinished, request.map({ $0.answer == .none }) ?? closing else { return }
        writeHead(status: status, fields: fields, length: body.count, closing: closing)
        if request?.head.method != .HEAD { writeBody(body, pieceBytes: HTTP1Connection.pieceBytes) }
        complete()
        context.flush()
    }

    /// `length`: nil where it is not known.
    private func writeHead(status: Int, fields: [PageResponse.Field], length: Int?, closing: Bool) {
        guard let context else { return }
        var headers = HTTPHeaders()
        headers.reserveCapacity(fields.count + 6)
        for field in fields { headers.add(name: field.name, value: field.value) }
        for field in request?.fields ?? [] { headers.add(name: field.name, value: field.value) }
        // HTTP/1.0 has no chunks: its answers of unknown length go up to the connection's end.
        var version = HTTPVersion.http1_1
        if let length {
            headers.add(name: "content-length", value: "\(length)")
        } else if request?.head.version == .http1_0 {
            version = .http1_0
        }
        headers.add(name: "date", value: loop.date.text(time(nil)))
        let isLast = closing || loop.isShuttingDown || version == .http1_0 || !(request?.head.isKeepAlive ?? false)
        if isLast { headers.add(name: "connection", value: "close") }
        let head = HTTPResponseHead(version: version, status: HTTPResponseStatus(statusCode: status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        request?.answer = .begun
        isClosing = isLast
    }

    private func writeBody(_ bytes: ByteString, pieceBytes: Int) {
        guard let context, !bytes.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count)
        bytes.withUnsafeBytes { _ = buffer.writeBytes($0) }
        if unsentBytes == 0 { stalledSince = .now() }
        unsentBytes += bytes.count
        while let piece = buffer.readSlice(length: min(buffer.readableBytes, pieceBytes)), piece.readableBytes > 0 {
            let count = piece.readableBytes
            let left = context.eventLoop.makePromise(of: Void.self)
            left.futureResult.assumeIsolated().whenComplete { _ in self.bytesLeft(count) }
            context.write(wrapOutboundOut(.body(.byteBuffer(piece))), promise: left)
        }
    }

    private func bytesLeft(_ count: Int) {
        guard context != nil else { return }
        unsentBytes -= count
        stalledSince = unsentBytes > 0 ? .now() : nil
        recount()
        guard request?.answer == .complete else { return }
        if unsentBytes > 0 { closeAfter(acceptor.limits.answerTimeoutMs) }
        endIfRead()
    }

    /// All of the answer is written but for its end.
    private func complete() {
        request?.answer = .complete
        if unsentBytes > 0 { closeAfter(acceptor.limits.answerTimeoutMs) }
        recount()
        endIfRead()
    }

    private func endIfRead() {
        guard unsentBytes <= HTTP1Connection.readMark, let context else { return }
        guard isTakingPart else { return writeEnd() }
        // The end makes NIO hand over the next request at once, within this call: thousands that were sent in one go would nest.
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.writeEnd() }
    }

    private func writeEnd() {
        guard let context, !isFinished, request.map({ $0.answer == .complete }) ?? isClosing else { return }
        let isLast = isClosing || loop.isShuttingDown
        isFinished = isLast
        request?.answer = .ended
        if request?.hasEnded == true, !isLast { requestOver() }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in if isLast { self.close() } }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
    }

    /// The client waits to be told that its body is wanted.
    func sendContinue() {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }
}

/// The second's date, made once.
struct DateText {
    private var second: time_t = -1
    private var text = ""

    mutating func text(_ now: time_t) -> String {
        if now != second {
            second = now
            text = httpDate(now)
        }
        return text
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

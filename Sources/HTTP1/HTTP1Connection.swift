// Owns: one HTTP/1.1 connection: a request at a time, by whom it is answered, and the time that either may take.
// Must never: be touched off its event loop; keep a body; keep a connection whose peer has left the protocol; take the next request while
// much of the last answer waits to be read.
internal import Bytes
internal import Glibc
internal import NIOCore
internal import NIOHTTP1

final class HTTP1Connection: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// A request, up to its end and its answer's.
    struct Request {
        let head: HTTPRequestHead
        let page: PageRequest
        /// Of every answer to it.
        let fields: [PageResponse.Field]
        /// Decided before the request's end.
        var response: PageResponse?
        /// Bytes of the body that have come, and nobody keeps.
        var skippedBytes = 0
        var hasEnded = false
        var answer = Answer.none
    }

    enum Answer {
        case none
        /// Its head is written.
        case begun
        /// It is written but for the end, which waits until most of it has left.
        case complete
        case ended
    }

    let acceptor: HTTP1Acceptor
    let loop: HTTP1Loop
    private let isOverLimit: Bool
    private let pagesAlone: Bool
    private let isSecure: Bool
    var context: ChannelHandlerContext?
    var request: Request?
    var exchange: (any Exchange)?
    private(set) lazy var peer = describePeer()
    /// Whether this connection has had its last answer.
    var isFinished = false
    /// Whether the answer under way is the last.
    var isClosing = false
    /// When the connection is closed, if nothing happens before.
    private var deadline: NIODeadline?
    /// Fires no later than the deadline: a timer for each request would cost more than it.
    private var timer: Scheduled<Void>?
    private var timerFiresAt = NIODeadline.distantFuture

    /// Written, but not taken by the socket.
    var unsentBytes = 0
    /// How much of `keptBytes` the loop knows of.
    private var countedBytes = 0
    /// Since when nothing of what waits to be read has left.
    var stalledSince: NIODeadline?
    private var isBodyPaused = false
    private var isReadHeld = false
    /// Whether a part of a request is being handed over.
    private(set) var isTakingPart = false

    init(acceptor: HTTP1Acceptor, loop: HTTP1Loop, isOverLimit: Bool, pagesAlone: Bool, isSecure: Bool) {
        self.acceptor = acceptor
        self.loop = loop
        self.isOverLimit = isOverLimit
        self.pagesAlone = pagesAlone
        self.isSecure = isSecure
    }

    /// What its client has us keep in memory, in bytes.
    var keptBytes: Int { unsentBytes + (exchange?.keptBytes ?? 0) }

    /// Whether a request is under way, or its answer.
    var isAnswering: Bool { request != nil || unsentBytes > 0 }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
        closeAfter(acceptor.limits.firstRequestTimeoutMs)
        // Accepted just before the sockets stopped listening.
        if loop.isShuttingDown { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { ended() }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    private func ended() {
        timer?.cancel()
        timer = nil
        deadline = nil
        context = nil
        request = nil
        let exchange = exchange
        self.exchange = nil
        unsentBytes = 0
        recount()
        loop.remove(self)
        exchange?.cancelled()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What can't be parsed is answered at once: the decoder closes the connection behind us.
        if let error = error as? HTTPParserError, !isFinished, exchange == nil, request.map({ $0.answer == .none }) ?? true {
            let response: PageResponse =
                error == .headerOverflow ? .error(431, "431 Request Header Fields Too Large") : .error(400, "400 Bad Request")
            refuse(response)
        } else {
            context.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { exchange?.becameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        if isBodyPaused { isReadHeld = true } else { context.read() }
    }

    func pauseBody() { isBodyPaused = true }

    func resumeBody() {
        isBodyPaused = false
        guard isReadHeld, let context else { return }
        isReadHeld = false
        context.read()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isFinished { return }
        isTakingPart = true
        defer { isTakingPart = false }
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head)
        case .body(let part): take(part)
        case .end: requestEnded()
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        closeAfter(acceptor.limits.answerTimeoutMs)
        var fields = RequestFields()
        for (name, value) in head.headers { fields.add(name, value) }
        let page = PageRequest(method: head.method.rawValue, target: head.uri, fields: fields)
        request = Request(head: head, page: page, fields: pagesAlone ? [] : acceptor.access.fields(for: page))
        if isOverLimit { return refuse(.error(503, "too many connections")) }
        if !pagesAlone {
            request?.response = acceptor.access.answer(to: page, isSecure: isSecure)
            if request?.response == nil, loop.service?.begin(page, self) == true {
                if fields.expectsContinue, request?.answer == Answer.none { sendContinue() }
                recount()
                return
            }
        }
        if HTTP1Connection.announcedSize(head) > acceptor.limits.bodySizeLimit { refuse(HTTP1Connection.tooLarge) }
    }

    private func take(_ part: ByteBuffer) {
        if let exchange {
            part.withUnsafeReadableBytes { exchange.bodyReceived($0) }
            recount()
            // It may be answered by now.
            if let exchange = self.exchange, loop.isOverShare(keptBytes) { exchange.bodyRefused() }
            return
        }
        guard let answer = request?.answer else { return }
        request?.skippedBytes += part.readableBytes
        let skipped = request?.skippedBytes ?? 0
        if answer == .none {
            if skipped > acceptor.limits.bodySizeLimit { refuse(HTTP1Connection.tooLarge) }
        } else if skipped > acceptor.limits.skippedBodyLimit {
            // It was answered long ago.
            close()
        }
    }

    private func requestEnded() {
        guard let request else { return }
        self.request?.hasEnded = true
        if let exchange {
            // The answer may take as long as it does.
            stayOpen()
            exchange.bodyEnded()
            recount()
        } else if request.answer == .ended {
            requestOver()
        } else if request.answer == .none {
            answerPage(request)
        }
    }

    /// Both sides have said all.
    func requestOver() {
        request = nil
        resumeBody()
        if loop.isShuttingDown, unsentBytes == 0 { close() } else { closeAfter(acceptor.limits.idleTimeoutMs) }
    }

    static let tooLarge = PageResponse.error(413, "413 Request Entity Too Large")

    /// 0 where it is to be seen: a body in chunks.
    private static func announcedSize(_ head: HTTPRequestHead) -> Int {
        guard let text = head.headers["content-length"].first else { return 0 }
        // The parser takes digits only: what is no Int is too large for one.
        return Int(text) ?? .max
    }

    private func answerPage(_ request: Request) {
        guard let context else { return }
        if let response = request.response { return respond(response, closing: false) }
        acceptor.pages(request.page, context.eventLoop).hop(to: context.eventLoop).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let response): self.respond(response, closing: false)
            case .failure: self.respond(.error(500, "Internal Server Error"), closing: true)
            }
        }
    }

    // MARK: Time

    func closeAfter(_ ms: Int64) {
        let deadline = NIODeadline.now() + .milliseconds(ms)
        self.deadline = deadline
        if timer == nil || deadline < timerFiresAt { startTimer(deadline) }
    }

    /// The connection lasts for as long as its answer goes on.
    func stayOpen() { deadline = nil }

    private func startTimer(_ time: NIODeadline) {
        guard let context else { return }
        timer?.cancel()
        timerFiresAt = time
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: time) { bound.value.timerFired() }
    }

    private func timerFired() {
        timer = nil
        guard let deadline else { return }
        if deadline <= .now() { close() } else { startTimer(deadline) }
    }

    func close() { context?.close(promise: nil) }

    // MARK: Memory

    /// Brings the loop's sum up to date.
    func recount() {
        let kept = keptBytes
        if kept == countedBytes { return }
        loop.keptChanged(by: kept - countedBytes)
        countedBytes = kept
    }

    private func describePeer() -> String {
        let address = context?.remoteAddress
        return address?.ipAddress.map { "\($0):\(address?.port ?? 0)" } ?? address?.pathname ?? "unknown"
    }
}

// Owns: which requests over HTTP/2 become exchanges or pages: those that don't mean to be calls, on encrypted connections, where etcd
// serves everything over HTTP/2 that it serves over HTTP/1.1.
internal import Bytes
internal import HTTP1
internal import HTTP2
internal import NIOCore

extension GRPCLoop {
    func exchange(on stream: StreamHandle) -> StreamExchange? {
        guard exchangeCount > 0, let found = exchanges[Int(stream.slot)], found.stream == stream else { return nil }
        return found
    }

    private func add(_ exchange: StreamExchange) {
        exchanges[Int(exchange.stream.slot)] = exchange
        exchangeCount = exchanges.count
    }

    func remove(_ exchange: StreamExchange) {
        guard exchanges[Int(exchange.stream.slot)] === exchange else { return }
        exchanges[Int(exchange.stream.slot)] = nil
        exchangeCount = exchanges.count
    }

    /// False: the request is to be answered as if there were only calls and pages to read.
    @inline(never)
    func beginExchange(_ stream: StreamHandle, on connection: HTTP2Connection, _ fields: HeaderFields, endStream: Bool) -> Bool {
        guard let http1 = http2.http1, connection.isSecure, let request = GRPCLoop.pageRequest(fields) else { return false }
        let answerFields = http1.access.fields(for: request)
        let exchange = StreamExchange(
            stream, on: connection, loop: self, isHead: request.method == "HEAD", fields: answerFields)
        if let response = http1.access.answer(to: request, isSecure: true) {
            exchange.respond(status: response.status, fields: response.fields, body: ByteString(response.body))
            return true
        }
        add(exchange)
        guard let service = http1.service(on: eventLoop), service.begin(request, exchange) else {
            remove(exchange)
            answerPage(stream, request, http1.pages, fields: answerFields)
            return true
        }
        if endStream { exchange.received(UnsafeRawBufferPointer(start: nil, count: 0), endStream: true) }
        // Whoever keeps most gets nothing new while all together keep too much.
        if connection.isOverShare { exchange.exchange?.bodyRefused() }
        return true
    }

    private static func pageRequest(_ fields: HeaderFields) -> PageRequest? {
        var (method, target) = ("", "")
        var known = RequestFields()
        fields.visit { name, value in
            let text = String(decoding: value, as: UTF8.self)
            if name.equals(":method") {
                method = text
            } else if name.equals(":path") {
                target = text
            } else if name.equals(":authority") {
                known.host = text
            } else {
                known.add(String(decoding: name, as: UTF8.self), text)
            }
        }
        return method.isEmpty || target.isEmpty ? nil : PageRequest(method: method, target: target, fields: known)
    }

    // MARK: What their bodies keep

    func inboundGrew(by growth: Int, count: Int, on stream: StreamHandle, connection tag: Int) -> InboundBudget.Decision {
        guard connections.indices.contains(tag), connections[tag] != nil else { return .give }
        defer { tellWaitingInput(tag) }
        let limit = http2.isStrained ? http2.connectionKeptLimit : Int.max
        return connections[tag]?.inbound.received(count, growth: growth, on: stream, limit: limit) ?? .give
    }

    func inboundShrank(by count: Int, on stream: StreamHandle, connection tag: Int) {
        guard connections.indices.contains(tag), connections[tag] != nil else { return }
        var given: [(StreamHandle, Int)] = []
        connections[tag]?.inbound.released(count, of: stream) { given.append(($0, $1)) }
        for (stream, count) in given { http2.consume(stream, count) }
        tellWaitingInput(tag)
    }
}

// Owns: requests over HTTP/2 that aren't calls: pages, for clients that chose HTTP/2 by themselves (TLS lets them).
internal import Bytes
internal import HTTP1
internal import HTTP2
internal import NIOCore

extension GRPCLoop {
    func answerPage(_ stream: StreamHandle, _ request: PageRequest, _ pages: Pages, fields: [PageResponse.Field] = []) {
        let isHead = request.method == "HEAD"
        guard pagesInFlight < GRPCLoop.pagesInFlightLimit else {
            send(.error(503, "too many requests"), fields, on: stream, isHead: isHead)
            return
        }
        pagesInFlight += 1
        pages(request, eventLoop).hop(to: eventLoop).assumeIsolated().whenComplete { [self] result in
            pagesInFlight -= 1
            switch result {
            case .success(let response): send(response, fields, on: stream, isHead: isHead)
            case .failure: send(.error(500, "Internal Server Error"), fields, on: stream, isHead: isHead)
            }
        }
    }

    private func send(_ response: PageResponse, _ more: [PageResponse.Field], on stream: StreamHandle, isHead: Bool) {
        http2.beginBatch()
        defer { http2.endBatch() }
        let fields =
            [(name: ":status", value: "\(response.status)")] + (response.fields + more).map { ($0.name, $0.value) }
            + [("content-length", "\(response.body.utf8.count)")]
        let hasBody = !isHead && !response.body.isEmpty
        http2.sendHeaders(stream, HeaderBlock(fields, isStatic: false), endStream: !hasBody)
        guard hasBody else { return }
        _ = http2.send(stream, head: InlineBytes(), body: ByteString(response.body))
        http2.end(stream, trailers: nil)
    }
}

extension RequestHead {
    /// The page that is asked for, nil where the request means to be a call.
    func pageRequest(_ fields: HeaderFields) -> PageRequest? {
        guard problems.contains(.contentType), problems.contains(.httpMethod) else { return nil }
        var method = ""
        var target = ""
        fields.visit { name, value in
            if name.equals(":method") { method = String(decoding: value, as: UTF8.self) }
            if name.equals(":path") { target = String(decoding: value, as: UTF8.self) }
        }
        return method == "GET" || method == "HEAD" ? PageRequest(method: method, target: target) : nil
    }
}

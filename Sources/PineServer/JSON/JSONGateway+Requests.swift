// Owns: what becomes of a request: a call, or an answer at once.
internal import Bytes
internal import Gateway
internal import HTTP1

extension JSONGateway: ExchangeService {
    static let fields = [PageResponse.Field("content-type", "application/json")]

    func begin(_ request: PageRequest, _ responder: any Responder) -> Bool {
        switch routes.find(request) {
        case .page: return false
        case .refused(let status):
            responder.respond(status: status.httpStatus, fields: JSONGateway.fields, body: status.body)
        case .redirect(let location): redirect(request, to: location, responder)
        case .call(let route, let method):
            let call = JSONCall(newID(), route, method, request, responder, gateway: self)
            opened(call)
            responder.exchange = call
            call.start()
        }
        return true
    }

    /// As Go's http.Redirect.
    private func redirect(_ request: PageRequest, to location: String, _ responder: any Responder) {
        let field = PageResponse.Field("location", location)
        guard request.method == "GET" || request.method == "HEAD" else {
            return responder.respond(status: 307, fields: [field], body: ByteString())
        }
        let html = location.replacing("&", with: "&amp;").replacing("'", with: "&#39;")
        responder.respond(
            status: 307, fields: [PageResponse.Field("content-type", "text/html; charset=utf-8"), field],
            body: ByteString("<a href=\"\(html)\">Temporary Redirect</a>.\n\n"))
    }
}

extension ByteString {
    static func + (a: ByteString, b: ByteString) -> ByteString {
        var writer = ByteWriter(capacity: a.count + b.count)
        writer.append(a)
        writer.append(b)
        return writer.finish()
    }
}

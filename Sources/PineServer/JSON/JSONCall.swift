// Owns: one call of a client that speaks JSON: its request's body becomes messages, its messages become the answer's body.
// Must never: say anything to the services once the call is over, or to the client once it has had the answer's end.
// Life: reading (nothing was handed over) → open (the services have heard of it) → over.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Gateway
internal import HTTP1
internal import Logging

final class JSONCall: Exchange {
    let id: CallID
    let request: PageRequest
    /// The token that stands in `Grpc-Metadata-Token` or `Authorization`.
    let credentials: CallCredentials?
    private let route: Route
    private let method: MethodIndex
    private let gateway: JSONGateway
    private let responder: any Responder

    private var body = JSONBody()
    private var hasBodyEnded = false
    /// No more of the body is looked at.
    private var isInputOver = false
    /// The services want no more messages for now.
    private var isPaused = false
    /// The client reads more slowly than it is sent to.
    private var isBehind = false
    /// Whether the services have heard of the call, and of a message.
    private var isHandedOver = false
    private var hasMessage = false
    /// Whether a line was sent.
    private var hasBegun = false
    private var isOver = false

    init(
        _ id: CallID, _ route: Route, _ method: MethodIndex, _ request: PageRequest, _ responder: any Responder, gateway: JSONGateway
    ) {
        self.id = id
        self.route = route
        self.method = method
        self.request = request
        self.responder = responder
        self.gateway = gateway
        credentials = (request.fields.token ?? request.fields.authorization).map { CallCredentials(token: ByteString($0)) }
    }

    var description: (path: String, peer: String) { (route.path, responder.peer) }

    var keptBytes: Int { body.count }

    // MARK: Body

    func start() {
        guard route.requestStreams else { return }
        isHandedOver = true
        gateway.tell { $0.callStarted(id, method: method) }
    }

    func bodyReceived(_ bytes: UnsafeRawBufferPointer) {
        if isOver || isInputOver { return }
        guard body.count + bytes.count <= gateway.bodyLimit else { return fail(tooLarge(body.count + bytes.count)) }
        body.append(bytes)
        if route.requestStreams { takeMessages() }
    }

    func bodyEnded() {
        if isOver || isInputOver { return }
        hasBodyEnded = true
        if route.requestStreams { return takeMessages() }
        isInputOver = true
        do throws(JSONFault) {
            // What follows the first value is ignored, and an empty body is an empty message, as in etcd.
            let message = try JSONToWire.convert(body.takeRest(), message: route.request)?.message ?? ByteString()
            handOver(message)
        } catch {
            fail(GatewayStatus(error))
        }
    }

    func bodyRefused() { fail(GatewayStatus(GRPCStatus(.tooManyRequests))) }

    /// Hands over what of the stream is complete and wanted.
    private func takeMessages() {
        while !isOver, !isInputOver, !isPaused, !isBehind, let value = body.nextValue() { take(value) }
        if isOver { return }
        guard isPaused || isBehind else {
            responder.resumeBody()
            if hasBodyEnded, !isInputOver { inputEnded() }
            return
        }
        responder.pauseBody()
    }

    private func take(_ value: ByteString) {
        do throws(JSONFault) {
            if let message = try JSONToWire.convert(value, message: route.request)?.message { handOver(message) }
        } catch {
            broke(error)
        }
    }

    private func inputEnded() {
        // Half a value, or the space behind the last.
        take(body.takeRest())
        if !isOver, !isInputOver { endInput() }
    }

    /// A stream's input makes no sense from here on: to etcd that is its end. Only where nothing would ever come of the call it is told so.
    private func broke(_ fault: JSONFault) {
        let endsByItself = ServedMethod.all[method.rawValue].inputEnded != nil
        if hasMessage || endsByItself { endInput() } else { fail(GatewayStatus(fault)) }
    }

    private func endInput() {
        isInputOver = true
        _ = body.takeRest()
        gateway.tell { $0.inputEnded(id, method: method) }
    }

    private func handOver(_ message: ByteString) {
        if message.count > gateway.messageLimit { return fail(tooLarge(message.count)) }
        isHandedOver = true
        hasMessage = true
        gateway.tell { $0.messageReceived(id, method: method, message: message) }
    }

    /// In the words of Go's gRPC, which etcd says.
    private func tooLarge(_ count: Int) -> GatewayStatus {
        GatewayStatus(code: 8, message: "grpc: received message larger than max (\(count) vs. \(gateway.messageLimit))")
    }

    // MARK: Flow

    func pause() { isPaused = true }

    func resume() {
        guard isPaused else { return }
        isPaused = false
        takeMessages()
    }

    func becameWritable() {
        guard isBehind, !isOver else { return }
        isBehind = false
        gateway.tell { $0.callWritable(id) }
        if route.requestStreams { takeMessages() }
    }

    // MARK: Answers

    func respond(_ message: ByteString) {
        guard !isOver else { return }
        guard let json = json(message, prefix: route.answerStreams ? "{\"result\":" : "", suffix: route.answerStreams ? "}\n" : "") else {
            return
        }
        if hasBegun {
            _ = responder.write(json)
            close()
            responder.end()
        } else {
            close()
            responder.respond(status: 200, fields: JSONGateway.fields, body: json)
        }
    }

    /// False: the client is behind.
    func send(_ message: ByteString) -> Bool {
        guard !isOver, let line = json(message, prefix: "{\"result\":", suffix: "}\n") else { return true }
        if !hasBegun {
            hasBegun = true
            responder.begin(status: 200, fields: JSONGateway.fields)
        }
        let hasRoom = responder.write(line)
        if !hasRoom { isBehind = true }
        return hasRoom
    }

    func flush() { if !isOver { responder.flush() } }

    func finish(_ status: GatewayStatus) {
        guard !isOver else { return }
        close()
        guard hasBegun else {
            // A stream of nothing.
            if status.code == 0 { return responder.respond(status: 200, fields: [], body: ByteString()) }
            let body = route.answerStreams ? status.line + "\n" : status.body
            return responder.respond(status: status.httpStatus, fields: JSONGateway.fields, body: body)
        }
        if status.code != 0 { _ = responder.write(status.line + "\n") }
        responder.end()
    }

    /// The message in JSON, or nil after ending the call: what the services said can't be said in JSON.
    private func json(_ message: ByteString, prefix: ByteString, suffix: ByteString) -> ByteString? {
        var writer = ByteWriter(capacity: message.count + message.count / 2 + 64)
        writer.append(prefix)
        do throws(WireFault) {
            try WireToJSON.append(message, message: route.answer, to: &writer)
        } catch {
            gateway.logger.error("an answer is no JSON", metadata: ["method": "\(route.call)", "reason": "\(error.message)"])
            fail(GatewayStatus(code: 13, message: error.message))
            return nil
        }
        writer.append(suffix)
        return writer.finish()
    }

    // MARK: Ends

    /// Ends a call that the services didn't end.
    private func fail(_ status: GatewayStatus) {
        let wasHandedOver = isHandedOver
        finish(status)
        if wasHandedOver { gateway.tell { $0.callCancelled(id) } }
    }

    func cancelled() {
        guard !isOver else { return }
        close()
        if isHandedOver { gateway.tell { $0.callCancelled(id) } }
    }

    private func close() {
        isOver = true
        gateway.closed(self)
        if isBodyHeld { responder.resumeBody() }
        _ = body.takeRest()
    }

    /// What is left of the body is read, and forgotten.
    private var isBodyHeld: Bool { isPaused || isBehind }
}

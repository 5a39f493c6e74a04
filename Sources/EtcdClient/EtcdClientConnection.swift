// Owns: a connection to an etcd or a Pine, and its calls by their names in the etcd API.
// Must never: be touched off its event loop, but for `connect` and the asynchronous calls.
// Invariant: a call that can't be started any more ends at once, as unavailable.
package import Bytes
package import EtcdAPI
package import GRPC
package import HTTP2
package import NIOCore
internal import NIOPosix
internal import Synchronization
package import TLS

/// Calls to one server over one connection.
///
/// On the connection's loop: `start`, `send`, `end`, and `unary`, whose answers go to a receiver. From anywhere: `call`.
package final class EtcdClientConnection: @unchecked Sendable {
    // Sendable because everything is touched on the event loop only; `call` and `close` go there first.
    package let eventLoop: any EventLoop
    private let calls: GRPCClientConnection
    private let methods: [GRPCClientMethod]

    private init(eventLoop: any EventLoop, endpoint: Endpoint, userAgent: String) {
        self.eventLoop = eventLoop
        var limits = HTTP2Limits()
        limits.streamWindowSize = 4 << 20
        limits.connectionWindowSize = 64 << 20
        // As etcd's own client: what a server may send is its own business.
        calls = GRPCClientConnection(limits: limits, messageLimit: Int(Int32.max))
        methods = EtcdMethod.allCases.map {
            // A watch asks for a leader, as kube-apiserver's do.
            GRPCClientMethod(
                path: $0.path, scheme: endpoint.isSecure ? "https" : "http", authority: endpoint.authority, userAgent: userAgent,
                metadata: $0 == .watch ? [("hasleader", "true")] : [])
        }
    }

    /// Connects to `endpoint`; the connection lives on `eventLoop`. Where the endpoint speaks TLS, `tls` says whom to trust: without
    /// it, the system's authorities.
    package static func connect(
        to endpoint: Endpoint, on eventLoop: any EventLoop, userAgent: String, tls: TLSConnector? = nil
    ) async throws(ConnectionFailure) -> EtcdClientConnection {
        do {
            return try await open(endpoint, eventLoop, userAgent, tls)
        } catch {
            throw ConnectionFailure(error)
        }
    }

    /// What is read at once, in bytes: long lists come in fewer turns, and all of it stays in the processor's cache.
    private static let readSize = 256 << 10

    private static func open(
        _ endpoint: Endpoint, _ eventLoop: any EventLoop, _ userAgent: String, _ tls: TLSConnector?
    ) async throws -> EtcdClientConnection {
        let connector = endpoint.isSecure ? try tls ?? TLSConnector(TLSClientSettings()) : nil
        let handshake = Mutex<EventLoopFuture<Void>?>(nil)
        let connection = EtcdClientConnection(eventLoop: eventLoop, endpoint: endpoint, userAgent: userAgent)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readSize))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let future = try connector?.add(to: channel, host: endpoint.certifiedName) { handshake.withLock { $0 = future } }
                    try channel.pipeline.syncOperations.addHandler(connection.calls.connection)
                }
            }
        switch endpoint.address {
        case .host(let host, let port): _ = try await bootstrap.connect(host: host, port: port).get()
        case .unixSocket(let path): _ = try await bootstrap.connect(unixDomainSocketPath: path).get()
        }
        try await handshake.withLock { $0 }?.get()
        return connection
    }

    // MARK: On the loop

    /// Called once the connection is gone, after the last call has ended.
    package func onClose(_ body: @escaping (String) -> Void) { calls.onClose = body }

    /// What is started until `endBatch` goes out in one piece.
    package func beginBatch() { calls.connection.beginBatch() }
    package func endBatch() { calls.connection.endBatch() }

    /// Starts a call with one request.
    package func unary(_ method: EtcdMethod, _ message: ByteString, _ receiver: any GRPCCallReceiver, tag: Int) {
        if !calls.unary(methods[Int(method.rawValue)], message, receiver, tag: tag) { refuse(receiver, tag) }
    }

    /// Starts a call; nil where the receiver has been told already that it can't be.
    package func start(_ method: EtcdMethod, _ receiver: any GRPCCallReceiver, tag: Int) -> StreamHandle? {
        let call = calls.start(methods[Int(method.rawValue)], receiver, tag: tag)
        if call == nil { refuse(receiver, tag) }
        return call
    }

    package func send(_ call: StreamHandle, _ message: ByteString) { calls.send(call, message) }
    /// The client sends no more on this call.
    package func end(_ call: StreamHandle) { calls.end(call) }
    package func cancel(_ call: StreamHandle) { calls.cancel(call) }

    /// Not at once: the caller may not expect to hear of the call before it knows of it.
    private func refuse(_ receiver: any GRPCCallReceiver, _ tag: Int) {
        let bound = NIOLoopBound(receiver, eventLoop: eventLoop)
        let reason = calls.connection.lossReason ?? "the connection is closed"
        eventLoop.execute { bound.value.callEnded(tag, GRPCStatus(.unavailable, reason)) }
    }

    // MARK: From anywhere

    /// Sends one request and waits for the answer.
    package func call<Answer: WireMessage>(
        _ method: EtcdMethod, _ request: some WireMessage, _ answer: Answer.Type
    ) async throws -> Answer {
        let message = request.encoded()
        let promise = eventLoop.makePromise(of: ByteString.self)
        eventLoop.execute {
            self.unary(method, message, UnaryCall(promise), tag: 0)
        }
        return try Answer.decode(try await promise.futureResult.get())
    }

    package func close() {
        eventLoop.execute { self.calls.connection.close("closed by the client") }
    }
}

/// Keeps the answer until the status says that it is one.
private final class UnaryCall: GRPCCallReceiver {
    private let promise: EventLoopPromise<ByteString>
    private var answer: ByteString?

    init(_ promise: EventLoopPromise<ByteString>) { self.promise = promise }

    func messageReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer) { answer = ByteString(copying: bytes) }

    func callEnded(_ tag: Int, _ status: GRPCStatus) {
        if status.code != .ok {
            promise.fail(status)
        } else if let answer {
            promise.succeed(answer)
        } else {
            promise.fail(GRPCStatus(.internal, "the server sent no answer"))
        }
    }
}

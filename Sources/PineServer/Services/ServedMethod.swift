// Owns: the methods that are served, by index, and what handles the calls of each.
// To add a method: its name in EtcdMethod and its messages in EtcdAPI, then an entry in its service's `methods` with its handler.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Replica

/// One method of a service.
struct ServedMethod: Sendable {
    /// What the engine is asked for the call's one message; its answer is the call's.
    typealias Question = @Sendable (ByteString, RequestLimits) throws(EtcdError) -> Request
    /// Handles one message.
    typealias Handler = @Sendable (Services, CallID, ByteString) throws(EtcdError) -> Void
    /// Handles what else happens on a bidirectional call.
    typealias Listener = @Sendable (Services, CallID) -> Void

    enum MessageHandling: Sendable {
        case asks(Question)
        case isHandled(Handler)
    }

    let method: EtcdMethod
    /// Whether its answers are never much larger than its requests: then no room is left for them while they are being made.
    let answersAreShort: Bool
    let message: MessageHandling
    private(set) var started: Listener?
    private(set) var inputEnded: Listener?

    /// A method with one message, which the engine answers.
    static func asking(_ method: EtcdMethod, answersAreShort: Bool = false, _ question: @escaping Question) -> ServedMethod {
        ServedMethod(method: method, answersAreShort: answersAreShort, message: .asks(question))
    }

    /// A method with one message, which its service handles.
    static func handling(_ method: EtcdMethod, answersAreShort: Bool = false, _ handler: @escaping Handler) -> ServedMethod {
        ServedMethod(method: method, answersAreShort: answersAreShort, message: .isHandled(handler))
    }

    /// A method with any number of messages both ways.
    static func conversing(
        _ method: EtcdMethod, started: @escaping Listener, message: @escaping Handler, inputEnded: Listener? = nil
    ) -> ServedMethod {
        ServedMethod(method: method, answersAreShort: false, message: .isHandled(message), started: started, inputEnded: inputEnded)
    }
}

extension ServedMethod {
    /// All of them. A method's place is its index.
    static let all: [ServedMethod] =
        KVService.methods + WatchService.methods + LeaseService.methods + ClusterService.methods + MaintenanceService.methods
        + AuthService.methods + HealthService.methods + LockService.methods + ElectionService.methods

    /// For the loops of gRPC.
    static var grpcMethods: [GRPCMethod] { all.map { GRPCMethod($0) } }
}

extension MethodIndex {
    /// Where a method is among those that are served; nil for one that isn't.
    init?(_ method: EtcdMethod) {
        guard let index = ServedMethod.all.firstIndex(where: { $0.method == method }) else { return nil }
        self.init(rawValue: index)
    }
}

extension GRPCMethod {
    fileprivate init(_ served: ServedMethod) {
        let kind: Kind =
            switch served.method.kind {
            case .unary: .unary
            case .serverStreaming: .serverStreaming
            case .bidirectional: .bidirectional
            }
        self.init(served.method.path, kind, answersAreShort: served.answersAreShort)
    }
}

extension GRPCStatus {
    init(_ error: EtcdError) {
        guard let code = Code(rawValue: error.code.rawValue) else { violated("gRPC has no code \(error.code.rawValue)") }
        self.init(code, error.text)
    }
}

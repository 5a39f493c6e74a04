// Owns: the Watch service: hands what clients send on their streams to the engine.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Replica

enum WatchService {
    // A client that will ask nothing more still wants its events.
    static let methods: [ServedMethod] = [.conversing(.watch, started: started, message: requested)]

    @Sendable private static func started(_ services: Services, _ call: CallID) {
        services.streams.opened(call)
        services.tell(.watchOpened(call, by: services.principal(of: call)))
        if services.caller.isFlagged(call) { services.tell(.leaderRequired(call)) }
    }

    @Sendable private static func requested(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: WatchRequest = try decode(message)
        services.tell(.watchRequested(call, request))
        switch services.watchGate.requested(on: call) {
        case .goesOn: break
        case .pauses(let asksEngine):
            services.caller.pauseInput(call)
            if asksEngine { services.whenTaken(resume) }
        }
    }

    /// The engine has taken what was asked before the streams paused.
    @Sendable private static func resume(_ services: Services) {
        for call in services.watchGate.taken() { services.caller.resumeInput(call) }
    }
}

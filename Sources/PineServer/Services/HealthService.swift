// Owns: gRPC's health service of one caller. The service "" and "readyz" ask whether calls are answered, "livez" whether the
// process is worth keeping.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import NIOCore

final class HealthService {
    static let methods: [ServedMethod] = [
        .handling(.healthCheck, answersAreShort: true) { services, call, message throws(EtcdError) in
            try services.health.check(services, call, message)
        },
        .handling(.healthWatch) { services, call, message throws(EtcdError) in
            try services.health.watch(services, call, message)
        },
    ]

    private struct Watch {
        var question: HealthQuestion
        /// What its client was told last.
        var told: HealthCheckResponse.ServingStatus?
    }

    private let health: Health
    private let caller: any Caller
    private var watches: [CallID: Watch] = [:]
    /// Looks at the watches while there are any.
    private var timer: RepeatedTask?

    /// How often those who watch are looked at.
    private static let interval = TimeAmount.seconds(1)

    init(_ health: Health, for caller: any Caller) {
        self.health = health
        self.caller = caller
    }

    private func check(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: HealthCheckRequest = try decode(message)
        guard let question = HealthQuestion(service: request.service) else {
            throw EtcdError(code: .notFound, text: "unknown service")
        }
        ask(question) { [caller] status in caller.respond(call, HealthCheckResponse(status: status).encoded()) }
    }

    /// How it is, at once and whenever that changes. The call never ends by itself.
    private func watch(_ services: Services, _ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: HealthCheckRequest = try decode(message)
        services.streams.opened(call)
        guard let question = HealthQuestion(service: request.service) else {
            // Somebody may serve it one day, says the protocol.
            _ = caller.send(call, HealthCheckResponse(status: .serviceUnknown).encoded())
            return
        }
        watches[call] = Watch(question: question)
        look()
        guard timer == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: caller.eventLoop)
        timer = caller.eventLoop.scheduleRepeatedTask(initialDelay: Self.interval, delay: Self.interval) { _ in
            bound.value.look()
        }
    }

    /// The call is over; it need not have been a watch.
    func forget(_ call: CallID) {
        if watches.removeValue(forKey: call) != nil, watches.isEmpty { stop() }
    }

    /// Nobody watches any more.
    func stop() {
        watches.removeAll()
        timer?.cancel()
        timer = nil
    }

    /// Asks for each of the questions that are watched, and tells those who have heard something else.
    private func look() {
        for question in Set(watches.values.map(\.question)) {
            ask(question) { [self] status in tell(question, status) }
        }
    }

    private func ask(_ question: HealthQuestion, _ then: @escaping (HealthCheckResponse.ServingStatus) -> Void) {
        health.isWell(question, on: caller.eventLoop).hop(to: caller.eventLoop).assumeIsolated().whenSuccess { [caller] isWell in
            caller.atOnce { then(isWell ? .serving : .notServing) }
        }
    }

    private func tell(_ question: HealthQuestion, _ status: HealthCheckResponse.ServingStatus) {
        let behind = watches.filter { $0.value.question == question && $0.value.told != status }.keys
        for call in behind.sorted(by: { $0.rawValue < $1.rawValue }) {
            watches[call]?.told = status
            _ = caller.send(call, HealthCheckResponse(status: status).encoded())
        }
    }
}

extension HealthQuestion {
    fileprivate init?(service: ByteString) {
        switch service {
        case "", "readyz": self = .readyz
        case "livez": self = .livez
        default: return nil
        }
    }
}

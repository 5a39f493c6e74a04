// Owns: gRPC's health service of one loop. The service "" and "readyz" ask whether calls are answered, "livez" whether the
// process is worth keeping.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import NIOCore

extension LoopServices {
    /// Answers a Check.
    func checkHealth(_ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: HealthCheckRequest = try decode(message)
        guard let question = HealthQuestion(service: request.service) else {
            throw EtcdError(code: .notFound, text: "unknown service")
        }
        health.isWell(question, on: calls.eventLoop).hop(to: calls.eventLoop).assumeIsolated().whenSuccess { [self] isWell in
            calls.atOnce { calls.respond(call, HealthCheckResponse(status: isWell ? .serving : .notServing).encoded()) }
        }
    }

    /// Begins a Watch: how it is, at once and whenever that changes. It never ends by itself.
    func watchHealth(_ call: CallID, _ message: ByteString) throws(EtcdError) {
        let request: HealthCheckRequest = try decode(message)
        guard let question = HealthQuestion(service: request.service) else {
            // Somebody may serve it one day, says the protocol.
            openStreams.insert(call)
            _ = calls.send(call, HealthCheckResponse(status: .serviceUnknown).encoded())
            return
        }
        openStreams.insert(call)
        healthWatches[call] = HealthWatch(question: question)
        lookAtHealth()
        guard healthTimer == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: calls.eventLoop)
        healthTimer = calls.eventLoop.scheduleRepeatedTask(initialDelay: healthInterval, delay: healthInterval) { _ in
            bound.value.lookAtHealth()
        }
    }

    func forgetHealthWatch(_ call: CallID) {
        guard healthWatches.removeValue(forKey: call) != nil, healthWatches.isEmpty else { return }
        healthTimer?.cancel()
        healthTimer = nil
    }

    /// Asks for each of the questions that are watched, and tells those who have heard something else.
    private func lookAtHealth() {
        for question in Set(healthWatches.values.map(\.question)) {
            health.isWell(question, on: calls.eventLoop).hop(to: calls.eventLoop).assumeIsolated().whenSuccess { [self] isWell in
                calls.atOnce { tell(question, isWell ? .serving : .notServing) }
            }
        }
    }

    private func tell(_ question: HealthQuestion, _ status: HealthCheckResponse.ServingStatus) {
        let behind = healthWatches.filter { $0.value.question == question && $0.value.told != status }.keys
        for call in behind.sorted(by: { $0.rawValue < $1.rawValue }) {
            healthWatches[call]?.told = status
            _ = calls.send(call, HealthCheckResponse(status: status).encoded())
        }
    }
}

struct HealthWatch {
    var question: HealthQuestion
    /// What its client was told last.
    var told: HealthCheckResponse.ServingStatus?
}

/// How often those who watch are looked at.
private let healthInterval = TimeAmount.seconds(1)

extension HealthQuestion {
    fileprivate init?(service: ByteString) {
        switch service {
        case "", "readyz": self = .readyz
        case "livez": self = .livez
        default: return nil
        }
    }
}

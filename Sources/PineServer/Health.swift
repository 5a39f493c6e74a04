// Owns: what is said of this process's health: the checks, who asks for which, and how often each came out how.
// Must never: call a process ready that can't answer a linearizable read, or one dead that waits for its database.
// Source: etcd's server/etcdserver/api/etcdhttp/health.go, whose paths, bodies and status codes this keeps.
internal import Bytes
internal import Changelog
internal import EtcdAPI
internal import HTTP1
internal import Keyspace
internal import NIOCore
internal import Replica
internal import Synchronization

/// One thing that can be well or not.
enum HealthCheck: String, CaseIterable {
    /// The engine's thread takes turns.
    case engine
    /// The rows of the log add up.
    case dataCorruption = "data_corruption"
    /// The log was folded, so that something can be read.
    case serializableRead = "serializable_read"
    /// PostgreSQL tells where the log ends, and the fold is there.
    case linearizableRead = "linearizable_read"
    /// The member has a vote. Every Pine may append.
    case nonLearner = "non_learner"

    /// What `/livez` asks: nothing that a restart would not help against.
    static let alive: [HealthCheck] = [.engine]
    /// What `/readyz` asks.
    static let ready: [HealthCheck] = [.dataCorruption, .serializableRead, .linearizableRead, .nonLearner]
}

/// Which question a check answers, as etcd's metrics name it.
enum HealthQuestion: String {
    case livez
    case readyz

    var checks: [HealthCheck] {
        switch self {
        case .livez: HealthCheck.alive
        case .readyz: HealthCheck.ready
        }
    }

    /// Checks that have a page of their own without being part of the whole: etcd's `/livez` is its serializable read, which Pine can't
    /// answer before it has reached PostgreSQL once.
    var furtherPages: [HealthCheck] {
        switch self {
        case .livez: [.serializableRead]
        case .readyz: []
        }
    }
}

final class Health: Sendable {
    struct Counters: Sendable {
        struct Check: Hashable {
            var question: String
            var name: String
        }

        /// Of `/health`.
        var succeeded: UInt64 = 0
        var failed: UInt64 = 0
        /// How often each check was well and not, and whether it was the last time.
        var checks: [Check: (well: UInt64, ill: UInt64, isWell: Bool)] = [:]
    }

    private let shared: SharedState
    let probes: Probes
    private let log: LogSlot
    private let state = Mutex(Counters())

    init(shared: SharedState, probes: Probes, log: LogSlot) {
        self.shared = shared
        self.probes = probes
        self.log = log
    }

    var counters: Counters { state.withLock { $0 } }

    // MARK: Checks

    func run(_ check: HealthCheck, on eventLoop: any EventLoop) -> EventLoopFuture<ProbeOutcome> {
        let status = shared.current
        func at(once outcome: ProbeOutcome) -> EventLoopFuture<ProbeOutcome> { eventLoop.makeSucceededFuture(outcome) }
        switch check {
        case .engine: return probes.ping(on: eventLoop)
        case .dataCorruption:
            return at(once: status.counters.isLogDamaged ? "the log's rows do not add up to its digest" : nil)
        case .serializableRead:
            guard status.hasFolded else { return at(once: reasonForNotServing) }
            return at(once: status.knowsMembers ? nil : "the members have not been read")
        case .linearizableRead:
            guard status.hasFolded else { return at(once: reasonForNotServing) }
            let log = log
            return probes.read(on: eventLoop).map { outcome in
                guard let outcome else { return nil }
                return log.workers?.counters.away ?? outcome
            }
        case .nonLearner: return at(once: nil)
        }
    }

    /// Nothing is served before the log is folded: because the database is away, or it takes a while.
    private var reasonForNotServing: String {
        guard let workers = log.workers else { return "waiting for PostgreSQL" }
        return workers.counters.away ?? "the log is being loaded"
    }

    /// Whether everything is well that the question asks for.
    func isWell(_ question: HealthQuestion, on eventLoop: any EventLoop) -> EventLoopFuture<Bool> {
        run(question.checks, on: eventLoop).map { outcomes in outcomes.allSatisfy { $0.outcome == nil } }
    }

    private func run(
        _ checks: [HealthCheck], on eventLoop: any EventLoop
    ) -> EventLoopFuture<[(check: HealthCheck, outcome: ProbeOutcome)]> {
        let outcomes = checks.map { check in run(check, on: eventLoop).map { (check: check, outcome: $0) } }
        return EventLoopFuture.whenAllSucceed(outcomes, on: eventLoop)
    }

    // MARK: Pages

    /// `/livez`, `/readyz` and what is below them.
    func page(_ question: HealthQuestion, check: String?, _ request: PageRequest, on eventLoop: any EventLoop)
        -> EventLoopFuture<PageResponse>
    {
        var checks = question.checks
        if let check {
            checks = (checks + question.furtherPages).filter { $0.rawValue == check }
            guard !checks.isEmpty else { return eventLoop.makeSucceededFuture(.notFound) }
        } else {
            let excluded = Set(request.values("exclude"))
            checks.removeAll { excluded.contains($0.rawValue) }
        }
        let isVerbose = request.has("verbose")
        return run(checks, on: eventLoop).map { [self] outcomes in
            count(question, outcomes)
            let lines = outcomes.map { check, outcome in
                outcome.map { "[-]\(check.rawValue) failed: \($0)\n" } ?? "[+]\(check.rawValue) ok\n"
            }
            guard outcomes.allSatisfy({ $0.outcome == nil }) else { return .error(503, lines.joined()) }
            return PageResponse(
                status: 200, body: (isVerbose ? lines.joined() : "") + "ok\n", fields: [.init("x-content-type-options", "nosniff")])
        }
    }

    /// `/health`: with `serializable=true` it asks whether this process can read, otherwise whether the whole can be read.
    func healthPage(_ request: PageRequest, on eventLoop: any EventLoop) -> EventLoopFuture<PageResponse> {
        if let reason = alarm(excluding: request.values("exclude")) { return eventLoop.makeSucceededFuture(ill(reason)) }
        let isSerializable = request.values("serializable").first == "true"
        var checks: [HealthCheck] = [.dataCorruption, isSerializable ? .serializableRead : .linearizableRead]
        // Etcd's name for it is the alarm's.
        if request.values("exclude").contains("CORRUPT") { checks.removeFirst() }
        return run(checks, on: eventLoop).map { [self] outcomes in
            guard let failed = outcomes.first(where: { $0.outcome != nil }), let reason = failed.outcome else {
                state.withLock { $0.succeeded += 1 }
                return PageResponse(status: 200, body: #"{"health":"true","reason":""}"#)
            }
            return ill(failed.check == .dataCorruption ? "ALARM CORRUPT" : "RANGE ERROR:\(reason)")
        }
    }

    /// The first alarm that was raised and is not excluded, in etcd's words.
    private func alarm(excluding excluded: [String]) -> String? {
        let alarms = shared.current.alarms
        if alarms.contains(.noSpace), !excluded.contains("NOSPACE") { return "ALARM NOSPACE" }
        if alarms.contains(.corrupt), !excluded.contains("CORRUPT") { return "ALARM CORRUPT" }
        return nil
    }

    private func ill(_ reason: String) -> PageResponse {
        state.withLock { $0.failed += 1 }
        return .error(503, #"{"health":"false","reason":\#(Quoted.json(reason))}"#)
    }

    private func count(_ question: HealthQuestion, _ outcomes: [(check: HealthCheck, outcome: ProbeOutcome)]) {
        state.withLock { counters in
            for (check, outcome) in outcomes {
                let key = Counters.Check(question: question.rawValue, name: check.rawValue)
                var counted = counters.checks[key] ?? (0, 0, true)
                if outcome == nil { counted.well += 1 } else { counted.ill += 1 }
                counted.isWell = outcome == nil
                counters.checks[key] = counted
            }
        }
    }
}

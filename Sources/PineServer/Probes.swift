// Owns: questions of our own to the engine, for those who ask how we are: whether its thread lives, and whether a linearizable
// read is answered.
// Invariant: at most one read is under way, however many ask; who comes meanwhile shares its answer.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace
internal import NIOCore
internal import Replica
internal import Synchronization

/// How a probe ended: nil where all is well, otherwise what is not, in a few words.
typealias ProbeOutcome = String?

final class Probes: Sendable {
    private struct State {
        var nextNumber: UInt64 = 1
        /// The read that is under way.
        var id: CallID?
        var waiting: [EventLoopPromise<ProbeOutcome>] = []
    }

    private let engine: Engine
    /// In the place of a loop's number in the requests' ids.
    private let index: Int
    private let state = Mutex(State())
    /// How long the engine's thread may take to say that it is there.
    private static let pingTimeout = TimeAmount.seconds(5)
    /// How long PostgreSQL may take to say where the log ends. Longer than any healthy one needs; a prompt no is worth more to
    /// whoever asks than a late yes.
    private static let readTimeout = TimeAmount.seconds(2)

    init(engine: Engine, index: Int) {
        self.engine = engine
        self.index = index
    }

    /// Asks the engine's thread for a sign of life.
    func ping(on eventLoop: any EventLoop) -> EventLoopFuture<ProbeOutcome> {
        let promise = eventLoop.makePromise(of: ProbeOutcome.self)
        let once = Once(promise)
        let timer = eventLoop.scheduleTask(in: Probes.pingTimeout) { once.succeed("the engine does not answer") }
        engine.force(.ping { once.succeed(nil) })
        promise.futureResult.whenComplete { _ in timer.cancel() }
        return promise.futureResult
    }

    /// Asks for a linearizable read of nothing.
    func read(on eventLoop: any EventLoop) -> EventLoopFuture<ProbeOutcome> {
        let promise = eventLoop.makePromise(of: ProbeOutcome.self)
        let started = state.withLock { state -> CallID? in
            state.waiting.append(promise)
            guard state.id == nil else { return nil }
            let id = CallID(rawValue: UInt64(index) << 56 | state.nextNumber)
            state.nextNumber += 1
            state.id = id
            return id
        }
        if let started {
            eventLoop.scheduleTask(in: Probes.readTimeout) { [self] in
                if finish(started, "PostgreSQL does not answer") { engine.force(.event(.requestCancelled(started))) }
            }
            engine.force(.event(.requestArrived(started, .revision(linearizable: true), by: .anonymous)))
        }
        return promise.futureResult
    }

    /// What the engine says to the reads' ids.
    func answered(_ batch: [Outgoing]) {
        for outgoing in batch {
            switch outgoing {
            case .revision(let id, _): _ = finish(id, nil)
            case .fail(let id, let error): _ = finish(id, error.text)
            case .slow: break
            case .respond, .send, .sendParts, .finish: violated("a read of nothing is answered by a revision")
            }
        }
    }

    /// False where it is over already.
    private func finish(_ id: CallID, _ outcome: ProbeOutcome) -> Bool {
        let waiting = state.withLock { state -> [EventLoopPromise<ProbeOutcome>]? in
            guard state.id == id else { return nil }
            state.id = nil
            defer { state.waiting = [] }
            return state.waiting
        }
        guard let waiting else { return false }
        for promise in waiting { promise.succeed(outcome) }
        return true
    }
}

/// A promise that whoever comes first may keep.
private final class Once: Sendable {
    private let promise: Mutex<EventLoopPromise<ProbeOutcome>?>

    init(_ promise: EventLoopPromise<ProbeOutcome>) { self.promise = Mutex(promise) }

    func succeed(_ outcome: ProbeOutcome) {
        let promise = promise.withLock { promise in
            defer { promise = nil }
            return promise
        }
        promise?.succeed(outcome)
    }
}

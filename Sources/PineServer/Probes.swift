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
    private let engine: Engine
    /// Among those who ask the engine.
    private let index: Int
    private let reads = ProbeReads()
    /// How long the engine's thread may take to say that it is there.
    private static let pingTimeout = TimeAmount.seconds(5)
    /// How long PostgreSQL may take to say where the log ends. Longer than any healthy one needs; a prompt no is worth more to
    /// whoever asks than a late yes.
    private static let readTimeout = TimeAmount.seconds(2)

    init(engine: Engine) {
        self.engine = engine
        index = engine.callers.register { [reads] in reads.answered($0) }
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
        guard let started = reads.joined(promise, caller: index) else { return promise.futureResult }
        eventLoop.scheduleTask(in: Probes.readTimeout) { [engine, reads] in
            if reads.ended(started, "PostgreSQL does not answer") { engine.force(.event(.requestCancelled(started))) }
        }
        engine.force(.event(.requestArrived(started, .revision(linearizable: true, needs: .nothing), by: .anonymous)))
        return promise.futureResult
    }
}

/// The read that is under way, and those who wait for it.
private final class ProbeReads: Sendable {
    private struct State {
        var nextNumber: UInt64 = 1
        /// The read that is under way.
        var call: CallID?
        var waiting: [EventLoopPromise<ProbeOutcome>] = []
    }

    private let state = Mutex(State())

    /// Somebody waits for a read. Returns the call that is to be made where none is under way.
    func joined(_ promise: EventLoopPromise<ProbeOutcome>, caller: Int) -> CallID? {
        state.withLock { state in
            state.waiting.append(promise)
            guard state.call == nil else { return nil }
            let call = CallID(rawValue: UInt64(caller) << 56 | state.nextNumber)
            state.nextNumber += 1
            state.call = call
            return call
        }
    }

    /// What the engine says to the reads.
    func answered(_ answers: [CallAnswer]) {
        for (call, answer) in answers {
            switch answer {
            case .revision: _ = ended(call, nil)
            case .fail(let error): _ = ended(call, error.text)
            case .slow: break
            case .respond, .send, .sendParts, .finish, .auth: violated("a read of nothing is answered by a revision")
            }
        }
    }

    /// False where it is over already.
    func ended(_ call: CallID, _ outcome: ProbeOutcome) -> Bool {
        let waiting = state.withLock { state -> [EventLoopPromise<ProbeOutcome>]? in
            guard state.call == call else { return nil }
            state.call = nil
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

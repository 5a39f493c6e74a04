// Owns: clients that write and read without pause through every fault, and what each of them knows afterwards.
// Must never: send the same value twice, so that each row in the log names the one request that made it.
import Bytes
import EtcdAPI
import Foundation
import Synchronization
import TestSupport

/// One request that was sent, and what its client heard.
struct SentWrite: Sendable {
    enum Fate: Sendable {
        /// Answered: it took this revision.
        case acknowledged(revision: Revision)
        /// A transaction whose comparison failed: nothing was written.
        case declined
        /// No answer, or one that leaves the outcome open.
        case unknown
    }

    /// The value that every put of the request writes; no other request's does.
    let tag: ByteString
    let puts: Set<ByteString>
    let deletes: Set<ByteString>
    var fate: Fate
}

/// What a linearizable read of one key said.
struct SeenState: Sendable {
    let revision: Revision
    let key: ByteString
    let found: KeyValue?
}

/// What broke a promise, in words.
struct BrokenPromise: Error, CustomStringConvertible {
    let description: String
}

/// Clients against the ports of one store, each a thread with a connection of its own that it makes anew when it is lost.
final class WriteLoad: Sendable {
    private struct State {
        var stopping = false
        var acknowledged: [Int: Int] = [:]
        var writes: [SentWrite] = []
        var seen: [SeenState] = []
        var broken: [BrokenPromise] = []
        var running = 0
        var watchFrom: ContinuousClock.Instant?
        /// When the first acknowledgement came, on each port, of a write sent after `watchFrom`.
        var firstAnswer: [Int: ContinuousClock.Instant] = [:]
        /// The ports whose server does not run now, though it takes connections.
        var stopped: Set<Int> = []
        var stops: [(port: Int, until: ContinuousClock.Instant)] = []
        /// What every read that begins now must see, on any port.
        var floor = Floor()
    }

    /// What has been acknowledged to anybody.
    struct Floor: Sendable {
        var revision: Revision = 0
        /// The revision of the last acknowledged put of each key that is never deleted.
        var keys: [ByteString: Revision] = [:]
    }

    let ports: [Int]
    private let state = Mutex(State())

    /// Keys that every client increments by compare-and-swap.
    static let counters: [ByteString] = ["counter/a", "counter/b"]

    /// `clients` take the ports in turn. `pause` is how long each client waits between two requests.
    init(ports: [Int], clients: Int, seed: UInt64, pause: Duration = .zero) {
        self.ports = ports
        state.withLock { $0.running = clients }
        for number in 0..<clients {
            let thread = Thread { [self] in
                var client = LoadClient(
                    number: number, port: ports[number % ports.count], seed: seed &+ UInt64(number), pause: pause, load: self)
                client.run()
                state.withLock { $0.running -= 1 }
            }
            thread.name = "load-\(number)"
            thread.start()
        }
    }

    /// Over all ports, or on one.
    func acknowledged(on port: Int? = nil) -> Int {
        state.withLock { state in port.map { state.acknowledged[$0] ?? 0 } ?? state.acknowledged.values.reduce(0, +) }
    }

    /// Waits until `count` more writes are acknowledged.
    func awaitAcknowledged(_ count: Int, on port: Int? = nil, timeout: Duration = .seconds(30)) throws {
        let goal = acknowledged(on: port) + count
        try eventuallyBlocking("\(count) more acknowledged writes", timeout: timeout) {
            if let broken { throw broken }
            return acknowledged(on: port) >= goal
        }
    }

    /// How long after `instant` the first answer came to a write that was sent after it, on the port where that took longest.
    /// Waits for it.
    func serviceBack(
        after instant: ContinuousClock.Instant, on ports: [Int]? = nil, timeout: Duration = .seconds(30)
    ) throws -> Duration {
        state.withLock {
            $0.watchFrom = instant
            $0.firstAnswer = [:]
        }
        var back: [ContinuousClock.Instant] = []
        let ports = ports ?? self.ports
        try eventuallyBlocking("an acknowledged write on each port", timeout: timeout) {
            if let broken { throw broken }
            back = state.withLock { state in ports.compactMap { state.firstAnswer[$0] } }
            return back.count == ports.count
        }
        return instant.duration(to: back.max() ?? instant)
    }

    /// The server at `port` is about to be stopped by a signal: its clients may wait in vain until `continued`.
    func stopping(_ port: Int) { state.withLock { _ = $0.stopped.insert(port) } }

    func continued(_ port: Int) {
        state.withLock {
            $0.stopped.remove(port)
            $0.stops.append((port, .now))
        }
    }

    /// Ends the clients and gives everything that was sent. Throws the first broken promise.
    func stop() throws -> [SentWrite] {
        state.withLock { $0.stopping = true }
        try eventuallyBlocking("the end of the clients", timeout: .seconds(40)) { state.withLock { $0.running == 0 } }
        return try state.withLock {
            if let broken = $0.broken.first { throw broken }
            return $0.writes
        }
    }

    /// What the reads saw. Reads are only kept as long as there are not too many of them for a test to check.
    var seen: [SeenState] { state.withLock { $0.seen } }

    var broken: BrokenPromise? { state.withLock { $0.broken.first } }

    // MARK: From the clients

    private static let seenLimit = 200_000

    var isStopping: Bool { state.withLock { $0.stopping } }

    var floor: Floor { state.withLock { $0.floor } }

    func record(_ write: SentWrite, on port: Int, sent: ContinuousClock.Instant) {
        state.withLock { state in
            state.writes.append(write)
            guard case .acknowledged(let revision) = write.fate else { return }
            state.acknowledged[port, default: 0] += 1
            state.floor.revision = max(state.floor.revision, revision)
            for key in write.puts where !isFleeting(key) {
                state.floor.keys[key] = max(state.floor.keys[key] ?? 0, revision)
            }
            if let from = state.watchFrom, sent >= from, state.firstAnswer[port] == nil { state.firstAnswer[port] = .now }
        }
    }

    func record(_ seen: SeenState) {
        state.withLock { if $0.seen.count < Self.seenLimit { $0.seen.append(seen) } }
    }

    func report(_ broken: BrokenPromise) { state.withLock { $0.broken.append(broken) } }

    /// Whether a request sent at `instant` may have met a server that was stopped.
    func wasStopped(_ port: Int, since instant: ContinuousClock.Instant) -> Bool {
        state.withLock { state in
            state.stopped.contains(port) || state.stops.contains { $0.port == port && $0.until >= instant }
        }
    }
}

/// Whether a key is put and deleted in turns.
private func isFleeting(_ key: ByteString) -> Bool { key.withUnsafeBytes { $0.starts(with: "fleeting/".utf8) } }

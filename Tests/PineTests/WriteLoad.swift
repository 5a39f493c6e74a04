// Owns: clients that write without pause through every crash, and what each of them knows afterwards.
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
        case acknowledged(revision: Int64)
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

/// What broke a promise, in words.
struct BrokenPromise: Error, CustomStringConvertible {
    let description: String
}

/// Clients against one port, each a thread with a connection of its own that it makes anew when it is lost.
final class WriteLoad: Sendable {
    private struct State {
        var stopping = false
        var acknowledged = 0
        var writes: [SentWrite] = []
        var broken: [BrokenPromise] = []
        var running = 0
        var watchFrom: ContinuousClock.Instant?
        /// When the first acknowledgement came of a write sent after `watchFrom`.
        var firstAnswer: ContinuousClock.Instant?
    }

    private let port: Int
    private let state = Mutex(State())

    /// Keys that every client increments by compare-and-swap.
    static let counters: [ByteString] = ["counter/a", "counter/b"]

    init(port: Int, clients: Int, seed: UInt64) {
        self.port = port
        state.withLock { $0.running = clients }
        for number in 0..<clients {
            let thread = Thread { [self] in
                var client = LoadClient(number: number, port: port, seed: seed &+ UInt64(number), load: self)
                client.run()
                state.withLock { $0.running -= 1 }
            }
            thread.name = "load-\(number)"
            thread.start()
        }
    }

    var acknowledged: Int { state.withLock { $0.acknowledged } }

    /// Waits until `count` more writes are acknowledged.
    func awaitAcknowledged(_ count: Int, timeout: Duration = .seconds(30)) throws {
        let goal = acknowledged + count
        try eventuallyBlocking("\(count) more acknowledged writes", timeout: timeout) { acknowledged >= goal }
    }

    /// How long after `instant` the first answer came to a request that was sent after it. Waits for it.
    func serviceBack(after instant: ContinuousClock.Instant, timeout: Duration = .seconds(30)) throws -> Duration {
        state.withLock {
            $0.watchFrom = instant
            $0.firstAnswer = nil
        }
        var back: ContinuousClock.Instant?
        try eventuallyBlocking("an acknowledged write", timeout: timeout) {
            back = state.withLock { $0.firstAnswer }
            return back != nil
        }
        return instant.duration(to: back!)
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

    // MARK: From the clients

    var isStopping: Bool { state.withLock { $0.stopping } }

    func record(_ write: SentWrite, sent: ContinuousClock.Instant) {
        state.withLock {
            $0.writes.append(write)
            guard case .acknowledged = write.fate else { return }
            $0.acknowledged += 1
            if let from = $0.watchFrom, sent >= from, $0.firstAnswer == nil { $0.firstAnswer = .now }
        }
    }

    func report(_ broken: BrokenPromise) { state.withLock { $0.broken.append(broken) } }
}

private struct LoadClient {
    let number: Int
    let port: Int
    var random: SeededGenerator
    let load: WriteLoad
    private var client: EtcdClient?
    private var sent = 0
    /// The highest revision that any answer has shown: time never runs backwards for a client.
    private var seen: Int64 = 0
    /// The revision of the last acknowledged write of each key that only this client writes.
    private var written: [ByteString: Int64] = [:]

    init(number: Int, port: Int, seed: UInt64, load: WriteLoad) {
        self.number = number
        self.port = port
        random = SeededGenerator(seed: seed)
        self.load = load
    }

    /// Longer than Pine waits for its database before it says so.
    private static let timeout = Duration.seconds(10)

    mutating func run() {
        while !load.isStopping {
            guard let client = connected() else {
                // The server is down; a client that asks again at once would only take its processor time.
                usleep(5_000)
                continue
            }
            do {
                switch random.number(0...99) {
                case ..<50: try write(client, single())
                case ..<75: try write(client, several())
                case ..<85: try increment(client)
                default: try readBack(client)
                }
            } catch let error as EtcdClientError {
                // UNAVAILABLE and a lost connection are what clients are told to expect. A deadline that passes without an answer
                // is not: Pine says itself when it can't reach its database.
                let isExpected =
                    switch error {
                    case .status(let status): status.code == .unavailable
                    case .connectionLost: true
                    default: false
                    }
                guard isExpected else {
                    load.report(BrokenPromise(description: "client \(number): \(error)"))
                    return
                }
                if !client.isConnected { self.client = nil }
                usleep(2_000)
            } catch let broken as BrokenPromise {
                load.report(broken)
                return
            } catch {
                load.report(BrokenPromise(description: "client \(number): \(error)"))
                return
            }
        }
    }

    private mutating func connected() -> EtcdClient? {
        if let client, client.isConnected { return client }
        client = try? EtcdClient(port: port)
        return client
    }

    private mutating func nextTag() -> ByteString {
        sent += 1
        // Some values are large enough for a batch to take more than one page.
        let padding = random.chance(0.05) ? String(repeating: "x", count: random.number(1_000...20_000)) : ""
        return ByteString("\(number)-\(sent)-\(padding)")
    }

    private mutating func ownKey() -> ByteString { ByteString("client/\(number)/\(random.number(0...19))") }

    // MARK: Requests

    private mutating func single() -> (KVRequest, SentWrite) {
        let tag = nextTag()
        let key = ownKey()
        return (.put(PutRequest(key: key, value: tag)), SentWrite(tag: tag, puts: [key], deletes: [], fate: .unknown))
    }

    /// Puts several keys, some of them other clients' business, too, and makes or deletes one.
    private mutating func several() -> (KVRequest, SentWrite) {
        let tag = nextTag()
        let own = ownKey()
        var puts: Set<ByteString> = [own, ByteString("shared/\(random.number(0...3))")]
        for _ in 0..<random.number(0...6) { puts.insert(ByteString("many/\(number)/\(random.number(0...29))")) }
        var deletes: Set<ByteString> = []
        let fleeting = ByteString("fleeting/\(number)")
        if random.chance(0.5) { deletes = [fleeting] } else { puts.insert(fleeting) }
        let operations =
            puts.sorted().map { RequestOp.put(PutRequest(key: $0, value: tag)) }
            + deletes.map { .deleteRange(DeleteRangeRequest(key: $0)) }
        return (.txn(TxnRequest(success: operations)), SentWrite(tag: tag, puts: puts, deletes: deletes, fate: .unknown))
    }

    private mutating func write(_ client: EtcdClient, _ request: (body: KVRequest, write: SentWrite)) throws {
        var write = request.write
        let started = ContinuousClock.now
        defer { load.record(write, sent: started) }
        let header: ResponseHeader? =
            switch request.body {
            case .put(let put): try client.call(.put, put, answer: PutResponse.self, timeout: Self.timeout).header
            case .txn(let txn): try client.call(.txn, txn, answer: TxnResponse.self, timeout: Self.timeout).header
            default: throw BrokenPromise(description: "no such load")
            }
        let revision = header?.revision ?? 0
        write.fate = .acknowledged(revision: revision)
        try see(revision)
        for key in write.puts { written[key] = revision }
    }

    /// Reads a counter and raises it, if nobody has in between.
    private mutating func increment(_ client: EtcdClient) throws {
        let key = random.pick(WriteLoad.counters)
        let before = try client.get(key)
        try see(before.header?.revision ?? 0)
        let tag = nextTag()
        let modified = before.kvs.first?.modRevision ?? 0
        let own = ByteString("counted/\(number)")
        let txn = TxnRequest(
            compare: [Compare(target: .mod, key: key, targetUnion: .modRevision(modified))],
            success: [.put(PutRequest(key: key, value: tag)), .put(PutRequest(key: own, value: tag))])
        var write = SentWrite(tag: tag, puts: [key, own], deletes: [], fate: .unknown)
        let started = ContinuousClock.now
        defer { load.record(write, sent: started) }
        let answer = try client.call(.txn, txn, answer: TxnResponse.self, timeout: Self.timeout)
        let revision = answer.header?.revision ?? 0
        try see(revision)
        write.fate = answer.succeeded ? .acknowledged(revision: revision) : .declined
    }

    /// A key that only this client writes must show its last acknowledged write, or one that came later.
    private mutating func readBack(_ client: EtcdClient) throws {
        let key = ownKey()
        let answer = try client.get(key)
        try see(answer.header?.revision ?? 0)
        let found = answer.kvs.first?.modRevision ?? 0
        guard let expected = written[key], found < expected else { return }
        throw BrokenPromise(description: "client \(number) reads \(key) at \(found), and it was acknowledged at \(expected)")
    }

    private mutating func see(_ revision: Int64) throws {
        if revision < seen { throw BrokenPromise(description: "client \(number) saw revision \(seen), then \(revision)") }
        seen = revision
    }
}

// Owns: one client of the load: what it sends, and what it takes the answers for.
// Must never: take an answer that leaves the outcome open for either of the two.
import Bytes
import EtcdAPI
import Foundation
import TestSupport

/// A client with a connection of its own to one server.
struct LoadClient {
    let number: Int
    let port: Int
    private var random: SeededGenerator
    private let load: WriteLoad
    private let pause: Duration
    private var client: EtcdClient?
    private var sent = 0
    /// The highest revision that any answer has shown: time never runs backwards for a client.
    private var seen: Revision = 0

    init(number: Int, port: Int, seed: UInt64, pause: Duration, load: WriteLoad) {
        self.number = number
        self.port = port
        random = SeededGenerator(seed: seed)
        self.load = load
        self.pause = pause
    }

    /// Longer than Pine waits for its database before it says so, on a machine that is busy with other things, too.
    static let timeout = Duration.seconds(15)

    mutating func run() {
        while !load.isStopping {
            guard let client = connected() else {
                // The server is down; a client that asks again at once would only take its processor time.
                usleep(5_000)
                continue
            }
            if pause > .zero { Thread.sleep(forTimeInterval: pause / .seconds(1)) }
            let started = ContinuousClock.now
            do {
                switch random.number(0...99) {
                case ..<50: try write(client, single())
                case ..<75: try write(client, several())
                case ..<85: try increment(client)
                default: try readBack(client)
                }
            } catch let error as EtcdClientError {
                // UNAVAILABLE and a lost connection are what clients are told to expect. A deadline that passes without an answer
                // is not: Pine says itself when it can't reach its database, unless it is stopped itself.
                let isExpected =
                    switch error {
                    case .status(let status): status.code == .unavailable
                    case .connectionLost: true
                    case .deadlinePassed: load.wasStopped(port, since: started)
                    default: false
                    }
                guard isExpected else {
                    let after = started.duration(to: .now)
                    load.report(BrokenPromise(description: "client \(number), after \(after): \(error)"))
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
        let padding = random.chance(0.02) ? String(repeating: "x", count: random.number(1_000...20_000)) : ""
        return ByteString("\(number)-\(sent)-\(padding)")
    }

    private mutating func ownKey() -> ByteString { ByteString("client/\(number)/\(random.number(0...19))") }

    private mutating func sharedKey() -> ByteString { ByteString("shared/\(random.number(0...3))") }

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
        var puts: Set<ByteString> = [own, sharedKey()]
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
        defer { load.record(write, on: port, sent: started) }
        let header: ResponseHeader? =
            switch request.body {
            case .put(let put): try client.call(.put, put, answer: PutResponse.self, timeout: Self.timeout).header
            case .txn(let txn): try client.call(.txn, txn, answer: TxnResponse.self, timeout: Self.timeout).header
            default: throw BrokenPromise(description: "no such load")
            }
        let revision = header?.revision ?? 0
        write.fate = .acknowledged(revision: revision)
        try see(revision)
    }

    /// Reads a counter and raises it, if nobody has in between.
    private mutating func increment(_ client: EtcdClient) throws {
        let key = random.pick(WriteLoad.counters)
        let before = try client.call(.range, RangeRequest(key: key), answer: RangeResponse.self, timeout: Self.timeout)
        try see(before.header?.revision ?? 0)
        let tag = nextTag()
        let modified = before.kvs.first?.modRevision ?? 0
        let own = ByteString("counted/\(number)")
        let txn = TxnRequest(
            compare: [Compare(target: .mod, key: key, targetUnion: .modRevision(modified))],
            success: [.put(PutRequest(key: key, value: tag)), .put(PutRequest(key: own, value: tag))])
        var write = SentWrite(tag: tag, puts: [key, own], deletes: [], fate: .unknown)
        let started = ContinuousClock.now
        defer { load.record(write, on: port, sent: started) }
        let answer = try client.call(.txn, txn, answer: TxnResponse.self, timeout: Self.timeout)
        let revision = answer.header?.revision ?? 0
        try see(revision)
        write.fate = answer.succeeded ? .acknowledged(revision: revision) : .declined
    }

    /// Whatever was acknowledged to anybody before a linearizable read began, on any server, it must show.
    private mutating func readBack(_ client: EtcdClient) throws {
        let floor = load.floor
        let key = random.chance(0.2) ? random.pick(WriteLoad.counters) : random.chance(0.5) ? ownKey() : sharedKey()
        let answer = try client.call(.range, RangeRequest(key: key), answer: RangeResponse.self, timeout: Self.timeout)
        let revision = answer.header?.revision ?? 0
        try see(revision)
        let found = answer.kvs.first
        load.record(SeenState(revision: revision, key: key, found: found))
        if revision < floor.revision {
            throw BrokenPromise(
                description: "a stale read: client \(number) at \(port) was answered at revision \(revision) after "
                    + "\(floor.revision) had been acknowledged")
        }
        if let expected = floor.keys[key], found?.modRevision ?? 0 < expected {
            throw BrokenPromise(
                description: "a stale read: client \(number) at \(port) reads \(key) at \(found?.modRevision ?? 0), and it was "
                    + "acknowledged at \(expected)")
        }
    }

    private mutating func see(_ revision: Revision) throws {
        if revision < seen { throw BrokenPromise(description: "client \(number) saw revision \(seen), then \(revision)") }
        seen = revision
    }
}

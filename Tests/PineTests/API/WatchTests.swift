// Owns: what watchers see end to end: real Pines on a real PostgreSQL, writers that never pause.
import Bytes
import EtcdAPI
import Foundation
import Synchronization
import TestSupport
import Testing

/// `PINE_TEST_SCALE=10` makes these tests ten times as large.
let testScale = ProcessInfo.processInfo.environment["PINE_TEST_SCALE"].flatMap { Int($0) } ?? 1

@Suite("Watches of a server", .serialized, .ownThreads)
struct WatchTests {
    @Test("100 watchers started at random old revisions, while others write, each see exactly the history")
    func seam() throws {
        let seed = testSeed("WatchTests.seam")
        let postgres = try PostgresServer()
        let port = try freePort()
        let arguments = ["--postgres", postgres.connectionString, "--listen-client-urls", "http://127.0.0.1:\(port)"]
        var pine = try PineProcess(arguments)
        let load = WriteLoad(ports: [port], clients: 4, seed: seed)
        try load.awaitAcknowledged(600 * testScale, timeout: .seconds(60))
        // What was written so far is in PostgreSQL only from here on; what comes is in memory, too.
        pine.kill()
        try pine.waitForExit()
        pine = try PineProcess(arguments)
        try load.awaitAcknowledged(200 * testScale, timeout: .seconds(60))
        let end = Mutex<Revision?>(nil)
        let started = Mutex(0)
        let readers = Mutex<[WatchReader]>([])
        let reading = Mutex<(any Error)?>(nil)
        let group = DispatchGroup()
        group.enter()
        Thread {
            do {
                try inThreads(20) { index in
                    var random = SeededGenerator(seed: seed &+ UInt64(index))
                    let client = try EtcdClient(port: port, windowSize: random.pick([64 << 10, 8 << 20]))
                    let head = try client.get("x").header!.revision
                    let requests = (0..<5).map { _ in
                        var request = random.watch()
                        request.startRevision = Revision(random.number(2...Int(head.rawValue)))
                        return request
                    }
                    let reader = try WatchReader(client, requests)
                    try reader.awaitCreated()
                    started.withLock { $0 += 1 }
                    // Some read only once all is written.
                    if random.chance(0.3) {
                        try eventuallyBlocking("the end of the writers", timeout: .seconds(120)) { end.withLock { $0 != nil } }
                    }
                    try reader.read { end.withLock { $0 } }
                    readers.withLock { $0.append(reader) }
                }
            } catch {
                reading.withLock { $0 = error }
            }
            group.leave()
        }.start()
        try eventuallyBlocking("the watches", timeout: .seconds(60)) {
            if let error = reading.withLock({ $0 }) { throw error }
            return started.withLock { $0 } == 20
        }
        try load.awaitAcknowledged(600 * testScale, timeout: .seconds(60))
        _ = try load.stop()
        let last = try EtcdClient(port: port).get("x").header!.revision
        end.withLock { $0 = last }
        group.wait()
        if let error = reading.withLock({ $0 }) { throw error }
        let history = try Verdict([]) { try postgres.psql($0) }.rows.compactMap { Change($0) }
        for reader in readers.withLock({ $0 }) { try reader.compare(with: history, through: last) }
        let events = readers.withLock { $0.reduce(0) { $0 + $1.changes.reduce(0) { $0 + $1.count } } }
        print("WatchTests: 100 watchers were sent \(events) events of \(history.count) changes")
        #expect(events > 1_000)
    }

    @Test("Streams that stop reading cost a bounded buffer and no writer; when they read on they get everything, in order")
    func stalled() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let writer = try EtcdClient(port: pine.port)
        let value = ByteString([UInt8](repeating: 7, count: 8 << 10))
        func write(_ count: Int) throws -> (slowest: Duration, all: Duration) {
            let began = ContinuousClock.now
            var slowest = Duration.zero
            for number in 0..<count {
                let before = ContinuousClock.now
                _ = try writer.put(ByteString("stalled/\(number % 7)"), value)
                slowest = max(slowest, before.duration(to: .now))
            }
            return (slowest, began.duration(to: .now))
        }
        let alone = try write(500)
        let clients = try (0..<10).map { _ in try EtcdClient(port: pine.port, windowSize: 64 << 10) }
        let prefix = WatchCreateRequest(key: "stalled/", rangeEnd: "stalled0")
        let readers = try (0..<50 * testScale).map { try WatchReader(clients[$0 % 10], [prefix]) }
        for reader in readers { try reader.awaitCreated() }
        let before = ProcessTable.residentBytes(of: pine.processIdentifier)
        let first = try writer.get("x").header!.revision
        // Several times what a stream may have under way, of which many streams have a smaller share.
        let count = max(2_000 / testScale, 200)
        let stalled = try write(count)
        let growth = ProcessTable.residentBytes(of: pine.processIdentifier) - before
        let unread = readers.count * count * value.count
        print(
            """
            WatchTests: 500 writes took \(alone.all) alone, \(count) took \(stalled.all) with \(readers.count) stalled streams \
            (the slowest \(stalled.slowest)); memory grew by \(growth >> 20) MiB, \(unread >> 20) MiB are unread
            """)
        // The values themselves stay in memory, once for the store; all streams together have 64 MiB under way, and each
        // connection what its sockets hold.
        #expect(growth < count * value.count + 150 << 20)
        #expect(stalled.slowest < .seconds(5))
        // Nobody else waits for them.
        let live = try WatchReader(writer, [prefix])
        try live.awaitCreated()
        let last = try writer.put("stalled/last", "v").header!.revision
        while live.changes[0].isEmpty { try live.next(timeout: .seconds(20)) }
        #expect(live.changes[0][0].revision == last)
        for reader in readers {
            try reader.read { last }
            let seen = reader.changes[0].map(\.revision)
            #expect(seen == Array(first + 1...last))
        }
    }

    @Test("A stalled watch that compaction overtakes gets what was on its way, and then the compact revision")
    func compacted() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let writer = try EtcdClient(port: pine.port)
        let reader = try WatchReader(
            try EtcdClient(port: pine.port, windowSize: 64 << 10), [WatchCreateRequest(key: "k", startRevision: 1)])
        let value = ByteString([UInt8](repeating: 7, count: 64 << 10))
        var last: Revision = 0
        for _ in 0..<300 { last = try writer.put("k", value).header!.revision }
        _ = try writer.compact(last, physical: true)
        while reader.compactRevisions[0] == nil { try reader.next(timeout: .seconds(20)) }
        #expect(reader.compactRevisions[0] == last)
        let seen = reader.changes[0].map(\.revision)
        #expect(!seen.isEmpty && seen.count < 300)
        #expect(seen == Array(2..<Revision(2 + seen.count)))
        // Its stream goes on, and progress is not held up by it.
        reader.stream.send(WatchRequest.progress(WatchProgressRequest()))
        reader.stream.send(WatchRequest.create(WatchCreateRequest(key: "k", startRevision: last, watchID: 7)))
        #expect(try reader.stream.receive()?.created == true)
        #expect(try reader.stream.receive()?.events.first?.kv?.modRevision == last)
        reader.stream.send(WatchRequest.progress(WatchProgressRequest()))
        #expect(try reader.stream.receive()?.watchID == -1)
    }

    @Test("Clients that vanish, and watches made and cancelled in a loop, leave nothing behind")
    func hygiene() throws {
        let postgres = try PostgresServer()
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let writer = try EtcdClient(port: pine.port)
        let value = ByteString([UInt8](repeating: 7, count: 16 << 10))
        // Its connection for old rows is made when they are wanted first.
        let old = try WatchReader(writer, [WatchCreateRequest(key: "gone/", rangeEnd: "gone0", startRevision: 1)])
        let first = try writer.put("gone/0", value).header!.revision
        try old.read { first }
        let files = ProcessTable.openFileCount(of: pine.processIdentifier)

        func vanish() throws {
            try inThreads(8) { _ in
                let client = try EtcdClient(port: pine.port, windowSize: 64 << 10)
                // Some are behind, some stand at the end, some begin later.
                let readers = try (0..<20).map { number in
                    try WatchReader(
                        client,
                        [
                            WatchCreateRequest(key: "gone/", rangeEnd: "gone0", startRevision: number % 2 == 0 ? 1 : 0),
                            WatchCreateRequest(key: ByteString("gone/\(number)"), startRevision: Revision(1 << 40), progressNotify: true),
                        ])
                }
                for reader in readers { try reader.awaitCreated() }
            }
            for number in 0..<50 { _ = try writer.put(ByteString("gone/\(number % 20)"), value) }
            try eventuallyBlocking("the end of the connections") {
                ProcessTable.openFileCount(of: pine.processIdentifier) <= files
            }
        }

        func createAndCancel(_ count: Int) throws {
            let stream: EtcdStream<WatchResponse> = try writer.open(.watch)
            for start in stride(from: 1, through: count, by: 500) {
                for id in start..<start + 500 {
                    var request = WatchCreateRequest(key: ByteString("looped/\(id)"), watchID: WatchID(id))
                    if id % 2 == 0 { request.rangeEnd = ByteString("looped/\(id)x") }
                    stream.send(WatchRequest.create(request))
                }
                for _ in 0..<500 { #expect(try stream.receive()?.created == true) }
                for id in start..<start + 500 { stream.send(WatchRequest.cancel(WatchCancelRequest(watchID: WatchID(id)))) }
                for _ in 0..<500 { #expect(try stream.receive()?.canceled == true) }
            }
            stream.cancel()
        }

        func round() throws -> Int {
            try vanish()
            try createAndCancel(10_000 * testScale)
            return ProcessTable.residentBytes(of: pine.processIdentifier)
        }
        // The allocator's arenas and the queues' capacities come to their size first.
        let sizes = try (0..<9).map { _ in try round() }
        print("WatchTests: memory after rounds of watches made and left: \(sizes.map { "\($0 >> 10) KiB" })")
        // The rounds' own values are 0.8 MiB each; 10,000 watchers that stayed would be 5 MiB a round.
        #expect(sizes[8] - sizes[4] < 4 * 5 << 20)
    }

    @Test("Events of another process come within milliseconds with NOTIFY, and within two polls without")
    func twoProcesses() throws {
        let postgres = try PostgresServer()
        let schema = ["--postgres", postgres.connectionString]
        let first = try PineProcess(schema)
        let writer = try EtcdClient(port: first.port)
        _ = try writer.put("k", "v")
        func latencies(_ arguments: [String], _ count: Int) throws -> [Duration] {
            let pine = try PineProcess(schema + arguments)
            let client = try EtcdClient(port: pine.port)
            _ = try client.get("k")
            let watch = try WatchReader(client, [WatchCreateRequest(key: "k")])
            try watch.awaitCreated()
            var random = SeededGenerator(seed: 1)
            return try (0..<count).map { number in
                // At any point of a poll's interval.
                usleep(UInt32(random.number(0...100_000)))
                let revision = try writer.put("k", ByteString("\(number)")).header!.revision
                let written = ContinuousClock.now
                while watch.changes[0].last?.revision != revision { try watch.next(timeout: .seconds(20)) }
                return written.duration(to: .now)
            }.sorted()
        }
        // With so rare polls only a notification can be in time.
        let hinted = try latencies(["--poll-interval=60s"], 50)
        // Without prepared statements it works through a pooler, where nobody can listen.
        let polled = try latencies(["--poll-interval=200ms", "--no-prepared-statements"], 20)
        print("WatchTests: from another process, hinted: median \(hinted[25]), most \(hinted[49]); polled: \(polled[10]), \(polled[19])")
        // Normally 2 ms and 100 ms; a machine may be busy.
        #expect(hinted[25] < .seconds(1))
        #expect(hinted[49] < .seconds(15))
        #expect(polled[10] < .seconds(2))
    }

    @Test("A process that stood still while others wrote, compacted and deleted drops nothing silently")
    func stoodStill() throws {
        let postgres = try PostgresServer()
        let other = try PineProcess(["--postgres", postgres.connectionString])
        let writer = try EtcdClient(port: other.port)
        _ = try writer.put("k", "0")
        let pine = try PineProcess(["--postgres", postgres.connectionString])
        let client = try EtcdClient(port: pine.port)
        let head = try client.get("k").header!.revision
        let reader = try WatchReader(
            client, [WatchCreateRequest(key: "k"), WatchCreateRequest(key: "k", startRevision: head + 60)])
        try reader.awaitCreated()
        pine.kill(SIGSTOP)
        var last: Revision = 0
        for number in 0..<50 { last = try writer.put("k", ByteString("\(number)")).header!.revision }
        _ = try writer.delete(DeleteRangeRequest(key: "k"))
        last = try writer.put("other", "v").header!.revision
        _ = try writer.compact(last, physical: true)
        pine.kill(SIGCONT)
        while reader.compactRevisions[0] == nil { try reader.next(timeout: .seconds(30)) }
        #expect(reader.compactRevisions[0] == last)
        #expect(reader.changes[0].isEmpty)
        #expect(try client.get("k").kvs.isEmpty)
        // The other watch, on the same stream, goes on.
        while last < head + 65 { last = try writer.put("k", "again").header!.revision }
        while reader.changes[1].last?.revision != last { try reader.next(timeout: .seconds(30)) }
        #expect(reader.changes[1].map(\.revision) == Array(head + 60...last))
        #expect(!pine.log.contains("history changed"))
    }
}

extension SeededGenerator {
    /// A key or a range of those that `WriteLoad` writes.
    fileprivate mutating func watch() -> WatchCreateRequest {
        switch number(0...5) {
        case 0: WatchCreateRequest(key: pick(WriteLoad.counters))
        case 1: WatchCreateRequest(key: ByteString([0]), rangeEnd: ByteString([0]))
        case 2: prefix("many/\(number(0...3))/")
        case 3: WatchCreateRequest(key: "client/1/", rangeEnd: "client/3/")
        case 4: WatchCreateRequest(key: "shared/", rangeEnd: ByteString([0]))
        default: WatchCreateRequest(key: "fleeting/", rangeEnd: "fleeting0")
        }
    }

    private func prefix(_ text: String) -> WatchCreateRequest {
        WatchCreateRequest(key: ByteString(text), rangeEnd: ByteString(text).prefixSuccessor())
    }
}

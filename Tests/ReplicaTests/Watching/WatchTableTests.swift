import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport
import Testing

@testable import Replica

@Suite("The watch table", .ownThreads)
struct WatchTableTests {
    private static let keys: [ByteString] = ["a", "b", "ba", "c"]

    @Test("a watcher that is up to date is sent a revision as it is committed, whole")
    func live() {
        let world = TableWorld()
        world.open(1)
        world.watch(1, WatchCreateRequest(key: "a", rangeEnd: "c"))
        world.commit([("a", "1"), ("c", "2"), ("b", "3")])
        #expect(world.mistakes.isEmpty && world.eventsSeen == 2 && world.isEverythingSent)
        #expect(world.messageSizes.count == 2, "one that it was created, one for the revision")
        world.leave(1)
        world.turn()
        #expect(world.table.counts.isEmpty)
    }

    @Test("one that begins in the past is sent rows from memory, without a read of the log")
    func recent() {
        let world = TableWorld()
        for number in 0..<10 { world.commit([("a", ByteString("\(number)"))]) }
        world.open(1)
        world.watch(1, WatchCreateRequest(key: "a", startRevision: 4, prevKV: true))
        world.turn()
        #expect(world.reads.isEmpty && world.mistakes.isEmpty)
        #expect(world.eventsSeen == 8 && world.table.counts.lagging == 0)
    }

    @Test("where memory has dropped the rows they are read from the log, in whole revisions, however small the reads")
    func history() {
        let world = TableWorld {
            $0.watchHistoryBytes = 0
            $0.historyRowLimit = 2
        }
        world.commit([("a", "1"), ("b", "1"), ("ba", "1"), ("c", "1"), ("d", "1")])
        for number in 0..<5 { world.commit([("a", ByteString("\(number)")), ("c", "2")]) }
        world.turn()
        world.open(1)
        world.watch(1, WatchCreateRequest(key: "a", rangeEnd: "z", startRevision: 1))
        world.turn()
        #expect(world.reads.count == 1 && world.eventsSeen == 0)
        world.settle()
        #expect(world.mistakes.isEmpty && world.eventsSeen == 15 && world.isEverythingSent)
    }

    @Test("a client that doesn't read costs its buffer's bound, and is sent everything once it reads")
    func blocked() {
        let world = TableWorld {
            $0.watchStreamBufferMinBytes = 400
            $0.watchStreamBufferMaxBytes = 400
        }
        world.open(1)
        world.open(2)
        for stream in 1...2 as ClosedRange<UInt64> { world.watch(stream, WatchCreateRequest(key: "a")) }
        for number in 0..<50 {
            world.commit([("a", ByteString(String(repeating: "\(number % 10)", count: 100)))])
            world.drain(1)
            world.settle()
        }
        #expect(world.table.counts.lagging == 1)
        #expect(world.messageSizes.reduce(0, +) < 50 * 200 + 1_000, "what the second was sent is bounded")
        #expect(!world.isEverythingSent)
        for _ in 0..<50 {
            world.drain(2)
            world.settle()
        }
        #expect(world.mistakes.isEmpty && world.isEverythingSent && world.eventsSeen == 100)
    }

    @Test("a watcher that is sent little at a time costs what it is sent, not a walk over all rows each time", arguments: [1, 12])
    func little(watchers: Int) {
        let world = TableWorld {
            $0.watchStreamBufferMinBytes = 64
            $0.watchStreamBufferMaxBytes = 64
            $0.watchRevisionEventLimit = 3
            $0.watchVisitLimit = 1
        }
        for number in 0..<100 { world.commit([("a", ByteString(String(repeating: "\(number % 10)", count: 100)))]) }
        world.open(1)
        for _ in 0..<watchers { world.watch(1, WatchCreateRequest(key: "a", startRevision: 1)) }
        while !world.isEverythingSent, world.mistakes.isEmpty {
            world.drain(1)
            world.settle()
        }
        #expect(world.mistakes.isEmpty && world.eventsSeen == 100 * watchers)
        // An event is a pass of its own, which looks at each watcher a few times.
        #expect(world.visits < world.eventsSeen * (8 + 6 * watchers), "\(world.visits) for \(world.eventsSeen) events")
    }

    @Test("progress is told once all of a stream's watchers have everything, and never below where one begins")
    func progress() {
        let world = TableWorld()
        world.commit([("a", "1")])
        world.open(1)
        world.ask(1, .progress(WatchProgressRequest()))
        world.settle()
        #expect(world.progress[1] == nil, "there is nothing to say without a watch")
        world.watch(1, WatchCreateRequest(key: "a", startRevision: 4))
        world.ask(1, .progress(WatchProgressRequest()))
        world.settle()
        #expect(world.progress[1] == nil)
        world.commit([("b", "1")])
        world.commit([("b", "2")])
        world.settle()
        #expect(world.progress[1] == [4] && world.mistakes.isEmpty)
    }

    @Test("a stream that ends while its progress is about to be answered, wherever a sweep is, is not remembered")
    func endedProgress() {
        for turns in 0..<40 {
            let world = TableWorld { $0.watchVisitLimit = 1 }
            for number in 0..<3 { world.commit([("a", ByteString("\(number)"))]) }
            world.open(1)
            world.open(2)
            world.watch(1, WatchCreateRequest(key: "b", startRevision: 100))
            for stream in [1, 2, 2] as [UInt64] { world.watch(stream, WatchCreateRequest(key: "a", startRevision: 2)) }
            world.ask(1, .progress(WatchProgressRequest()))
            for id in world.progressReads { world.tell { table, _ in table.progressConfirmed(id) } }
            for _ in 0..<turns { world.turn() }
            world.leave(1)
            for _ in 0..<100 { world.turn() }
            #expect(world.mistakes.isEmpty && world.table.counts == WatchCounts(streams: 1, watchers: 2, lagging: 0))
        }
    }

    @Test("a start that is compacted ends the watch at once; one that compaction overtakes later, then")
    func compacted() {
        let world = TableWorld {
            $0.watchHistoryBytes = 0
            $0.watchStreamBufferMinBytes = 400
            $0.watchStreamBufferMaxBytes = 400
        }
        for number in 0..<20 { world.commit([("a", ByteString(String(repeating: "\(number % 10)", count: 100)))]) }
        world.open(1)
        world.open(2)
        world.watch(1, WatchCreateRequest(key: "a", startRevision: 2))
        world.settle()
        #expect(world.table.counts.lagging == 1, "its client doesn't read")
        world.compact(to: 15)
        world.watch(2, WatchCreateRequest(key: "a", startRevision: 5))
        world.drain(1)
        world.settle()
        #expect(world.clients[1]?[0]?.endedAt == 15 && world.clients[2]?[0]?.endedAt == 15)
        #expect(world.mistakes.isEmpty && world.table.counts.watchers == 0)
    }

    @Test("a revision that no message can hold ends the stream that wants it whole, and only that")
    func oversized() {
        let world = TableWorld { $0.messageByteLimit = 1_000 }
        world.open(1)
        world.open(2)
        world.watch(1, WatchCreateRequest(key: "a", rangeEnd: "z"))
        world.watch(2, WatchCreateRequest(key: "a", rangeEnd: "z", fragment: true))
        let value = ByteString(String(repeating: "v", count: 600))
        world.commit([("a", value), ("b", value)])
        world.settle()
        #expect(world.failures.keys.map(\.rawValue) == [1] && world.failures.values.first?.code == .resourceExhausted)
        #expect(world.mistakes.isEmpty && world.eventsSeen == 2 && world.isEverythingSent)
        #expect(world.table.counts == WatchCounts(streams: 1, watchers: 1, lagging: 0))
    }

    @Test("streams that require a leader are ended where the log is away, others stay")
    func leaderless() {
        let world = TableWorld()
        for stream in 1...3 as ClosedRange<UInt64> { world.open(stream) }
        world.tell { table, _ in
            table.leaderRequired(CallID(rawValue: 3), isLeaderless: false)
            table.leaderRequired(CallID(rawValue: 1), isLeaderless: false)
        }
        world.tell { table, _ in table.leaderLost() }
        #expect(world.failures == [CallID(rawValue: 1): .noLeader, CallID(rawValue: 3): .noLeader])
        world.open(4)
        world.tell { table, _ in table.leaderRequired(CallID(rawValue: 4), isLeaderless: true) }
        #expect(world.failures[CallID(rawValue: 4)] == .noLeader)
        #expect(world.table.counts.streams == 1)
    }

    @Test("a log that is loaded anew holds every watcher where it stands, and none misses what was committed meanwhile")
    func loadedAnew() {
        let world = TableWorld()
        world.open(1)
        world.watch(1, WatchCreateRequest(key: "a"))
        world.commit([("a", "1")])
        world.tell { table, _ in table.loadingBegan() }
        #expect(world.table.counts.lagging == 1)
        world.tell { table, _ in table.servingBegan() }
        world.commit([("a", "2")])
        world.settle()
        #expect(world.mistakes.isEmpty && world.eventsSeen == 2 && world.isEverythingSent)
        world.tell { table, _ in table.historyLost() }
        #expect(world.failures[CallID(rawValue: 1)] == .leaderChanged && world.table.counts.isEmpty)
    }

    @Test(
        "clients that come, read, stall and go are sent every event once, in order, whatever the bounds", arguments: 0..<40 as Range<UInt64>
    )
    func random(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let world = TableWorld {
            $0.watchHistoryBytes = random.pick([0, 500, 1 << 20])
            $0.watchStreamBufferMinBytes = random.pick([64, 400])
            $0.watchStreamBufferMaxBytes = random.pick([400, 100_000])
            $0.historyRowLimit = random.pick([1, 2, 50])
            $0.fragmentByteLimit = random.pick([150, 2_000])
            $0.watchVisitLimit = random.pick([1, 3, 10_000])
            $0.watchLongRevisionRows = random.pick([1, 1_000])
            $0.watchRevisionEventLimit = random.pick([1, 1_000_000])
        }
        var nextStream: UInt64 = 1
        var stalled: Set<UInt64> = []
        for _ in 0..<400 where world.mistakes.isEmpty {
            let streams = world.clients.keys.sorted()
            switch random.number(0...19) {
            case 0..<6:
                let keys = Self.keys.shuffled(using: &random).prefix(random.number(1...4))
                world.commit(
                    keys.map { key in
                        let length = random.pick([0, 10, 200])
                        return (key, random.chance(0.8) ? ByteString(String(repeating: "v", count: length)) : nil)
                    })
            case 6:
                if streams.count < 5 { world.open(nextStream) }
                nextStream += 1
            case 7..<10:
                guard let stream = streams.randomElement(using: &random) else { break }
                let start = random.pick([0, Revision(random.number(1...(Int(world.store.revision.rawValue) + 3)))])
                world.watch(
                    stream,
                    WatchCreateRequest(
                        key: random.pick(Self.keys), rangeEnd: random.pick(["", "c", "z"]), startRevision: start,
                        filters: random.pick([[], [], [.noPut], [.noDelete]]), prevKV: random.chance(0.3), fragment: random.chance(0.3)))
            case 10:
                guard let stream = streams.randomElement(using: &random) else { break }
                if let id = world.clients[stream]?.keys.min() { world.ask(stream, .cancel(WatchCancelRequest(watchID: id))) }
            case 11: if let stream = streams.randomElement(using: &random) { world.ask(stream, .progress(WatchProgressRequest())) }
            case 12: if let stream = streams.randomElement(using: &random) { stalled.formSymmetricDifference([stream]) }
            case 13: if streams.count > 2, random.chance(0.3) { world.leave(streams[0]) }
            case 14: if random.chance(0.3), world.store.revision > 3 { world.compact(to: world.store.revision - 2) }
            case 15..<17: if !world.reads.isEmpty { world.answerRead() }
            default:
                for stream in streams where !stalled.contains(stream) { world.drain(stream) }
                world.turn()
            }
        }
        for _ in 0..<400 where !world.isEverythingSent {
            for stream in world.clients.keys.sorted() { world.drain(stream) }
            world.settle()
        }
        #expect(world.mistakes.isEmpty && world.failures.isEmpty)
        #expect(world.isEverythingSent)
    }
}

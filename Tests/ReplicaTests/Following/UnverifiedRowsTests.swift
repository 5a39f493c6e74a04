import Bytes
import EtcdAPI
import Keyspace
import LogModel
import TestSupport
import Testing

@testable import Replica

@Suite("Rows that are not known to be of our history", .ownThreads)
struct UnverifiedRowsTests {
    private typealias Point = UnverifiedRows.Point

    @Test("Whatever tails come, whole revisions are handed out, each row once, and the end is reached", arguments: [0, 300, 1 << 20])
    func everyRowOnce(byteLimit: Int) {
        var generator = SeededGenerator(seed: testSeed("UnverifiedRowsTests.everyRowOnce \(byteLimit)"))
        for _ in 0..<300 {
            var history = TestHistory()
            for _ in 0..<Int.random(in: 0...30, using: &generator) { history.append(&generator, value: "v") }
            var unverified = UnverifiedRows()
            var folded = history.ends[0]
            var known = history.ends[0]
            var reads = 0
            while folded != history.ends[history.ends.count - 1] || !unverified.isEmpty {
                // Most tails are asked for where reading goes on; some come of lost races, and some are older than others.
                let isNext = Int.random(in: 0..<4, using: &generator) > 0
                let after = isNext ? unverified.end ?? folded.position : folded.position
                let possible = history.ends.filter { $0.position >= (isNext ? max(known.position, after) : folded.position) }
                let end = reads > 300 ? possible[possible.count - 1] : possible.randomElement(using: &generator)!
                if isNext { known = end }
                let tail = history.tail(after: after, endingAt: end, limit: Int.random(in: 1...8, using: &generator))
                let verdict = unverified.take(tail, after: folded, key: nil, byteLimit: byteLimit)
                guard let verdict else {
                    Issue.record("the history was taken for another")
                    return
                }
                let expected = history.rows.filter { $0.position > folded.position && $0.position <= verdict.end.position }
                #expect(verdict.rows == expected)
                for row in verdict.rows { folded = Point(position: row.position, digest: folded.digest.appending(row)) }
                #expect(folded == verdict.end)
                if let next = history.rows.first(where: { $0.position > folded.position }), !verdict.rows.isEmpty,
                    next.position.revision == folded.position.revision
                {
                    // Only where an append ended within the revision.
                    #expect(history.ends.contains(folded))
                }
                reads += 1
                if reads > 3_000 {
                    Issue.record("the end is never reached")
                    return
                }
            }
        }
    }

    @Test("Rows of another history are never handed out with the digest that they lead to", arguments: [0, 300, 1 << 20])
    func foreignRows(byteLimit: Int) {
        var generator = SeededGenerator(seed: testSeed("UnverifiedRowsTests.foreignRows \(byteLimit)"))
        var noticed = 0
        for _ in 0..<300 {
            var history = TestHistory()
            for _ in 0..<10 { history.append(&generator, value: "v") }
            var other = history
            for _ in 0..<2 { history.append(&generator, value: "lost") }
            for _ in 0..<20 { other.append(&generator, value: "other") }
            var unverified = UnverifiedRows()
            var folded = history.ends[history.ends.count - 1]
            let head = other.ends[other.ends.count - 1]
            guard head.position > folded.position else { continue }
            while true {
                let limit = Int.random(in: 1...8, using: &generator)
                let tail = other.tail(after: unverified.end ?? folded.position, endingAt: head, limit: limit)
                guard let verdict = unverified.take(tail, after: folded, key: nil, byteLimit: byteLimit) else { break }
                for row in verdict.rows { folded = Point(position: row.position, digest: folded.digest.appending(row)) }
                if folded != verdict.end { break }
                #expect(verdict.rows.isEmpty)
                guard verdict.rows.isEmpty, !tail.reachesHead else {
                    Issue.record("the other history was not noticed")
                    return
                }
            }
            noticed += 1
        }
        #expect(noticed > 200)
    }

    @Test("A follower that is far behind catches up in stretches, and its watchers are sent each event once", arguments: [0, 1_000])
    func farBehind(byteLimit: Int) throws {
        let log = MemoryLog()
        let (writer, follower) = (
            TestReplica(log),
            TestReplica(log, origin: 2) {
                $0.tailRowLimit = 3
                $0.unverifiedByteLimit = byteLimit
            }
        )
        let stream = follower.newStream()
        follower.tell(.watchOpened(stream))
        follower.tell(.watchRequested(stream, .create(WatchCreateRequest(key: "k"))))
        follower.settle()
        for number in 1...100 { _ = try writer.put("k", ByteString("\(number)")) }
        #expect(try follower.get("k").kvs.first?.value == "100")
        #expect(try follower.put("k", "last").header?.revision == 102)
        let responses = try (follower.sent[stream] ?? []).map { try WatchResponse.decode($0) }
        #expect(responses.flatMap(\.events).compactMap { $0.kv?.modRevision } == Array(2...102))
        // What is read again is shown as it comes.
        #expect(responses.count > 5)
    }
}

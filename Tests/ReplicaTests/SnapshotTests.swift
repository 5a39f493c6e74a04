// Checks Maintenance.Snapshot through the replica: the file and its digest, writes and compaction in the middle, values from the log, slow and
// impatient clients, and the hash of what a file holds.
import Auth
import Bolt
import Bytes
import Calls
import EtcdAPI
import Foundation
import Keyspace
import LogModel
import TestSupport
import Testing

@testable import Replica

@Suite("Snapshots of the replica", .ownThreads)
struct SnapshotTests {
    /// A file as etcd's tools see it.
    private struct Contents {
        var buckets: [String: [(key: ByteString, value: ByteString)]] = [:]

        init(_ file: ByteString) throws {
            let path = NSTemporaryDirectory() + "/snapshot-\(UUID().uuidString)"
            try Data(file).write(to: URL(fileURLWithPath: path))
            defer { try? FileManager.default.removeItem(atPath: path) }
            let bolt = try BoltFile(path: path)
            var names = try BoltCursor(bolt.root, in: bolt)
            while let (name, element) = try names.next(in: bolt) {
                guard case .bucket(let bucket) = element else { continue }
                var cursor = try BoltCursor(bucket, in: bolt)
                var elements: [(key: ByteString, value: ByteString)] = []
                while let (key, element) = try cursor.next(in: bolt) {
                    if case .value(let value) = element { elements.append((key.compacted(), value.compacted())) }
                }
                buckets[name.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }] = elements
            }
        }

        /// CRC-32C over the bucket `key`, which HashKV is where nothing was ever compacted.
        var hash: UInt32 {
            var hash = CRC32C(ByteString("key"))
            for (key, value) in buckets["key"] ?? [] {
                key.withUnsafeBytes { hash.append($0) }
                value.withUnsafeBytes { hash.append($0) }
            }
            return hash.value
        }

        var keys: [KeyValue] {
            get throws { try (buckets["key"] ?? []).map { try KeyValue.decode($0.value) } }
        }
    }

    private let members = [SnapshotMember(id: 0xAB, name: "a\"b", clientURLs: ["http://h:1"])]

    private func begin(_ pine: TestReplica) -> CallID { pine.start(.snapshot(members: members)) }

    /// The file, once what was sent says of itself that it is whole.
    private func file(_ pine: TestReplica, _ id: CallID) throws -> ByteString {
        let messages = try (pine.sent[id] ?? []).map { try SnapshotResponse.decode($0) }
        let last = try #require(messages.last)
        var file = ByteWriter()
        for message in messages.dropLast() { file.append(message.blob) }
        let bytes = file.finish()
        #expect(last.blob == SHA256.digest(bytes) && last.remainingBytes == 0)
        var left = bytes.count
        for message in messages.dropLast() {
            left -= message.blob.count
            #expect(message.remainingBytes == UInt64(left) && message.version == "3.6.0" && message.header == nil)
            #expect(message.blob.count == 32 << 10 || left == 0)
        }
        #expect(bytes.count % 4_096 == 0 && left == 0)
        return bytes
    }

    private func filled(_ log: MemoryLog = MemoryLog(), keys: Int = 500, _ configure: (inout ReplicaConfiguration) -> Void = { _ in })
        throws
        -> TestReplica
    {
        let pine = TestReplica(log) {
            $0.sweptRowLimit = 60
            $0.snapshotWindowLength = 40
            configure(&$0)
        }
        _ = try pine.call(.write(.leaseGrant(id: 77, ttl: 600)))
        for number in 0..<keys {
            // In another order than that of their revisions.
            let key = ByteString("k\(number * 7 % keys)")
            let value = ByteString(String(repeating: "v", count: number))
            _ = try pine.call(.write(.put(PutRequest(key: key, value: value, lease: number % 50 == 0 ? 77 : 0))))
        }
        for number in 0..<20 { _ = try pine.call(.write(.deleteRange(DeleteRangeRequest(key: ByteString("k\(number)"))))) }
        return pine
    }

    private func hash(_ pine: TestReplica, at revision: Revision = 0) throws -> UInt32 {
        try HashKVResponse.decode(try pine.call(.hashKV(revision))).hash
    }

    @Test("The file has all buckets, its records hash to HashKV, and its stream keeps what it promises")
    func whole() throws {
        let pine = try filled()
        let id = begin(pine)
        pine.settle()
        let contents = try Contents(file(pine, id))
        #expect(try contents.hash == hash(pine))
        #expect(
            Set(contents.buckets.keys) == [
                "alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta",
            ])
        #expect(contents.buckets["key"]?.count == 520)
        let lease = try #require(contents.buckets["lease"]?.first)
        #expect(lease.key == ByteString([0, 0, 0, 0, 0, 0, 0, 77]) && lease.value == ByteString([8, 77, 16, 0xD8, 4]))
        let member = try #require(contents.buckets["members"]?.first)
        #expect(member.key == "ab")
        #expect(member.value == ByteString("{\"id\":171,\"peerURLs\":[],\"name\":\"a\\\"b\",\"clientURLs\":[\"http://h:1\"]}"))
        #expect(contents.buckets["meta"]?.map(\.key) == ["confState", "consistent_index", "storageVersion", "term"])
        #expect(contents.buckets["auth"]?.map(\.value) == [ByteString([0, 0, 0, 0, 0, 0, 0, 1])])
    }

    @Test("A file is as of when it was begun, though writes and a compaction come between its steps")
    func pinned() throws {
        let pine = try filled()
        let before = try hash(pine)
        let id = begin(pine)
        for _ in 0..<3 { _ = pine.turn() }
        #expect(pine.answers[id] == nil)
        for number in 0..<500 { _ = pine.start(.write(.put(PutRequest(key: ByteString("k\(number)"), value: "w")))) }
        _ = pine.start(.compact(revision: 521, physical: false))
        pine.settle()
        #expect(try Contents(file(pine, id)).hash == before)
        let after = try hash(pine)
        #expect(after != before)
    }

    @Test("After a compaction the file has what is alive, and says how far it was compacted")
    func compacted() throws {
        let pine = try filled()
        _ = try pine.call(.compact(revision: 521, physical: true))
        let id = begin(pine)
        pine.settle()
        let contents = try Contents(file(pine, id))
        #expect(try contents.keys.count == 480)
        let compaction = ByteString([0, 0, 0, 0, 0, 0, 2, 9, UInt8(ascii: "_"), 0, 0, 0, 0, 0, 0, 0, 0])
        let meta = contents.buckets["meta"] ?? []
        for name in ["finishedCompactRev", "scheduledCompactRev"] {
            #expect(meta.first { $0.key == ByteString(name) }?.value == compaction)
        }
    }

    @Test("Values that are not in memory are read from the log")
    func fetched() throws {
        let pine = try filled { $0.valueCacheBytes = 2_000 }
        let id = begin(pine)
        pine.settle()
        #expect(try Contents(file(pine, id)).hash == hash(pine))
    }

    @Test("A client that reads nothing is sent a step's worth, and all once it reads")
    func slow() throws {
        let pine = try filled()
        pine.clientsRead = false
        let id = begin(pine)
        pine.settle()
        let sent = try #require(pine.sent[id]).count
        #expect(sent > 0 && sent <= 5 && pine.answers[id] == nil)
        pine.clientsRead = true
        pine.tell(.streamDrained(id))
        pine.settle()
        #expect(try Contents(file(pine, id)).hash == hash(pine))
    }

    @Test("An empty store has a file too")
    func empty() throws {
        let pine = TestReplica(MemoryLog())
        let id = begin(pine)
        pine.settle()
        let contents = try Contents(file(pine, id))
        #expect(contents.buckets["key"]?.isEmpty == true && contents.buckets.count == 10)
    }

    @Test("A client that gives up frees its place; more at once than may are refused")
    func cancelled() throws {
        let pine = try filled()
        let ids = (0..<3).map { _ in begin(pine) }
        _ = pine.turn()
        pine.settle()
        #expect(throws: EtcdError.tooManyRequests) { try #require(pine.answers[ids[2]]).get() }
        #expect(try file(pine, ids[0]) == file(pine, ids[1]))
        #expect(pine.replica.snapshots.isEmpty)
    }
}

@Suite("The machine of snapshots", .ownThreads)
struct SnapshotsTests {
    private func begun(_ count: Int) -> Snapshots {
        var snapshots = Snapshots()
        for number in 0..<count where !snapshots.asked(CallID(rawValue: UInt64(number)), []) { Issue.record("\(number) is refused") }
        return snapshots
    }

    @Test("Too many are refused, also while they wait to begin; those that leave make room")
    func limit() {
        var snapshots = begun(Snapshots.limit)
        #expect(snapshots.areStarting && !snapshots.canGoOn)
        let more = snapshots.asked(CallID(rawValue: 9), [])
        #expect(!more)
        snapshots.dropped([CallID(rawValue: 0)])
        let again = snapshots.asked(CallID(rawValue: 9), [])
        #expect(again)
        let lost = snapshots.historyLost()
        #expect(lost.count == 2 && snapshots.isEmpty)
    }

    @Test("One whose client reads nothing is ended, and pins nothing any more")
    func stalled() throws {
        var snapshots = begun(1)
        let start = Instant(nanoseconds: 0)
        let store = Store()
        snapshots.settled(store, ResponseHeader(), auth: AuthSnapshot(), windowLength: 10, now: start)
        #expect(snapshots.pinnedRevision == -1 && snapshots.canGoOn)
        let next = snapshots.next()
        let task = try #require(next)
        task.isReady = false
        snapshots.putBack(task)
        let none = snapshots.next()
        #expect(!snapshots.canGoOn && none == nil)
        let late = start.advanced(byMs: Snapshots.stallLimitMs)
        let early = snapshots.takeStalled(now: start)
        snapshots.drained(task.id, now: late)
        let drained = snapshots.takeStalled(now: late)
        #expect(early.isEmpty && drained.isEmpty)
        task.isReady = false
        let stalled = snapshots.takeStalled(now: late.advanced(byMs: Snapshots.stallLimitMs))
        #expect(stalled == [task.id])
        #expect(snapshots.isEmpty && snapshots.pinnedRevision == nil)
        snapshots.invariants()
    }
}

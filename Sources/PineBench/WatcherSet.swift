// Owns: the watchers of one event loop: each a stream of its own; what they see, and how long after it was written.
// Must never: be touched off its loop, but for what is marked so.
// Invariant: each watcher sees the changes in the order of their revisions.
internal import Bytes
internal import EtcdAPI
internal import EtcdClient
internal import GRPC
internal import HTTP2
internal import Histogram
internal import NIOCore

final class WatcherSet: GRPCCallReceiver, @unchecked Sendable {
    // Sendable because everything is touched on the event loop only; the asynchronous functions go there first.
    private let eventLoop: any EventLoop
    private let connections: [EtcdClientConnection]

    private struct Watcher {
        var isCreated = false
        var lastRevision: Revision = 0
        var events = 0
        /// Whether events are expected at all.
        let isElsewhere: Bool
    }

    private var watchers: [Watcher] = []
    private var created = 0
    private var latencies = makeLatencies()
    private var events = 0
    private var errors: [String: Int] = [:]
    private var opened: EventLoopPromise<Void>?

    init(eventLoop: any EventLoop, connections: [EtcdClientConnection]) {
        self.eventLoop = eventLoop
        self.connections = connections
    }

    // MARK: From anywhere

    /// Opens a watcher for each of `prefixes`, and `elsewhere` others below a prefix where nothing is written, all from a revision on: the
    /// server may be another than was written to, and not know of everything yet. Returns when the server has created all.
    func open(_ prefixes: [String], elsewhere: (prefix: String, range: Range<Int>), from revision: Revision) async throws {
        let promise = eventLoop.makePromise(of: Void.self)
        eventLoop.execute {
            self.opened = promise
            for connection in self.connections { connection.beginBatch() }
            for prefix in prefixes { self.open(prefix, isElsewhere: false, from: revision) }
            for number in elsewhere.range { self.open("\(elsewhere.prefix)\(number)/", isElsewhere: true, from: revision) }
            for connection in self.connections { connection.endBatch() }
            if self.watchers.isEmpty { promise.succeed() }
        }
        try await promise.futureResult.get()
    }

    struct Counts: Sendable {
        /// Events that all watchers saw since `startCounting`.
        var events = 0
        var latencies = makeLatencies()
        var errors: [String: Int] = [:]
    }

    func counts() async throws -> Counts {
        try await eventLoop.submit {
            Counts(events: self.events, latencies: self.latencies, errors: self.errors)
        }.get()
    }

    /// How many events each watcher has seen since it was opened, those elsewhere left out.
    func eventsSeen() async throws -> [Int] {
        try await eventLoop.submit { self.watchers.filter { !$0.isElsewhere }.map(\.events) }.get()
    }

    func startCounting() async throws {
        try await eventLoop.submit {
            self.events = 0
            self.latencies = makeLatencies()
        }.get()
    }

    // MARK: On the loop

    private func open(_ prefix: String, isElsewhere: Bool, from revision: Revision) {
        let tag = watchers.count
        watchers.append(Watcher(isElsewhere: isElsewhere))
        let key = ByteString(prefix)
        let request = WatchRequest.create(
            WatchCreateRequest(
                key: key, rangeEnd: key.prefixSuccessor(), startRevision: revision, progressNotify: true, prevKV: true))
        let connection = connections[tag % connections.count]
        guard let stream = connection.start(.watch, self, tag: tag) else { return }
        connection.send(stream, request.encoded())
    }

    func messageReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer) {
        let now = monotonicNow()
        do throws(WrongAnswer) {
            var scan = WireScan(bytes)
            while try scan.next() {
                switch scan.field {
                case 3 where scan.number != 0: noteCreated(tag)
                case 4 where scan.number != 0: throw WrongAnswer("a watcher was canceled by the server")
                case 11: try eventReceived(tag, scan.body, now)
                default: break
                }
            }
        } catch {
            fail(error.reason)
        }
    }

    private func noteCreated(_ tag: Int) {
        guard !watchers[tag].isCreated else { return }
        watchers[tag].isCreated = true
        created += 1
        if created == watchers.count {
            opened?.succeed()
            opened = nil
        }
    }

    private func eventReceived(_ tag: Int, _ bytes: UnsafeRawBufferPointer, _ now: UInt64) throws(WrongAnswer) {
        var scan = WireScan(bytes)
        var isDelete = false
        while try scan.next() {
            if scan.field == 1 { isDelete = scan.number == 1 }
            guard scan.field == 2 else { continue }
            let kv = try KeyValueView(scan.body)
            guard kv.modRevision >= watchers[tag].lastRevision else {
                throw WrongAnswer("an event of revision \(kv.modRevision) after one of \(watchers[tag].lastRevision)")
            }
            watchers[tag].lastRevision = kv.modRevision
            if !isDelete, let sentAt = ValueSource.sentAt(kv.value) {
                _ = latencies.record(min(max(now &- sentAt, 1_000), 600_000_000_000))
            }
        }
        guard watchers[tag].isCreated, !watchers[tag].isElsewhere else {
            throw WrongAnswer("an event for a watcher that should see none")
        }
        events += 1
        watchers[tag].events += 1
    }

    func callEnded(_ tag: Int, _ status: GRPCStatus) {
        // At the run's own end nobody looks any more.
        fail("a watch stream ended: \(status.code): \(status.message)")
    }

    private func fail(_ reason: String) {
        errors[reason, default: 0] += 1
        opened?.fail(BenchError(reason))
        opened = nil
    }
}

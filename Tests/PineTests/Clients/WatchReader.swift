// Owns: a watch stream of the tests: what it asked for, what it was sent, and what it should have been sent.
// Must never: put what it was sent in order: the order is what is tested.
import Bytes
import EtcdAPI
import TestSupport
import Testing

/// A change of a key, as a watch or the changelog tells it.
struct Change: Equatable {
    let revision: Revision
    let isPut: Bool
    let key: ByteString
    let value: ByteString

    init(_ event: Event) {
        revision = event.kv?.modRevision ?? 0
        isPut = event.type == .put
        key = event.kv?.key ?? ByteString()
        value = event.kv?.value ?? ByteString()
    }

    init?(_ row: StoredRow) {
        // Rows of other kinds are not about keys.
        guard row.kind == 1 || row.kind == 2 else { return nil }
        revision = row.revision
        isPut = row.kind == 1
        key = row.key
        value = row.value
    }

    func isWanted(by request: WatchCreateRequest) -> Bool {
        guard revision >= request.startRevision else { return false }
        if request.rangeEnd.isEmpty { return key == request.key }
        return key >= request.key && (request.rangeEnd == ByteString([0]) || key < request.rangeEnd)
    }
}

/// One stream with some watches, whose ids are their places in `requests`, from 1.
// Sendable: one thread at a time has it.
final class WatchReader: @unchecked Sendable {
    let stream: EtcdStream<WatchResponse>
    let requests: [WatchCreateRequest]
    private(set) var changes: [[Change]]
    /// The compact revision that a watch was ended with.
    private(set) var compactRevisions: [Revision?]
    private var createdCount = 0

    init(_ client: EtcdClient, _ requests: [WatchCreateRequest]) throws {
        stream = try client.open(.watch)
        self.requests = requests
        changes = Array(repeating: [], count: requests.count)
        compactRevisions = Array(repeating: nil, count: requests.count)
        for (index, request) in requests.enumerated() {
            var request = request
            request.watchID = WatchID(index + 1)
            stream.send(WatchRequest.create(request))
        }
    }

    /// Reads until every watch is created.
    func awaitCreated() throws {
        while createdCount < requests.count { _ = try next(timeout: .seconds(60)) }
    }

    /// Reads until `end` says up to which revision there is something to read, and then all of that: the answer to a progress
    /// request says that everything before has been sent.
    func read(within limit: Duration = .seconds(120), until end: () -> Revision?) throws {
        let deadline = ContinuousClock.now + limit
        var last: Revision?
        while true {
            if last == nil, let revision = end() {
                last = revision
                stream.send(WatchRequest.progress(WatchProgressRequest()))
            }
            do {
                if let progress = try next(timeout: .milliseconds(last == nil ? 50 : 2_000)), let last, progress >= last { return }
            } catch EtcdClientError.deadlinePassed {
                try #require(ContinuousClock.now < deadline, "the watch has read to \(changes.map { $0.last?.revision ?? 0 })")
            }
        }
    }

    /// Takes one response. The revision of an answer to a progress request.
    @discardableResult
    func next(timeout: Duration) throws -> Revision? {
        let response = try #require(try stream.receive(timeout: timeout), "the stream has ended")
        let revision = try #require(response.header).revision
        if response.watchID == -1 {
            try #require(!response.created, "a watch was refused: \(response.cancelReason)")
            return revision
        }
        let index = Int(response.watchID.rawValue) - 1
        try #require(changes.indices.contains(index), "an unknown watch: \(response.watchID)")
        if response.created {
            createdCount += 1
        } else if response.canceled {
            compactRevisions[index] = response.compactRevision
        }
        try #require(response.events.allSatisfy { ($0.kv?.modRevision ?? 0) <= revision })
        changes[index] += response.events.map(Change.init)
        return nil
    }

    /// Each watch was sent what the log holds, no more, no less, and in its order.
    func compare(with history: [Change], through last: Revision) throws {
        for (request, seen) in zip(requests, changes) {
            let due = history.filter { $0.isWanted(by: request) && $0.revision <= last }
            let sent = seen.filter { $0.revision <= last }
            try #require(sent.count == due.count, "from \(request.startRevision): \(sent.count) events instead of \(due.count)")
            for (a, b) in zip(sent, due) { try #require(a == b) }
        }
    }
}

// Owns: a watch table over a store and the rows that it was made of, without a replica, and clients that check what they are sent.
// Must never: look into the table: what counts is the rows, and the messages.
import Bytes
import Calls
import EtcdAPI
import Keyspace
import TestSupport

@testable import Replica

/// One watch as its client sees it.
struct TableClient {
    var request: WatchCreateRequest
    var range: KeyRange
    /// The first revision whose events are due.
    var start: Revision
    /// Index in the rows of the first one that it may still be sent.
    var nextRow = 0
    /// The revision that compaction ended it at.
    var endedAt: Revision?

    func wants(_ row: LogRow) -> Bool {
        guard row.position.revision >= start, range.contains(row.key) else { return false }
        return switch row.kind {
        case .put: !request.filters.contains(.noPut)
        case .delete: !request.filters.contains(.noDelete)
        default: false
        }
    }
}

final class TableWorld {
    private(set) var table: WatchTable
    private(set) var store = Store()
    private(set) var rows: [LogRow] = []
    private(set) var clients: [UInt64: [WatchID: TableClient]] = [:]
    /// What the table wants done, oldest first.
    private(set) var reads: [(after: Position, limit: Int)] = []
    private(set) var progressReads: [CallID] = []
    private(set) var failures: [CallID: EtcdError] = [:]
    private(set) var progress: [UInt64: [Revision]] = [:]
    private(set) var eventsSeen = 0
    private(set) var messageSizes: [Int] = []
    /// Rows and watchers that turns have looked at.
    private(set) var visits = 0
    /// Reports that the clients' connections still owe.
    private(set) var reports: [UInt64: Int] = [:]
    var clientsRead = true
    var now = Instant(nanoseconds: 0)
    private(set) var mistakes: [String] = []
    private var created: [UInt64: [TableClient]] = [:]
    private var states: [ByteString: (create: Revision, version: Int64, value: ByteString)] = [:]

    init(_ configure: (inout ReplicaConfiguration) -> Void = { _ in }) {
        var configuration = ReplicaConfiguration(origin: 1, memberID: 7)
        configure(&configuration)
        table = WatchTable(configuration)
        tell { table, _ in table.servingBegan() }
    }

    func tell(_ event: (inout WatchTable, borrowing Store) -> Void) {
        var actions: [Action] = []
        table.isTold(
            Standing(now: now, committed: store.committed, compactRevision: store.compactRevision, header: ResponseHeader(memberID: 7)),
            &actions)
        event(&table, store)
        _ = table.told(&actions)
        progressReads += table.takeProgressReads()
        if table.takeLackingSweep() != nil { mistakes.append("values are missing where all are in memory") }
        for action in actions { perform(action) }
    }

    /// Everything that a turn does; a read of the log is answered by `answerRead`.
    func turn() {
        tell { table, _ in table.forgetEnded() }
        tell { table, store in
            table.handOutLive(store)
            table.takeEarlyRequests(store)
            table.continueSweep(store)
        }
        if table.historyAnswer != nil { tell { table, store in table.historyWasOurs(store) } }
        tell { table, store in table.lookAfterLaggards(store) }
        tell { table, _ in table.notifyProgress() }
        visits += table.turnEnded()
        table.invariants()
    }

    /// Runs until nothing moves.
    func settle() {
        for _ in 0..<100_000 {
            turn()
            for id in progressReads {
                progressReads.removeFirst()
                tell { table, _ in table.progressConfirmed(id) }
            }
            let isReading = !reads.isEmpty
            if isReading { answerRead() }
            guard isReading || table.hasMoreWork || table.canCatchUp || !progressReads.isEmpty else { return }
        }
        mistakes.append("it never settles")
    }

    // MARK: Rows

    /// Commits a revision of puts, and of deletes where there is no value.
    func commit(_ changes: [(key: ByteString, value: ByteString?)]) {
        let revision = store.revision + 1
        var new: [LogRow] = []
        for (key, value) in changes {
            let position = Position(revision, Int32(new.count))
            if let value {
                let before = states[key]
                let (create, version) = (before?.create ?? revision, (before?.version ?? 0) + 1)
                states[key] = (create, version, value)
                new.append(
                    LogRow(position: position, kind: .put, key: key, value: value, createRevision: create, version: version, origin: 1))
            } else if states.removeValue(forKey: key) != nil {
                new.append(LogRow(position: position, kind: .delete, key: key, origin: 1))
            }
        }
        fold(new)
    }

    func compact(to revision: Revision) {
        fold([
            LogRow(position: Position(store.revision, 1_000_000 + Int32(rows.count)), kind: .compact, version: revision.rawValue, origin: 1)
        ])
    }

    private func fold(_ new: [LogRow]) {
        for row in new { store.apply(row) }
        store.commit()
        rows += new
        tell { table, store in table.committed(new, store) }
    }

    /// Answers the oldest read of the log, which lacks rows of compacted revisions.
    func answerRead() {
        let read = reads.removeFirst()
        let kept = rows.filter { $0.position > read.after && ($0.position.revision >= store.compactRevision || $0.kind == .compact) }
        let head = Head(
            clusterID: 1, position: store.committed, digest: store.committedDigest, epoch: 1, compactRevision: store.compactRevision)
        let tail = Tail(head: head, rows: Array(kept.prefix(read.limit)), reachesHead: kept.count <= read.limit)
        tell { table, _ in table.historyRead(tail) }
    }

    // MARK: Clients

    func open(_ stream: UInt64) {
        clients[stream] = [:]
        tell { table, _ in table.streamOpened(CallID(rawValue: stream), by: .anonymous) }
    }

    func ask(_ stream: UInt64, _ request: WatchRequest) {
        tell { table, store in table.requested(CallID(rawValue: stream), request, isLoaded: true, store) }
    }

    func watch(_ stream: UInt64, _ request: WatchCreateRequest) {
        let start = request.startRevision == 0 ? store.revision + 1 : request.startRevision
        created[stream, default: []].append(
            TableClient(request: request, range: KeyRange(key: request.key, rangeEnd: request.rangeEnd), start: start))
        ask(stream, .create(request))
    }

    func leave(_ stream: UInt64) {
        clients[stream] = nil
        tell { table, _ in table.clientsLeft([CallID(rawValue: stream)]) }
    }

    /// The client has taken all that was sent to it.
    func drain(_ stream: UInt64) {
        while let owed = reports[stream], owed > 0 {
            reports[stream] = owed - 1
            tell { table, _ in table.drained(CallID(rawValue: stream)) }
        }
    }

    private func perform(_ action: Action) {
        switch action {
        case .answer(let id, .send(let message, let report)): received(id, message, report)
        case .answer(let id, .sendParts(let parts, let report)): received(id, ByteString(parts.joined()), report)
        case .answer(let id, .fail(let error)):
            failures[id] = error
            clients[id.rawValue] = nil
        case .log(.history(let command)): reads.append((command.after, command.limit))
        default: mistakes.append("\(action)")
        }
    }

    private func received(_ id: CallID, _ message: ByteString, _ report: Bool) {
        let stream = id.rawValue
        if report { reports[stream, default: 0] += 1 }
        messageSizes.append(message.count)
        guard clients[stream] != nil else { return mistakes.append("a message to stream \(stream), which has ended") }
        guard let response = try? WatchResponse.decode(message) else { return mistakes.append("not a response") }
        if response.created {
            var client = created[stream]?.removeFirst()
            if response.canceled { return }
            client?.nextRow = 0
            clients[stream]?[response.watchID] = client
            return
        }
        if response.watchID == -1 { return noteProgress(response, stream) }
        guard var client = clients[stream]?[response.watchID] else { return mistakes.append("an unknown watch: \(response.watchID)") }
        if response.canceled {
            if response.compactRevision > 0 {
                client.endedAt = response.compactRevision
                if client.start >= response.compactRevision { mistakes.append("watch from \(client.start) is not overtaken") }
            }
            clients[stream]?[response.watchID] = response.compactRevision > 0 ? client : nil
            return
        }
        for event in response.events { take(event, &client) }
        clients[stream]?[response.watchID] = client
    }

    private func take(_ event: Event, _ client: inout TableClient) {
        while client.nextRow < rows.count, !client.wants(rows[client.nextRow]) { client.nextRow += 1 }
        guard client.nextRow < rows.count else { return mistakes.append("an event too many") }
        let row = rows[client.nextRow]
        client.nextRow += 1
        eventsSeen += 1
        if event.kv?.modRevision != row.position.revision || event.kv?.key != row.key || (event.type == .put) != (row.kind == .put) {
            mistakes.append("\(row.position) of \(row.key) came as \(event)")
        }
        if row.kind == .put, event.kv?.value != row.value { mistakes.append("\(row.position): another value") }
        let hadState = rows[..<(client.nextRow - 1)].last { $0.key == row.key && $0.kind != .compact }.map { $0.kind == .put } ?? false
        if !client.request.prevKV, event.prevKV != nil { mistakes.append("a state before that nobody asked for") }
        if client.request.prevKV, hadState, row.position.revision - 1 > store.compactRevision, event.prevKV == nil {
            mistakes.append("\(row.position): no state before")
        }
    }

    private func noteProgress(_ response: WatchResponse, _ stream: UInt64) {
        let revision = response.header?.revision ?? -1
        progress[stream, default: []].append(revision)
        for client in clients[stream]?.values ?? [:].values where client.endedAt == nil && hasMore(client, through: revision) {
            mistakes.append("progress \(revision) before an event of it")
        }
    }

    private func hasMore(_ client: TableClient, through revision: Revision) -> Bool {
        rows[client.nextRow...].contains { client.wants($0) && $0.position.revision <= revision }
    }

    /// Whether every watch that goes on has been sent everything.
    var isEverythingSent: Bool {
        clients.values.allSatisfy { $0.values.allSatisfy { $0.endedAt != nil || !hasMore($0, through: .max) } }
    }
}

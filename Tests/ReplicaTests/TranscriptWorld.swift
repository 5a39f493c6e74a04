// Owns: a replica, its log and another process, driven by the lines of a transcript.
// Must never: say anything for the log that the tables would not say: an event that is named must be the log's answer to the replica's
// command, given what the log has.
//
// Lines (ID numbers a client's call):
//
//   replica [NAME=N ...]                 a process starts, with these settings
//   put ID KEY=VALUE [lease=N]           requests of clients
//   get ID KEY                           linearizable
//   grant ID LEASE ttl=S
//   keep-alive ID LEASE
//   watch ID KEY [from=REVISION]
//   loaded, loaded-without-values        the log was read from its start
//   appended N, conflicted N             the log's answers, by the names of `LogEvent`; N numbers the append
//   append-lost N before|after commit
//   recovered, head-locked, head-read, tail-read, history-read, values-read, round-done, duty-asked, due-found
//   others put KEY=VALUE                 another process appends
//   others keep-alive LEASE
//   log-loses N                          a standby takes over that lacks the last N rows
//   lock-ends                            before what the replica appends under it arrives
//   after N ms                           time passes
import Bytes
import Calls
import EtcdAPI
import Keyspace
import LogModel
import Replica

final class TranscriptWorld {
    private let log = MemoryLog()
    /// Starts with the first line that is about it, so that it is not the steward.
    private lazy var others = TestReplica(log, origin: 2)
    private var replica: Replica
    private var now = Instant(nanoseconds: 0)
    /// Commands that the log has not answered, oldest first.
    private var commands: [LogCommand] = []
    private var isLoading = false
    private var text = TranscriptText()

    /// - Parameter start: the line that starts the process.
    init(_ start: String) throws(TranscriptError) {
        var line = TranscriptLine(start)
        guard line.verb == "replica" else { throw TranscriptError("`\(start)` starts no replica") }
        var configuration = ReplicaConfiguration(origin: 1, memberID: 1)
        for (name, value) in try line.takeOptions() {
            switch name {
            case "pipelinedWriteLeast": configuration.pipelinedWriteLeast = Int(value)
            case "valueCacheBytes": configuration.valueCacheBytes = Int(value)
            case "watchHistoryBytes": configuration.watchHistoryBytes = Int(value)
            case "historyRowLimit": configuration.historyRowLimit = Int(value)
            default: throw TranscriptError("`\(name)` is no setting that transcripts know")
            }
        }
        replica = Replica(configuration: configuration)
    }

    /// Lets it all happen, and the turns after it. Gives what the log said and what the replica wants.
    func run(_ events: some Sequence<String>) throws(TranscriptError) -> [String] {
        for event in events { try take(TranscriptLine(event)) }
        repeat {
            let actions = replica.endTurn(now: now)
            replica.invariants()
            for action in actions { perform(action) }
        } while replica.hasMoreWork
        return text.takeLines()
    }

    private func perform(_ action: Action) {
        text.append(action)
        switch action {
        case .load: isLoading = true
        case .log(let command):
            if command.isAnswered {
                commands.append(command)
            } else {
                _ = log.answer(command)
            }
        default: break
        }
    }

    private func take(_ line: TranscriptLine) throws(TranscriptError) {
        var line = line
        switch line.verb {
        case "put", "get", "grant", "keep-alive", "watch": try ask(&line)
        case "loaded": try load()
        case "loaded-without-values": try load(withoutValues: true)
        case "others": try othersAct(&line)
        case "log-loses":
            log.lose(last: Int(try line.number()))
            text.append(log.tail(after: log.head.position))
        case "lock-ends": log.fates = [.withoutLock]
        case "after":
            let milliseconds = try line.number()
            guard try line.word() == "ms" else { throw TranscriptError("`\(line.text)` has no unit that is known") }
            now = now.advanced(byMs: Int(milliseconds))
            log.nowMs += milliseconds
        default: try answer(&line)
        }
        try line.end()
    }

    // MARK: Clients

    private func ask(_ line: inout TranscriptLine) throws(TranscriptError) {
        let id = CallID(rawValue: UInt64(try line.number()))
        text.called(id, line.verb)
        switch line.verb {
        case "put":
            let (key, value) = try line.pair()
            let lease = LeaseID(try line.option("lease") ?? 0)
            arrive(id, .write(.put(PutRequest(key: ByteString(key), value: ByteString(value), lease: lease))))
        case "get": arrive(id, .range(RangeRequest(key: ByteString(try line.word()))))
        case "grant":
            let lease = LeaseID(try line.number())
            arrive(id, .write(.leaseGrant(id: lease, ttl: try line.option("ttl") ?? 0)))
        case "keep-alive": arrive(id, .lease(.keepAlive(LeaseID(try line.number()))))
        default:
            let key = ByteString(try line.word())
            let start = Revision(try line.option("from") ?? 0)
            replica.step(.watchOpened(id), now: now)
            replica.step(.watchRequested(id, .create(WatchCreateRequest(key: key, startRevision: start))), now: now)
        }
    }

    private func arrive(_ id: CallID, _ request: Request) { replica.step(.requestArrived(id, request), now: now) }

    // MARK: The log

    private func load(withoutValues: Bool = false) throws(TranscriptError) {
        guard isLoading else { throw TranscriptError("nothing is being loaded") }
        isLoading = false
        let tail = log.tail(after: Position(0, -1))
        text.append(tail)
        if withoutValues {
            let byteCounts = tail.rows.map(\.value.count)
            replica.step(.rowsLoadedWithoutValues(tail.rows.map(\.withoutValue), byteCounts), now: now)
        } else {
            replica.step(.rowsLoaded(tail.rows), now: now)
        }
        replica.step(.loadFinished(tail.head, log.deleted), now: now)
    }

    private func answer(_ line: inout TranscriptLine) throws(TranscriptError) {
        var name = line.verb
        if name.hasPrefix("append") || name == "conflicted" { name += " \(try line.number())" }
        if line.verb == "append-lost" {
            switch try line.word() {
            case "before": log.fates = [.lostBeforeCommit]
            case "after": log.fates = [.lostAfterCommit]
            default: throw TranscriptError("`\(line.text)` does not say when it was lost")
            }
            guard try line.word() == "commit" else { throw TranscriptError("`\(line.text)` is not understood") }
        }
        guard let index = commands.firstIndex(where: { $0.answerNames.contains(name) }) else {
            throw TranscriptError("`\(name)` answers no command of the replica")
        }
        guard let event = log.answer(commands.remove(at: index)) else { throw TranscriptError("the log does not answer that") }
        guard event.name == name else { throw TranscriptError("the log says `\(event.name)`, not `\(name)`") }
        text.append(event)
        replica.step(.log(event), now: now)
    }

    private func othersAct(_ line: inout TranscriptLine) throws(TranscriptError) {
        let position = log.head.position
        switch try line.word() {
        case "put":
            let (key, value) = try line.pair()
            do { _ = try others.put(ByteString(key), ByteString(value)) } catch { throw TranscriptError("\(error)") }
        case "keep-alive":
            let stream = others.newStream()
            others.keepAlive(LeaseID(try line.number()), on: stream)
            others.settle()
        default: throw TranscriptError("`\(line.text)` is nothing that others do")
        }
        let tail = log.tail(after: position)
        if !tail.rows.isEmpty { text.append(tail) }
    }
}

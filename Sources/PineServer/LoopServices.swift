// Owns: the services of one event loop: decodes and validates requests, hands them to the engine in batches, and turns
// what comes back into calls' answers.
// Must never: block, or look at the store.
internal import Bytes
internal import Calls
internal import Changelog
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import Logging
internal import NIOCore
internal import Replica

final class LoopServices: GRPCHandler {
    let calls: GRPCLoop
    private let engine: Engine
    private let shared: SharedState
    let configuration: ServerConfiguration
    let health: Health
    private var slowRequests: SlowRequestLog
    /// Collected during a turn of the loop.
    var batch: [EngineMessage] = []
    /// Calls that wait for a revision, to make the rest of their answer here.
    private var awaitingRevision: [CallID: AwaitedRevision] = [:]
    /// Streams whose queue must be reported once it has drained, and how many reports the engine waits for.
    private var awaitingDrain: [CallID: Int] = [:]
    /// Calls that never end by themselves.
    var openStreams: Set<CallID> = []
    var keepAlives: [CallID: KeepAliveStream] = [:]
    /// Requests on watch streams that the engine may not have taken yet, and the streams whose further ones wait for that.
    var watchRequestsUnderWay = 0
    var pausedWatches: [CallID] = []
    /// Watches of the health service, and the timer that looks at them while there are any.
    var healthWatches: [CallID: HealthWatch] = [:]
    var healthTimer: RepeatedTask?
    /// Calls of Lock and Election.
    var coordination = CoordinationCalls()

    init(
        _ calls: GRPCLoop, engine: Engine, shared: SharedState, health: Health, configuration: ServerConfiguration, logger: Logger
    ) {
        self.health = health
        slowRequests = SlowRequestLog(logger: logger)
        self.calls = calls
        self.engine = engine
        self.shared = shared
        self.configuration = configuration
    }

    // MARK: What the loop says

    func callStarted(_ call: CallID, method: Int, deadline: NIODeadline?) {
        switch servedMethods[method] {
        case .watch: watchStarted(call)
        case .leaseKeepAlive: keepAliveStarted(call)
        default: violated("\(servedMethods[method]) is not bidirectional")
        }
    }

    func messageReceived(_ call: CallID, method: Int, message: ByteString, deadline: NIODeadline?) {
        let method = servedMethods[method]
        do throws(EtcdError) {
            switch method {
            case .watch: try watchRequested(call, message)
            case .healthCheck: try checkHealth(call, message)
            case .healthWatch: try watchHealth(call, message)
            case .lock, .unlock, .campaign, .proclaim, .leader, .observe, .resign: try coordinate(method, message, call)
            default: try answer(method, message, call)
            }
        } catch {
            if forgetStream(call) { batch.append(.event(.requestCancelled(call))) }
            calls.finish(call, GRPCStatus(error))
        }
    }

    private func answer(_ method: EtcdMethod, _ message: ByteString, _ call: CallID) throws(EtcdError) {
        if let request = try request(method, message, call) {
            batch.append(.event(.requestArrived(call, request, by: .anonymous)))
            if case .revision(let isLinearizable) = request {
                awaitingRevision[call] = AwaitedRevision(method: method, isLinearizable: isLinearizable)
            }
        } else {
            answerAtOnce(call, method)
        }
    }

    // A client that will ask nothing more still wants its events.
    func inputEnded(_ call: CallID) {
        if keepAlives[call] != nil { keepAliveEnded(call) }
    }

    /// True where the call was a stream that would not have ended by itself.
    private func forgetStream(_ call: CallID) -> Bool {
        keepAlives[call] = nil
        forgetHealthWatch(call)
        awaitingDrain[call] = nil
        return openStreams.remove(call) != nil
    }

    func callCancelled(_ call: CallID) {
        let id = call
        awaitingRevision[id] = nil
        _ = forgetStream(call)
        coordinationCancelled(call)
        batch.append(.event(.requestCancelled(id)))
    }

    func callWritable(_ call: CallID) {
        let id = call
        keepAlives[call]?.unread = 0
        for _ in 0..<(awaitingDrain.removeValue(forKey: id) ?? 0) { batch.append(.event(.streamDrained(id))) }
        coordinationWritable(call)
    }

    func turnEnded() {
        guard !batch.isEmpty else { return }
        engine.post(&batch)
        refuse(&batch)
    }

    /// What the engine had no room for: it is further behind than it can make good, and etcd says the same when its backlog is
    /// too long. What it must hear of waits for the next turn.
    private func refuse(_ rest: inout [EngineMessage]) {
        guard !rest.isEmpty else { return }
        var kept: [EngineMessage] = []
        for message in rest {
            switch message {
            // There are as many as calls of theirs are open, which have a bound of their own.
            case .event(.requestArrived(let id, _, _)) where id.isOfCoordination, .event(.watchOpened(let id, _)) where id.isOfCoordination,
                .event(.watchRequested(let id, _)) where id.isOfCoordination:
                kept.append(message)
            case .event(.requestArrived(let id, _, _)), .event(.watchOpened(let id, _)), .event(.watchRequested(let id, _)):
                let call = id
                awaitingRevision[id] = nil
                if forgetStream(call) { kept.append(.event(.requestCancelled(id))) }
                calls.finish(call, GRPCStatus(.tooManyRequests))
            case .event, .ping, .stop: kept.append(message)
            }
        }
        for message in kept { engine.force(message) }
        rest.removeAll(keepingCapacity: true)
    }

    func shutdownBegan() {
        shutDownCoordination()
        for call in openStreams {
            batch.append(.event(.requestCancelled(call)))
            calls.finish(call, GRPCStatus(.stopped))
        }
        openStreams.removeAll()
        keepAlives.removeAll()
        healthWatches.removeAll()
        healthTimer?.cancel()
        healthTimer = nil
    }

    // MARK: What the engine says

    func deliver(_ batch: [Outgoing]) {
        for outgoing in batch {
            if outgoing.id.isOfCoordination {
                coordinationHeard(outgoing)
                continue
            }
            let call = outgoing.id
            switch outgoing {
            case .respond(_, let message): calls.respond(call, message)
            case .fail(_, let error):
                _ = forgetStream(call)
                calls.finish(call, GRPCStatus(error))
            case .send(_, let message, let reportDrained):
                let hasRoom = calls.send(call, message)
                if !keepAlives.isEmpty { keepAliveAnswered(call, hasRoom: hasRoom) }
                if reportDrained { self.reportDrained(call, hasRoom: hasRoom) }
            case .sendParts(_, let parts, let reportDrained):
                let hasRoom = calls.send(call, parts)
                if reportDrained { self.reportDrained(call, hasRoom: hasRoom) }
            case .finish:
                _ = forgetStream(call)
                calls.finish(call, .ok)
            case .revision(let id, let revision): answer(id, revision)
            case .slow(_, let request): noteSlow(request, call)
            }
        }
        turnEnded()
    }

    func noteSlow(_ request: SlowRequest, _ call: CallID) {
        if let (path, peer) = calls.describe(call) { slowRequests.note(request, path: path, peer: peer) }
    }

    /// Whether the client would rather be sent away than be served by a member without a leader.
    func isFlagged(_ call: CallID) -> Bool { calls.isFlagged(call) }

    /// The engine wants to hear once what was sent on a stream so far has left, or nearly: at once where the client keeps up.
    private func reportDrained(_ call: CallID, hasRoom: Bool) {
        guard calls.isOpen(call) else { return }
        let id = call
        if hasRoom, awaitingDrain[id] == nil {
            batch.append(.event(.streamDrained(id)))
        } else {
            awaitingDrain[id, default: 0] += 1
        }
    }

    // MARK: Requests

    /// What to ask the engine; nil where the answer needs nobody.
    private func request(_ method: EtcdMethod, _ message: ByteString, _ call: CallID) throws(EtcdError) -> Request? {
        switch method {
        case .range:
            let range: RangeRequest = try decode(message)
            try range.validate()
            return .range(range)
        case .rangeStream:
            let range: RangeRequest = try decode(message)
            try range.validateForStream()
            return .rangeStream(range)
        case .put:
            let put: PutRequest = try decode(message)
            try put.validate()
            try checkSize(message)
            return .write(.put(put))
        case .deleteRange:
            let delete: DeleteRangeRequest = try decode(message)
            try delete.validate()
            try checkSize(message)
            return .write(.deleteRange(delete))
        case .txn:
            let txn: TxnRequest = try decode(message)
            try txn.validate(maxTxnOps: configuration.maxTxnOps)
            if txn.isReadOnly { return .readTxn(txn) }
            try checkSize(message)
            return .write(.txn(txn))
        case .compact:
            let compaction: CompactionRequest = try decode(message)
            return .compact(revision: compaction.revision, physical: compaction.physical)
        case .leaseGrant: return try leaseGrant(message)
        case .leaseRevoke: return try leaseRevoke(message)
        case .leaseKeepAlive: return try keepAliveRequested(message, call)
        case .leaseTimeToLive: return try leaseTimeToLive(message)
        case .leaseLeases: return try leaseLeases(message)
        case .alarm: return try alarm(message)
        case .hashKV:
            let hash: HashKVRequest = try decode(message)
            return .hashKV(hash.revision)
        case .status:
            let _: StatusRequest = try decode(message)
            return .revision(linearizable: false)
        case .memberList:
            let list: MemberListRequest = try decode(message)
            return .revision(linearizable: list.linearizable)
        default:
            return nil
        }
    }

    func decode<M: WireMessage>(_ message: ByteString) throws(EtcdError) -> M {
        do throws(DecodeError) {
            return try M.decode(message)
        } catch {
            throw EtcdError(code: .internal, text: "grpc: error unmarshalling request: \(error)")
        }
    }

    /// etcd measures the raft entry that holds the request: about this much larger.
    func checkSize(_ message: ByteString) throws(EtcdError) {
        if message.count + raftEnvelopeBytes > configuration.maxRequestBytes { throw .requestTooLarge }
    }

    private func answerAtOnce(_ call: CallID, _ method: EtcdMethod) {
        let status = shared.current
        var writer = ByteWriter()
        switch method {
        case .defragment:
            shared.noteDefragment()
            DefragmentResponse(header: status.header).encode(into: &writer)
        default: violated("\(method) is served, but by nobody")
        }
        calls.respond(call, writer.finish())
    }

    // MARK: Answers that are made here

    private func answer(_ id: CallID, _ revision: Revision) {
        guard let awaited = awaitingRevision.removeValue(forKey: id) else { return }
        let call = id
        let membership = shared.membership
        let ready =
            awaited.method == .memberList
            ? membership.untilCurrent(isLinearizable: awaited.isLinearizable, on: calls.eventLoop)
            : membership.untilKnown(on: calls.eventLoop)
        ready.assumeIsolated().whenSuccess { [self] in
            calls.atOnce { answer(call, awaited.method, revision) }
        }
    }

    private func answer(_ call: CallID, _ method: EtcdMethod, _ revision: Revision) {
        let status = shared.current
        var header = status.header
        header.revision = revision
        var writer = ByteWriter(capacity: 256)
        switch method {
        case .status:
            statusResponse(status, header).encode(into: &writer)
        case .memberList:
            MemberListResponse(header: header, members: members(status)).encode(into: &writer)
        default: violated("\(method) does not wait for a revision")
        }
        calls.respond(call, writer.finish())
    }

    private func members(_ status: ServerStatus) -> [EtcdAPI.Member] {
        status.members.map { member in
            EtcdAPI.Member(
                id: UInt64(bitPattern: member.id), name: ByteString(member.name), clientURLs: member.clientURLs.map { ByteString($0) })
        }
    }
}

/// A call that waits for a revision.
private struct AwaitedRevision {
    var method: EtcdMethod
    var isLinearizable: Bool
}

/// The field, the length and the request id that etcd wraps a request in.
private let raftEnvelopeBytes = 20

/// The methods that are served, in the order of their indexes.
let servedMethods: [EtcdMethod] = [
    .range, .rangeStream, .put, .deleteRange, .txn, .compact, .watch, .leaseGrant, .leaseRevoke, .leaseKeepAlive,
    .leaseTimeToLive, .leaseLeases, .status, .memberList, .alarm, .defragment, .hashKV, .healthCheck, .healthWatch, .lock,
    .unlock, .campaign, .proclaim, .leader, .observe, .resign,
]

extension CallID {
    init(_ call: CallID) { self.init(rawValue: call.rawValue) }
}

extension GRPCStatus {
    init(_ error: EtcdError) {
        guard let code = Code(rawValue: error.code.rawValue) else { violated("gRPC has no code \(error.code.rawValue)") }
        self.init(code, error.text)
    }
}

extension GRPCMethod {
    init(_ method: EtcdMethod) {
        let kind: Kind =
            switch method.kind {
            case .unary: .unary
            case .serverStreaming: .serverStreaming
            case .bidirectional: .bidirectional
            }
        let answersAreShort =
            switch method {
            // A put may ask for the value before, which somebody has sent.
            case .put, .compact, .leaseGrant, .leaseRevoke, .status, .memberList, .alarm, .defragment, .healthCheck: true
            // A lock that is waited for would keep others' answers waiting.
            case .lock, .unlock, .campaign, .proclaim, .resign: true
            default: false
            }
        self.init(method.path, kind, answersAreShort: answersAreShort)
    }
}

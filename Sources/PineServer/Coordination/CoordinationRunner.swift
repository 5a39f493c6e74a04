// Owns: the calls of Lock and Election of one caller: does what they want done next, and tells them what came of it.
// Must never: keep more for a client that doesn't read than what was sent before it was known.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import Replica

final class CoordinationRunner {
    private unowned let services: Services
    private let caller: any Caller
    private var calls = CoordinationCalls()

    init(_ services: Services) {
        self.services = services
        caller = services.caller
    }

    func open(_ id: CallID, _ message: ByteString, _ call: some CoordinationCall) throws(EtcdError) {
        // The message, the prefix and the key, and what is asked with them.
        let byteCount = message.count * 3 + entryBytes
        guard calls.hasRoom(for: byteCount) else { throw .tooManyRequests }
        calls.open(id, call, byteCount: byteCount, principal: services.principal(of: id))
        if call.mayWait { services.streams.opened(id) }
        tell(id) { $0.begin() }
    }

    // MARK: What happens

    /// What the engine says to an id of these services.
    func heard(_ id: CallID, _ answer: Answer) {
        guard let call = calls.owner(of: id) else { return }
        switch answer {
        case .respond(let message):
            forgetAsked(call, id)
            tell(call) { $0.answered(message) }
        case .fail(let error):
            forgetAsked(call, id)
            tell(call) { $0.failed(error) }
        case .send(let message, let reportDrained): watched(call, id, message, reportDrained: reportDrained)
        case .sendParts(let parts, let reportDrained):
            var writer = ByteWriter(capacity: parts.reduce(0) { $0 + $1.count })
            for part in parts { writer.append(part) }
            watched(call, id, writer.finish(), reportDrained: reportDrained)
        case .slow(let request): services.noteSlow(request, call)
        case .finish, .revision, .auth: violated("nobody asked for that")
        }
    }

    private func watched(_ call: CallID, _ watch: CallID, _ message: ByteString, reportDrained: Bool) {
        let response: WatchResponse = decoded(message)
        tell(call) { $0.watched(response) }
        guard reportDrained else { return }
        let isDue = calls.update(call) { entry in
            entry.watch != watch || entry.flow.reportDue(hasRoom: !entry.flow.isFull)
        }
        if isDue != false, calls.owner(of: watch) != nil { services.tell(.streamDrained(watch)) }
    }

    /// The client has gone, or gave up.
    func cancelled(_ call: CallID) {
        _ = calls.update(call) { entry in
            entry.flow = StreamFlow()
            entry.held = nil
        }
        tell(call) { $0.cancelled() }
    }

    /// The client has read what it was sent.
    func writable(_ call: CallID) {
        guard let entry = calls.entries[call], entry.flow.isFull else { return }
        let reports = calls.update(call) { entry in
            entry.held = nil
            return entry.flow.drained()
        }
        if let watch = entry.watch {
            for _ in 0..<(reports ?? 0) { services.tell(.streamDrained(watch)) }
        }
        if let request = entry.held { ask(call, request) }
    }

    /// Calls that wait are ended with the server; whoever asks again finds its place in the queue as long as its lease lives.
    func shutDown() {
        for call in services.streams.endless where calls.entries[call] != nil {
            endWaiting(call)
            calls.close(call)
        }
    }

    // MARK: What is to be done

    private func tell(_ call: CallID, _ event: (inout any CoordinationCall) -> [CoordinationStep]) {
        guard let steps = calls.update(call, { entry in event(&entry.call) }) else { return }
        for step in steps { take(step, of: call) }
    }

    private func take(_ step: CoordinationStep, of call: CallID) {
        switch step {
        case .ask(let request):
            endWaiting(call)
            let isHeld = calls.update(call) { entry in
                if entry.flow.isFull { entry.held = request }
                return entry.flow.isFull
            }
            if isHeld == false { ask(call, request) }
        case .watch(let request):
            endWaiting(call)
            guard let principal = calls.entries[call]?.principal else { return }
            let id = calls.name(for: call)
            _ = calls.update(call) { $0.watch = id }
            services.tell(.watchOpened(id, by: principal))
            services.tell(.watchRequested(id, .create(request)))
        case .respond(let message):
            services.streams.closed(call)
            caller.respond(call, message)
        case .send(let message):
            let hasRoom = caller.send(call, message)
            if caller.isOpen(call) { _ = calls.update(call) { $0.flow.sent(hasRoom: hasRoom) } }
        case .fail(let error):
            services.streams.closed(call)
            // What is left to do needs no client.
            _ = calls.update(call) { $0.flow = StreamFlow() }
            caller.finish(call, GRPCStatus(error))
        case .end:
            endWaiting(call)
            calls.close(call)
        }
    }

    private func ask(_ call: CallID, _ request: Request) {
        do throws(EtcdError) {
            try check(request)
        } catch {
            return tell(call) { $0.failed(error) }
        }
        guard let principal = calls.entries[call]?.principal else { return }
        let id = calls.name(for: call)
        _ = calls.update(call) { $0.asked = id }
        services.tell(.requestArrived(id, request, by: principal))
    }

    /// As for a client that asks it.
    private func check(_ request: Request) throws(EtcdError) {
        switch request {
        case .write(.txn(let txn)):
            try txn.validate(maxTxnOps: services.limits.maxTxnOps)
            try services.limits.checkSize(txn.encoded())
        case .write(.deleteRange(let delete)):
            try delete.validate()
            try services.limits.checkSize(delete.encoded())
        case .range(let range): try range.validate()
        default: break
        }
    }

    private func forgetAsked(_ call: CallID, _ id: CallID) {
        calls.forget(id)
        _ = calls.update(call) { $0.waitsForNothing() }
    }

    /// Whatever the call waits for is not wanted any more.
    private func endWaiting(_ call: CallID) {
        guard let entry = calls.entries[call] else { return }
        for id in [entry.asked, entry.watch].compactMap({ $0 }) {
            calls.forget(id)
            services.tell(.requestCancelled(id))
        }
        _ = calls.update(call) { $0.waitsForNothing() }
    }
}

/// What an open call takes beside its strings, here and in the engine, about.
private let entryBytes = 1_024

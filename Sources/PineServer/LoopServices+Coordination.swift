// Owns: the services Lock and Election of one loop: does what their calls want done next, and tells them what came of it.
// Must never: keep more for a client that doesn't read than what was sent before it was known.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import GRPC
internal import Keyspace
internal import Replica

extension LoopServices {
    func coordinate(_ method: EtcdMethod, _ message: ByteString, _ call: CallID) throws(EtcdError) {
        let fresh = LeaseID.random(in: 1...LeaseID.max)
        switch method {
        case .lock:
            let request: LockRequest = try decode(message)
            try open(call, message, Candidacy(.lock, name: request.name, lease: request.lease, freshLease: fresh))
        case .unlock:
            let request: UnlockRequest = try decode(message)
            try open(call, message, Release(key: request.key))
        case .campaign:
            let request: CampaignRequest = try decode(message)
            let kind = Candidacy.Kind.campaign(request.value)
            try open(call, message, Candidacy(kind, name: request.name, lease: request.lease, freshLease: fresh))
        case .proclaim:
            let request: ProclaimRequest = try decode(message)
            try open(call, message, Amendment(.proclaim(request.value), request.leader, freshLease: fresh))
        case .resign:
            let request: ResignRequest = try decode(message)
            try open(call, message, Amendment(.resign, request.leader, freshLease: fresh))
        case .leader:
            let request: LeaderRequest = try decode(message)
            try open(call, message, LeaderQuestion(name: request.name))
        case .observe:
            let request: LeaderRequest = try decode(message)
            try open(call, message, Observation(name: request.name))
        default: violated("\(method) is of another service")
        }
    }

    private func open(_ id: CallID, _ message: ByteString, _ call: some CoordinationCall) throws(EtcdError) {
        // The message, the prefix and the key, and what is asked with them.
        let byteCount = message.count * 3 + entryBytes
        guard coordination.hasRoom(for: byteCount) else { throw .tooManyRequests }
        coordination.open(id, call, byteCount: byteCount)
        if call.mayWait { openStreams.insert(id) }
        tell(id) { $0.begin() }
    }

    // MARK: What happens

    /// What the engine says to an id of these services.
    func coordinationHeard(_ outgoing: Outgoing) {
        let id = outgoing.id
        guard let call = coordination.owner(of: id) else { return }
        switch outgoing {
        case .respond(_, let message):
            forgetAsked(call, id)
            tell(call) { $0.answered(message) }
        case .fail(_, let error):
            forgetAsked(call, id)
            tell(call) { $0.failed(error) }
        case .send(_, let message, let reportDrained): watched(call, id, message, reportDrained: reportDrained)
        case .sendParts(_, let parts, let reportDrained):
            var writer = ByteWriter(capacity: parts.reduce(0) { $0 + $1.count })
            for part in parts { writer.append(part) }
            watched(call, id, writer.finish(), reportDrained: reportDrained)
        case .slow(_, let request): noteSlow(request, call)
        case .finish, .revision: violated("nobody asked for that")
        }
    }

    private func watched(_ call: CallID, _ watch: CallID, _ message: ByteString, reportDrained: Bool) {
        let response: WatchResponse = decoded(message)
        tell(call) { $0.watched(response) }
        guard reportDrained else { return }
        let waits = coordination.update(call) { entry in
            guard entry.watch == watch, entry.isFull else { return false }
            entry.undrained += 1
            return true
        }
        if waits != true, coordination.owner(of: watch) != nil { batch.append(.event(.streamDrained(watch))) }
    }

    /// The client has gone, or gave up.
    func coordinationCancelled(_ call: CallID) {
        _ = coordination.update(call) { entry in
            entry.isFull = false
            entry.held = nil
        }
        tell(call) { $0.cancelled() }
    }

    /// The client has read what it was sent.
    func coordinationWritable(_ call: CallID) {
        guard let entry = coordination.entries[call], entry.isFull else { return }
        _ = coordination.update(call) { entry in
            entry.isFull = false
            entry.held = nil
            entry.undrained = 0
        }
        if let watch = entry.watch {
            for _ in 0..<entry.undrained { batch.append(.event(.streamDrained(watch))) }
        }
        if let request = entry.held { ask(call, request) }
    }

    /// Calls that wait are ended with the server; whoever asks again finds its place in the queue as long as its lease lives.
    func shutDownCoordination() {
        for call in coordination.entries.keys where openStreams.contains(call) {
            endWaiting(call)
            coordination.close(call)
        }
    }

    // MARK: What is to be done

    private func tell(_ call: CallID, _ event: (inout any CoordinationCall) -> [CoordinationStep]) {
        guard let steps = coordination.update(call, { entry in event(&entry.call) }) else { return }
        for step in steps { take(step, of: call) }
    }

    private func take(_ step: CoordinationStep, of call: CallID) {
        switch step {
        case .ask(let request):
            endWaiting(call)
            let isHeld = coordination.update(call) { entry in
                if entry.isFull { entry.held = request }
                return entry.isFull
            }
            if isHeld == false { ask(call, request) }
        case .watch(let request):
            endWaiting(call)
            let id = coordination.name(for: call)
            _ = coordination.update(call) { $0.watch = id }
            batch.append(.event(.watchOpened(id, by: .anonymous)))
            batch.append(.event(.watchRequested(id, .create(request))))
        case .respond(let message):
            openStreams.remove(call)
            calls.respond(call, message)
        case .send(let message):
            if !calls.send(call, message), calls.isOpen(call) { _ = coordination.update(call) { $0.isFull = true } }
        case .fail(let error):
            openStreams.remove(call)
            // What is left to do needs no client.
            _ = coordination.update(call) { $0.isFull = false }
            calls.finish(call, GRPCStatus(error))
        case .end:
            endWaiting(call)
            coordination.close(call)
        }
    }

    private func ask(_ call: CallID, _ request: Request) {
        do throws(EtcdError) {
            try check(request)
        } catch {
            return tell(call) { $0.failed(error) }
        }
        let id = coordination.name(for: call)
        _ = coordination.update(call) { $0.asked = id }
        batch.append(.event(.requestArrived(id, request, by: .anonymous)))
    }

    /// As for a client that asks it.
    private func check(_ request: Request) throws(EtcdError) {
        switch request {
        case .write(.txn(let txn)):
            try txn.validate(maxTxnOps: configuration.maxTxnOps)
            try checkSize(txn.encoded())
        case .write(.deleteRange(let delete)):
            try delete.validate()
            try checkSize(delete.encoded())
        case .range(let range): try range.validate()
        default: break
        }
    }

    private func forgetAsked(_ call: CallID, _ id: CallID) {
        coordination.forget(id)
        _ = coordination.update(call) { entry in
            entry.asked = nil
            entry.watch = nil
            entry.undrained = 0
        }
    }

    /// Whatever the call waits for is not wanted any more.
    private func endWaiting(_ call: CallID) {
        guard let entry = coordination.entries[call] else { return }
        for id in [entry.asked, entry.watch].compactMap({ $0 }) {
            coordination.forget(id)
            batch.append(.event(.requestCancelled(id)))
        }
        _ = coordination.update(call) { entry in
            entry.asked = nil
            entry.watch = nil
            entry.undrained = 0
        }
    }
}

/// What an open call takes beside its strings, here and in the engine, about.
private let entryBytes = 1_024

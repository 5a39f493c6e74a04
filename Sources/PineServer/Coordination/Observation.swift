// Owns: one call of Observe: the leader's key, each value that it is given, then the next leader's.
//
//   looking ──▶ following ──▶ looking        where there is none: looking ──▶ awaiting ──▶ following
internal import Bytes
internal import EtcdAPI
internal import Replica

struct Observation: CoordinationCall {
    private enum Phase {
        /// Asks who leads.
        case looking
        /// Nobody does: watches for a key.
        case awaiting
        /// Watches the leader's key.
        case following
    }

    private let prefix: ByteString
    private var phase = Phase.looking

    var mayWait: Bool { true }

    init(name: ByteString) { prefix = Queue.prefix(name) }

    mutating func begin() -> [CoordinationStep] {
        phase = .looking
        return [.ask(.range(Queue.first(prefix)))]
    }

    mutating func answered(_ message: ByteString) -> [CoordinationStep] {
        let response: RangeResponse = decoded(message)
        let header = response.header ?? ResponseHeader()
        if let leader = response.kvs.first { return follow(leader, header) }
        phase = .awaiting
        return [.watch(WatchCreateRequest(key: prefix, rangeEnd: Queue.end(prefix), startRevision: header.revision + 1))]
    }

    private mutating func follow(_ leader: KeyValue, _ header: ResponseHeader) -> [CoordinationStep] {
        phase = .following
        return [tell(leader, header), .watch(WatchCreateRequest(key: leader.key, startRevision: header.revision + 1))]
    }

    private func tell(_ leader: KeyValue, _ header: ResponseHeader) -> CoordinationStep {
        .send(LeaderResponse(header: header, kv: leader).encoded())
    }

    mutating func watched(_ response: WatchResponse) -> [CoordinationStep] {
        // What was to be seen is compacted: who leads now is asked anew.
        if response.canceled { return response.compactRevision > 0 ? begin() : [.fail(.observeClosed), .end] }
        var header = response.header ?? ResponseHeader()
        var steps: [CoordinationStep] = []
        for event in response.events {
            switch (phase, event.type) {
            case (.awaiting, .put):
                guard let leader = event.kv else { continue }
                // Others may have followed in the same message.
                header.revision = leader.modRevision
                return follow(leader, header)
            case (.following, .put):
                if let leader = event.kv { steps.append(tell(leader, header)) }
            case (.following, .delete): return steps + begin()
            default: break
            }
        }
        return steps
    }

    mutating func failed(_ error: EtcdError) -> [CoordinationStep] { [.fail(.observeClosed), .end] }
}

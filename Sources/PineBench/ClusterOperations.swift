// Owns: a simulated Kubernetes cluster: what kube-apiserver sends to its store for so many nodes and pods, and how often.
// Invariant: an object has at most one request in flight, as it has one writer.
internal import Bytes
internal import EtcdAPI

/// How often what happens. Rates are requests a second.
struct ClusterModel {
    /// Where kube-apiserver keeps them, and what its caches watch.
    static let resources = ["leases/kube-node-lease/", "minions/", "pods/", "events/"]

    /// Kubelet renews its lease every 10 seconds and writes its status every 5 minutes.
    static let heartbeatSeconds = 10.0
    static let statusSeconds = 300.0
    /// A pod is created, bound, reported three times by its kubelet, and deleted; meanwhile it has five events.
    static let podSeconds = 600.0
    static let podUpdates = 4
    static let eventsAPod = 5.0
    /// Sizes of the stored objects, in bytes.
    static let leaseSize = 350
    static let nodeSize = 6_000
    static let podSize = 3_000
    static let eventSize = 700

    let nodes: Int
    let pods: Int

    init(_ plan: BenchPlan) {
        nodes = plan.nodes
        pods = plan.nodes * plan.podsPerNode
    }

    /// In the order of `ClusterOperations.kinds`, without the set-up's.
    var rates: [Double] {
        let podsASecond = Double(pods) / Self.podSeconds
        return [
            Double(nodes) / Self.heartbeatSeconds, Double(nodes) / Self.statusSeconds,
            podsASecond * Double(2 + Self.podUpdates), podsASecond * Self.eventsAPod,
            // Gets of single objects that no cache may answer; a list of pods now and then; counts for the metrics.
            Double(nodes) / 20, 0.2 + Double(nodes) / 1_000, 1,
        ]
    }

    var rate: Double { rates.reduce(0, +) }
}

final class ClusterOperations: Operations {
    private enum Kind: Int, CaseIterable {
        case heartbeat, nodeStatus, pod, event, get, list, count, setUp
    }

    let kinds = ["heartbeat", "node status", "pod", "event", "get", "page of pods", "count", "set-up"]

    private struct Object {
        /// 0 while it does not exist.
        var revision: Revision = 0
        var isBusy = false
        var updates = 0
    }

    /// The objects of one resource that are this worker's.
    private struct Resource {
        let keys: KeyNames
        let size: Int
        /// The number of object `index` is `first + index * step`: those between are other workers'.
        let first: Int
        let step: Int
        var objects: [Object]
        var turn = 0

        init(_ prefix: String, size: Int, count: Int, _ share: WorkerShare) {
            keys = KeyNames(prefix)
            self.size = size
            first = share.index
            step = share.workers
            objects = Array(repeating: Object(), count: (count - share.index + share.workers - 1) / share.workers)
        }

        func number(_ index: Int) -> Int { first + index * step }

        /// The next object whose turn it is and that nobody writes to; nil where all are busy.
        mutating func take() -> Int? {
            for _ in objects.indices {
                let index = turn
                turn = turn + 1 == objects.count ? 0 : turn + 1
                if !objects[index].isBusy {
                    objects[index].isBusy = true
                    return index
                }
            }
            return nil
        }
    }

    private struct Pending {
        var kind = Kind.count
        var resource = 0
        var index = 0
        var isDelete = false
        var page = 0
    }

    private static let leaseResource = 0
    private static let nodeResource = 1
    private static let podResource = 2

    private var resources: [Resource]
    private let eventKeys: KeyNames
    private var nextEvent: Int
    private let eventStep: Int
    private let eventLease: LeaseID
    private var values: ValueSource
    /// Running sums of the rates, to draw a kind from.
    private let cumulative: [Double]
    private var pending: [Pending]
    private var setUpObjects: [(resource: Int, index: Int)] = []
    private var podPage: (start: ByteString, revision: Revision)

    init(_ plan: BenchPlan, _ share: WorkerShare, _ leases: LeaseNumbers) {
        let model = ClusterModel(plan)
        let prefixes = ClusterModel.resources.map { plan.dataPrefix + $0 }
        resources = [
            Resource(prefixes[0], size: ClusterModel.leaseSize, count: model.nodes, share),
            Resource(prefixes[1], size: ClusterModel.nodeSize, count: model.nodes, share),
            Resource(prefixes[2] + "default/", size: ClusterModel.podSize, count: model.pods, share),
        ]
        eventKeys = KeyNames(prefixes[3] + "default/")
        nextEvent = share.index
        eventStep = share.workers
        eventLease = leases.id(0)
        values = ValueSource(size: ClusterModel.podSize, seed: plan.seed &+ UInt64(share.index) &* 0x9E37)
        cumulative = model.rates.reduce(into: []) { $0.append(($0.last ?? 0) + $1) }
        pending = Array(repeating: Pending(), count: share.slots)
        podPage = (resources[Self.podResource].keys.prefix, 0)
        for resource in resources.indices {
            for index in resources[resource].objects.indices { setUpObjects.append((resource, index)) }
        }
    }

    /// The whole cluster exists.
    var isSetUp: Bool { setUpObjects.isEmpty }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        if let (resource, index) = setUpObjects.popLast() {
            resources[resource].objects[index].isBusy = true
            return write(slot, .setUp, resource, index, now)
        }
        let drawn = Double(values.random.next() >> 11) / Double(1 << 53) * cumulative[cumulative.count - 1]
        let kind = Kind(rawValue: cumulative.firstIndex { drawn < $0 } ?? cumulative.count - 1) ?? .count
        switch kind {
        case .heartbeat:
            guard let index = resources[Self.leaseResource].take() else { return count(slot) }
            return write(slot, kind, Self.leaseResource, index, now)
        case .nodeStatus:
            guard let index = resources[Self.nodeResource].take() else { return count(slot) }
            return write(slot, kind, Self.nodeResource, index, now)
        case .pod:
            guard let index = resources[Self.podResource].take() else { return count(slot) }
            return write(slot, kind, Self.podResource, index, now)
        case .event: return event(slot, now)
        case .get: return get(slot)
        case .list: return list(slot)
        case .count, .setUp: return count(slot)
        }
    }

    private func write(_ slot: Int, _ kind: Kind, _ resource: Int, _ index: Int, _ now: UInt64) -> OutgoingRequest {
        let object = resources[resource].objects[index]
        let number = resources[resource].number(index)
        let keys = resources[resource].keys
        let size = resources[resource].size
        let isDelete = resource == Self.podResource && object.revision != 0 && object.updates == ClusterModel.podUpdates
        pending[slot] = Pending(kind: kind, resource: resource, index: index, isDelete: isDelete)
        let key: ObjectTransaction.KeyWriter = { keys.append(number, to: &$0, field: $1) }
        let message =
            isDelete
            ? ObjectTransaction.delete(revision: object.revision, key: key)
            : ObjectTransaction.put(revision: object.revision, key: key, capacity: size + 4 * keys.keySize + 64) {
                values.append(to: &$0, field: $1, number: number, sentAt: now, size: size)
            }
        return OutgoingRequest(method: .txn, kind: kind.rawValue, message: message)
    }

    private func event(_ slot: Int, _ now: UInt64) -> OutgoingRequest {
        pending[slot] = Pending(kind: .event)
        let number = nextEvent
        nextEvent += eventStep
        let key: ObjectTransaction.KeyWriter = { [eventKeys] in eventKeys.append(number, to: &$0, field: $1) }
        let message = ObjectTransaction.put(
            revision: 0, key: key, capacity: ClusterModel.eventSize + 4 * eventKeys.keySize + 64, lease: eventLease
        ) { values.append(to: &$0, field: $1, number: number, sentAt: now, size: ClusterModel.eventSize) }
        return OutgoingRequest(method: .txn, kind: Kind.event.rawValue, message: message)
    }

    private func get(_ slot: Int) -> OutgoingRequest {
        let resource = Self.leaseResource
        let index = values.random.below(resources[resource].objects.count)
        pending[slot] = Pending(kind: .get, resource: resource, index: index)
        let request = RangeRequest(key: resources[resource].keys.name(resources[resource].number(index)))
        return OutgoingRequest(method: .range, kind: Kind.get.rawValue, message: request.encoded())
    }

    private func list(_ slot: Int) -> OutgoingRequest {
        pending[slot] = Pending(kind: .list)
        let request = RangeRequest(
            key: podPage.start, rangeEnd: resources[Self.podResource].keys.prefixEnd, limit: 500, revision: podPage.revision)
        // The next list begins anew, unless this page says that there is more.
        podPage = (resources[Self.podResource].keys.prefix, 0)
        return OutgoingRequest(method: .range, kind: Kind.list.rawValue, message: request.encoded())
    }

    private func count(_ slot: Int) -> OutgoingRequest {
        pending[slot] = Pending(kind: .count)
        let keys = resources[Self.nodeResource].keys
        let request = RangeRequest(key: keys.prefix, rangeEnd: keys.prefixEnd, countOnly: true)
        return OutgoingRequest(method: .range, kind: Kind.count.rawValue, message: request.encoded())
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let asked = pending[slot]
        switch asked.kind {
        case .heartbeat, .nodeStatus, .pod, .setUp:
            let revision = try ObjectTransaction.check(answer, asked.isDelete ? .deleteRange : .put)
            let isNew = asked.isDelete || resources[asked.resource].objects[asked.index].revision == 0
            resources[asked.resource].objects[asked.index].updates =
                isNew ? 0 : resources[asked.resource].objects[asked.index].updates + 1
            resources[asked.resource].objects[asked.index].revision = asked.isDelete ? 0 : revision
            resources[asked.resource].objects[asked.index].isBusy = false
            return AnswerRevision(revision: revision, isWrite: true)
        case .event:
            return AnswerRevision(revision: try ObjectTransaction.check(answer, .put), isWrite: true)
        case .get:
            let number = resources[asked.resource].number(asked.index)
            let range = try RangeView(answer) { kv throws(WrongAnswer) in
                guard resources[asked.resource].keys.number(kv.key) == number else { throw WrongAnswer("another key was got") }
            }
            guard range.kvs == 1 else { throw WrongAnswer("a get of one key brought \(range.kvs)") }
            return AnswerRevision(revision: range.revision)
        case .list:
            var last = ByteString()
            let range = try RangeView(answer) { kv throws(WrongAnswer) in
                guard resources[Self.podResource].keys.number(kv.key) != nil else { throw WrongAnswer("a list brought another key") }
                last = ByteString(copying: kv.key)
            }
            guard range.more == (range.count > Int64(range.kvs)) else { throw WrongAnswer("a list's count and more disagree") }
            if range.more { podPage = (last.withUnsafeBytes { ByteString(Array($0) + [0]) }, range.revision) }
            return AnswerRevision(revision: range.revision)
        case .count:
            let range = try RangeView(answer) { _ throws(WrongAnswer) in throw WrongAnswer("a count brought a key") }
            return AnswerRevision(revision: range.revision)
        }
    }
}

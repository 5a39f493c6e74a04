// Owns: requests on watch streams that can't be served yet: the log isn't loaded, or a turn has had enough of them.
// Must never: change their order, or keep more than its bounds.
internal import Bytes
internal import Calls
internal import DequeModule
internal import EtcdAPI

struct EarlyWatchRequests {
    private var requests = Deque<(id: CallID, request: WatchRequest)>()
    /// About how much memory they take.
    private var byteCount = 0
    private let countLimit: Int
    private let byteLimit: Int

    init(_ configuration: ReplicaConfiguration) {
        countLimit = configuration.waitingLimit * 4
        byteLimit = configuration.watchRangeByteLimit
    }

    var isEmpty: Bool { requests.isEmpty }

    /// False where there are too many already.
    mutating func append(_ id: CallID, _ request: WatchRequest) -> Bool {
        guard requests.count < countLimit, byteCount + request.byteCount <= byteLimit else { return false }
        requests.append((id, request))
        byteCount += request.byteCount
        return true
    }

    mutating func popFirst() -> (id: CallID, request: WatchRequest)? {
        guard let first = requests.popFirst() else { return nil }
        byteCount -= first.request.byteCount
        return first
    }

    mutating func drop(_ gone: Set<CallID>) {
        guard !requests.isEmpty else { return }
        requests.removeAll { gone.contains($0.id) }
        byteCount = requests.reduce(0) { $0 + $1.request.byteCount }
    }

    func invariants() {
        invariant(requests.reduce(0) { $0 + $1.request.byteCount } == byteCount, "requests of \(byteCount) bytes are miscounted")
    }
}

extension WatchRequest {
    /// About what it takes in memory, in bytes.
    fileprivate var byteCount: Int {
        if case .create(let request) = self { return request.key.count + request.rangeEnd.count + 256 }
        return 256
    }
}

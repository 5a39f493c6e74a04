// Owns: granting leases and keeping them alive.
internal import Bytes
internal import EtcdAPI

/// The leases of a plan: numbers that no other run of the same seed at the same time takes.
struct LeaseNumbers: Sendable {
    let first: Int64
    let count: Int

    init(_ plan: BenchPlan, start: UInt64) {
        first = Int64(start & 0x3FFF_FFFF) << 32 | Int64(plan.seed & 0xFF) << 24
        count = plan.leases
    }

    func id(_ index: Int) -> LeaseID { LeaseID(first + Int64(index) + 1) }

    func index(_ id: LeaseID) -> Int? {
        let index = id.rawValue - first - 1
        return index >= 0 && index < Int64(count) ? Int(index) : nil
    }
}

/// Grants every lease of this worker, once.
final class GrantOperations: Operations {
    let kinds = ["grant"]
    private let leases: LeaseNumbers
    private let seconds: Int64
    private var nextIndex: Int
    private let step: Int
    private var pending: [Int]

    init(_ plan: BenchPlan, _ share: WorkerShare, _ leases: LeaseNumbers) {
        self.leases = leases
        seconds = Int64(plan.leaseSeconds)
        nextIndex = share.index
        step = share.workers
        pending = Array(repeating: 0, count: share.slots)
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        guard nextIndex < leases.count else { return nil }
        pending[slot] = nextIndex
        nextIndex += step
        let request = LeaseGrantRequest(ttl: seconds, id: leases.id(pending[slot]))
        return OutgoingRequest(method: .leaseGrant, kind: 0, message: request.encoded())
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let (id, seconds) = try leaseAndSeconds(answer)
        guard id == leases.id(pending[slot]), seconds >= self.seconds else {
            throw WrongAnswer("lease \(leases.id(pending[slot])) was granted as \(id) for \(seconds) s")
        }
        return AnswerRevision(revision: 0)
    }
}

/// Ends every lease of this worker, once.
final class RevokeOperations: Operations {
    let kinds = ["revoke"]
    private let leases: LeaseNumbers
    private var nextIndex: Int
    private let step: Int

    init(_ share: WorkerShare, _ leases: LeaseNumbers) {
        self.leases = leases
        nextIndex = share.index
        step = share.workers
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        guard nextIndex < leases.count else { return nil }
        let request = LeaseRevokeRequest(id: leases.id(nextIndex))
        nextIndex += step
        return OutgoingRequest(method: .leaseRevoke, kind: 0, message: request.encoded())
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        AnswerRevision(revision: 0)
    }
}

/// Keeps this worker's leases alive, one after the other, over one stream a connection.
final class KeepAliveOperations: Operations {
    let kinds = ["keep-alive"]
    private let leases: LeaseNumbers
    private let share: WorkerShare
    private var nextIndex: Int
    /// Which slot each lease's keep-alive is in flight in; -1 for none.
    private var slots: [Int32]

    init(_ share: WorkerShare, _ leases: LeaseNumbers) {
        self.leases = leases
        self.share = share
        nextIndex = share.index
        slots = Array(repeating: -1, count: leases.count)
    }

    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest? {
        // With more slots than leases some have nothing to do.
        for _ in 0..<leases.count where slots[nextIndex] >= 0 { advance() }
        guard slots[nextIndex] < 0 else { return nil }
        slots[nextIndex] = Int32(slot)
        let request = LeaseKeepAliveRequest(id: leases.id(nextIndex))
        advance()
        return OutgoingRequest(method: .leaseKeepAlive, kind: 0, message: request.encoded())
    }

    private func advance() {
        nextIndex += share.workers
        if nextIndex >= leases.count { nextIndex = share.index }
    }

    func slot(of answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> Int {
        let (id, _) = try leaseAndSeconds(answer)
        guard let index = leases.index(id), slots[index] >= 0 else { throw WrongAnswer("a keep-alive of lease \(id), unasked") }
        let slot = Int(slots[index])
        slots[index] = -1
        return slot
    }

    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision {
        let (id, seconds) = try leaseAndSeconds(answer)
        guard seconds > 0 else { throw WrongAnswer("lease \(id) is lost") }
        return AnswerRevision(revision: 0)
    }
}

/// Fields 2 and 3 of a LeaseGrantResponse or LeaseKeepAliveResponse.
private func leaseAndSeconds(_ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> (id: LeaseID, seconds: Int64) {
    var scan = WireScan(answer)
    var id: LeaseID = 0
    var seconds: Int64 = 0
    while try scan.next() {
        if scan.field == 2 { id = LeaseID(scan.int64) }
        if scan.field == 3 { seconds = scan.int64 }
    }
    return (id, seconds)
}

// Owns: what a workload must be able to do for the worker that sends it.
internal import Bytes
internal import EtcdAPI

/// One request as it is sent.
struct OutgoingRequest {
    var method: EtcdMethod
    /// Which of the workload's kinds it is counted as.
    var kind: Int
    var message: ByteString
}

/// What an answer says of the store's revision.
struct AnswerRevision {
    /// 0 where the answer isn't bound to be linearizable.
    var revision: Revision
    /// Whether it was a write, which takes a revision of its own.
    var isWrite = false
}

/// A workload as one worker sends it. Confined to the worker's loop. A slot is one request in flight.
protocol Operations: AnyObject {
    /// What the kinds of requests are called, for the report.
    var kinds: [String] { get }
    /// The slot's next request, due at `now`; nil where there is nothing more to do.
    func next(_ slot: Int, at now: UInt64) -> OutgoingRequest?
    func check(_ slot: Int, _ answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> AnswerRevision
    /// Whether long answers are checked piece by piece, as they come.
    var checksPieces: Bool { get }
    /// The next piece of an answer that has not come whole; something with the last one.
    func check(_ slot: Int, piece: UnsafeRawBufferPointer, isLast: Bool) throws(WrongAnswer) -> AnswerRevision?
    /// Which slot an answer on a stream belongs to. Asked for streaming methods only.
    func slot(of answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> Int
}

extension Operations {
    var checksPieces: Bool { false }

    func check(_ slot: Int, piece: UnsafeRawBufferPointer, isLast: Bool) throws(WrongAnswer) -> AnswerRevision? {
        throw WrongAnswer("an answer in pieces")
    }

    func slot(of answer: UnsafeRawBufferPointer) throws(WrongAnswer) -> Int {
        throw WrongAnswer("a message on a call of one answer")
    }
}

/// A worker's share of the run.
struct WorkerShare {
    /// Which worker of how many.
    let index: Int
    let workers: Int
    /// Requests in flight of this worker, and of those before it.
    let slots: Int
    let slotsBefore: Int
    let slotsInAll: Int
}

/// What the preparation of a run found out.
struct Preparation: Sendable {
    /// The revisions of the keys that were there before, for whoever has to know them.
    var revisions: [Revision] = []
    var leases: LeaseNumbers
}

extension BenchPlan {
    func operations(_ share: WorkerShare, _ preparation: Preparation) -> any Operations {
        switch workload {
        case .put, .watch: PutGetOperations(self, share, getsOf100: 0)
        case .get: PutGetOperations(self, share, getsOf100: 100)
        case .mixed: PutGetOperations(self, share, getsOf100: 80)
        case .txn: LifeCycleOperations(self, share, updates: 2, deletes: true)
        case .txnCreate: LifeCycleOperations(self, share, updates: 0, deletes: false)
        case .txnDelete: LifeCycleOperations(self, share, updates: 0, deletes: true)
        case .txnUpdate: UpdateOperations(self, share, kind: "update", revisions: preparation.revisions)
        case .leaseFlood: UpdateOperations(self, share, kind: "heartbeat", revisions: preparation.revisions)
        case .list: ListOperations(self, share, pageSize: 500)
        case .listFull: ListOperations(self, share, pageSize: nil)
        case .count: CountOperations(self)
        case .leaseKeepAlive: KeepAliveOperations(share, preparation.leases)
        case .kubernetes: ClusterOperations(self, share, preparation.leases)
        }
    }
}

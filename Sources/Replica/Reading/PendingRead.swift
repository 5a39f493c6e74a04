// Owns: a read that has arrived: what it asks and since when it waits.
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A read that waits until it is known where the log ends.
struct PendingRead: HeadWaiter {
    enum Kind {
        case range(RangeRequest)
        case rangeStream(RangeRequest)
        case txn(TxnRequest)
        case revision(AccessNeed)
        /// Which alarms of a kind are raised, or of all for NONE.
        case alarms(AlarmType, needs: AccessNeed)
        case hashKV(Revision)
        /// The hash of all keys, for Hash.
        case hash
        indirect case auth(AuthQuestion)
        case snapshot([SnapshotMember])
        /// A watch stream asked how far it has been served.
        case watchProgress
        /// A write that changed nothing when it was executed at this tip: true if the log ends there.
        case unchanged(PendingWrite, Result<WriteAnswer, EtcdError>, at: Position, digest: Digest)
    }

    /// Whether it takes as long in any store.
    var isBounded: Bool {
        switch kind {
        case .range, .rangeStream, .txn: false
        case .revision, .alarms, .hashKV, .hash, .auth, .snapshot, .watchProgress, .unchanged: true
        }
    }

    var id: CallID
    var kind: Kind
    var arrivedAt: Instant
    var principal = Principal.anonymous
}

// Owns: what a client asks of the replica.
package import EtcdAPI
package import Keyspace

/// What a client asks, validated as far as that needs no store.
package enum Request: Sendable, Hashable {
    case range(RangeRequest)
    case rangeStream(RangeRequest)
    /// A transaction of nothing but ranges.
    case readTxn(TxnRequest)
    case write(WriteRequest)
    /// With `physical`, the answer waits until the dead rows are gone from the log.
    case compact(revision: Revision, physical: Bool)
    /// The newest revision, after learning where the log ends where `linearizable`. Answered by `revisionKnown`.
    case revision(linearizable: Bool, needs: AccessNeed)
    case lease(LeaseRequest)
    /// Which alarms of a kind are raised, or of all for NONE.
    case alarms(AlarmType, needs: AccessNeed)
    /// The hash of all keys up to a revision, 0 for the current one, as this process has folded them.
    case hashKV(Revision)
    /// The current one's, for Hash.
    case hash
    indirect case auth(AuthQuestion)
    /// The whole store as a bbolt file, in SnapshotResponses, with the members that there are.
    case snapshot(members: [SnapshotMember])
}

// Owns: what can happen to a replica, in the past tense.
package import Calls
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
    case revision(linearizable: Bool)
    case lease(LeaseRequest)
    /// Which alarms of a kind are raised, or of all for NONE.
    case alarms(AlarmType)
    /// The hash of all keys up to a revision, 0 for the current one, as this process has folded them.
    case hashKV(Revision)
}

package enum ReplicaEvent: Sendable {
    case requestArrived(CallID, Request, by: Principal)
    /// The client gave up, went away, or its deadline passed. Nobody listens for the answer.
    case requestCancelled(CallID)
    /// What was sent on this stream has left the server's buffers.
    case streamDrained(CallID)
    /// A client has begun a Watch call. What it asks on it is asked by the same.
    case watchOpened(CallID, by: Principal)
    /// Right after that: the client wants to be sent away where the log can't be reached for long.
    case leaderRequired(CallID)
    case watchRequested(CallID, WatchRequest)
    case log(LogEvent)
    /// What `Action.sort` asked for is done.
    case sorted(SortJob)
    /// The process is about to end: chores are left to others.
    case stopping
    /// A chunk of the log at start-up, in order, the first one from the log's start.
    case rowsLoaded([LogRow])
    /// The same without values, whose lengths in bytes these are: what memory has no room for stays in the log.
    case rowsLoadedWithoutValues([LogRow], [Int])
    /// The connection was lost while loading: the chunks come again from the start.
    case loadRestarted
    /// The head of the snapshot that the chunks came from, and what had been deleted from it.
    case loadFinished(Head, SweepState)
}

// Owns: what can happen to a replica, in the past tense.
package import Calls
package import EtcdAPI
package import Keyspace

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

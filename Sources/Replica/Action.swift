// Owns: what a replica wants done, in the imperative. Plain values that carry request ids.
package import Calls
internal import EtcdAPI
package import Keyspace

package enum Action: Sendable, Hashable {
    /// Something for one call.
    case answer(CallID, Answer)
    case log(LogCommand)
    /// Sort these keys, where nobody waits for it, and hand them back by `sorted`.
    case sort(SortJob)
    /// Read the whole log anew and hand it in by `rowsLoaded` and `loadFinished`.
    case load
    /// Something that an operator should know.
    case note(Note)
}

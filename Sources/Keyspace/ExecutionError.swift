// Owns: the two ways in which an operation ends without an answer.
// Must never: be told to a client as it is: what is lacking is fetched.
package import EtcdAPI

package enum ExecutionError: Error, Hashable, Sendable {
    /// etcd's answer.
    case refused(EtcdError)
    /// Values that memory does not hold. Nothing has changed: run it again with these.
    case lacks([MissingValue])
}

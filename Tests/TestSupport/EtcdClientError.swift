// Owns: how a call of the tests' client ends when it doesn't end well. Must never: mix what the server said with what
// became of the connection: a test for durability depends on the difference.
package import EtcdAPI

package enum EtcdClientError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The server answered with this gRPC status.
    case status(EtcdError)
    /// The connection could not be made, ended, or was being ended. What was asked may have happened or not.
    case connectionLost(String)
    /// The server reset the stream with this HTTP/2 error code and no status. What was asked may have happened or not.
    case streamReset(UInt32)
    /// No answer within the time that the caller gave; the call was cancelled.
    case deadlinePassed
    /// What the server sent is not what gRPC or the API allow.
    case malformed(String)

    package var description: String {
        switch self {
        case .status(let error): "\(error)"
        case .connectionLost(let reason): "connection lost: \(reason)"
        case .streamReset(let code): "the server reset the stream with HTTP/2 code \(code)"
        case .deadlinePassed: "no answer before the deadline"
        case .malformed(let what): "malformed answer: \(what)"
        }
    }

    /// True where nobody can tell from this error whether the server did what it was asked.
    package var leavesOutcomeOpen: Bool {
        switch self {
        case .connectionLost, .streamReset, .deadlinePassed: true
        // What these say passes; some of them are said after the request was taken on.
        case .status(let error): error.code == .unavailable || error.code == .deadlineExceeded || error.code == .canceled
        case .malformed: false
        }
    }
}

// Owns: who makes a request, from the socket to where the request executes.
// Must never: be compared by reference: a user may come on any number of connections.
internal import Auth
package import Bytes
internal import EtcdAPI

/// What a client shows to say who it is.
package enum Claim: Hashable, Sendable {
    /// A simple token, which the store's own secret has to have signed.
    case token(ByteString)
    /// A user for whom somebody else vouches: a certificate, or a JSON Web Token of an auth revision.
    case user(ByteString, revision: UInt64?)
    /// Something that speaks for nobody.
    case invalid
    /// The process itself, which may do everything.
    case process
}

/// Who asks. One word: it travels with every request, and costs nothing where nobody has said who he is.
///
/// Whoever makes one from what a client shows keeps it for the client's next requests for a while, but not for much longer than a second or
/// a sixteenth of a token's time: whether a token has expired is judged by `seenMs`.
package struct Principal: Sendable, Hashable {
    let credentials: Credentials?

    /// Nobody said who he is.
    package static let anonymous = Principal(nil)
    /// The process's own chores.
    package static let process = Principal(.process, seenMs: 0)

    private init(_ credentials: Credentials?) { self.credentials = credentials }

    /// A client that showed `claim`.
    /// - Parameter seenMs: when it did, in milliseconds since 1970.
    package init(_ claim: Claim, seenMs: UInt64) { credentials = Credentials(claim, seenMs: seenMs) }

    /// What the client showed; nil for nothing.
    package var claim: Claim? { credentials?.claim }

    package static func == (a: Principal, b: Principal) -> Bool { a.credentials === b.credentials || a.claim == b.claim }

    package func hash(into hasher: inout Hasher) { hasher.combine(claim) }
}

/// What a client showed, and what that was found to be worth. Sendable though it changes: `standing` is touched by the one store's turns
/// alone that the client's requests go to, and one thread at a time takes those.
final class Credentials: @unchecked Sendable {
    let claim: Claim
    let seenMs: UInt64
    var standing: Standing?

    init(_ claim: Claim, seenMs: UInt64) {
        self.claim = claim
        self.seenMs = seenMs
    }
}

/// What a claim is worth in one state of users and roles.
struct Standing: Sendable {
    /// Which state it was.
    let state: AuthStateMark
    let identity: Result<Identity, EtcdError>
    let rights: Rights
}

/// Stands for one state of users and roles, by its address. What is undone is the state before again.
final class AuthStateMark: Sendable {}

// Owns: who makes a request, from the socket to where the request executes.
// Must never: be compared by reference: a user may be resolved once for each of his connections.
package import Bytes

/// Who asks. One word: it travels with every request, and costs nothing where nobody has said who he is.
package struct Principal: Sendable, Hashable {
    private let user: User?

    /// Nobody said who he is. The process's own chores are anonymous as well.
    package static let anonymous = Principal(user: nil)

    private init(user: User?) { self.user = user }

    /// A user by his name, once it is known that it is he.
    package init(name: ByteString) { user = User(name: name) }

    /// The user's name; nil where nobody has said it.
    package var name: ByteString? { user?.name }

    package var isAnonymous: Bool { user == nil }
}

/// A user as a connection knows him: resolved once, and shared by all that he asks.
private final class User: Sendable, Hashable {
    let name: ByteString

    init(name: ByteString) { self.name = name }

    static func == (a: User, b: User) -> Bool { a === b || a.name == b.name }

    func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

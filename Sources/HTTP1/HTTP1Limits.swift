// Owns: the bounds on what HTTP/1.1 connections may cost us, and their defaults.

package struct HTTP1Limits: Sendable {
    /// Connections at once; more are told so and closed.
    package var connectionsLimit = 10_000
    /// Names and values of a request's fields together, and the request line, in bytes each.
    package var headerListSizeLimit = 16 << 10
    package var headerFieldCountLimit = 64
    /// A body that no page looks at, in bytes. A larger one ends the connection.
    package var bodySizeLimit = 64 << 10
    /// How much of a body is read, and forgotten, behind an answer that came before it: clients look at answers when they have sent all.
    package var skippedBodyLimit = 64 << 20
    /// How long the first request may take to arrive, byte by byte or not at all.
    package var firstRequestTimeoutMs: Int64 = 10_000
    /// The same for later ones, idling between two scrapes included.
    package var idleTimeoutMs: Int64 = 120_000
    /// How long a body may take to arrive, and then an answer to be made, and its client to read any of it. The answer to an exchange may take
    /// longer to be made.
    package var answerTimeoutMs: Int64 = 30_000
    /// Where all connections together keep too much, those whose clients have read nothing for so long are ended.
    package var unreadStallMs: Int64 = 10_000

    package init() {}
}

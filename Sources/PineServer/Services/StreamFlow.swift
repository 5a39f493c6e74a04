// Owns: the back-pressure of one call: what was asked on it and not answered, and what was sent and not read.
// Must never: let a call ask more because it is answered while its client doesn't read.
//
// Requests: beyond `unansweredLimit` the stream's input pauses, and goes on when half of them are answered.
// Answers: whoever sends is told by the caller that the client is behind, and that it has caught up (`drained`). Up to then the engine's
// reports wait, by which it sends no more than a buffer's worth.

struct StreamFlow: Hashable, Sendable {
    /// What becomes of a request.
    enum Ask {
        case goesOn
        /// It is taken; the stream's next ones have to wait.
        case pauses
        /// Somebody asks and asks and never reads: the answers wait in our memory.
        case refused
    }

    /// Requests that the engine has not answered.
    private var unanswered = 0
    /// Messages sent since the client last took all, from the first that it had no room for.
    private var unread = 0
    /// Reports of messages that the client has not read, for which the engine waits.
    private var unreported = 0

    /// Requests of one stream that are under way. etcd has one.
    static let unansweredLimit = 256
    /// Answers on a stream whose client doesn't read.
    static let unreadLimit = 100_000

    /// Whether the client is behind, as far as was noted by `sent`.
    var isFull: Bool { unread > 0 }
    /// Whether nothing is to be remembered.
    var isIdle: Bool { self == StreamFlow() }

    /// The client asks something.
    mutating func asked() -> Ask {
        if unread > Self.unreadLimit { return .refused }
        unanswered += 1
        return unanswered >= Self.unansweredLimit ? .pauses : .goesOn
    }

    /// The engine has answered one request. True where the input goes on: not for each answer, since what waits comes in one piece.
    mutating func answered() -> Bool {
        unanswered -= 1
        return unanswered == Self.unansweredLimit / 2
    }

    /// A message was sent, for which the client had room or not.
    mutating func sent(hasRoom: Bool) {
        if !hasRoom { unread += 1 }
    }

    /// The engine wants to hear once what was sent so far has left. True: it has.
    mutating func reportDue(hasRoom: Bool) -> Bool {
        if hasRoom, unreported == 0 { return true }
        unreported += 1
        return false
    }

    /// The client has read everything. Returns how many reports are due.
    mutating func drained() -> Int {
        defer {
            unread = 0
            unreported = 0
        }
        return unreported
    }

    /// What the reports are about is over: nobody waits for them.
    mutating func forgetReports() { unreported = 0 }
}

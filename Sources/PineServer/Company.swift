// Owns: the guess whether a loop has one client at a time to serve, and may wait for its answer on the spot, or would keep others
// waiting by that.

/// Times are in nanoseconds of one monotonic clock.
struct Company {
    private var lastVisitEnd: UInt64 = 0
    private var likelyUntil: UInt64 = 0
    private var now: UInt64 = 0
    /// What arrives so soon after a visit was there while it lasted: a client that had its answer only then needs longer to ask again.
    private static let reactionTime: UInt64 = 10_000
    /// Who has come once will come again.
    private static let memory: UInt64 = 50_000_000

    var isLikely: Bool { now < likelyUntil }

    /// Something is to be asked of the engine.
    mutating func noteRequest(at time: UInt64) {
        now = time
        if lastVisitEnd != 0, time &- lastVisitEnd < Self.reactionTime { likelyUntil = time &+ Self.memory }
    }

    /// A visit to the engine is over, and its answers go out.
    mutating func noteVisit(until time: UInt64) { lastVisitEnd = time }
}

// Owns: how much unfinished input one connection may keep in memory, and who gets window back when it is much.
// Must never: starve everybody: while any stream waits, one is favoured and gets all the window that it asks for, so that
//             its message completes and makes room.
// Invariant: a stream is in `waiting` at most once, and only while some of its window is withheld.
internal import HTTP2

/// Over the soft limit streams get no window back, hence stall after at most their initial window each; over the hard one
/// they are refused. Complete messages that were handed over don't count.
struct InboundBudget {
    private let softLimit: Int
    private let hardLimit: Int
    /// Bytes kept for calls whose message is incomplete or can't be handed over yet.
    private(set) var buffered = 0
    private var favoured: StreamHandle?
    private var waiting: [StreamHandle] = []
    private var withheld: [StreamHandle: Int] = [:]

    init(softLimit: Int, hardLimit: Int) {
        self.softLimit = softLimit
        self.hardLimit = hardLimit
    }

    enum Decision: Equatable {
        /// Give the bytes' window back.
        case give
        /// Keep it; `release` will say when.
        case withhold
        /// End the stream.
        case refuse
    }

    /// `count` bytes came on `stream`, by which what is kept for it grew by `growth`, 0 or more. `limit`: a soft limit below the
    /// budget's own, while all connections together keep too much; the hard one is four times it.
    mutating func received(_ count: Int, growth: Int, on stream: StreamHandle, limit: Int = .max) -> Decision {
        buffered += growth
        let softLimit = min(softLimit, limit)
        let hardLimit = limit < hardLimit / 4 ? limit * 4 : hardLimit
        if buffered <= softLimit || stream == favoured { return .give }
        if growth == 0 { return .give }
        if favoured == nil {
            favoured = stream
            return .give
        }
        if buffered > hardLimit { return .refuse }
        if withheld[stream] == nil { waiting.append(stream) }
        withheld[stream, default: 0] += count
        return .withhold
    }

    /// What was kept for `stream` shrank by `count`: it was handed over, or the stream ended. Calls `give` with each stream
    /// that gets window back now, and how much.
    mutating func released(_ count: Int, of stream: StreamHandle, give: (StreamHandle, Int) -> Void) {
        buffered -= count
        if let count = withheld.removeValue(forKey: stream) {
            waiting.removeAll { $0 == stream }
            give(stream, count)
        }
        if stream == favoured { favoured = nil }
        if buffered <= softLimit {
            for next in waiting { give(next, withheld.removeValue(forKey: next)!) }
            waiting.removeAll()
        } else if favoured == nil, let next = waiting.first {
            waiting.removeFirst()
            favoured = next
            give(next, withheld.removeValue(forKey: next)!)
        }
    }
}

// Owns: how many watch requests of one caller the engine may not have taken yet, all streams together, and the streams whose further ones
// wait for that: one client's would fill the engine's mailbox otherwise, and others' requests found no room.
internal import Calls

struct WatchRequestGate {
    enum Step: Hashable {
        case goesOn
        /// The request is taken; the stream's next ones have to wait. With `asksEngine`, `taken` has to follow once the engine has taken all
        /// that was asked so far: once for all streams that pause until then.
        case pauses(asksEngine: Bool)
    }

    static let limit = 4_096

    private var underWay = 0
    private var paused: [CallID] = []

    /// A request on this stream is on its way to the engine.
    mutating func requested(on call: CallID) -> Step {
        underWay += 1
        guard underWay >= Self.limit else { return .goesOn }
        paused.append(call)
        return .pauses(asksEngine: underWay == Self.limit)
    }

    /// The engine has taken all requests up to the one that was the last to fit. Returns the streams that go on; some may be over.
    mutating func taken() -> [CallID] {
        underWay = 0
        defer { paused = [] }
        return paused
    }
}

// Owns: how much of a turn reads may still take, so that none of them holds up the others, writers or watchers for long.
// Must never: keep a turn from doing anything at all: what is left of it is looked at before a piece of work, not in the middle.

struct TurnBudget {
    /// Keys that may be looked at.
    var visits: Int
    /// Bytes that may be answered.
    var answerBytes: Int

    init(_ configuration: ReplicaConfiguration) {
        visits = configuration.turnKeyLimit
        answerBytes = configuration.turnAnswerByteLimit
    }

    var isLeft: Bool { visits > 0 && answerBytes > 0 }
}

// Owns: one statement of a simulated connection, from its sending to its answer, and what waits for it.
// Invariant: statements of one connection are executed and answered in the order in which they were sent.

/// A statement on its way to the log and back.
final class Flight {
    let server: Int
    /// What was sent on the same connection before and was under way then: executed before, and answered before.
    private(set) var ahead: Flight?
    /// Nobody waits for the answer any more.
    var isCut = false
    /// It will never be executed.
    var isDropped = false
    private(set) var isExecuted = false
    private(set) var isAnswered = false
    var lost: () -> Void = {}
    /// When its last byte reaches the server; nil in a light world.
    var arrivesAt: TrueTime?
    /// What waits for it to be executed, or to be answered.
    var afterExecution: () -> Void = {}
    var afterAnswer: () -> Void = {}

    init(server: Int, behind ahead: Flight?) {
        self.server = server
        self.ahead = ahead
    }

    func wasExecuted() {
        isExecuted = true
        afterExecution()
        afterExecution = {}
    }

    func wasAnswered() {
        isAnswered = true
        ahead = nil
        afterAnswer()
        afterAnswer = {}
    }

    /// Lets go of what waits for it: what is behind it holds on to it in turn.
    func forgetWaiters() {
        afterExecution = {}
        afterAnswer = {}
    }
}

// Owns: the mailbox of a thread that waits for messages until an instant: how loops and the log's threads hand batches to the engine.
internal import Mailboxes
internal import Replica

typealias EngineMailbox<Message: Sendable> = Mailbox<Message, SemaphoreBell>

extension Mailbox where Bell == SemaphoreBell {
    /// Sleeps until there is something to take, or until `deadline`. May end early with nothing to take.
    func wait(until deadline: Instant) {
        guard Clock.now < deadline else { return }
        wait(untilNanoseconds: deadline.nanoseconds)
    }

    /// Wakes the reader if there is something to take, or if it would sleep past `deadline`.
    func wake(before deadline: Instant) { wake(beforeNanoseconds: deadline.nanoseconds) }
}

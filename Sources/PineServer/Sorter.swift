// Owns: the thread that sorts what long scans have found, one job after the other: a hundred thousand keys take longer to sort than
// the engine's other clients can wait.
// Must never: touch anything but the job.
internal import Changelog
internal import Keyspace
internal import Mailboxes
internal import Replica

final class Sorter: Sendable {
    private enum Message {
        case sort(SortJob)
        case stop
    }

    private let mailbox = EngineMailbox<Message>(limit: .max)

    func sort(_ job: SortJob) { mailbox.force(.sort(job)) }

    func stop() { mailbox.force(.stop) }

    /// Runs until `stop`. `done` gets each job back.
    func start(_ done: @escaping @Sendable (SortJob) -> Void) -> WorkerThread {
        WorkerThread(name: "pine-sort") { [mailbox] in
            var messages: [Message] = []
            while true {
                mailbox.wait(until: .distantFuture)
                mailbox.take(into: &messages)
                for message in messages {
                    guard case .sort(var job) = message else { return }
                    job.run()
                    done(job)
                }
                messages.removeAll()
            }
        }
    }
}

// Owns: one thread of the operating system, from its start to its end, and its stack, which goes once nobody can join it any more.
internal import Bytes
internal import CLibPQ
internal import Glibc
internal import Synchronization

package final class WorkerThread: Sendable {
    private let thread: pthread_t
    private let isJoined = Atomic(false)
    private let end = End()

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        let end: End

        init(name: String, end: End, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.end = end
            self.body = body
        }
    }

    /// Apart from `Start`, which goes with the thread: what its body holds must not live on for this.
    private final class End: Sendable {
        let hasCome = Atomic(false)
    }

    /// Runs `body` on a thread of its own. `name` shows in debuggers and in top; at most 15 bytes.
    package init(name: String, _ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(name: name, end: end, body: body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
                pine_name_thread(start.name)
                start.body()
                start.end.hasCome.store(true, ordering: .releasing)
                return nil
            }, start.toOpaque())
        invariant(status == 0, "no thread: errno \(status)")
        self.thread = thread
    }

    /// Runs on, where nobody has waited for its end. What has ended and is neither joined nor detached keeps its stack for good.
    deinit { if !isJoined.load(ordering: .relaxed) { pthread_detach(thread) } }

    /// Whether `body` has returned.
    var hasEnded: Bool { end.hasCome.load(ordering: .acquiring) }

    /// Returns once `body` has. To be called once.
    package func join() {
        isJoined.store(true, ordering: .relaxed)
        pthread_join(thread, nil)
    }
}

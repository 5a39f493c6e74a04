// Owns: on which threads tests run. Must never: let a test that blocks keep any other task from a thread.
//
// Swift runs all tests, and all tasks of what they test, on one pool with a thread a core. Tests here wait for processes, sockets and
// PostgreSQL by blocking their thread; two of them on a machine with two cores are enough for no task to get on, for as long as they wait.
internal import Foundation
internal import Synchronization
package import Testing

/// Runs each test of a suite, with its child tasks, on threads beside Swift's pool, as many as block at once. How many tests run at once is
/// the runner's to bound.
package struct OwnThreads: SuiteTrait, TestTrait, TestScoping {
    package var isRecursive: Bool { true }

    /// Whether the calling thread is such a one.
    package static var isCurrent: Bool { Thread.current.threadDictionary[ThreadExecutor.mark] != nil }

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(ThreadExecutor.shared) { try await function() }
    }
}

extension Trait where Self == OwnThreads {
    package static var ownThreads: OwnThreads { OwnThreads() }
}

/// Has a thread for each job that is running: an idle one, or a new one.
private final class ThreadExecutor: TaskExecutor {
    static let shared = ThreadExecutor()
    static let mark = "pine-test-thread"

    private final class Worker: Sendable {
        let wake = DispatchSemaphore(value: 0)
        let job: Mutex<UnownedJob?>

        init(_ job: UnownedJob) { self.job = Mutex(job) }
    }

    /// How long a thread without a job waits for the next.
    private static let idleSeconds = 5.0
    /// The last that became idle is the first to get a job.
    private let idle = Mutex<[Worker]>([])

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if let worker = idle.withLock({ $0.popLast() }) {
            worker.job.withLock { $0 = job }
            worker.wake.signal()
            return
        }
        let worker = Worker(job)
        let thread = Thread { [self] in run(worker) }
        thread.threadDictionary[Self.mark] = true
        thread.start()
    }

    private func run(_ worker: Worker) {
        while true {
            if let job = worker.job.withLock({ $0.take() }) { job.runSynchronously(on: asUnownedTaskExecutor()) }
            idle.withLock { $0.append(worker) }
            guard worker.wake.wait(timeout: .now() + Self.idleSeconds) == .timedOut else { continue }
            let wasIdle = idle.withLock { idle in
                guard let index = idle.firstIndex(where: { $0 === worker }) else { return false }
                idle.remove(at: index)
                return true
            }
            if wasIdle { return }
            // Taken from the list at the last moment: its job is coming.
            worker.wake.wait()
        }
    }
}

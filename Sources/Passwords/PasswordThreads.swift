// Owns: the threads that hash and compare passwords, which takes tens of milliseconds each, and the queue of those that wait for it.
// Must never: run on a thread that others wait for, an event loop's or the engine's; let the queue grow past its bound: strangers may ask to
// be authenticated as often as they like.
// Invariant: the semaphore counts the jobs in the queue, and once stopped one for each thread.
package import Bytes
internal import CCrypt
package import EtcdAPI
internal import Glibc
internal import Synchronization

package final class PasswordThreads: Sendable {
    package enum Job: Sendable {
        /// Makes a hash with a new salt.
        case hash(ByteString, cost: Int)
        /// Compares a password with a stored hash.
        case compare(ByteString, hash: ByteString)
        /// Takes as long as a comparison.
        case pretend(ByteString, cost: Int)
        /// Makes a token whose signature takes as long as that.
        case make(@Sendable () -> Result<ByteString, EtcdError>)
    }

    package enum Outcome: Hashable, Sendable {
        case hashed(ByteString)
        case failed(Bcrypt.Failure)
        case compared(Bool)
        case made(Result<ByteString, EtcdError>)
        /// The threads were stopped before its turn came.
        case stopped
    }

    private struct Waiting {
        var job: Job
        var done: @Sendable (Outcome) -> Void
    }

    private struct State {
        /// In order of arrival, from `first` on.
        var queue: [Waiting] = []
        var first = 0
        var isStopped = false

        /// The one that has waited longest.
        mutating func next() -> Waiting? {
            guard first < queue.count else { return nil }
            let next = queue[first]
            first += 1
            // Passwords do not stay where they were.
            if first * 2 >= queue.count {
                queue.removeFirst(first)
                first = 0
            }
            return next
        }
    }

    private let state = Mutex(State())
    private let count: SemaphoreCell
    private let waitingLimit: Int
    private let threads: Mutex<[pthread_t]>

    /// Starts `threads` of them. `waitingLimit` jobs may wait besides those that are under way.
    package init(threads threadCount: Int, waitingLimit: Int) {
        self.waitingLimit = waitingLimit
        count = SemaphoreCell()
        threads = Mutex([])
        for _ in 0..<threadCount { start() }
    }

    /// Runs `job` and calls `done` on the thread that did.
    package func submit(_ job: Job, _ done: @escaping @Sendable (Outcome) -> Void) throws(EtcdError) {
        let error = state.withLock { state -> EtcdError? in
            if state.isStopped { return .stopped }
            if state.queue.count - state.first >= waitingLimit { return .tooManyRequests }
            state.queue.append(Waiting(job: job, done: done))
            return nil
        }
        if let error { throw error }
        count.post()
    }

    /// How many jobs wait.
    package var waitingCount: Int { state.withLock { $0.queue.count - $0.first } }

    /// Returns once all threads have ended. Jobs that wait are told so; those under way are finished.
    package func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            defer {
                state.queue.removeAll()
                state.first = 0
            }
            return Array(state.queue[state.first...])
        }
        for waiting in waiting { waiting.done(.stopped) }
        let threads = threads.withLock { threads in
            defer { threads.removeAll() }
            return threads
        }
        for _ in threads { count.post() }
        for thread in threads { pthread_join(thread, nil) }
    }

    private func start() {
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                pine_name_password_thread()
                Unmanaged<PasswordThreads>.fromOpaque(context).takeRetainedValue().work()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        invariant(status == 0, "no thread: errno \(status)")
        threads.withLock { $0.append(thread) }
    }

    private func work() {
        while true {
            count.wait()
            // The semaphore has counted a job, unless it is over.
            guard let waiting = state.withLock({ $0.next() }) else { return }
            waiting.done(Self.run(waiting.job))
        }
    }

    private static func run(_ job: Job) -> Outcome {
        switch job {
        case .hash(let password, let cost):
            let salt = ByteString((0..<Bcrypt.saltBytes).map { _ in UInt8.random(in: 0...255) })
            do {
                return .hashed(try Bcrypt.hash(password, cost: cost, salt: salt))
            } catch {
                return .failed(error)
            }
        case .compare(let password, let hash): return .compared(Bcrypt.matches(password, hash: hash))
        case .pretend(let password, let cost):
            Bcrypt.pretend(password, cost: cost)
            return .compared(false)
        case .make(let make): return .made(make())
        }
    }
}

/// A semaphore at an address of its own.
private final class SemaphoreCell: @unchecked Sendable {
    // Only ever handed to sem_post and sem_wait, which are made for many threads.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func post() { sem_post(semaphore) }

    func wait() { while sem_wait(semaphore) != 0 {} }
}

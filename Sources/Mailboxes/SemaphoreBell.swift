// Owns: the doorbell of a thread that waits for messages and the clock only.
// A semaphore rather than a condition: a condition's waiter takes the mutex as if others waited for it, and so makes two
// system calls where one is enough.
internal import CSemaphore
internal import Glibc

/// Unchecked for its pointer, which never changes: any thread may post a semaphore.
public final class SemaphoreBell: Doorbell, @unchecked Sendable {
    /// Posted once for each ring. At a fixed address.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    public init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    public func ring() { sem_post(semaphore) }

    /// May end early: interrupted, or rung for messages that were taken before. The reader looks and waits again.
    public func wait(untilNanoseconds deadline: UInt64) {
        pine_semaphore_wait(semaphore, Int(deadline / 1_000_000_000), Int(deadline % 1_000_000_000))
    }
}

extension Mailbox where Bell == SemaphoreBell {
    /// Sleeps until there is something to take, or until `deadline` of the monotonic clock. May end early with nothing to take.
    @inlinable
    public func wait(untilNanoseconds deadline: UInt64) {
        sleep(untilNanoseconds: deadline) { $0.wait(untilNanoseconds: deadline) }
    }
}

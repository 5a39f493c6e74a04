// Owns: how loops and the log's threads hand batches to the engine: a bounded queue behind a lock, and the sleep of the one thread that
// waits for it to fill.
// Must never: be taken from by two threads at once, or wake the sleeper more than once for what is taken together.
// A semaphore rather than a condition: a condition's waiter takes the mutex as if others waited for it, and so makes two
// system calls where one is enough.
internal import CSemaphore
internal import Glibc
package import Replica

/// A bounded queue of messages. Any thread may post; one waits.
package final class EngineMailbox<Message: Sendable>: @unchecked Sendable {
    // Guarded by `mutex`. The two C objects live at fixed addresses, as pthreads want them.
    private var waiting: [Message] = []
    private var readerSleeps = false
    private var readerSleepsUntil = Instant(nanoseconds: 0)
    private let limit: Int
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// Posted once for each time that `readerSleeps` was taken back.
    private let doorbell = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    /// `limit`: how many messages may wait for the reader.
    package init(limit: Int) {
        self.limit = limit
        pthread_mutex_init(mutex, nil)
        sem_init(doorbell, 0, 0)
    }

    deinit {
        sem_destroy(doorbell)
        pthread_mutex_destroy(mutex)
        doorbell.deallocate()
        mutex.deallocate()
    }

    /// Appends the batch and empties it, or as much of it as there is room for, and leaves the rest in it.
    package func post(_ batch: inout [Message]) {
        guard !batch.isEmpty else { return }
        pthread_mutex_lock(mutex)
        let room = limit - waiting.count
        if room >= batch.count {
            // An empty queue takes the batch's storage over; the next batch gets the queue's.
            if waiting.isEmpty { swap(&waiting, &batch) } else { waiting.append(contentsOf: batch) }
            batch.removeAll(keepingCapacity: true)
        } else if room > 0 {
            waiting.append(contentsOf: batch.prefix(room))
            batch.removeFirst(room)
        }
        wakeAndUnlock()
    }

    /// Appends what must not be lost: its number is bounded by what its sender has in flight.
    package func force(_ message: Message) {
        pthread_mutex_lock(mutex)
        waiting.append(message)
        wakeAndUnlock()
    }

    /// Appends what must not be lost and wakes nobody: the caller sees to it that it is taken.
    package func leave(_ message: Message) {
        pthread_mutex_lock(mutex)
        waiting.append(message)
        pthread_mutex_unlock(mutex)
    }

    /// Wakes the waiting thread where there is something to take, or where it would sleep past `deadline`.
    package func wake(before deadline: Instant) {
        pthread_mutex_lock(mutex)
        wakeAndUnlock(before: deadline)
    }

    private func wakeAndUnlock(before deadline: Instant = .distantFuture) {
        let wake = readerSleeps && (!waiting.isEmpty || deadline < readerSleepsUntil)
        if wake { readerSleeps = false }
        pthread_mutex_unlock(mutex)
        if wake { sem_post(doorbell) }
    }

    /// Sleeps until there is something to take, or until `deadline`; may wake up earlier and find nothing.
    package func wait(until deadline: Instant) {
        pthread_mutex_lock(mutex)
        guard waiting.isEmpty && Clock.now < deadline else {
            pthread_mutex_unlock(mutex)
            return
        }
        readerSleeps = true
        readerSleepsUntil = deadline
        pthread_mutex_unlock(mutex)
        // An interrupted wait, or a post for what an earlier one has taken already, is one that is over too early: the caller
        // comes again.
        pine_semaphore_wait(doorbell, Int(deadline.nanoseconds / 1_000_000_000), Int(deadline.nanoseconds % 1_000_000_000))
        pthread_mutex_lock(mutex)
        readerSleeps = false
        pthread_mutex_unlock(mutex)
    }

    /// Swaps all that waits for `messages`, which must be empty.
    package func take(into messages: inout [Message]) {
        pthread_mutex_lock(mutex)
        swap(&waiting, &messages)
        pthread_mutex_unlock(mutex)
    }
}

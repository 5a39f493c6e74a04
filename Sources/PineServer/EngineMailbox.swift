// Owns: how loops and the log's threads hand batches to the engine: a bounded queue behind a lock, whose one reader sleeps
// while it is empty.
// Must never: be read by two threads, or wake the reader more than once for what it takes together.
// A semaphore rather than a condition: a condition's waiter takes the mutex as if others waited for it, and so makes two
// system calls where one is enough.
internal import CSemaphore
internal import Glibc
package import Replica

/// A bounded queue of messages for one reading thread. Any thread may post.
package final class EngineMailbox<Message: Sendable>: @unchecked Sendable {
    // Guarded by `mutex`. The two C objects live at fixed addresses, as pthreads want them.
    private var waiting: [Message] = []
    private var readerSleeps = false
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

    private func wakeAndUnlock() {
        let wake = readerSleeps && !waiting.isEmpty
        if wake { readerSleeps = false }
        pthread_mutex_unlock(mutex)
        if wake { sem_post(doorbell) }
    }

    /// Swaps all that waits for `messages`, which must be empty. Sleeps until there is something, or until
    /// `deadline`; it may wake up earlier and find nothing.
    package func take(into messages: inout [Message], until deadline: Instant) {
        pthread_mutex_lock(mutex)
        if waiting.isEmpty && Clock.now < deadline {
            readerSleeps = true
            pthread_mutex_unlock(mutex)
            // An interrupted wait, or a post for what an earlier one has taken already, is one that is over too early: the reader
            // comes again.
            pine_semaphore_wait(doorbell, Int(deadline.nanoseconds / 1_000_000_000), Int(deadline.nanoseconds % 1_000_000_000))
            pthread_mutex_lock(mutex)
            readerSleeps = false
        }
        swap(&waiting, &messages)
        pthread_mutex_unlock(mutex)
    }
}

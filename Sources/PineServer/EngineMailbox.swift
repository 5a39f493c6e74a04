// Owns: how loops and the log's threads hand batches to the engine: a bounded queue behind a lock, whose one reader sleeps
// while it is empty.
// Must never: be read by two threads, or wake the reader more than once for what it takes together.
internal import Glibc
package import Replica

/// A bounded queue of messages for one reading thread. Any thread may post.
package final class EngineMailbox<Message: Sendable>: @unchecked Sendable {
    // Guarded by `mutex`. The two C objects live at fixed addresses, as pthreads want them.
    private var waiting: [Message] = []
    private var readerSleeps = false
    private let limit: Int
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// `limit`: how many messages may wait for the reader.
    package init(limit: Int) {
        self.limit = limit
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
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
        if wake { pthread_cond_signal(changed) }
    }

    /// Swaps all that waits for `messages`, which must be empty. Sleeps until there is something, or until `deadline`.
    package func take(into messages: inout [Message], until deadline: Instant) {
        pthread_mutex_lock(mutex)
        while waiting.isEmpty {
            readerSleeps = true
            var time = timespec(
                tv_sec: Int(deadline.nanoseconds / 1_000_000_000), tv_nsec: Int(deadline.nanoseconds % 1_000_000_000))
            if pthread_cond_timedwait(changed, mutex, &time) == ETIMEDOUT { break }
        }
        readerSleeps = false
        swap(&waiting, &messages)
        pthread_mutex_unlock(mutex)
    }
}

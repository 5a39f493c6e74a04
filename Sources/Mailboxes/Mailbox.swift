// Owns: a bounded queue of messages from any thread to one reader, behind a lock, and whether the reader sleeps.
// Must never: be read by two threads at once; wake the reader more than once for messages that are taken together, or while it is busy
// (it looks again before it sleeps); wake it before the lock is free, which it takes first.
// Invariant: the thread that clears `readerSleeps` on the reader's behalf rings the doorbell once.
//
// Public and inlinable throughout: only then is a generic class specialised in the targets that use it.
public import Bytes
public import Glibc

/// Wakes the thread that reads a mailbox.
public protocol Doorbell: AnyObject, Sendable {
    init()
    /// Ends the reader's wait. If the reader does not wait, its next wait ends at once.
    func ring()
}

/// A bounded queue of messages. Any thread may post; one thread reads.
///
/// Unchecked: every access to what changes holds `mutex`. The compiler can't see that; `Synchronization.Mutex` would hide the state from
/// inlinable code.
public final class Mailbox<Message: Sendable, Bell: Doorbell>: @unchecked Sendable {
    // Guarded by `mutex`, which has a fixed address, as pthreads requires.
    @usableFromInline var waiting: [Message] = []
    @usableFromInline var isClosed = false
    @usableFromInline var readerSleeps = false
    /// In nanoseconds of the monotonic clock.
    @usableFromInline var readerSleepsUntil: UInt64 = 0
    @usableFromInline let limit: Int
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @usableFromInline let bell = Bell()

    /// `limit`: how many messages may wait for the reader.
    @inlinable
    public init(limit: Int) {
        self.limit = limit
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
    }

    @inlinable
    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    // MARK: From any thread

    /// Appends as much of the batch as there is room for. The rest stays in the batch. Once the mailbox is closed, messages are dropped, here
    /// as below.
    @inlinable
    public func post(_ batch: inout [Message]) {
        guard !batch.isEmpty else { return }
        pthread_mutex_lock(mutex)
        let room = isClosed ? 0 : limit - waiting.count
        if room >= batch.count {
            // An empty queue takes over the batch's storage; the next batch gets the queue's.
            if waiting.isEmpty { swap(&waiting, &batch) } else { waiting.append(contentsOf: batch) }
            batch.removeAll(keepingCapacity: true)
        } else if room > 0 {
            waiting.append(contentsOf: batch.prefix(room))
            batch.removeFirst(room)
        } else if isClosed {
            batch.removeAll()
        }
        wakeAndUnlock()
    }

    /// Appends a message of a sender that waits for answers: more than `limit` of them are a bug.
    @inlinable
    public func put(_ message: Message) {
        pthread_mutex_lock(mutex)
        if !isClosed {
            invariant(waiting.count < limit, "a mailbox is full")
            waiting.append(message)
        }
        wakeAndUnlock()
    }

    /// Appends a message beyond the limit: the sender bounds how many there are.
    @inlinable
    public func force(_ message: Message) {
        pthread_mutex_lock(mutex)
        if !isClosed { waiting.append(message) }
        wakeAndUnlock()
    }

    /// Appends a message as `force` does, without waking the reader: the caller makes sure that it is taken.
    @inlinable
    public func leave(_ message: Message) {
        pthread_mutex_lock(mutex)
        if !isClosed { waiting.append(message) }
        pthread_mutex_unlock(mutex)
    }

    /// The reader finds the mailbox closed when it next takes from it.
    @inlinable
    public func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        wakeAndUnlock()
    }

    /// Wakes the reader if there is something to take, or if it would sleep past `deadline`, in nanoseconds of the monotonic clock.
    @inlinable
    public func wake(beforeNanoseconds deadline: UInt64) {
        pthread_mutex_lock(mutex)
        wakeAndUnlock(before: deadline)
    }

    @inlinable
    func wakeAndUnlock(before deadline: UInt64 = .max) {
        let wakes = readerSleeps && (!waiting.isEmpty || isClosed || deadline < readerSleepsUntil)
        if wakes { readerSleeps = false }
        pthread_mutex_unlock(mutex)
        if wakes { bell.ring() }
    }

    // MARK: For the reader

    /// Swaps everything that waits for `messages`, which must be empty. False once the mailbox is closed; then nothing is taken.
    @inlinable
    @discardableResult
    public func take(into messages: inout [Message]) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if isClosed { return false }
        swap(&waiting, &messages)
        return true
    }

    /// Everything that waits; nil once the mailbox is closed.
    @inlinable
    public func take() -> [Message]? {
        var messages: [Message] = []
        return take(into: &messages) ? messages : nil
    }

    /// Runs `wait`, which the doorbell ends, unless there is something to take; then gives nil. `deadline` is when `wait` ends by itself,
    /// in nanoseconds of the monotonic clock.
    @inlinable
    func sleep<R>(untilNanoseconds deadline: UInt64, _ wait: (Bell) -> R) -> R? {
        pthread_mutex_lock(mutex)
        guard waiting.isEmpty, !isClosed else {
            pthread_mutex_unlock(mutex)
            return nil
        }
        readerSleeps = true
        readerSleepsUntil = deadline
        pthread_mutex_unlock(mutex)
        let result = wait(bell)
        pthread_mutex_lock(mutex)
        readerSleeps = false
        pthread_mutex_unlock(mutex)
        return result
    }
}

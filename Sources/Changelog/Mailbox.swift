// Owns: a bounded queue into one thread that waits on descriptors, with the eventfd that wakes it.
// Must never: wake a thread that is busy: it looks again before it sleeps; or wake it before the lock is free, which it takes
// first of all.
// Invariant: while `sleeping` is set the queue is empty, and nobody will write to the eventfd without clearing it.
internal import Bytes
internal import CLibPQ
internal import Glibc
internal import Synchronization

final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var sleeping = false
        var closed = false
    }

    private let state = Mutex(State())
    private let doorbell: Int32
    private let limit: Int

    /// More than `limit` waiting messages are a bug of the sender, who waits for answers.
    init(limit: Int) {
        self.limit = limit
        doorbell = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        invariant(doorbell >= 0, "no eventfd: errno \(errno)")
    }

    deinit { Glibc.close(doorbell) }

    /// Nothing happens once the mailbox is closed.
    func put(_ message: Message) {
        let wakes = state.withLock { state in
            if state.closed { return false }
            invariant(state.messages.count < limit, "a mailbox of the log is full")
            state.messages.append(message)
            return isWoken(&state)
        }
        if wakes { ring() }
    }

    /// Lets the owner find the mailbox closed, after what it is at.
    func close() {
        let wakes = state.withLock { state in
            state.closed = true
            return isWoken(&state)
        }
        if wakes { ring() }
    }

    /// Whether the owner sleeps and is the caller's to wake.
    private func isWoken(_ state: inout State) -> Bool {
        defer { state.sleeping = false }
        return state.sleeping
    }

    private func ring() {
        var one: UInt64 = 1
        _ = write(doorbell, &one, 8)
    }

    /// For the owner: what has come, nil once the mailbox is closed. Where nothing has, the next `wait` will be woken.
    func take() -> [Message]? {
        state.withLock { state in
            if state.closed { return nil }
            guard !state.messages.isEmpty else {
                state.sleeping = true
                return []
            }
            state.sleeping = false
            var taken: [Message] = []
            swap(&taken, &state.messages)
            return taken
        }
    }

    /// For the owner, after `take` gave nothing: waits until there is something to take, `socket` is readable, or `timeout` has
    /// passed (nil: never does); also where it takes more, if that is asked for. True where the socket is readable.
    func wait(alongside socket: Int32, untilWritable: Bool = false, timeout: Duration?) -> Bool {
        let events = untilWritable ? Int16(POLLIN | POLLOUT) : Int16(POLLIN)
        var entries = (pollfd(fd: doorbell, events: Int16(POLLIN), revents: 0), pollfd(fd: socket, events: events, revents: 0))
        withUnsafeMutablePointer(to: &entries) {
            // An interrupted wait counts as one that is over: the caller looks and waits again.
            _ = $0.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, timeout?.pollTimeoutMs ?? -1) }
        }
        if entries.0.revents != 0 {
            var count: UInt64 = 0
            _ = read(doorbell, &count, 8)
        }
        return entries.1.revents & ~Int16(POLLOUT) != 0
    }
}

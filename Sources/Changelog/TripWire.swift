// Owns: the descriptor that ends every blocking wait of the log's threads at once.
internal import Bytes
internal import CLibPQ
internal import Glibc

/// A descriptor that is readable from `trip` on: what every blocking wait of the log's threads watches, so that all of them end
/// together.
final class TripWire: Sendable {
    let descriptor: Int32

    init() {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        invariant(descriptor >= 0, "no eventfd: errno \(errno)")
    }

    deinit { Glibc.close(descriptor) }

    func trip() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Waits for `duration`, or until it is tripped; true where it is.
    func wait(_ duration: Duration) -> Bool {
        let deadline = Deadline.after(duration)
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, deadline.pollTimeoutMs) < 0 && errno == EINTR {}
        return entry.revents != 0
    }
}

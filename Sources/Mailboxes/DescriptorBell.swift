// Owns: the doorbell of a thread that waits on a socket as well: an eventfd.
internal import Bytes
internal import CSemaphore
internal import Glibc

public final class DescriptorBell: Doorbell {
    private let descriptor: Int32

    public init() {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        invariant(descriptor >= 0, "no eventfd: errno \(errno)")
    }

    deinit { close(descriptor) }

    public func ring() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Waits for a ring, for `socket` to be readable (or writable, if `untilWritable`), or for `timeoutMs`; a negative timeout is forever.
    /// True if the socket is readable or broken. May end early: an interrupted wait is one that is over.
    public func wait(alongside socket: Int32, untilWritable: Bool, timeoutMs: Int32) -> Bool {
        let events = untilWritable ? Int16(POLLIN | POLLOUT) : Int16(POLLIN)
        var entries = (pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: socket, events: events, revents: 0))
        withUnsafeMutablePointer(to: &entries) {
            _ = $0.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, timeoutMs) }
        }
        if entries.0.revents != 0 {
            var count: UInt64 = 0
            _ = read(descriptor, &count, 8)
        }
        return entries.1.revents & ~Int16(POLLOUT) != 0
    }
}

extension Mailbox where Bell == DescriptorBell {
    /// Waits until there is something to take, `socket` is readable (or writable, if `untilWritable`), or `timeoutMs` have passed; a
    /// negative timeout is forever. True if the socket is readable; not asked if there is something to take.
    @inlinable
    public func wait(alongside socket: Int32, untilWritable: Bool, timeoutMs: Int32) -> Bool {
        sleep(untilNanoseconds: .max) { $0.wait(alongside: socket, untilWritable: untilWritable, timeoutMs: timeoutMs) } ?? false
    }
}

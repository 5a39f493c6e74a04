// Owns: a thread of our own, with a name that `top -H` and `perf` show.
internal import Foundation

package final class NamedThread: Sendable {
    private let finished = DispatchSemaphore(value: 0)

    /// Starts a thread that runs `body` to its end. `name`: at most 15 bytes are shown by Linux.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread { [finished] in
            body()
            finished.signal()
        }
        thread.name = name
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Waits until the body has returned. Call once.
    package func join() { finished.wait() }
}

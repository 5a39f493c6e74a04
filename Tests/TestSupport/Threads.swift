// Owns: running blocking code on many threads at once. Must never: take threads from Swift's own pool, which has one a core.
internal import Foundation
internal import Synchronization

/// Runs `body` for each index below `count` on a thread of its own. Returns when all have ended; throws the first error.
package func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
    let failures = Failures()
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        let thread = Thread {
            do { try body(index) } catch { failures.add(error) }
            group.leave()
        }
        thread.name = "test-\(index)"
        thread.start()
    }
    group.wait()
    if let first = failures.first { throw first }
}

private final class Failures: Sendable {
    private let errors = Mutex<[any Error]>([])

    var first: (any Error)? { errors.withLock { $0.first } }

    func add(_ error: any Error) { errors.withLock { $0.append(error) } }
}

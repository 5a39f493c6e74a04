// Owns: waiting for a condition. Must never: be used to wait for time to pass.
internal import Glibc

/// Waits until `condition` holds; throws where it still doesn't after `timeout`. Asks again every 5 ms.
package func eventually(
    _ what: String = "the condition", timeout: Duration = .seconds(30), file: StaticString = #fileID, line: UInt = #line,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + timeout
    var askings = 0
    while try await !condition() {
        askings += 1
        if askings >= leastAskings, ContinuousClock.now >= deadline { throw late(what, timeout, file, line) }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// On a machine that is busy, time passes while no task gets on, neither this one nor those that it waits for. Each asking is a turn that
/// they had, too.
private let leastAskings = 500

/// As `eventually`, for synchronous code: the thread sleeps between two askings.
package func eventuallyBlocking(
    _ what: String = "the condition", timeout: Duration = .seconds(30), file: StaticString = #fileID, line: UInt = #line,
    _ condition: () throws -> Bool
) throws {
    let deadline = ContinuousClock.now + timeout
    while try !condition() {
        if ContinuousClock.now >= deadline { throw late(what, timeout, file, line) }
        usleep(2_000)
    }
}

private func late(_ what: String, _ timeout: Duration, _ file: StaticString, _ line: UInt) -> TestSupportError {
    TestSupportError("\(file):\(line): \(what) did not come true within \(timeout)")
}

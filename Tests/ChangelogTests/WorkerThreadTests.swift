import TestSupport
import Testing

@testable import Changelog

@Suite("Threads of the log", .ownThreads)
struct WorkerThreadTests {
    /// Where the stacks of threads lie that are run one after the other, and handed to `end` once they are started.
    private func stacks(_ count: Int, end: (WorkerThread) -> Void) throws -> Set<UInt> {
        var stacks: Set<UInt> = []
        for _ in 0..<count {
            let answer = Answer<UInt>()
            end(
                WorkerThread(name: "short") {
                    var local = 0
                    answer.fill { withUnsafeMutablePointer(to: &local) { UInt(bitPattern: $0) } }
                })
            try eventuallyBlocking("the thread's end") { (try? answer.get()) != nil }
            stacks.insert(try answer.get())
        }
        return stacks
    }

    @Test("One that nobody waits for gives its stack back when it ends, as one does that was joined")
    func stacksAreUsedAgain() throws {
        // The next may begin before the last has quite gone; kept stacks would be as many as threads.
        #expect(try stacks(200) { _ in }.count < 100)
        #expect(try stacks(200) { $0.join() }.count < 100)
    }
}

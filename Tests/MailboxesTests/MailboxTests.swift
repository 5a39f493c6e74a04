import Foundation
import Replica
import Testing

@testable import PineServer

@Suite("The engine's mailbox")
struct EngineMailboxTests {
    @Test("Every message of every sender arrives once, in its sender's order")
    func manySenders() {
        let mailbox = EngineMailbox<(sender: Int, number: Int)>(limit: 1_000_000)
        for sender in 0..<4 {
            Thread.detachNewThread {
                for round in 0..<1_000 {
                    var batch = (0..<10).map { (sender: sender, number: round * 10 + $0) }
                    mailbox.post(&batch)
                }
            }
        }
        var next = [0, 0, 0, 0]
        var taken: [(sender: Int, number: Int)] = []
        while next != [10_000, 10_000, 10_000, 10_000] {
            mailbox.wait(until: Clock.now.advanced(byMs: 10_000))
            mailbox.take(into: &taken)
            for message in taken {
                #expect(message.number == next[message.sender])
                next[message.sender] += 1
            }
            taken.removeAll()
        }
    }

    @Test("What doesn't fit stays with the sender")
    func bound() {
        let mailbox = EngineMailbox<Int>(limit: 3)
        var batch = [1, 2, 3, 4, 5]
        mailbox.post(&batch)
        #expect(batch == [4, 5])
        mailbox.force(9)
        var taken: [Int] = []
        mailbox.take(into: &taken)
        #expect(taken == [1, 2, 3, 9])
    }

    @Test("Waiting ends at the deadline")
    func deadline() {
        let mailbox = EngineMailbox<Int>(limit: 3)
        var taken: [Int] = []
        let deadline = Clock.now.advanced(byMs: 20)
        mailbox.wait(until: deadline)
        mailbox.take(into: &taken)
        #expect(taken.isEmpty)
        #expect(Clock.now >= deadline)
    }

    @Test("What is left is taken with what is posted, and wakes nobody but by being told of", arguments: [true, false])
    func left(comesBeforeTheWait: Bool) async {
        let mailbox = EngineMailbox<Int>(limit: 3)
        if comesBeforeTheWait { mailbox.leave(1) }
        let woken = Task.detached {
            await onThread {
                mailbox.wait(until: .distantFuture)
                var taken: [Int] = []
                mailbox.take(into: &taken)
                return taken
            }
        }
        if !comesBeforeTheWait {
            mailbox.leave(1)
            mailbox.wake(before: .distantFuture)
        }
        #expect(await woken.value == [1])
    }

    @Test("Whoever waits is woken where something is due sooner")
    func soonerDeadline() async {
        let mailbox = EngineMailbox<Int>(limit: 3)
        let woken = Task.detached { await onThread { mailbox.wait(until: .distantFuture) } }
        // It may not be waiting yet: told again until it has been.
        let told = Task.detached {
            while !Task.isCancelled {
                mailbox.wake(before: Clock.now)
                await Task.yield()
            }
        }
        await woken.value
        told.cancel()
    }
}

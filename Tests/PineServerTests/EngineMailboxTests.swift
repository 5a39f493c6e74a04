import Foundation
import PineServer
import Replica
import Testing

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
            mailbox.take(into: &taken, until: Clock.now.advanced(byMs: 10_000))
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
        mailbox.take(into: &taken, until: Clock.now.advanced(byMs: 10_000))
        #expect(taken == [1, 2, 3, 9])
    }

    @Test("Waiting ends at the deadline")
    func deadline() {
        let mailbox = EngineMailbox<Int>(limit: 3)
        var taken: [Int] = []
        let deadline = Clock.now.advanced(byMs: 20)
        mailbox.take(into: &taken, until: deadline)
        #expect(taken.isEmpty)
        #expect(Clock.now >= deadline)
    }

    @Test("A reader that sleeps can be told to come by sooner, and one that is about to sleep as well")
    func hurried() {
        let mailbox = EngineMailbox<Int>(limit: 3)
        let soon = Clock.now.advanced(byMs: 20)
        var taken: [Int] = []
        mailbox.hurry(soon)
        mailbox.take(into: &taken, until: Clock.now.advanced(byMs: 60_000))
        #expect(Clock.now >= soon)
        // That was for one sleep.
        let later = Clock.now.advanced(byMs: 20)
        mailbox.take(into: &taken, until: later)
        #expect(Clock.now >= later)

        let began = Clock.now
        Thread.detachNewThread {
            while !mailbox.isAtRest { usleep(100) }
            mailbox.hurry(Instant(nanoseconds: 0))
        }
        mailbox.take(into: &taken, until: began.advanced(byMs: 60_000))
        #expect(Clock.now < began.advanced(byMs: 60_000))
        #expect(taken.isEmpty)
    }

    @Test("It is at rest while the reader sleeps and nothing waits")
    func rest() {
        let mailbox = EngineMailbox<Int>(limit: 3)
        #expect(!mailbox.isAtRest)
        Thread.detachNewThread {
            while !mailbox.isAtRest { usleep(100) }
            mailbox.force(1)
        }
        var taken: [Int] = []
        while taken.isEmpty { mailbox.take(into: &taken, until: Clock.now.advanced(byMs: 60_000)) }
        #expect(!mailbox.isAtRest)
    }
}

import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Mailboxes

@Suite("Mailboxes", .ownThreads)
struct MailboxTests {
    private typealias Letter = (sender: Int, number: Int)

    /// In nanoseconds of the monotonic clock.
    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Four senders, a batch or one message at a time; `wait` is the reader's.
    private func exchange<Bell>(_ mailbox: Mailbox<Letter, Bell>, _ wait: () -> Void) {
        for sender in 0..<4 {
            Thread.detachNewThread {
                for round in 0..<1_000 {
                    var batch = (0..<10).map { (sender: sender, number: round * 10 + $0) }
                    if round % 2 == 0 { mailbox.post(&batch) } else { for letter in batch { mailbox.put(letter) } }
                }
            }
        }
        var next = [0, 0, 0, 0]
        var count = 0
        while count < 40_000 {
            wait()
            for letter in mailbox.take() ?? [] {
                #expect(letter.number == next[letter.sender])
                next[letter.sender] += 1
                count += 1
            }
        }
        #expect(next == [10_000, 10_000, 10_000, 10_000])
    }

    @Test("Each message of each sender arrives once, in its sender's order; the reader waits on a semaphore")
    func manySenders() {
        let mailbox = Mailbox<Letter, SemaphoreBell>(limit: 1_000_000)
        exchange(mailbox) { mailbox.wait(untilNanoseconds: Self.now() + 10_000_000_000) }
    }

    @Test("Each message of each sender arrives once, in its sender's order; the reader waits on descriptors")
    func manySendersDescriptor() throws {
        let (reader, writer) = try socketPair()
        defer { for socket in [reader, writer] { close(socket) } }
        let mailbox = Mailbox<Letter, DescriptorBell>(limit: 1_000_000)
        exchange(mailbox) { #expect(!mailbox.wait(alongside: reader, untilWritable: false, timeoutMs: 10_000)) }
    }

    @Test("A batch that exceeds the limit stays with its sender in part; forced messages are beyond the limit")
    func bound() {
        let mailbox = Mailbox<Int, SemaphoreBell>(limit: 3)
        var batch = [1, 2, 3, 4, 5]
        mailbox.post(&batch)
        #expect(batch == [4, 5])
        mailbox.force(9)
        #expect(mailbox.take() == [1, 2, 3, 9])
        mailbox.post(&batch)
        #expect(batch.isEmpty && mailbox.take() == [4, 5])
    }

    @Test("Waiting ends at the deadline")
    func deadline() throws {
        let mailbox = Mailbox<Int, SemaphoreBell>(limit: 3)
        let deadline = Self.now() + 20_000_000
        mailbox.wait(untilNanoseconds: deadline)
        #expect(Self.now() >= deadline && mailbox.take() == [])
        let (reader, writer) = try socketPair()
        defer { for socket in [reader, writer] { close(socket) } }
        let other = Mailbox<Int, DescriptorBell>(limit: 3)
        let began = Self.now()
        #expect(!other.wait(alongside: reader, untilWritable: false, timeoutMs: 20))
        #expect(Self.now() - began >= 20_000_000 && other.take() == [])
    }

    @Test("A message that is left is taken without a wait, or once the reader is woken for it", arguments: [true, false])
    func left(comesBeforeTheWait: Bool) {
        let mailbox = Mailbox<Int, SemaphoreBell>(limit: 3)
        if comesBeforeTheWait {
            mailbox.leave(1)
        } else {
            Thread.detachNewThread {
                mailbox.leave(1)
                mailbox.wake(beforeNanoseconds: .max)
            }
        }
        mailbox.wait(untilNanoseconds: .max)
        #expect(mailbox.take() == [1])
    }

    @Test("A reader that would sleep too long is woken")
    func soonerDeadline() {
        let mailbox = Mailbox<Int, SemaphoreBell>(limit: 3)
        let isOver = Mutex(false)
        // The reader may not sleep yet: woken again until it has been.
        Thread.detachNewThread {
            while !isOver.withLock({ $0 }) {
                mailbox.wake(beforeNanoseconds: 1)
                sched_yield()
            }
        }
        mailbox.wait(untilNanoseconds: .max)
        isOver.withLock { $0 = true }
    }

    @Test("A reader that is busy is not woken, and one that sleeps once")
    func wakings() {
        let mailbox = Mailbox<Int, CountingBell>(limit: 100)
        let bell = mailbox.doorbell
        for number in 0..<3 { mailbox.put(number) }
        #expect(bell.count == 0, "nobody sleeps")
        mailbox.whileReaderSleeps { _ in Issue.record("there is something to take") }
        #expect(mailbox.take() == [0, 1, 2])
        mailbox.whileReaderSleeps { bell in
            mailbox.leave(3)
            #expect(bell.count == 0, "left, not posted")
            for number in 4..<8 { mailbox.put(number) }
            var batch = [8, 9]
            mailbox.post(&batch)
            mailbox.force(10)
            #expect(bell.count == 1)
        }
        mailbox.put(11)
        mailbox.close()
        #expect(bell.count == 1, "nobody sleeps")
    }

    @Test("Closing wakes the reader, which then takes nothing; what is put afterwards is dropped")
    func closed() throws {
        let (reader, writer) = try socketPair()
        defer { for socket in [reader, writer] { close(socket) } }
        let mailbox = Mailbox<Int, DescriptorBell>(limit: 1)
        mailbox.put(1)
        let senders = 3
        for _ in 0..<senders {
            Thread.detachNewThread { for number in 0..<1_000 { mailbox.force(number) } }
        }
        Thread.detachNewThread { mailbox.close() }
        var taken: [[Int]] = []
        while let messages = mailbox.take() {
            taken.append(messages)
            _ = mailbox.wait(alongside: reader, untilWritable: false, timeoutMs: -1)
        }
        #expect(taken.flatMap { $0 }.count <= 1 + senders * 1_000)
        // Nothing is kept: beyond the limit it would be a bug of the sender.
        for number in 2..<9 { mailbox.put(number) }
        var batch = [9, 10]
        mailbox.post(&batch)
        #expect(batch.isEmpty && mailbox.take() == nil)
    }

    @Test("The reader is told of its socket: readable, writable where it asks for that, or broken")
    func socket() throws {
        let (reader, writer) = try socketPair()
        let mailbox = Mailbox<Int, DescriptorBell>(limit: 3)
        #expect(!mailbox.wait(alongside: reader, untilWritable: true, timeoutMs: -1), "writable at once, and nothing to read")
        #expect(write(writer, "x", 1) == 1)
        #expect(mailbox.wait(alongside: reader, untilWritable: false, timeoutMs: -1))
        mailbox.put(1)
        #expect(!mailbox.wait(alongside: reader, untilWritable: false, timeoutMs: -1), "messages first")
        #expect(mailbox.take() == [1])
        #expect(mailbox.wait(alongside: reader, untilWritable: false, timeoutMs: -1))
        var byte: UInt8 = 0
        #expect(read(reader, &byte, 1) == 1)
        close(writer)
        #expect(mailbox.wait(alongside: reader, untilWritable: false, timeoutMs: -1))
        close(reader)
    }

    private func socketPair() throws -> (Int32, Int32) {
        var descriptors: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &descriptors) == 0)
        return (descriptors[0], descriptors[1])
    }
}

private final class CountingBell: Doorbell {
    private let rings = Mutex(0)

    var count: Int { rings.withLock { $0 } }

    func ring() { rings.withLock { $0 += 1 } }
}

extension Mailbox where Bell == CountingBell {
    fileprivate var doorbell: CountingBell { bell }

    fileprivate func whileReaderSleeps(_ body: (CountingBell) -> Void) { _ = sleep(untilNanoseconds: .max, body) }
}

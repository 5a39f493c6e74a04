// Checks bcrypt against hashes that others made, and that threads keep their bounds.
internal import Bytes
internal import EtcdAPI
internal import Passwords
internal import Synchronization
internal import TestSupport
internal import Testing

@Suite(.ownThreads) struct BcryptTests {
    private let salt = ByteString([0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10])

    @Test("hashes that Go and OpenBSD made, of every letter after the 2, are recognised, and only with their passwords")
    func others() {
        let hashes: [(ByteString, ByteString)] = [
            // golang.org/x/crypto/bcrypt's own test.
            ("allmine", "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"),
            // OpenBSD's and Openwall's vectors.
            ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
            ("", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
            (ByteString([0xFF, 0xFF, 0xA3]), "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"),
            ("h", "$2b$04$abcdefghijklmnopqrstuuNXMSOXKVKyIVY50o7nmbsQsUF7biDbe"),
        ]
        for (password, hash) in hashes {
            #expect(Bcrypt.matches(password, hash: hash), "\(hash)")
            #expect(!Bcrypt.matches(ByteString(Array(password) + [0x21]), hash: hash), "\(hash)")
            #expect(!Bcrypt.matches(ByteString(Array(password) + [0]), hash: hash), "\(hash)")
            for letter in ["a", "b", "x", "y", ""] {
                #expect(Bcrypt.matches(password, hash: ByteString(Array("$2\(letter)".utf8) + hash.dropFirst(3))), "\(letter) of \(hash)")
            }
            for index in hash.count - 31..<hash.count {
                var bytes = Array(hash)
                bytes[index] = bytes[index] == UInt8(ascii: "q") ? UInt8(ascii: "r") : UInt8(ascii: "q")
                if index % 10 == 0 { #expect(!Bcrypt.matches(password, hash: ByteString(bytes))) }
            }
        }
    }

    @Test("a hash has etcd's form, and is the same for the same salt")
    func form() throws {
        let hash = try Bcrypt.hash("U*U", cost: 5, salt: salt)
        #expect(hash == "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
        #expect(try Bcrypt.hash("", cost: 4, salt: salt).prefix(7).elementsEqual("$2a$04$".utf8))
    }

    @Test("72 bytes count, 73 are refused, and a NUL is")
    func limits() throws {
        let longest = ByteString([UInt8](repeating: 0x61, count: 72))
        let hash = try Bcrypt.hash(longest, cost: 4, salt: salt)
        #expect(Bcrypt.matches(longest, hash: hash))
        #expect(!Bcrypt.matches(longest.slice(0..<71), hash: hash))
        // As in Go, which bounds only what is hashed.
        #expect(Bcrypt.matches(ByteString(Array(longest) + [0x62]), hash: hash))
        #expect(throws: Bcrypt.Failure.passwordTooLong) { try Bcrypt.hash(ByteString(Array(longest) + [0x62]), cost: 4, salt: salt) }
        #expect(throws: Bcrypt.Failure.passwordHasNUL) { try Bcrypt.hash(ByteString([0x61, 0, 0x62]), cost: 4, salt: salt) }
    }

    @Test("what is no bcrypt hash matches nothing, and traps nothing")
    func damaged() throws {
        let hash = try Bcrypt.hash("p", cost: 4, salt: salt)
        for end in 0..<hash.count { #expect(!Bcrypt.matches("p", hash: hash.slice(0..<end))) }
        #expect(!Bcrypt.matches("p", hash: ByteString(Array(hash) + [0x61])))
        let others: [ByteString] = [
            "$1$abcdefgh$", "$6$rounds=1000$salt$x", "*0", "$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2a$32$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2a$0x$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2a$05$CCCCCCCCCCCCCC CCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2a$05:CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ]
        for other in others { #expect(!Bcrypt.matches("U*U", hash: other), "\(other)") }
        Bcrypt.pretend("p", cost: 4)
    }
}

@Suite(.ownThreads) struct PasswordThreadsTests {
    @Test("what is hashed compares, with a new salt each time; outcomes reach whom they belong to")
    func work() async throws {
        let threads = PasswordThreads(threads: 2, waitingLimit: 100)
        defer { threads.stop() }
        var hashes: Set<ByteString> = []
        for number in 0..<8 {
            let password = ByteString("p\(number)")
            guard case .hashed(let hash) = try await threads.run(.hash(password, cost: 4)) else {
                Issue.record("not hashed")
                return
            }
            hashes.insert(hash)
            #expect(try await threads.run(.compare(password, hash: hash)) == .compared(true))
            #expect(try await threads.run(.compare("other", hash: hash)) == .compared(false))
        }
        #expect(hashes.count == 8)
        #expect(try await threads.run(.pretend("p", cost: 4)) == .compared(false))
        #expect(try await threads.run(.hash(ByteString([UInt8](repeating: 0x61, count: 73)), cost: 4)) == .failed(.passwordTooLong))
    }

    @Test("what goes over the bound is refused at once, and what waits when they stop is forgotten")
    func bounds() throws {
        // No thread takes anything, so what waits is known.
        let threads = PasswordThreads(threads: 0, waitingLimit: 3)
        for _ in 0..<3 { try threads.submit(.pretend("p", cost: 4)) { #expect($0 == .stopped) } }
        #expect(threads.waitingCount == 3)
        #expect(throws: EtcdError.tooManyRequests) { try threads.submit(.pretend("p", cost: 4)) { _ in } }
        threads.stop()
        #expect(threads.waitingCount == 0)
        #expect(throws: EtcdError.stopped) { try threads.submit(.pretend("p", cost: 4)) { _ in } }
    }

    @Test("they stop while all are at work and others wait")
    func stop() throws {
        for _ in 0..<20 {
            let threads = PasswordThreads(threads: 3, waitingLimit: 100)
            let done = Counter()
            for _ in 0..<30 { try threads.submit(.pretend("p", cost: 4)) { _ in done.count() } }
            threads.stop()
            // Each has run, or was told that it will not.
            #expect(done.value == 30)
        }
    }
}

private final class Counter: Sendable {
    private let number = Atomic(0)

    func count() { number.add(1, ordering: .relaxed) }

    var value: Int { number.load(ordering: .acquiring) }
}

extension PasswordThreads {
    fileprivate func run(_ job: Job) async throws -> Outcome {
        try await withCheckedThrowingContinuation { continuation in
            do {
                try submit(job) { continuation.resume(returning: $0) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}

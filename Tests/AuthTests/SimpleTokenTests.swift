// Checks tokens: what ends them, that nobody can make one, and that strangers cost no memory.
internal import Auth
internal import Bytes
internal import EtcdAPI
internal import Testing

@Suite struct SimpleTokenTests {
    private var store = AuthStore()
    private var tokens = SimpleTokens(timeToLiveMs: 1_000)
    private let user = Identity.user("u", revision: nil)

    init() throws {
        try store.run(.addUser("u", hash: "h"))
        try store.enable()
    }

    private func issue(atMs now: UInt64, chance: UInt64 = 1) throws -> ByteString {
        try #require(try store.token(for: "u", hash: "h", chance: chance, nowMs: now, timeToLiveMs: 1_000))
    }

    @Test("the bytes of a token")
    func golden() {
        let token = SimpleToken(user: "u", issued: 7, expiresMs: 1 << 40, chance: 5)
        let text = token.signed(with: .fixed)
        #expect(text == "AQAAAQAAAAAAAAAAAAAAAAcAAAAAAAAABXXJiCW8onCqn4IYElvkUegrGKcj9JoBoDIRuUl3qdmacA")
        #expect(SimpleToken(text, secret: .fixed) == token)
        #expect(SimpleToken(text, secret: .other) == nil)
    }

    @Test("a token with any byte changed, cut or lengthened is nobody's")
    func forged() throws {
        let token = SimpleToken(user: "root", issued: 7, expiresMs: 1 << 40, chance: 5).signed(with: .fixed)
        for index in 0..<token.count {
            var bytes = Array(token)
            for value in [token[index] ^ 1, UInt8(ascii: "A"), UInt8(ascii: "_"), UInt8(ascii: "="), 0xFF] where value != token[index] {
                bytes[index] = value
                #expect(SimpleToken(ByteString(bytes), secret: .fixed) == nil)
            }
            #expect(SimpleToken(token.slice(0..<index), secret: .fixed) == nil)
        }
        #expect(SimpleToken(ByteString(Array(token) + Array("AAAA".utf8)), secret: .fixed) == nil)
        // Signed, but of another format, or of no user.
        let other = ByteString([2] + [UInt8](repeating: 0, count: 24) + Array("u".utf8))
        #expect(SimpleToken(Base64.encodeForURL(ByteString(Array(other) + Array(sign(other)))), secret: .fixed) == nil)
        let none = ByteString([1] + [UInt8](repeating: 0, count: 24))
        #expect(SimpleToken(Base64.encodeForURL(ByteString(Array(none) + Array(sign(none)))), secret: .fixed) == nil)
    }

    @Test("what is longer than any token is not looked at")
    func long() {
        for (count, isRead) in [(6_000, true), (6_200, false)] {
            let token = SimpleToken(user: ByteString([UInt8](repeating: 0x61, count: count)), issued: 7, expiresMs: 9, chance: 5)
            #expect((SimpleToken(token.signed(with: .fixed), secret: .fixed) == token) == isRead)
        }
    }

    private func sign(_ message: ByteString) -> ByteString { SHA256.authenticationCode(message, key: TokenSecret.fixed.bytes) }

    @Test("a token ends when it was not used for its time, and lives on while it is used")
    mutating func expiry() throws {
        let token = try issue(atMs: 0)
        #expect(try tokens.identity(of: token, in: store, nowMs: 1_000) == user)
        #expect(try tokens.identity(of: token, in: store, nowMs: 2_000) == user)
        #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: token, in: store, nowMs: 3_001) }
        // Another process has not seen it used.
        var others = SimpleTokens(timeToLiveMs: 1_000)
        #expect(throws: EtcdError.invalidAuthToken) { try others.identity(of: token, in: store, nowMs: 1_001) }
        #expect(try others.identity(of: token, in: store, nowMs: 1_000) == user)
        #expect(tokens.knownCount == 0)
    }

    @Test("a new token leaves the old one; a new password, a deletion and disabling end all")
    mutating func ends() throws {
        let first = try issue(atMs: 0)
        let second = try issue(atMs: 0, chance: 2)
        #expect(first != second)
        for token in [first, second] { #expect(try tokens.identity(of: token, in: store, nowMs: 1) == user) }
        // Roles come and go without ending it.
        try store.run(.addRole("r"), by: .root)
        try store.run(.grantRole("r", to: "u"), by: .root)
        #expect(try tokens.identity(of: first, in: store, nowMs: 1) == user)
        try store.run(.changePassword("u", .hash("i")), by: .root)
        for token in [first, second] {
            #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: token, in: store, nowMs: 1) }
        }
        #expect(try store.token(for: "u", hash: "h", chance: 1, nowMs: 0, timeToLiveMs: 1_000) == nil, "the password is another one by now")
        let third = try #require(try store.token(for: "u", hash: "i", chance: 3, nowMs: 0, timeToLiveMs: 1_000))
        #expect(try tokens.identity(of: third, in: store, nowMs: 1) == user)
        try store.run(.deleteUser("u"), by: .root)
        #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: third, in: store, nowMs: 1) }
        try store.run(.addUser("u", hash: "i"), by: .root)
        #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: third, in: store, nowMs: 1) }
        let fourth = try #require(try store.token(for: "u", hash: "i", chance: 3, nowMs: 0, timeToLiveMs: 1_000))
        #expect(try tokens.identity(of: fourth, in: store, nowMs: 1) == user)
        try store.run(.disable, by: .root)
        for token in [fourth, "bogus"] { #expect(try tokens.identity(of: token, in: store, nowMs: 1) == .nobody) }
        try store.run(.enable(.other))
        #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: fourth, in: store, nowMs: 1) }
    }

    @Test("a token is good in every process that has folded the same log")
    func everywhere() throws {
        let token = try issue(atMs: 0)
        for _ in 0..<3 {
            var process = SimpleTokens(timeToLiveMs: 1_000)
            #expect(try process.identity(of: token, in: store, nowMs: 500) == user)
        }
    }

    @Test("what is not a token costs no memory")
    mutating func strangers() {
        for text in ["", "bogus", "abcdefghijklmnop.1", "AAAA"] as [ByteString] {
            #expect(throws: EtcdError.invalidAuthToken) { try tokens.identity(of: text, in: store, nowMs: 0) }
        }
        #expect(tokens.knownCount == 0)
    }

    @Test("what Authenticate is told before a password is compared")
    mutating func hashes() throws {
        try store.run(.addUser("certified", hash: nil), by: .root)
        #expect(try store.passwordHash(of: "u") == "h")
        #expect(throws: EtcdError.authFailed) { try store.passwordHash(of: "nobody") }
        #expect(throws: EtcdError.noPasswordUser) { try store.passwordHash(of: "certified") }
        #expect(throws: EtcdError.authNotEnabled) { try AuthStore().passwordHash(of: "u") }
    }
}

@Suite struct TokenSecretTests {
    @Test("a secret does not show itself, and no two are alike")
    func hidden() {
        let secret = TokenSecret.random()
        #expect("\(secret)" == "a secret")
        #expect(String(reflecting: secret) == "a secret")
        #expect(Mirror(reflecting: secret).children.isEmpty)
        #expect(secret != .random())
        #expect(secret.bytes.count == 32)
        #expect(TokenSecret("short") == nil)
    }
}
